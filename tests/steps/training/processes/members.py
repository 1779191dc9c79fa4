"""What processes do in the tests of launching: functions that a child imports, without anything heavy."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from materializers.errors import NoRoom
from steps.training.processes.launching import launch


class Linear(nn.Module):
    """A linear model of three features; they are the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Classify ``(n, 3)``."""
        return self.linear(features), features


Send = Callable[[Any], None]


def meet() -> list[int]:
    """The process ids of all, in the order of their ranks."""
    found = [torch.zeros(1, dtype=torch.int64) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, torch.tensor([os.getpid()]))
    return [int(each) for each in found]


def rank_and_sum(send: Send, number: int) -> tuple[int, int]:
    """Send three messages; return the rank, and the sum over all processes."""
    for message in range(3):
        send(message)
    tensor = torch.tensor([number])
    distributed.all_reduce(tensor)
    return distributed.get_rank(), int(tensor)


def wait(send: Send) -> None:
    """Tell who is there, and do nothing."""
    send(meet())
    time.sleep(600)


def no_room(send: Send) -> None:
    """The second one cannot go on, and says what a user is to be told."""
    meet()
    if distributed.get_rank() == 1:
        raise NoRoom("The disk is full.")
    time.sleep(600)


def mistaken(send: Send) -> None:
    """The second one has a mistake in its code."""
    meet()
    if distributed.get_rank() == 1:
        raise KeyError("weight")
    time.sleep(600)


if __name__ == "__main__":
    launch(wait, (), 2, lambda pids: print(*pids, file=Path(sys.argv[1]).open("w"), flush=True))  # noqa: SIM115
