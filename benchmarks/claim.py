"""A claim, and the machine that it was measured on."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from materializers.report import Record


class Claim(Record):
    """One measured figure beside its bar.

    Args:
        name: what is claimed.
        ours: our figure, in ``unit``; None: it could not be measured, and ``bar`` says why.
        peer: what it is compared with, in ``unit``; None where the bar is absolute.
        limit: the figure that may not be passed, in ``unit``; None where nothing was measured.
        ratio: ours ÷ peer, or ours ÷ limit where there is no peer; None where nothing was measured.
        bar: the bar in words.
        holds: whether ours meets it.
    """

    name: str
    ours: float | None
    peer: float | None
    limit: float | None
    ratio: float | None
    unit: str
    bar: str
    holds: bool

    def __str__(self) -> str:
        if self.ours is None:
            return f"{self.name}: {self.bar}"
        peer = f", peer {self.peer:.4g}" if self.peer is not None else ""
        holds = "holds" if self.holds else "MISSED"
        return (
            f"{self.name}: {self.ours:.4g} {self.unit}{peer}, bar {self.bar}, ratio {self.ratio:.3g}: {holds}"
        )


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


def not_measured(name: str, why: str) -> Claim:
    """The claim about which nothing is known, for its measurement failed: it does not hold."""
    bar = f"NOT MEASURED: {why}"
    return Claim(name=name, ours=None, peer=None, limit=None, ratio=None, unit="", bar=bar, holds=False)


def guarded(name: str, measure: Callable[[], Sequence[Claim]]) -> list[Claim]:
    """The claims of one part; where it fails, one that says so, so that the other parts go on.

    What came of it and how long it took goes to standard error at once; so does the trace of what failed.
    """
    begun = time.monotonic()
    try:
        claims = list(measure())
    except Exception as error:  # noqa: BLE001 - whatever ends one part must not end the others
        sys.stderr.write(traceback.format_exc())
        claims = [not_measured(name, f"{type(error).__name__}: {error}")]
    for claim in claims:
        sys.stderr.write(f"{claim}\n")
    sys.stderr.write(f"{name}: took {time.monotonic() - begun:.0f} s\n")
    return claims


def measure_parts(package: str, parts: Sequence[str], only: Sequence[str], *, quick: bool) -> list[Claim]:
    """The claims of a package's parts, each a module with a function ``measure``, one after another.

    Args:
        package: the import path.
        parts: its modules, in their order.
        only: of these; empty: all.
        quick: handed on. A part gets a folder that is not there yet, and is gone afterwards.
    """

    def measured(part: str, folder: Path) -> Sequence[Claim]:
        claims: Sequence[Claim] = importlib.import_module(f"{package}.{part}").measure(folder, quick=quick)
        return claims

    claims: list[Claim] = []
    with tempfile.TemporaryDirectory(prefix="shutterline-benchmark-") as name:
        for part in parts:
            if not only or part in only:
                claims += guarded(part, partial(measured, part, Path(name) / part))
    return claims


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
