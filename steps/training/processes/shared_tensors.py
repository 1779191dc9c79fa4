"""Tensors that child processes read where this process put them, without a copy.

They lie in a file that has no name, so that nothing of it is left however the processes end: in memory, or on
disk where they may be larger than that. ``share_memory_`` uses ``/dev/shm``, of which a container has 64 MB
unless it was told otherwise; what does not fit there ends the process.
"""

from __future__ import annotations

import mmap
import multiprocessing.reduction
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

ALIGNED = 64
"""Bytes; a tensor begins at a multiple of it."""


class Place(NamedTuple):
    """Where a tensor lies in the file, and what it is."""

    offset: int
    size: int
    dtype: torch.dtype
    shape: tuple[int, ...]


class SharedTensors:
    """Tensors by name; a child process that is given them as an argument finds the same memory."""

    def __init__(self, tensors: Mapping[str, Tensor | Iterable[Tensor]], *, on_disk: bool = False) -> None:
        """Copy them, from any device, to where they can be shared.

        Args:
            tensors: by name; of one that is given in parts, along its first dimension, never more than a part
                is in memory. Parts there are one at least.
            on_disk: whether they lie in this machine's folder for temporary files, else in memory.

        Raises:
            OSError: there is no room.
        """
        self._places: dict[str, Place] = {}
        self._descriptor = _nameless(on_disk=on_disk)
        try:
            with os.fdopen(self._descriptor, "wb", closefd=False) as file:
                for name, parts in tensors.items():
                    self._places[name] = _written(file, [parts] if isinstance(parts, Tensor) else parts)
        except BaseException:
            self.close()
            raise

    def opened(self, *, writable: bool = False) -> dict[str, Tensor]:
        """The tensors, on the CPU.

        Args:
            writable: whether what is written into them is seen by all; else only by who wrote it.
        """
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_COPY
        end = os.fstat(self._descriptor).st_size
        file = mmap.mmap(self._descriptor, 0, access=access) if end else b""
        return {
            name: torch.frombuffer(
                file, dtype=place.dtype, count=place.size // place.dtype.itemsize, offset=place.offset
            ).reshape(place.shape)
            if place.size
            else torch.empty(place.shape, dtype=place.dtype)
            for name, place in self._places.items()
        }

    def close(self) -> None:
        """Give this process's hold on the memory back; tensors that were opened stay."""
        os.close(self._descriptor)

    def __getstate__(self) -> dict[str, Any]:
        """For a child process alone: its start passes the file on."""
        descriptor = multiprocessing.reduction.DupFd(self._descriptor)
        return {"descriptor": descriptor, "places": self._places}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._descriptor, self._places = state["descriptor"].detach(), state["places"]


def _nameless(*, on_disk: bool) -> int:
    """The descriptor of a new file that is gone when nobody has it open any more."""
    if not on_disk:
        return os.memfd_create("shutterline-tensors")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _written(file: IO[bytes], parts: Iterable[Tensor]) -> Place:
    """Write one tensor at the end of a file."""
    file.seek(-(-file.tell() // ALIGNED) * ALIGNED)
    start, rows = file.tell(), 0
    for part in parts:
        file.write(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        rows += len(part) if part.dim() else 0
    shape = (rows, *part.shape[1:]) if part.dim() else ()
    return Place(start, file.tell() - start, part.dtype, shape)
