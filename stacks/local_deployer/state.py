"""What is live at a site: one fsynced JSON file, changed by one command at a time."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from materializers.blobs import write_file
from materializers.errors import DamagedArtifact, ServiceUnreachable
from materializers.release import Mode
from materializers.report import Record
from stacks.served import HISTORY_LENGTH, Entry, live_before, past_without

HOST = "127.0.0.1"
POLL_S = 0.1
FORMAT_VERSION: Literal[2] = 2


class Replica(Record):
    """One microservice process: ``name`` marks it and names its cluster in the ingress."""

    name: str
    port: int
    metrics_port: int

    @property
    def base_url(self) -> str:
        """Its own, past the ingress."""
        return f"http://{HOST}:{self.port}"


class Route(Record):
    """Where the traffic of one deployment goes: to ``replica``, but for what its candidate gets of it."""

    replica: Replica
    candidate: Replica | None = None
    mode: Mode = "full"
    share: float = 1.0


class Rollout(Record):
    """The release that is rolling out beside the live one, and what runs for it."""

    entry: Entry
    replica: Replica


class Deployment(Record):
    """One environment of one model: what is live, what rolls out, what was live before (the newest last)."""

    live: Entry | None = None
    replica: Replica | None = None
    rollout: Rollout | None = None
    history: tuple[Entry, ...] = ()

    @property
    def running(self) -> tuple[tuple[Replica, Entry], ...]:
        """Everything that runs for it, with the release that it serves."""
        live = ((self.replica, self.live),) if self.replica and self.live else ()
        return (*live, (self.rollout.replica, self.rollout.entry)) if self.rollout else live

    @property
    def route(self) -> Route | None:
        """Where its traffic goes; None where nothing is live."""
        if self.replica is None:
            return None
        if self.rollout is None:
            return Route(replica=self.replica)
        release = self.rollout.entry.release
        return Route(
            replica=self.replica,
            candidate=self.rollout.replica,
            mode=release.mode,
            share=release.share,
        )

    def rolling(self, entry: Entry, replica: Replica) -> Deployment:
        """The deployment with ``entry`` rolling out on ``replica``."""
        return self.model_copy(update={"rollout": Rollout(entry=entry, replica=replica)})

    def without_rollout(self) -> Deployment:
        """The deployment with all the traffic at what is live."""
        return self.model_copy(update={"rollout": None})

    def past(self, coming: Entry) -> tuple[Entry, ...]:
        """The history once ``coming`` is live; what is served already is no predecessor of itself."""
        return live_before(self.chain, coming)

    @property
    def chain(self) -> tuple[Entry, ...]:
        """Every release that was live here, what is live now as the last."""
        return (*self.history, self.live) if self.live else self.history

    def down(self, *, remember: bool = True) -> Deployment:
        """The deployment with nothing running; what was live is known as past unless told otherwise."""
        past = self.chain if remember else past_without(self.live, self.history)
        return Deployment(history=past[-HISTORY_LENGTH:])


class Pending(Record):
    """A change that was begun: ``deployment`` replaces the one under ``key`` once it has the traffic."""

    key: str
    deployment: Deployment


class State(Record):
    """Every deployment of the site by ``environment/model``, and the change under way.

    The first format knows of no rollouts.
    """

    format_version: Literal[1, 2] = FORMAT_VERSION
    deployments: dict[str, Deployment] = Field(default_factory=dict)
    pending: Pending | None = None

    def deployment(self, key: str) -> Deployment:
        """The deployment under ``key``; empty where there never was one."""
        return self.deployments.get(key, Deployment())

    def with_deployment(self, key: str, deployment: Deployment) -> State:
        """The state with another deployment under ``key`` and no change under way."""
        return State(deployments={**self.deployments, key: deployment})

    def routes(self) -> dict[str, Route]:
        """Where the traffic goes, by key."""
        return {key: one.route for key, one in self.deployments.items() if one.route}

    def require_own_replicas(self) -> None:
        """Require that each deployment runs what was started for its environment, and for no other release.

        Traffic follows this record alone: with the replica of another environment in it, that would serve
        here, whatever the evidence of the release says.

        Raises:
            ValueError: it was edited.
        """
        now = [(key, replica) for key, one in self.deployments.items() for replica, _ in one.running]
        pending = self.pending
        coming = [(pending.key, replica) for replica, _ in pending.deployment.running] if pending else []
        for key, replica in (*now, *coming):
            if not replica.name.startswith(f"{key.partition('/')[0]}-v"):
                raise ValueError(f"{replica.name} was not started for {key}")
        for taken in ("name", "port"):
            values = [getattr(replica, taken) for _, replica in now]
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise ValueError(f"two releases have a replica with the {taken} {twice.pop()}")

    def replica_names(self) -> set[str]:
        """Everything that is to run, candidates included."""
        return {replica.name for one in self.deployments.values() for replica, _ in one.running}

    def model_digests(self) -> set[str]:
        """Every model that is live, coming, or can be gone back to."""
        coming = [self.pending.deployment] if self.pending else []
        entries = [
            entry
            for one in (*self.deployments.values(), *coming)
            for entry in (*one.history, one.live, one.rollout.entry if one.rollout else None)
            if entry
        ]
        return {entry.model_digest for entry in entries}


class StateFile:
    """The site's ``state.json`` and the lock around its changes."""

    def __init__(self, site: Path) -> None:
        self.path = site / "state.json"
        self._lock = site / "lock"

    def load(self) -> State:
        """Read what is live.

        Raises:
            DamagedArtifact: the file is not what this deployer wrote.
            ServiceUnreachable: it cannot be read.
        """
        try:
            state = State.model_validate_json(self.path.read_bytes())
            state.require_own_replicas()
            return state.model_copy(update={"format_version": FORMAT_VERSION})
        except FileNotFoundError:
            return State()
        except ValueError as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise DamagedArtifact(
                f"{self.path} says what is live and cannot be understood: {why}. "
                "Put back a copy of it, or stop what runs and begin anew: python run.py --stop"
            ) from error
        except OSError as error:
            raise ServiceUnreachable(f"{self.path} says what is live and cannot be read: {error}") from error

    def save(self, state: State) -> None:
        """Replace what is live, durably.

        Raises:
            ServiceUnreachable: the file cannot be written.
        """
        try:
            write_file(self.path, state.model_dump_json(indent=2).encode())
        except OSError as error:
            raise ServiceUnreachable(
                f"{self.path} says what is live and cannot be written: {error}"
            ) from error

    def set_aside(self) -> Path | None:
        """Move the file out of the way, so that somebody can look at it; None where there is none."""
        aside = self.path.with_name(f"{self.path.name}.damaged")
        try:
            self.path.replace(aside)
        except FileNotFoundError:
            return None
        return aside

    @contextmanager
    def locked(self, act: str, *, timeout_s: float) -> Iterator[None]:
        """Hold the site for one change; the kernel lets go when the process ends, however it ends.

        Raises:
            ServiceUnreachable: another command held it for ``timeout_s``, or the site cannot be written.
        """
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServiceUnreachable(f"The model deployer's state cannot be written: {error}") from error
        try:
            self._acquire(file, timeout_s)
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({"process": os.getpid(), "act": act}).encode(), 0)
            yield
        finally:
            os.close(file)

    def _acquire(self, file: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    holder = os.pread(file, 1000, 0).decode(errors="replace")
                    raise ServiceUnreachable(
                        f"Another command is changing what is served: {holder}; waited {timeout_s:g} s. "
                        "Try again when it has ended: python run.py --status"
                    ) from None
                time.sleep(POLL_S)
            else:
                return
