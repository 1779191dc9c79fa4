"""The same story on every stack: what a team does with one model, told by ``run.py`` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.main.home import PROJECT, SHRUNK_CONFIG, cut_folder

PHOTOS = tuple(str(path) for path in sorted((PROJECT / "data" / "photos").glob("*.png")))
COMMAND_ENDS_WITHIN_S = 590
PER_CLASS, NEW_PER_CLASS = 60, 20
"""Pictures of each class, in the first delivery and in the second."""


@dataclass(frozen=True)
class Told:
    """What one call of ``run.py`` came to."""

    flags: tuple[str, ...]
    exit_code: int
    results: list[dict[str, Any]]
    stderr: str
    began: datetime
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
    """Someone at a terminal: an environment that chooses the ZenML server, and with it the stack.

    Attributes:
        environment: of each call.
        model: the registered model that it is about.
        secrets: what no call may ever print.
        told: what each call came to.
    """

    environment: Mapping[str, str]
    model: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    told: list[Told] = field(default_factory=list)

    def command(self, *flags: str) -> list[str]:
        """The command line of ``run.py`` for this model."""
        common = ["--config", str(SHRUNK_CONFIG), "--set", f"product.model={self.model}", "--json"]
        return [sys.executable, str(PROJECT / "run.py"), *common, *flags]

    def run(self, *flags: str, environment: Mapping[str, str] | None = None) -> Told:
        """Call ``run.py`` as a process of its own.

        Raises:
            RuntimeError: it printed a traceback, or a secret.
        """
        began, started = datetime.now(UTC), time.monotonic()
        done = subprocess.run(
            self.command(*flags),
            env={**self.environment, **(environment or {})},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_ENDS_WITHIN_S,
        )
        if "Traceback" in done.stderr:
            raise RuntimeError(done.stderr)
        repeated = [name for name, secret in self.secrets.items() if secret in done.stdout + done.stderr]
        if repeated:
            raise RuntimeError(f"{flags} printed the secret of {', '.join(repeated)}")
        results = json.loads(done.stdout)["results"] if done.stdout else []
        told = Told(flags, done.returncode, results, done.stderr, began, time.monotonic() - started)
        self.told.append(told)
        return told

    def done(self, *flags: str) -> Told:
        """The same, for what must succeed.

        Raises:
            RuntimeError: it did not.
        """
        told = self.run(*flags)
        if told.exit_code:
            raise RuntimeError(f"{flags}: exit code {told.exit_code}, {told.results}, {told.stderr}")
        return told


@dataclass(frozen=True)
class Story:
    """What each chapter came to; one for each pipeline, and the acts between them."""

    train_and_stage: Told
    refused: Told
    approved: Told
    production: Told
    rejected: Told
    reproduced: Told
    continuous: Told
    rolled_back: Told
    inferred: Told
    predicted: Told
    status: Told
    predictions: Path


@dataclass(frozen=True)
class Chronicle:
    """One stack: who used it, how the story went there, and what was recorded of it."""

    teller: Teller
    story: Story
    recorded: dict[str, Any]


def tell(teller: Teller, folder: Path) -> Story:
    """Train and stage, production without and with an approval, retrain and stage, go back, classify."""
    first = cut_folder(folder / "first", PER_CLASS)
    second = cut_folder(folder / "second", NEW_PER_CLASS, archive="second-delivery.zip")
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
        reproduced=teller.done("--reproduce", "1"),
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


def chronicle(teller: Teller, folder: Path) -> Chronicle:
    """Tell the story and look at what was recorded."""
    return Chronicle(teller, tell(teller, folder), recorded(teller))


def recorded(teller: Teller) -> dict[str, Any]:
    """What ZenML and the artifact store hold of the teller's model; see :mod:`.recorded`."""
    command = [sys.executable, "-m", "benchmarks.kubeflow.recorded", teller.model]
    environment = {**teller.environment, "ZENML_LOGGING_VERBOSITY": "ERROR"}
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # libraries may print before it
    return found


def register(environment: Mapping[str, str], file: Path) -> str:
    """Make the environment's ZenML server agree with a stack file, and give what the registrar said.

    Raises:
        RuntimeError: it refused.
    """
    command = [sys.executable, "-m", "stacks.apply", str(file)]
    done = subprocess.run(
        command, env=dict(environment), cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout
