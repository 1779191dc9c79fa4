"""A Docker daemon of the tests' own, and empty images that run on this machine's files.

No image can be pulled where the tests run. An image is therefore made of what a Dockerfile's last stage says
(variables, user, folder, command, health check) and of the project's files that it copies; the system's
libraries, Python and the virtual environment are this machine's, mounted read-only.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stacks.dockerfiles import copied, stages

ANSWERS_WITHIN_S = 20.0
ENVIRONMENT, SERVING_ENVIRONMENT = "/opt/venv", "/opt/venv-serving"
MERGED = ("bin", "lib", "lib64")
HARDENED = (
    "--read-only",
    "--tmpfs=/tmp",
    "--network=none",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
"""Options of `docker run` for what a careful cluster asks of a container."""
SCRATCH = "/tmp"  # noqa: S108 - a path of the container, on a volume of its own
HARDENED_ON_THIS_NETWORK = {
    "read_only": True,
    "tmpfs": {SCRATCH: "exec,mode=1777"},  # as an emptyDir is; Docker's own default has no exec
    "network_mode": "host",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
}
"""The same in the words of Docker's SDK, for a container that asks servers on loopback."""
EMPTY = "shutterline.empty"
"""The label of an image that holds no system: it runs with this machine's, from :func:`binds`."""
TAKEN = ("ENV", "EXPOSE", "WORKDIR", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD")


@dataclass(frozen=True)
class Docker:
    """The docker command, speaking to one daemon."""

    address: str

    def __call__(self, *arguments: str, given: bytes = b"") -> str:
        """Run it and return what it printed; an error of Docker's, or of what it ran, fails the test."""
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def run(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it, whatever comes of it."""
        command = ["docker", "--host", self.address, *arguments]
        return subprocess.run(command, input=given, capture_output=True, check=False)

    def import_image(self, name: str, dockerfile: str) -> str:
        """Make an image of a Dockerfile's last stage and the files of the project that it copies."""
        last = stages(dockerfile)[-1]
        changes = [f"--change={one.word} {one.text}" for one in last if one.word in TAKEN]
        changes.append(f"--change=LABEL {EMPTY}=true")
        return self("import", *changes, "-", name, given=_root(dockerfile))


def mounts(environment: Path) -> list[str]:
    """Give the options of `docker run` for :func:`binds`."""
    return [f"--volume={bind}" for bind in binds(environment)]


def binds(environment: Path) -> list[str]:
    """Give what mounts this machine's system, its Python and a virtual environment, read-only."""
    python = (environment / "bin" / "python").resolve().parents[1]
    libraries = "/etc/ld.so.cache"  # where a Python in /usr/local finds its own
    folders = {"/usr": "/usr", libraries: libraries, str(environment): ENVIRONMENT}
    if not python.is_relative_to("/usr"):
        folders[str(python)] = str(python)
    return [f"{here}:{there}:ro" for here, there in folders.items()]


def _root(dockerfile: str) -> bytes:
    """Pack an image's root file system: links into /usr, and the project's files that it copies."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in MERGED:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(link)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(temporary)
        for target, files in copied(dockerfile).items():
            if target.startswith("/opt/shutterline/"):
                for file in files:
                    archive.add(file, f"{target}{file.name}")
    return packed.getvalue()


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """Start a daemon with everything of its own, and end it; skipped where it cannot start."""
    daemon = shutil.which("dockerd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if daemon is None or shutil.which("docker") is None:
        pytest.skip("Debian's docker.io is not installed")
    if os.geteuid() != 0:
        pytest.skip("a Docker daemon is started by root")
    # Short: the path of a socket has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="docker-"))
    docker = Docker(f"unix://{folder}/socket")
    options = ["--iptables=false", "--ip6tables=false", "--bridge=none", f"--host={docker.address}"]
    options += [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([daemon, *options], stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + ANSWERS_WITHIN_S
        while docker.run("version").returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                last = (folder / "log").read_text().strip().rpartition("\n")[2]
                pytest.skip(f"dockerd was started and did not answer: {last}")
            time.sleep(0.1)
        yield docker
        for container in docker("ps", "--all", "--quiet").split():
            docker("rm", "--force", container)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # What a container on this machine's network leaves mounted.
        subprocess.run(["umount", folder / "exec" / "netns" / "default"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
