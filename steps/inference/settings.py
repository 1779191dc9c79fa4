"""How pictures are classified in bulk."""

from __future__ import annotations

from pydantic import Field

from materializers.report import Record

DECIDES_NOTHING = {"processes", "steps"}
"""Settings that change no answer: a run goes on where one with others was killed."""


class InferenceSettings(Record):
    """How pictures are classified in bulk."""

    batch_size: int = Field(default=4, ge=1)
    """Pictures that the network is given at a time."""
    threads: int = Field(default=1, ge=1)
    """Of one process; more than one spends more CPU on the same answer."""
    processes: int = Field(default=0, ge=0)
    """That classify at the same time, each with a copy of the model; 1: this one; 0: this one, or one a core
    where the pictures are many."""
    steps: int = Field(default=1, ge=1, le=64)
    """That classify a part of the pictures each: on a cluster at the same time, each in a container."""
