"""kill -9 in each step, then the same command again: what ends otherwise, what is left open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.claim import Claim, at_most
from benchmarks.commands import WHENS, Strike
from benchmarks.main.bookkeeping import TRAINING_STEPS
from benchmarks.main.home import DELIVERY, Home, cut_folder

DEPLOYMENT_STEPS = (
    "deployment.candidate",
    "deployment.release",
    "deployment.observe",
    "deployment.conclude",
)
CONTINUOUS_STEPS = (
    "data.ingest",
    "data.validate",
    "monitoring.signals",
    "monitoring.decide",
    *TRAINING_STEPS[2:],
    "deployment.staging",
)
NEW_PICTURES = 12  # of each class: the shrunk configuration retrains for 20 in all


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Kill each step of both commands, and compare with an undisturbed home.

    Quick: one chain of kills for each command, when a step's work is done and not stored yet, each followed
    by the same command up to the next kill; if the chain ends otherwise, every kill of it counts. In full,
    each step has a home of its own and is killed at its start too.
    """
    train = ("--source", str(DELIVERY), "--train", "--deploy")
    second = cut_folder(folder / "second", NEW_PICTURES)
    retrain = ("--source", str(second), "--continuous")
    with Home(folder / "undisturbed") as home:
        expected = [_end(home, train), _end(home, retrain)]
    differing, left_open, kills = 0, 0, 0
    for number, (first, chain) in enumerate(_homes(quick=quick)):
        with Home(folder / f"killed-{number}") as home:
            command, wanted = (train, expected[0]) if first else (retrain, expected[1])
            if not first:
                _end(home, train)
            for strike in chain:
                if home.run(*command, strike=strike).exit_code != -strike.signum:
                    raise RuntimeError(f"{strike} was not reached")
            found = _end(home, command)
        kills += len(chain)
        differing += len(chain) * (found != wanted)
        left_open += len(found["open_runs"]) + len(found["open_tracked"])
    return [
        at_most(f"of {kills} kills, those after which the end state differs", differing, 0, "kills"),
        at_most(f"runs left open in ZenML and MLflow after {kills} kills", left_open, 0, "runs"),
    ]


def _homes(*, quick: bool) -> Iterator[tuple[bool, list[Strike]]]:
    """Whether it is the first command, and the kills that one home gets."""
    for first, steps in ((True, (*TRAINING_STEPS, *DEPLOYMENT_STEPS)), (False, CONTINUOUS_STEPS)):
        if quick:
            yield first, [Strike.step(step, "after") for step in steps]
        else:
            yield from ((first, [Strike.step(step, when) for when in WHENS]) for step in steps)


def _end(home: Home, command: tuple[str, ...]) -> dict[str, Any]:
    outcome = home.run(*command)
    if outcome.exit_code != 0:
        raise RuntimeError(outcome.log)
    return home.state()
