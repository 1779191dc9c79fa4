"""Run benchmarks by name, or all: ``python -m benchmarks [NAME …] [--only PART …] [--quick] [--json]``.

A subject is a file beside this one, or a package where it needs more than one. One that takes long names its
``PARTS``, which can be run alone.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.claim import Claim, this_machine

SHARED = {"__init__", "__main__", "claim", "commands", "warm"}
"""Files beside this one that measure nothing by themselves."""
SUBJECTS = sorted(
    path.stem
    for path in Path(__file__).parent.iterdir()
    if (path.suffix == ".py" and path.stem not in SHARED) or (path / "__init__.py").exists()
)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME …]")
@click.option("--only", multiple=True, metavar="PART", help="Of one subject, this part; repeatable.")
@click.option("--quick", is_flag=True, help="Fewer rounds, and nothing that downloads packages.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def main(names: tuple[str, ...], *, only: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """Measure each claim of the subjects NAME (default: all) beside its peer and its limit."""
    unknown = set(names) - set(SUBJECTS)
    if unknown:
        raise click.UsageError(f"no benchmark {sorted(unknown)[0]!r}; there is: {', '.join(SUBJECTS)}")
    if only:
        _require_parts(names, only)
    load_before = os.getloadavg()[0]
    claims: list[Claim] = []
    for name in names or SUBJECTS:
        measure: Callable[..., list[Claim]] = importlib.import_module(f"benchmarks.{name}").measure
        claims += measure(quick, only=only) if only else measure(quick)
    machine = this_machine(load_before)
    if as_json:
        report = {"machine": machine.model_dump(), "claims": [claim.model_dump() for claim in claims]}
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(
            f"{machine.processor}, {machine.cores} cores, load {machine.load_before} → {machine.load_after}"
        )
        for claim in claims:
            click.echo(str(claim))
    sys.exit(0 if all(claim.holds for claim in claims) else 1)


def _require_parts(names: tuple[str, ...], only: tuple[str, ...]) -> None:
    """Refuse ``--only`` without exactly one subject, or with a part that it does not have."""
    if len(names) != 1:
        raise click.UsageError("--only takes the parts of one subject: name it")
    parts: tuple[str, ...] = getattr(importlib.import_module(f"benchmarks.{names[0]}"), "PARTS", ())
    unknown = [part for part in only if part not in parts]
    if unknown:
        there = ", ".join(parts) or "none that can be run alone"
        raise click.UsageError(f"{names[0]!r} has no part {unknown[0]!r}; there is: {there}")


if __name__ == "__main__":
    main()
