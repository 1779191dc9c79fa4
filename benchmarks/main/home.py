"""A home of its own for commands of run.py: its ZenML store, registry, services and port."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import psutil

from stacks.local_deployer import processes

PROJECT = Path(__file__).resolve().parents[2]
SHRUNK_CONFIG = PROJECT / "tests" / "shrunk" / "config.yaml"
SHRUNK_MODEL = "shrunk"
"""Trains in two seconds; its limits are met by such a model."""
DELIVERY = PROJECT / "data" / "second-delivery.zip"
"""600 pictures."""

When = Literal["before", "after"]
WHENS: tuple[When, When] = ("before", "after")


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


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
class Strike:
    """A signal that a command sends itself at one point, ``module:attribute`` of a function."""

    point: str
    when: When = "before"
    signum: int = signal.SIGKILL

    @classmethod
    def step(cls, module: str, when: When, signum: int = signal.SIGKILL) -> Self:
        """At a step's start, or when its work is done and its output not stored yet."""
        return cls(f"steps.{module}:{module.rpartition('.')[2]}.entrypoint", when, signum)

    def __str__(self) -> str:
        return f"{signal.Signals(self.signum).name} {self.when} {self.point}"


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, or minus the signal; its results; what it wrote beside them."""

    exit_code: int
    results: list[dict[str, Any]]
    log: str


class Home:
    """Commands on the ``local`` stack of a fresh home; leaving the ``with`` block stops what serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = isolated(folder)
        self.site = folder / "zenml" / "shutterline" / "deployer"
        self._commands = 0

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.main.warm"],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "warm.err").open("w"),
            text=True,
        )
        self._read()
        (exit_code,), (output,) = self._ask("apply", [str(PROJECT / "stacks" / "local.yaml")])
        if exit_code != 0:
            raise RuntimeError(Path(f"{output}.err").read_text(encoding="utf-8"))
        return self

    def __exit__(self, *error: object) -> None:
        if self._server.poll() is None:
            self._ask("run", ["--stop"])
            self._server.communicate()

    def run(self, *arguments: str, strike: Strike | None = None) -> Outcome:
        """``python run.py --config tests/shrunk/config.yaml --json …``."""
        return self._run(arguments, strike=strike)[0]

    def run_twice_at_once(self, *arguments: str) -> list[Outcome]:
        """The same command in two processes that start together."""
        return self._run(arguments, copies=2)

    def _run(
        self, arguments: tuple[str, ...], *, strike: Strike | None = None, copies: int = 1
    ) -> list[Outcome]:
        # One thread: two that wait for each other on a busy machine take ten times as long.
        command = ["--config", str(SHRUNK_CONFIG), "--set", "train.threads=1", "--json", *arguments]
        outcomes = []
        for exit_code, output in zip(*self._ask("run", command, strike, copies), strict=True):
            said = Path(f"{output}.out").read_text(encoding="utf-8")
            log = Path(f"{output}.err").read_text(encoding="utf-8")
            outcomes.append(Outcome(exit_code, json.loads(said)["results"] if said else [], log))
        return outcomes

    def state(self) -> dict[str, Any]:
        """What is registered, live and open now, and the processes that run."""
        (exit_code,), (output,) = self._ask("look", [SHRUNK_MODEL])
        if exit_code != 0:
            raise RuntimeError(Path(f"{output}.err").read_text(encoding="utf-8"))
        found: dict[str, Any] = json.loads(Path(f"{output}.out").read_text(encoding="utf-8"))
        return found | {"processes": self._processes()}

    def _processes(self) -> list[str]:
        """What serves, without the part of its name that is drawn; and every command that was left behind."""
        served = [name.rpartition("-")[0] or name for name in processes.running(self.site)]
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                mine = process.environ().get("ZENML_CONFIG_PATH") == self.environment["ZENML_CONFIG_PATH"]
                if mine and process.pid != self._server.pid:
                    left.append(f"left behind: {' '.join(process.cmdline())}")
        return sorted(served + left)

    def _ask(
        self, act: str, arguments: list[str], strike: Strike | None = None, copies: int = 1
    ) -> tuple[list[int], list[str]]:
        """The exit codes, and the files that the output is in."""
        self._commands += 1
        request: dict[str, Any] = {
            "act": act,
            "arguments": arguments,
            "strike": vars(strike) | {"signum": int(strike.signum)} if strike else None,
            "outputs": [str(self.folder / f"command-{self._commands}-{copy}") for copy in range(copies)],
        }
        assert self._server.stdin is not None  # noqa: S101 - it was opened as a pipe
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._read()), request["outputs"]

    def _read(self) -> str:
        assert self._server.stdout is not None  # noqa: S101 - it was opened as a pipe
        line = self._server.stdout.readline().strip()
        if not line:
            raise RuntimeError((self.folder / "warm.err").read_text(encoding="utf-8")[-2000:])
        return line
