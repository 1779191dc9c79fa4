"""A claim, and the machine that it was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from materializers.report import Record


class Claim(Record):
    """One measured figure beside its bar.

    Args:
        name: what is claimed.
        ours: our figure, in ``unit``.
        peer: what it is compared with, in ``unit``; None where the bar is absolute.
        limit: the figure that may not be passed, in ``unit``.
        ratio: ours ÷ peer, or ours ÷ limit where there is no peer.
        bar: the bar in words.
        holds: whether ours meets it.
    """

    name: str
    ours: float
    peer: float | None
    limit: float
    ratio: float
    unit: str
    bar: str
    holds: bool


class Machine(Record):
    """Where and under what load the figures were taken."""

    processor: str
    cores: int
    memory_gib: float
    python: str
    load_before: float
    load_after: float


def at_most(name: str, ours: float, limit: float, unit: str, *, peer: float | None = None) -> Claim:
    """The claim that ``ours`` does not exceed ``limit``."""
    reference = peer if peer is not None else limit
    return Claim(
        name=name,
        ours=ours,
        peer=peer,
        limit=limit,
        ratio=ours / reference if reference else float(ours != 0),
        unit=unit,
        bar=f"≤ {limit:g} {unit}".strip(),
        holds=ours <= limit,
    )


def at_least(name: str, ours: float, limit: float, unit: str, *, peer: float | None = None) -> Claim:
    """The claim that ``ours`` reaches ``limit``."""
    claim = at_most(name, ours, limit, unit, peer=peer)
    return claim.model_copy(update={"bar": f"≥ {limit:g} {unit}".strip(), "holds": ours >= limit})


def this_machine(load_before: float) -> Machine:
    """The machine as it is now."""
    import psutil

    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return Machine(
        processor=models[0] if models else platform.processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        python=platform.python_version(),
        load_before=round(load_before, 2),
        load_after=round(os.getloadavg()[0], 2),
    )
