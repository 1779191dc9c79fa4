"""The same story on every stack: what a team does with one model, told by ``run.py`` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.shrunk.delivery import PROJECT, SHRUNK_CONFIG, cut_delivery

PHOTOS = tuple(str(path) for path in sorted((PROJECT / "data" / "photos").glob("*.png")))
COMMAND_ENDS_WITHIN_S = 590


@dataclass(frozen=True)
class Told:
    """What one call of ``run.py`` came to."""

    flags: tuple[str, ...]
    exit_code: int
    results: list[dict[str, Any]]
    stderr: str
    seconds: float

    @property
    def last(self) -> dict[str, Any]:
        """The entry of what was done last."""
        return self.results[-1]

    @property
    def said(self) -> str:
        """All reasons of the last entry."""
        return "\n".join(self.last["reasons"])


@dataclass
class Teller:
    """Someone at a terminal: an environment that chooses the ZenML server, and with it the stack."""

    environment: Mapping[str, str]
    model: str
    told: list[Told] = field(default_factory=list)

    def command(self, *flags: str) -> list[str]:
        """The command line of ``run.py`` for this model."""
        common = ["--config", str(SHRUNK_CONFIG), "--set", f"product.model={self.model}", "--json"]
        return [sys.executable, str(PROJECT / "run.py"), *common, *flags]

    def run(self, *flags: str, environment: Mapping[str, str] | None = None) -> Told:
        """Call ``run.py`` as a process of its own."""
        began = time.monotonic()
        done = subprocess.run(
            self.command(*flags),
            env={**self.environment, **(environment or {})},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_ENDS_WITHIN_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        results = json.loads(done.stdout)["results"] if done.stdout else []
        told = Told(flags, done.returncode, results, done.stderr, time.monotonic() - began)
        self.told.append(told)
        return told

    def done(self, *flags: str) -> Told:
        """The same, for what must succeed."""
        told = self.run(*flags)
        assert told.exit_code == 0, (flags, told.results, told.stderr)
        return told


@dataclass(frozen=True)
class Story:
    """What each chapter came to; one for each pipeline, and the acts between them."""

    train_and_stage: Told
    refused: Told
    approved: Told
    production: Told
    rejected: Told
    continuous: Told
    rolled_back: Told
    inferred: Told
    predicted: Told
    status: Told
    predictions: Path


def tell(teller: Teller, folder: Path) -> Story:
    """Train and stage, production without and with an approval, retrain and stage, go back, classify."""
    first = cut_delivery(folder / "first.zip")
    second = cut_delivery(folder / "second.zip", archive="second-delivery.zip", per_class=20)
    predictions = folder / "predictions.parquet"
    photos = str(PROJECT / "data" / "photos")
    to_production = ("--deploy", "--version", "1", "--environment", "production")
    by = ("--by", "Ada", "--reason", "looked at the report")
    return Story(
        train_and_stage=teller.done("--train", "--source", str(first), "--deploy"),
        refused=teller.run(*to_production),
        approved=teller.done("--approve", "1", *by),
        production=teller.done(*to_production),
        continuous=teller.done("--continuous", "--source", str(second)),
        rolled_back=teller.done("--rollback"),
        rejected=teller.done("--reject", "2", *by),
        inferred=teller.done("--infer", "--input", photos, "--output", str(predictions)),
        predicted=teller.done("--predict", *PHOTOS),
        status=teller.done("--status"),
        predictions=predictions,
    )


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of this process, with these variables in the place of what chooses store and stack."""
    chosen = ("ZENML_", "MLFLOW_", "SHUTTERLINE_", "AWS_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(chosen)}
    return {**kept, "PYTHONPATH": str(PROJECT), **variables}
