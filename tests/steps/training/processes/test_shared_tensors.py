"""Tensors in memory that several processes read."""

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


@pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "on disk"])
def test_a_child_process_finds_them_and_writes_where_it_may(on_disk: bool) -> None:
    """Types and shapes stay, a scalar's and an empty one's too; only what was opened to write is changed."""
    shared = SharedTensors(TENSORS, on_disk=on_disk)
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


def test_parts_are_one_tensor() -> None:
    """Along the first dimension; the next tensor begins behind all of them."""
    parts = [TENSORS["features"][:2], TENSORS["features"][2:2], TENSORS["features"][2:]]
    shared = SharedTensors({**TENSORS, "features": iter(parts)})
    assert same(shared.opened())
    shared.close()


def test_on_disk_they_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in the folder for temporary files, where a process that is killed leaves nothing."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared = SharedTensors(TENSORS, on_disk=True)
    assert os.fstat(shared._descriptor).st_dev == tmp_path.stat().st_dev
    assert list(tmp_path.iterdir()) == []
    shared.close()


def test_what_could_not_be_written_is_not_held() -> None:
    """Whatever breaks off, a disk that is full or a picture that is none: the room is given back."""

    def breaking() -> Iterator[Tensor]:
        yield TENSORS["features"]
        raise OSError("No space left on device")

    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="No space left"):
        SharedTensors({"features": breaking()}, on_disk=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
