"""Tensors in memory that several processes read."""

import multiprocessing

import pytest
import torch
from torch import Tensor

from steps.training.processes.shared_tensors import SharedTensors

TENSORS = {
    "pictures": torch.arange(24, dtype=torch.uint8).reshape(2, 2, 2, 3),
    "features": torch.rand(5, 3, generator=torch.Generator().manual_seed(0)),
    "labels": torch.tensor([3, -1]),
    "half": torch.tensor([1.5, 2.5], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.empty(0, 4),
    "across": torch.arange(6.0).reshape(2, 3).T,
}


def same(found: dict[str, Tensor]) -> bool:
    """Whether these are the tensors, of the same types."""
    return found.keys() == TENSORS.keys() and all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype
        for name, tensor in TENSORS.items()
    )


def look_and_write(shared: SharedTensors) -> None:
    """What the child does: fail unless it finds the tensors; write into its own, and into everyone's."""
    assert same(shared.opened())
    shared.opened()["features"].fill_(-1)
    shared.opened(writable=True)["labels"].fill_(5)


def test_a_child_process_finds_them_and_writes_where_it_may() -> None:
    """Types and shapes stay, a scalar's and an empty one's too; only what was opened to write is changed."""
    shared = SharedTensors(TENSORS)
    child = multiprocessing.get_context("spawn").Process(target=look_and_write, args=(shared,))
    child.start()
    child.join()
    assert child.exitcode == 0
    found = shared.opened()
    shared.close()
    assert found["labels"].tolist() == [5, 5]
    assert torch.equal(found["features"], TENSORS["features"])


def test_what_was_opened_outlives_the_hold_on_it() -> None:
    """After closing, the tensors are still there; nothing has a name on disk."""
    shared = SharedTensors(TENSORS)
    found = shared.opened()
    shared.close()
    assert same(found)
    with pytest.raises(OSError, match="Bad file descriptor"):
        shared.opened()


def test_nothing_is_shared_as_nothing() -> None:
    """No tensor needs no memory."""
    shared = SharedTensors({})
    assert shared.opened() == {}
    shared.close()
