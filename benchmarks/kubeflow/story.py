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

from benchmarks.commands import Ended, WarmCommands
from benchmarks.main.home import SHRUNK_CONFIG, cut_folder
from benchmarks.warm import PROJECT

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
        warm: carries out calls with that environment; without it each is a process that imports everything.
        told: what each call came to.
    """

    environment: Mapping[str, str]
    model: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    warm: WarmCommands | None = field(default=None, repr=False)
    told: list[Told] = field(default_factory=list)

    def command(self, *flags: str) -> list[str]:
        """The command line of ``run.py`` for this model."""
        return [sys.executable, str(PROJECT / "run.py"), *self._arguments(flags)]

    def _arguments(self, flags: tuple[str, ...]) -> list[str]:
        return ["--config", str(SHRUNK_CONFIG), "--set", f"product.model={self.model}", "--json", *flags]

    def run(self, *flags: str, environment: Mapping[str, str] | None = None) -> Told:
        """Call ``run.py`` as a process of its own; one with more in its environment is never a warm one.

        Raises:
            RuntimeError: it printed a traceback, or a secret.
        """
        began, started = datetime.now(UTC), time.monotonic()
        if self.warm is None or environment:
            ended = _ended(self.command(*flags), {**self.environment, **(environment or {})})
        else:
            (ended,) = self.warm.run("run", self._arguments(flags))
        if "Traceback" in ended.err:
            raise RuntimeError(ended.err)
        repeated = [name for name, secret in self.secrets.items() if secret in ended.out + ended.err]
        if repeated:
            raise RuntimeError(f"{flags} printed the secret of {', '.join(repeated)}")
        results = json.loads(ended.out)["results"] if ended.out else []
        told = Told(flags, ended.exit_code, results, ended.err, began, time.monotonic() - started)
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
    if teller.warm is not None:
        printed = teller.warm.done("recorded", [teller.model])
    else:
        command = [sys.executable, "-m", "benchmarks.kubeflow.recorded", teller.model]
        printed = _printed(command, {**teller.environment, "ZENML_LOGGING_VERBOSITY": "ERROR"})
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])  # libraries may print before it
    return found


def register(environment: Mapping[str, str], file: Path) -> str:
    """Make the environment's ZenML server agree with a stack file, and give what the registrar said.

    Raises:
        RuntimeError: it refused.
    """
    return _printed([sys.executable, "-m", "stacks.apply", str(file)], environment)


def _printed(command: list[str], environment: Mapping[str, str]) -> str:
    ended = _ended(command, environment)
    if ended.exit_code:
        raise RuntimeError(ended.out + ended.err)
    return ended.out


def _ended(command: list[str], environment: Mapping[str, str]) -> Ended:
    done = subprocess.run(
        command,
        env=dict(environment),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_ENDS_WITHIN_S,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
