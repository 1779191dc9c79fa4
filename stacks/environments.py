"""Build .venv, .venv-serving and .venv-mlserver from their lock files, or make the lock files anew.

    python3.11 stacks/environments.py setup    # what `make setup` runs
    python3.11 stacks/environments.py lock     # what `make lock` runs

It runs before anything is installed: standard library only, in a grammar that an old python3 can parse, so
that the version check below is what a user of that python3 reads.

A stamp inside each environment names the lock file, the Python and the kind of torch that it holds. It loses
the lock's digest before anything is changed and gets it back as the last act: a set-up that was killed is
noticed, and done again from an empty environment.
"""

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PYTHON = "3.11"
if ".".join(map(str, sys.version_info[:2])) != PYTHON:
    sys.stderr.write(
        f"Python {platform.python_version()} ({sys.executable}) refused: the lock files hold for Python "
        f"{PYTHON} only. Install it (Debian 12: `apt-get install python3.11-venv`; anywhere: pyenv or uv), "
        "then `make setup PYTHON=/path/to/python3.11`.\n"
    )
    sys.exit(2)

ROOT = Path(__file__).resolve().parents[1]
DISK_BYTES = 10 * 10**9  # 6.8 GB installed, and what is downloaded on the way
USUAL_TIME = "one to three minutes where a package index is near by, a line after each part."
PROBE_SECONDS = 10
DEFAULT_INDEX = "https://pypi.org/simple"
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


class Environment(NamedTuple):
    """A virtual environment and the files that say what is in it, as paths under the project's root."""

    path: str
    requirements: str
    lock: str


PIPELINES = Environment(".venv", "requirements.txt", "requirements.lock")
SERVING = Environment(".venv-serving", "serving/requirements.txt", "serving/requirements.lock")
MLSERVER = Environment(
    ".venv-mlserver", "serving/mlserver/requirements.txt", "serving/mlserver/requirements.lock"
)
ENVIRONMENTS = (PIPELINES, SERVING, MLSERVER)


class SetupError(Exception):
    """The environments cannot be built here; carries the exit code that says why."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(line: str) -> None:
    """Write one line to standard output at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Say what was done and how long it took, once it is done."""
    start = time.monotonic()
    yield
    say(f"  {name}: {time.monotonic() - start:.1f} s")


def read_stamp(path: Path) -> dict[str, str]:
    """Read what the environment at ``path`` holds; empty where nothing can say so."""
    try:
        stamp: dict[str, str] = json.loads((path / "shutterline.json").read_text())
    except (OSError, ValueError):
        return {}
    return stamp if (path / "bin" / "python").exists() else {}


def write_stamp(path: Path, stamp: dict[str, str]) -> None:
    """Replace the stamp of the environment at ``path`` in one act."""
    temporary = path / "shutterline.json.partial"
    with temporary.open("w") as file:
        json.dump(stamp, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path / "shutterline.json")


def wanted_stamp(root: Path, environment: Environment) -> dict[str, str]:
    """Say what the environment shall hold.

    A CPU-only torch, once asked for by UV_TORCH_BACKEND, stays until the environment is deleted.
    """
    kept = read_stamp(root / environment.path).get("torch_backend", "")
    return {
        "lock": hashlib.sha256((root / environment.lock).read_bytes()).hexdigest(),
        "python": PYTHON,
        "torch_backend": os.environ.get("UV_TORCH_BACKEND", kept),
    }


def stale_environments(root: Path) -> dict[Environment, dict[str, str]]:
    """Give the environments that do not hold what their lock file says, each with the stamp it shall have."""
    wanted = {environment: wanted_stamp(root, environment) for environment in ENVIRONMENTS}
    return {key: stamp for key, stamp in wanted.items() if read_stamp(root / key.path) != stamp}


def check_disk(root: Path) -> None:
    """Refuse to start what would fill the disk."""
    free = shutil.disk_usage(root).free
    if free < DISK_BYTES:
        raise SetupError(
            f"Set-up refused: {free / 1e9:.1f} GB of disk are free at {root}, the environments need "
            f"{DISK_BYTES / 1e9:.0f} GB. Free some (`uv cache clean`, "
            "`docker system prune`) and run `make setup`.",
            exit_code=2,
        )


def package_index() -> str:
    """Give the address of the package index: the first of INDEX_VARIABLES that is set, or PyPI's."""
    return next((os.environ[name] for name in INDEX_VARIABLES if os.environ.get(name)), DEFAULT_INDEX)


def check_index(index: str) -> None:
    """Refuse to start when the package index does not answer; its credentials are never shown."""
    parts = urllib.parse.urlsplit(index)
    if parts.scheme not in ("http", "https"):
        return  # a folder: uv says what is wrong with it
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    try:
        with urllib.request.urlopen(f"{bare}/uv/", timeout=PROBE_SECONDS):  # noqa: S310 (http or https, see above)
            return
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return  # it answers, and uv has the credentials
        found = f"answers {error.code} for the package uv"
    except (OSError, http.client.HTTPException, ValueError) as error:
        found = f"does not answer within {PROBE_SECONDS} s ({getattr(error, 'reason', error)})"
    raise SetupError(
        f"Set-up refused: the package index {bare} {found}. Connect, or name another index with "
        "UV_DEFAULT_INDEX (a proxy with HTTPS_PROXY), and run `make setup`.",
        exit_code=4,
    )


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[int]:
    """Wait for another set-up of this project, then keep others waiting.

    Yields:
        the file descriptor that holds the lock.
    """
    with (root / PIPELINES.lock).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up of this project is running: waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def run(command: list[str | Path], *, root: Path, held: int) -> None:
    """Run a command in ``root`` with the chosen index; only its errors show.

    Raises:
        SetupError: the command failed; it has said why.
    """
    variables = dict(os.environ)
    if any(os.environ.get(name) for name in INDEX_VARIABLES):
        variables |= {"UV_DEFAULT_INDEX": package_index(), "PIP_INDEX_URL": package_index()}
    # The lock's descriptor goes along: what a killed set-up leaves running keeps the next one waiting.
    result = subprocess.run(
        command, cwd=root, env=variables, check=False, stdout=subprocess.DEVNULL, pass_fds=[held]
    )
    if result.returncode != 0:
        said = " ".join(str(part) for part in command)
        raise SetupError(f"`{said}` ended with {result.returncode}. Run it again when mended.", exit_code=1)


def find_uv(root: Path) -> str | None:
    """Give the path of the project's uv, or else of the uv on PATH."""
    own = root / PIPELINES.path / "bin" / "uv"
    return str(own) if own.exists() else shutil.which("uv")


def install_uv(root: Path, *, held: int) -> str:
    """Install the uv that the lock file names into .venv, with pip."""
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            f"Set-up refused: {sys.executable} has no ensurepip and there is no uv on PATH; one of them is "
            "needed. Install it (Debian: `apt-get install python3.11-venv`) and run `make setup`.",
            exit_code=2,
        )
    lock = (root / PIPELINES.lock).read_text()
    pin = next(line for line in lock.splitlines() if line.startswith("uv=="))
    python = root / PIPELINES.path / "bin" / "python"
    with phase(f"{pin} installed"):
        run([python, "-m", "ensurepip", "--upgrade"], root=root, held=held)
        run([python, "-m", "pip", "install", "-qq", "--no-deps", pin], root=root, held=held)
    return str(root / PIPELINES.path / "bin" / "uv")


def prepare(path: Path, wanted: dict[str, str]) -> None:
    """Mark the environment at ``path`` as unfinished; empty it where what it holds cannot be built upon."""
    stamp = read_stamp(path)
    if not stamp.get("lock") or any(stamp.get(key) != wanted[key] for key in ("python", "torch_backend")):
        with phase(f"{path.name} created"):
            venv.create(path, clear=True, symlinks=True)
    write_stamp(path, {**wanted, "lock": ""})


def install(root: Path, environment: Environment, *, backend: str, uv: str, held: int) -> None:
    """Make the environment hold exactly its lock file.

    For a ``backend`` (what UV_TORCH_BACKEND names, such as ``cpu``) the lock's CUDA packages are not wanted:
    what the requirements need is installed then, in the lock's versions.
    """
    what = ["sync", environment.lock]
    if backend:
        what = ["install", "--torch-backend", backend, "-r", environment.requirements, "-c", environment.lock]
    options = ["--compile-bytecode", "--python", f"{environment.path}/bin/python"]
    if not sys.stderr.isatty():
        options.append("--quiet")
    say(f"  {environment.path}: fetching and compiling what {environment.lock} names …")
    with phase(f"{environment.path} holds {environment.lock}"):
        run([uv, "pip", *what, *options], root=root, held=held)


def _listed(names: list[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def set_up(root: Path) -> None:
    """Build or mend what does not agree with the lock files; do nothing where everything does.

    Raises:
        SetupError: the machine lacks something, the index is out of reach, or an installation failed.
    """
    if not stale_environments(root):
        return
    with only_one(root) as held:
        stale = stale_environments(root)
        if not stale:
            return
        check_disk(root)
        check_index(package_index())
        start = time.monotonic()
        say(f"Setting up {_listed([environment.path for environment in stale])}: {USUAL_TIME}")
        for environment, wanted in stale.items():
            prepare(root / environment.path, wanted)
        uv = find_uv(root) or install_uv(root, held=held)
        for environment, wanted in stale.items():
            install(root, environment, backend=wanted["torch_backend"], uv=uv, held=held)
            write_stamp(root / environment.path, wanted)
        say(f"  ready: {time.monotonic() - start:.1f} s")


def make_locks(root: Path) -> None:
    """Write the lock files anew; a release that still fits stays (delete a lock to take newer ones).

    Raises:
        SetupError: there is no uv, the index is out of reach, or the requirements contradict each other.
    """
    uv = find_uv(root)
    if uv is None:
        raise SetupError(
            "`make lock` refused: there is no uv, neither in .venv nor on PATH: `make setup`.", exit_code=2
        )
    check_index(package_index())
    options = ["--quiet", "--python-version", PYTHON, "--custom-compile-command", "make lock"]
    with only_one(root) as held:
        for environment in ENVIRONMENTS:
            with phase(environment.lock):
                files = [environment.requirements, "--output-file", environment.lock]
                run([uv, "pip", "compile", *files, *options], root=root, held=held)


def main() -> int:
    """Run the act named on the command line and give its exit code."""
    parser = argparse.ArgumentParser(description="Build the environments, or make their lock files anew.")
    parser.add_argument("act", nargs="?", choices=("setup", "lock"), default="setup")
    act = set_up if parser.parse_args().act == "setup" else make_locks
    try:
        act(ROOT)
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: the same command goes on.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
