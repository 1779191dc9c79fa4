"""Execute a compiled Kubeflow pipeline: each container after those it depends on, as a process of its own.

:mod:`.kubeflow_containers` has what executes it as a container of Docker's instead; :mod:`.kubeflow_api` says
what is not imitated.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from steps.evaluation.cost.replica import PYTHON_VARIABLE
from tests.remote import warm_steps
from tests.remote.kubeflow_spec import Task
from tests.remote.warm_steps import has_ended, reap

SERVING_PYTHON = Path(__file__).resolve().parents[2] / ".venv-serving" / "bin" / "python"
"""Stands for the serving environment that the training image holds."""
FAILED_TO_START = 127
GIGABYTE = 10**9
"""The unit of memory in kfp's intermediate representation."""
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL; Kubernetes gives 30."""
POLL_S = 0.05
WARM_WITHIN_S = 300.0


class ContainerError(Exception):
    """The container cannot be made, such as for want of a secret."""


@dataclass(frozen=True)
class Limits:
    """The most that a container may take; None is as much as there is."""

    cpus: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Container:
    """What is executed: nothing in it is a placeholder or a reference any more."""

    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    limits: Limits = Limits()


@dataclass(frozen=True)
class Ended:
    """How an attempt ended.

    Attributes:
        exit_code: after a signal its negative number, or 128 and it where Docker tells.
        reason: empty where the program ended by itself.
        cpu_s: None where nobody could tell; memory likewise.
    """

    exit_code: int
    reason: str = ""
    wall_s: float = 0.0
    cpu_s: float | None = 0.0
    peak_rss_bytes: int | None = 0


class Executor(Protocol):
    """Runs one container to its end."""

    def run(
        self, container: Container, *, log: Path, deadline_s: float | None, cancelled: threading.Event
    ) -> Ended:
        """Return once it ended, by itself, by its deadline or because the run was cancelled.

        Raises:
            ContainerError: it could not be made, or was lost.
        """
        ...


@dataclass(frozen=True)
class ProcessExecutor:
    """Runs a container as a process group: its command and environment, and an empty working directory.

    Its limits are not kept.

    Attributes:
        scratch: where the directories of the running ones are; each is removed with its process.
        image_paths: what the image installs beside the locked packages.
        warm: what forks the processes of steps; without it each is a new one.
    """

    scratch: Path
    image_paths: Sequence[Path] = ()
    warm: WarmSteps | None = None

    def run(
        self, container: Container, *, log: Path, deadline_s: float | None, cancelled: threading.Event
    ) -> Ended:
        """Execute it; with no child of it left when this returns."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=self.scratch, prefix="", ignore_cleanup_errors=True) as folder,
            log.open("wb") as output,
        ):
            own = {name: Path(folder) / name for name in ("work", "home", "tmp")}
            for path in own.values():
                path.mkdir()
            began = time.monotonic()
            environment = self._image() | _folders(own) | dict(container.environment)
            if self.warm is not None and self.warm.takes(container.command):
                return self.warm.run(
                    container.command[3:], environment, own["work"], log, deadline_s, cancelled
                )
            try:
                process = subprocess.Popen(
                    container.command,
                    cwd=own["work"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                output.write(f"{error}\n".encode())
                return Ended(FAILED_TO_START, "StartError")
            reason = _until_ended(process.pid, lambda: has_ended(process.pid), began, deadline_s, cancelled)
            told = reap(process.pid)
            process.returncode = told["exit_code"]
            return Ended(reason=reason, wall_s=time.monotonic() - began, **told)

    def _image(self) -> dict[str, str]:
        paths = (str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")
        image = {
            "PATH": os.pathsep.join(paths),
            "LANG": "C.UTF-8",
            PYTHON_VARIABLE: str(SERVING_PYTHON),
        }
        if self.image_paths:
            image["PYTHONPATH"] = os.pathsep.join(map(str, self.image_paths))
        return image


def _folders(own: Mapping[str, Path]) -> dict[str, str]:
    return {"HOME": str(own["home"]), "TMPDIR": str(own["tmp"])}


def _until_ended(
    pid: int,
    has_ended: Callable[[], bool],
    began: float,
    deadline_s: float | None,
    cancelled: threading.Event,
) -> str:
    """Wait for the leader of a process group; end it where it must.

    Returns:
        Why it was ended; empty where it ended by itself.
    """
    reason, killed_at = "", 0.0
    while not has_ended():
        now = time.monotonic()
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            if reason and now >= killed_at:
                os.killpg(pid, signal.SIGKILL)
            elif not reason and (
                cancelled.is_set() or (deadline_s is not None and now >= began + deadline_s)
            ):
                reason = "Terminated" if cancelled.is_set() else "DeadlineExceeded"
                killed_at = now + GRACE_S
                os.killpg(pid, signal.SIGTERM)
        time.sleep(POLL_S)
    return reason


class WarmSteps:
    """Has the processes of steps forked from one that has imported the packages: see :mod:`.warm_steps`."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started before the first step."""
        self._folder, self._lock = folder, threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None

    @staticmethod
    def takes(command: Sequence[str]) -> bool:
        """Whether a container's command is a step."""
        return list(command[1:3]) == ["-m", warm_steps.MODULE]

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        deadline_s: float | None,
        cancelled: threading.Event,
    ) -> Ended:
        """Run a step to its end.

        Raises:
            ContainerError: the warm process did not come up, or was killed.
        """
        address = self._started(environment)
        began = time.monotonic()
        request = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "log": str(log),
        }
        try:
            with socket.socket(socket.AF_UNIX) as asked, asked.makefile("r") as answers:
                asked.connect(str(address))
                asked.sendall(f"{json.dumps(request)}\n".encode())
                pid = int(answers.readline())
                reason = _until_ended(
                    pid, lambda: bool(select.select([asked], [], [], 0)[0]), began, deadline_s, cancelled
                )
                told = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            raise ContainerError(f"the warm process of steps is gone: {error}") from error
        return Ended(reason=reason, wall_s=time.monotonic() - began, **told)

    def _started(self, environment: Mapping[str, str]) -> Path:
        """The socket of the warm process, with the first step's environment: ZenML reads some at import."""
        address = self._folder / "socket"
        with self._lock:
            if self._server is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                address.unlink(missing_ok=True)
                home = {name: str(self._folder) for name in ("HOME", "TMPDIR")}
                with (self._folder / "log").open("wb") as output:
                    self._server = subprocess.Popen(
                        [sys.executable, warm_steps.__file__, str(address)],
                        cwd=self._folder,
                        env=dict(environment) | home,
                        stdin=subprocess.PIPE,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
            until = time.monotonic() + WARM_WITHIN_S
            while not address.exists():
                if self._server.poll() is not None or time.monotonic() > until:
                    raise ContainerError(f"the warm process of steps did not come up: {self._folder / 'log'}")
                time.sleep(POLL_S)
        return address


@dataclass(frozen=True)
class KubernetesSecrets:
    """Secrets of one namespace, read from the Kubernetes API when a container starts."""

    url: str
    token_file: Path
    namespace: str

    def read(self, name: str) -> dict[str, str]:
        """The values of one secret.

        Raises:
            ContainerError: there is none, or the API does not give it.
        """
        request = urllib.request.Request(f"{self.url}/api/v1/namespaces/{self.namespace}/secrets/{name}")
        request.add_header("Authorization", f"Bearer {self.token_file.read_text().strip()}")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                found = json.load(response)
        except OSError as error:
            raise ContainerError(f"CreateContainerConfigError: secret {name}: {error}") from error
        return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}


@dataclass
class Run:
    """One run: its state, and every attempt of every task."""

    run_id: str
    name: str
    tasks: list[Task]
    state: str = "PENDING"
    error: str = ""
    states: dict[str, str] = field(default_factory=dict)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)


class Runner:
    """Executes runs, each in a thread; by default one container at a time, whatever the runs."""

    def __init__(
        self,
        home: Path,
        executor: Executor,
        *,
        secrets: KubernetesSecrets | None,
        time_scale: float,
        parallel: int,
        changed: Callable[[Run], None],
    ) -> None:
        self._home, self._executor, self._secrets = home, executor, secrets
        self._time_scale, self._changed = time_scale, changed
        self._slots = threading.Semaphore(parallel)
        self._threads: list[threading.Thread] = []
        self._runs: list[Run] = []

    def start(self, run: Run) -> None:
        """Begin to execute it; ``changed`` is called with every change of it."""
        self._runs.append(run)
        thread = threading.Thread(target=self._execute, args=(run,), name=run.run_id)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """End all that runs, and return once nothing does."""
        for run in self._runs:
            run.cancelled.set()
        for thread in self._threads:
            thread.join()

    def _execute(self, run: Run) -> None:
        run.states = {task.name: "PENDING" for task in run.tasks}
        run.state = "RUNNING"
        self._changed(run)
        for task in run.tasks:
            if run.error or run.cancelled.is_set():
                run.states[task.name] = "SKIPPED"
            else:
                self._execute_task(run, task)
        run.state = "CANCELED" if run.cancelled.is_set() else "FAILED" if run.error else "SUCCEEDED"
        self._changed(run)

    def _execute_task(self, run: Run, task: Task) -> None:
        reason = "no attempt: Terminated"
        for number in range(1, task.retry.attempts + 2):
            if number > 1 and run.cancelled.wait(task.retry.wait_s(number - 1) * self._time_scale):
                break
            with self._slots:
                if run.cancelled.is_set():
                    break
                ended = self._attempt(run, task, number)
            if ended.exit_code == 0 and not ended.reason:
                run.states[task.name] = "SUCCEEDED"
                self._changed(run)
                return
            reason = f"attempt {number}: {ended.reason or f'exit code {ended.exit_code}'}"
        run.states[task.name] = "CANCELED" if run.cancelled.is_set() else "FAILED"
        run.error = f"task {task.name} failed in {reason}"
        self._changed(run)

    def _attempt(self, run: Run, task: Task, number: int) -> Ended:
        log = self._home / "runs" / run.run_id / f"{task.name}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"task": task.name, "number": number, "log": str(log), "started_at": now()}
        run.states[task.name] = "RUNNING"
        run.attempts.append(record)
        self._changed(run)
        try:
            ended = self._executor.run(
                self._container(run, task), log=log, deadline_s=task.deadline_s, cancelled=run.cancelled
            )
        except ContainerError as error:
            with log.open("a", encoding="utf-8") as output:
                output.write(f"{error}\n")
            ended = Ended(FAILED_TO_START, str(error))
        record.update(asdict(ended), ended_at=now())
        self._changed(run)
        return ended

    def _container(self, run: Run, task: Task) -> Container:
        known = {
            "{{$.pipeline_job_name}}": run.name,
            "{{$.pipeline_job_resource_name}}": run.name,
            "{{$.pipeline_job_uuid}}": run.run_id,
            "{{$.pipeline_task_name}}": task.name,
        }

        def filled(text: str) -> str:
            for placeholder, value in known.items():
                text = text.replace(placeholder, value)
            return text

        environment = {name: filled(value) for name, value in task.environment.items()}
        return Container(
            task.image,
            [filled(part) for part in task.command],
            environment | self._secret(task),
            self._limits(run, task),
        )

    def _limits(self, run: Run, task: Task) -> Limits:
        """Read them from the run's record: a task has what a process obeys."""
        record = json.loads((self._home / "runs" / f"{run.run_id}.json").read_text())["pipeline_spec"]
        spec = record.get("pipeline_spec", record)
        component = spec["root"]["dag"]["tasks"][task.name]["componentRef"]["name"]
        executor = spec["deploymentSpec"]["executors"][spec["components"][component]["executorLabel"]]
        resources = executor["container"].get("resources", {})
        memory = resources.get("memoryLimit")
        return Limits(resources.get("cpuLimit"), None if memory is None else round(memory * GIGABYTE))

    def _secret(self, task: Task) -> dict[str, str]:
        if not task.secrets:
            return {}
        if self._secrets is None:
            raise ContainerError(
                "CreateContainerConfigError: no Kubernetes API was given to read secrets from"
            )
        values = {name: self._secrets.read(name) for name in sorted({entry.secret for entry in task.secrets})}
        found = {}
        for entry in task.secrets:
            if entry.key in values[entry.secret]:
                found[entry.variable] = values[entry.secret][entry.key]
            elif not entry.optional:
                raise ContainerError(
                    f"CreateContainerConfigError: secret {entry.secret} has no key {entry.key}"
                )
        return found


def now() -> str:
    """The time, as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
