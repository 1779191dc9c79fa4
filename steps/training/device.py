"""What a network is trained on."""

from __future__ import annotations

import torch

from materializers.errors import UsageError

SMALLEST_SHARE = 2
"""Examples of a batch that each process has at least: batch normalisation cannot learn from one."""


def training_device(rank: int = 0) -> torch.device:
    """A GPU where there is one, else the CPU.

    Args:
        rank: of this process among those of this machine that train together; each has a GPU of its own.
    """
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def check_processes(processes: int, batch_size: int) -> None:
    """Refuse more processes than there are GPUs for, or than a batch can be divided among.

    Args:
        processes: that train together.
        batch_size: examples of a batch, of all processes together.

    Raises:
        UsageError: there are too many.
    """
    if processes == 1:
        return
    most = batch_size // SMALLEST_SHARE
    if processes > most:
        raise UsageError(
            f"train.processes is {processes} and train.batch_size {batch_size}: each process needs "
            f"{SMALLEST_SHARE} examples of a batch at least, so there can be {most}. Change one of them: "
            f"--set train.processes={most} or --set train.batch_size={processes * SMALLEST_SHARE}"
        )
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and processes > gpus:
        raise UsageError(
            f"train.processes is {processes}, and this machine gives the step {gpus} GPU{'s' * (gpus > 1)}: "
            f"each process needs one. Train with as many, --set train.processes={gpus}, or on a cluster ask "
            f"for more: --set running.steps.train.gpus={processes}"
        )
