"""Execute a compiled Kubeflow pipeline with Docker: each container of it is a container.

:mod:`.kubeflow_api` says what of a pod is not imitated.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from tests.docker_daemon import EMPTY, HARDENED_ON_THIS_NETWORK, SCRATCH, SERVING_ENVIRONMENT, binds
from tests.remote.kubeflow_runs import (
    FAILED_TO_START,
    GRACE_S,
    SERVING_PYTHON,
    Container,
    ContainerError,
    Ended,
    Limits,
)

FAULTS = (DockerException, OSError)
"""What the SDK raises; where the daemon does not answer, an error of requests, which is an OSError."""
KILLED = 137
LOG_ENDS_WITHIN_S = 10.0
NANO = 10**9
OWNER = "shutterline.kubeflow"
"""The label by which a stub finds its containers again."""
POLL_S = 0.1
USER = "1000:1000"


@dataclass(frozen=True)
class DockerExecutor:
    """Runs a container as one of Docker's, as user 1000 on a read-only root file system, and removes it.

    Attributes:
        client: of the daemon.
        cpus: that the daemon has.
        fallback: the image of containers whose own the daemon does not have; None for none.
        image_paths: what the training image installs beside the locked packages, for an image that is empty.
        owner: whose containers these are.
    """

    client: docker.DockerClient
    cpus: int
    fallback: str | None
    image_paths: Sequence[Path]
    owner: str

    @classmethod
    def connect(cls, address: str, *, fallback: str | None, image_paths: Sequence[Path], home: Path) -> Self:
        """Speak to a daemon, and remove what a killed stub with the same home left there.

        Raises:
            ContainerError: it does not answer, or does not have the image to fall back to.
        """
        with _told(f"Docker at {address}"):
            client = docker.DockerClient(base_url=address)
            executor = cls(client, int(client.info()["NCPU"]), fallback, image_paths, str(home))
            if fallback is not None:
                client.images.get(fallback)
            for left in client.containers.list(all=True, filters={"label": f"{OWNER}={home}"}):
                left.remove(force=True, v=True)
        return executor

    def run(
        self, container: Container, *, log: Path, deadline_s: float | None, cancelled: threading.Event
    ) -> Ended:
        """Execute it; it is removed when this returns.

        Raises:
            ContainerError: there is no image for it, or Docker did not do what it was asked.
        """
        log.touch()
        with _told("CreateContainerError"):
            made = self.client.containers.create(**self._options(container))
            try:
                began = time.monotonic()
                try:
                    made.start()
                except APIError as error:
                    log.write_text(f"{error.explanation}\n", encoding="utf-8")
                    return Ended(FAILED_TO_START, "StartError")
                spent = Spent()
                copier = threading.Thread(target=_copy, args=(made, log), daemon=True)
                for thread in (copier, threading.Thread(target=spent.watch, args=(made,), daemon=True)):
                    thread.start()
                reason = _until_ended(made, began, deadline_s, cancelled)
                wall_s = time.monotonic() - began
                copier.join(LOG_ENDS_WITHIN_S)
                state = made.attrs["State"]
            finally:
                with suppress(*FAULTS):
                    made.remove(force=True, v=True)
        if not reason and state["OOMKilled"] and state["ExitCode"] == KILLED:
            reason = "OOMKilled"
        return Ended(state["ExitCode"], reason, wall_s, spent.cpu_s, spent.peak_bytes)

    def _options(self, container: Container) -> dict[str, Any]:
        image = self._image(container.image)
        environment, volumes = dict(container.environment), []
        if EMPTY in image.labels:
            volumes = binds(Path(sys.prefix)) + [f"{path}:{path}:ro" for path in self.image_paths]
            volumes.append(f"{SERVING_PYTHON.parents[1]}:{SERVING_ENVIRONMENT}:ro")
            environment = {"PYTHONPATH": os.pathsep.join(map(str, self.image_paths))} | environment
        return {
            **HARDENED_ON_THIS_NETWORK,
            **self._limits(container.limits),
            "image": image.id,
            # As in a pod: with a command, neither the image's entry point nor its arguments count.
            "entrypoint": list(container.command),
            "environment": environment,
            "volumes": volumes,
            "user": USER,
            "working_dir": SCRATCH,
            "labels": {OWNER: self.owner},
        }

    def _image(self, name: str) -> Any:
        try:
            return self.client.images.get(name)
        except ImageNotFound as error:
            if self.fallback is None:
                raise ContainerError(f"ErrImagePull: Docker has no image {name}") from error
        return self.client.images.get(self.fallback)

    def _limits(self, limits: Limits) -> dict[str, int]:
        given = {}
        if limits.cpus is not None:  # Docker refuses more than there are
            given["nano_cpus"] = round(min(limits.cpus, self.cpus) * NANO)
        if limits.memory_bytes is not None:  # and no swap beside it, as in a pod
            given["mem_limit"] = given["memswap_limit"] = limits.memory_bytes
        return given


@dataclass
class Spent:
    """What a container took so far, as Docker says it once a second; None before it does."""

    cpu_s: float | None = None
    peak_bytes: int | None = None

    def watch(self, made: Any) -> None:
        """Listen until the container is removed."""
        with suppress(*FAULTS):
            for stats in made.stats(stream=True, decode=True):
                # A container that has ended took, it says, nothing.
                if cpu := stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage"):
                    self.cpu_s = cpu / NANO
                if memory := _used(stats.get("memory_stats", {})):
                    self.peak_bytes = max(memory, self.peak_bytes or 0)


def _used(memory: Mapping[str, Any]) -> int:
    """Memory without the files that the kernel would drop first, as `docker stats` has it; 0 if not told."""
    parts = memory.get("stats", {})
    dropped = parts.get("total_inactive_file", parts.get("inactive_file", 0))  # cgroup 1, cgroup 2
    return max(int(memory.get("usage", 0)) - int(dropped), 0)


def _copy(made: Any, log: Path) -> None:
    """Write what a container prints, as it prints it, until it ends."""
    with suppress(*FAULTS), log.open("wb", buffering=0) as output:
        for piece in made.logs(stream=True, follow=True):
            output.write(piece)


def _until_ended(made: Any, began: float, deadline_s: float | None, cancelled: threading.Event) -> str:
    """Wait for a container; end it where it must.

    Returns:
        Why it was ended; empty where it ended by itself.
    """
    reason = ""
    while True:
        made.reload()
        if not made.attrs["State"]["Running"]:
            return reason
        if cancelled.is_set():
            reason = "Terminated"
        elif deadline_s is not None and time.monotonic() >= began + deadline_s:
            reason = "DeadlineExceeded"
        if reason:
            made.stop(timeout=round(GRACE_S))
        else:
            time.sleep(POLL_S)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what the SDK raises into one line.

    Raises:
        ContainerError: it raised.
    """
    try:
        yield
    except FAULTS as error:
        said = error.explanation if isinstance(error, APIError) else error
        raise ContainerError(f"{what}: {said}") from error
