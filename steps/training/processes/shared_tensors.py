"""Tensors that child processes read where this process put them, without a copy.

They lie in a file that is only in memory and has no name. ``share_memory_`` uses ``/dev/shm``, of which a
container has 64 MB unless it was told otherwise; what does not fit there ends the process.
"""

from __future__ import annotations

import mmap
import multiprocessing.reduction
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

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

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy them, from any device, into memory that can be shared.

        Raises:
            OSError: there is no room.
        """
        self._descriptor = os.memfd_create("shutterline-tensors")
        self._places: dict[str, Place] = {}
        with os.fdopen(self._descriptor, "wb", closefd=False) as file:
            for name, tensor in tensors.items():
                file.seek(-(-file.tell() // ALIGNED) * ALIGNED)
                data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                self._places[name] = Place(file.tell(), len(data), tensor.dtype, tuple(tensor.shape))
                file.write(data.numpy().data)

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
