"""What a network is trained on, and how many processes there can be."""

import pytest
import torch

from materializers.errors import UsageError
from steps.training.device import check_gpus, training_device


def test_a_gpu_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has the one of its number; without any, the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_device() == torch.device("cuda", 0)
    assert training_device(1) == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_device(1) == torch.device("cpu")


def test_fewer_gpus_than_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names both, and how to change either; on a machine without GPUs any number may train."""
    check_gpus(4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_gpus(2)
    said = "processes is 4.* 2 GPUs.*--set train.processes=2.*--set running.steps.train.gpus=4"
    with pytest.raises(UsageError, match=said):
        check_gpus(4)
