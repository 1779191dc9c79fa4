"""Commands that are carried out in forked children of one warm process: see :mod:`.warm`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from benchmarks.warm import PROJECT

When = Literal["before", "after"]
WHENS: tuple[When, When] = ("before", "after")


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
class Ended:
    """How a command ended: its exit code, or minus the signal; and all that it wrote."""

    exit_code: int
    out: str
    err: str


class WarmCommands:
    """Carries out commands with one environment; leaving the ``with`` block ends the warm process.

    Attributes:
        environment: of every command: it chooses the ZenML server.
        pid: of the warm process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """What the commands write is kept in ``folder``; nothing is started yet."""
        self.environment = dict(environment)
        self._folder, self._commands = folder, 0

    def __enter__(self) -> Self:
        self._errors = self._folder / "warm.err"
        with self._errors.open("w") as errors:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.warm"],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._read()
        self.pid = self._server.pid
        return self

    def __exit__(self, *error: object) -> None:
        self._server.communicate()

    def run(
        self, act: str, arguments: Sequence[str], *, strike: Strike | None = None, copies: int = 1
    ) -> list[Ended]:
        """Carry out one act of :mod:`.warm`, in as many processes that start together.

        Raises:
            RuntimeError: the warm process is gone.
        """
        self._commands += 1
        outputs = [self._folder / f"command-{self._commands}-{copy}" for copy in range(copies)]
        request = {
            "act": act,
            "arguments": list(arguments),
            "strike": vars(strike) | {"signum": int(strike.signum)} if strike else None,
            "outputs": [str(output) for output in outputs],
        }
        assert self._server.stdin is not None  # noqa: S101 - it was opened as a pipe
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return [
            Ended(exit_code, *(output.with_suffix(f".{end}").read_text("utf-8") for end in ("out", "err")))
            for exit_code, output in zip(json.loads(self._read()), outputs, strict=True)
        ]

    def done(self, act: str, arguments: Sequence[str]) -> str:
        """Carry out what must succeed, and give what it printed.

        Raises:
            RuntimeError: it failed.
        """
        (ended,) = self.run(act, arguments)
        if ended.exit_code:
            raise RuntimeError(f"{ended.out}{ended.err}")
        return ended.out

    def _read(self) -> str:
        assert self._server.stdout is not None  # noqa: S101 - it was opened as a pipe
        line = self._server.stdout.readline().strip()
        if not line:
            raise RuntimeError(self._errors.read_text(encoding="utf-8")[-2000:])
        return line
