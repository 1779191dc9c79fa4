"""Version 1 of a small model live in production, and version 2, which may roll out beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.main.home import SHRUNK_MODEL, Home, Outcome, cut_folder
from benchmarks.serving.live import NO_LIMITS, PER_CLASS
from benchmarks.serving.planted import environment
from benchmarks.warm import PROJECT
from serving.launching import PREDICTIONS
from stacks.local_deployer import processes

STACK = PROJECT / "stacks" / "local.yaml"
SAME = "train.preprocessing={height: 28, width: 28, decode_scale: 3}"
"""Another version of the same weights: only of a JPEG would anything be decoded otherwise."""
CAPTURED_SOON = {"capture_flush_s": 0.25, "capture_rotate_s": 2}
PRODUCTION = "production"


@dataclass(frozen=True)
class Shop:
    """What is served.

    Args:
        home: of the commands.
        pictures: encoded ones of the delivery, and others like them.
        faults: the environment of its services, in which faults can be planted.
    """

    home: Home
    pictures: list[bytes]
    faults: Path

    def url(self, name: str) -> str:
        """Where predictions are asked for in an environment."""
        port = self.home.environment["SHUTTERLINE_PORT"]
        return f"http://127.0.0.1:{port}/seldon/{name}/{SHRUNK_MODEL}{PREDICTIONS}"

    def run(self, *flags: str, settings: tuple[str, ...] = (), expected: tuple[int, ...] = (0,)) -> Outcome:
        """Carry out a command.

        Raises:
            RuntimeError: it ends with another exit code than is expected; with what it said.
        """
        given = [part for one in (*NO_LIMITS, *settings) for part in ("--set", one)]
        outcome = self.home.run(*flags, *given)
        if outcome.exit_code not in expected:
            said = f"{outcome.results} {outcome.log[-2000:]}"
            raise RuntimeError(f"{flags} ended with {outcome.exit_code}: {said}")
        return outcome

    def roll_out(self, *settings: str) -> dict[str, Any]:
        """Let version 2 begin to roll out in production.

        Raises:
            RuntimeError: it does not.
        """
        flags = ("--deploy", "--version", "2", "--environment", PRODUCTION)
        release: dict[str, Any] = self.run(*flags, settings=settings).results[-1]["release"]
        if release["status"] != "rolling_out":
            raise RuntimeError(f"version 2 does not roll out: {release}")
        return release

    def roll_back(self) -> None:
        """End what rolls out, or put back what was live before."""
        self.run("--rollback", "--environment", PRODUCTION)

    def processes_of(self, version: int) -> list[psutil.Process]:
        """The service of a version in production: gunicorn's master first, then its worker."""
        mine = f"{PRODUCTION}-v{version}-"
        running = processes.running(self.home.site)
        return [each for name, some in running.items() if name.startswith(mine) for each in some]


@contextlib.contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """Train, test in staging, approve, release; version 2 is approved and not yet released to production.

    Args:
        folder: for a home of its own.

    Raises:
        RuntimeError: a command failed.
    """
    folder.mkdir(parents=True)
    faults = environment(folder / "serving", PROJECT / ".venv-serving" / "bin" / "python")
    delivery = cut_folder(folder / "delivery", PER_CLASS)
    pictures = [path.read_bytes() for path in sorted(delivery.rglob("*.png"))]
    with Home(folder, stack=_stack(folder, faults)) as home:
        made = Shop(home, pictures, faults)
        made.run("--train", "--deploy", "--source", str(delivery))
        made.run("--approve", "1", "--by", "Ada", "--reason", "looked at the report")
        made.run("--deploy", "--version", "1", "--environment", PRODUCTION)
        made.run("--train", "--source", str(delivery), settings=(SAME,))
        yield made


def approve_candidate(made: Shop) -> None:
    """Test version 2 in staging and approve it, as production asks for."""
    made.run("--deploy", "--version", "2")
    made.run("--approve", "2", "--by", "Ada", "--reason", "looked at the report")


def _stack(folder: Path, faults: Path) -> Path:
    """The local stack, whose services run in that environment and store soon what they captured."""
    import yaml

    content = yaml.safe_load(STACK.read_text(encoding="utf-8"))
    deployer = content["components"]["model_deployer"]["configuration"]
    deployer |= {"serving_environment": str(faults), **CAPTURED_SOON}
    path = folder / "stack.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
