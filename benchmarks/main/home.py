"""A home of its own for commands of run.py: its ZenML store, registry, services and port."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.commands import Strike, WarmCommands
from benchmarks.warm import PROJECT
from serving import launching
from stacks.local_deployer import processes

SHRUNK_CONFIG = PROJECT / "tests" / "shrunk" / "config.yaml"
SHRUNK_MODEL = "shrunk"
"""Trains in two seconds; its limits are met by such a model."""
DELIVERY = PROJECT / "data" / "second-delivery.zip"
"""600 pictures."""


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on now, and that no client is given."""
    return launching.free_port("127.0.0.1")


def own_variables(folder: Path, *, python: Path = Path(sys.executable)) -> dict[str, str]:
    """The variables that keep a process's ZenML, MLflow and services under ``folder``, which is made."""
    (folder / "repository" / ".zen").mkdir(parents=True, exist_ok=True)
    return {
        "ZENML_CONFIG_PATH": str(folder / "zenml"),
        "ZENML_REPOSITORY_PATH": str(folder / "repository"),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "ERROR",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "SHUTTERLINE_PORT": str(free_port()),
        "SHUTTERLINE_CACHE_DIR": str(folder / "shards"),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }


def isolated(folder: Path, *, python: Path = Path(sys.executable)) -> dict[str, str]:
    """The environment of this process, with everything that a command keeps under ``folder``."""
    ours = {**own_variables(folder, python=python), "MLFLOW_LOGGING_LEVEL": "WARNING"}
    foreign = {"PYTHONDONTWRITEBYTECODE", "SHUTTERLINE_HOME", "VIRTUAL_ENV", "ZENML_ACTIVE_STACK_ID"}
    return {key: value for key, value in os.environ.items() if key not in foreign} | ours


def cut_folder(target: Path, per_class: int, *, archive: str = "first-delivery.zip") -> Path:
    """A delivery with the first ``per_class`` pictures of each class of a sample delivery."""
    with zipfile.ZipFile(PROJECT / "data" / archive) as whole:
        whole.extractall(target)
    header, *rows = (target / "labels.csv").read_text(encoding="utf-8").splitlines()
    taken: Counter[str] = Counter()
    kept = [header]
    for row in rows:
        label = row.split(",")[1]
        taken[label] += 1
        if taken[label] <= per_class:
            kept.append(row)
    (target / "labels.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return target


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, or minus the signal; its results; what it wrote beside them."""

    exit_code: int
    results: list[dict[str, Any]]
    log: str


class Home:
    """Commands on the ``local`` stack of a fresh home; leaving the ``with`` block stops what serves."""

    def __init__(self, folder: Path, *, stack: Path = PROJECT / "stacks" / "local.yaml") -> None:
        self.folder = folder
        self._stack = stack
        self.environment = isolated(folder)
        self.site = folder / "zenml" / "shutterline" / "deployer"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            self._commands = opened.enter_context(WarmCommands(self.folder, self.environment))
            self._commands.done("apply", [str(self._stack)])
            opened.callback(self._commands.run, "run", ["--stop"])
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def run(self, *arguments: str, strike: Strike | None = None) -> Outcome:
        """``python run.py --config tests/shrunk/config.yaml --json …``."""
        return self._run(arguments, strike=strike)[0]

    def run_twice_at_once(self, *arguments: str) -> list[Outcome]:
        """The same command in two processes that start together."""
        return self._run(arguments, copies=2)

    def _run(
        self, arguments: tuple[str, ...], *, strike: Strike | None = None, copies: int = 1
    ) -> list[Outcome]:
        command = ["--config", str(SHRUNK_CONFIG), "--json", *arguments]
        return [
            Outcome(ended.exit_code, json.loads(ended.out)["results"] if ended.out else [], ended.err)
            for ended in self._commands.run("run", command, strike=strike, copies=copies)
        ]

    def promote(self, environment: str) -> None:
        """Give what rolls out all the traffic, as the last look at it does, without waiting for that look."""
        self._commands.done("promote", [SHRUNK_MODEL, environment])

    def state(self) -> dict[str, Any]:
        """What is registered, live and open now, and the processes that run."""
        found: dict[str, Any] = json.loads(self._commands.done("look", [SHRUNK_MODEL]))
        return found | {"processes": self._processes()}

    def _processes(self) -> list[str]:
        """What serves, without the part of its name that is drawn; and every command that was left behind."""
        served = [name.rpartition("-")[0] or name for name in processes.running(self.site)]
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                mine = process.environ().get("ZENML_CONFIG_PATH") == self.environment["ZENML_CONFIG_PATH"]
                if mine and process.pid != self._commands.pid:
                    left.append(f"left behind: {' '.join(process.cmdline())}")
        return sorted(served + left)
