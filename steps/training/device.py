"""What a network is trained on."""

from __future__ import annotations

import torch

from materializers.errors import UsageError


def training_device(rank: int = 0) -> torch.device:
    """A GPU where there is one, else the CPU.

    Args:
        rank: of this process among those of this machine that train together; each has a GPU of its own.
    """
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def check_gpus(processes: int) -> None:
    """Refuse more processes than there are GPUs for, where there are any.

    Args:
        processes: that train together.

    Raises:
        UsageError: there are too many.
    """
    gpus = torch.cuda.device_count()
    if processes > 1 and torch.cuda.is_available() and processes > gpus:
        raise UsageError(
            f"train.processes is {processes}, and this machine gives the step {gpus} GPU{'s' * (gpus > 1)}: "
            f"each process needs one. Train with as many, --set train.processes={gpus}, or on a cluster ask "
            f"for more: --set running.steps.train.gpus={processes}"
        )
