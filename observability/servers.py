"""Servers on loopback, as processes that outlive the command that starts them.

Each is found again, and ended, by its own process id with the time it started: an id alone is used again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from materializers.blobs import write_file

PROJECT = Path(__file__).resolve().parents[1]
ADDRESS = "127.0.0.1"
STARTS_WITHIN_S = 300.0
"""MLflow and ZenML import for many seconds of CPU; on a busy machine several times as long."""
KILLED_WITHIN_S = 20.0
POLL_S = 0.1

logger = logging.getLogger("shutterline.servers")


def answers(url: str) -> bool:
    """Whether a GET of this address is answered with success."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == httpx.codes.OK
    except (httpx.HTTPError, OSError):
        return False


@dataclass(frozen=True)
class Server:
    """One server: how it is started, and where it keeps its data, its log and its process id.

    Attributes:
        folder: all that it keeps; a start after a kill finds it again.
        ready: whether it answers now.
        patience_s: seconds that it has to end by itself, before it and its children are killed.
        directory: where it is started.
    """

    name: str
    folder: Path
    url: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], bool]
    patience_s: float = 10.0
    directory: Path = PROJECT

    @property
    def log(self) -> Path:
        """What it printed, of all starts."""
        return self.folder / "server.log"

    def start(self) -> None:
        """Start it, unless it runs, and do not wait: :meth:`wait` does."""
        if self.process() is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            started = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started_at = psutil.Process(started.pid).create_time()
        self._keep(started.pid, started_at)
        # It outlives this object; who ends it waits for it by its id.
        started.returncode = 0

    def wait(self) -> None:
        """Return once it answers.

        Raises:
            RuntimeError: it ended, or does not answer in :data:`STARTS_WITHIN_S`; with the end of its log.
        """
        ends = time.monotonic() + STARTS_WITHIN_S
        while not self.ready():
            if self.process() is None or time.monotonic() > ends:
                tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} does not answer at {self.url}: {tail}")
            time.sleep(POLL_S)

    def process(self) -> psutil.Process | None:
        """The process that was started last, if it still runs and is the same one.

        Where the record of it is damaged, whose port it is says so, and the record is written anew.
        """
        try:
            record = json.loads(self._record.read_text())
            pid, started_at = int(record["pid"]), float(record["started_at"])
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError):
            return self._known_by_port()
        with contextlib.suppress(psutil.NoSuchProcess, OverflowError):
            process = psutil.Process(pid)
            if process.create_time() == started_at and _runs(process):
                return process
        return None

    def kill(self) -> None:
        """End it and its children as ``kill -9`` does, and return once none runs."""
        self._end(patience_s=0)

    def stop(self) -> None:
        """Ask it to end; what of it still runs after its patience is killed."""
        self._end(patience_s=self.patience_s)

    def _end(self, patience_s: float) -> None:
        leader = self.process()
        if leader is None:
            return
        group = [leader, *leader.children(recursive=True)]
        if patience_s:
            leader.terminate()
            _wait_for(group, patience_s)
        for process in group:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if left := _wait_for(group, KILLED_WITHIN_S):
            raise TimeoutError(f"{self.name}: process {left[0].pid} does not end, not even by SIGKILL")
        with contextlib.suppress(ChildProcessError):  # another process started it
            os.waitpid(leader.pid, os.WNOHANG)

    def _keep(self, pid: int, started_at: float) -> None:
        write_file(self._record, json.dumps({"pid": pid, "started_at": started_at}).encode())

    def _known_by_port(self) -> psutil.Process | None:
        """The process of this user that listens on the server's port and was told that port."""
        port = str(urlsplit(self.url).port)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                listens = any(
                    each.status == psutil.CONN_LISTEN and str(each.laddr.port) == port
                    for each in process.net_connections("tcp")
                )
                if listens and any(argument.endswith(port) for argument in process.cmdline()):
                    self._keep(process.pid, process.create_time())
                    logger.warning(
                        "%s is damaged: process %d, which has port %s, is taken for %s",
                        self._record,
                        process.pid,
                        port,
                        self.name,
                    )
                    return process
        self._record.unlink(missing_ok=True)
        logger.warning("%s is damaged, and nothing of it has port %s: taken for ended", self._record, port)
        return None

    @property
    def _record(self) -> Path:
        return self.folder / "process.json"


def _wait_for(group: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run when all have ended, or after so many seconds."""
    ends = time.monotonic() + seconds
    while (left := [process for process in group if _runs(process)]) and time.monotonic() < ends:
        time.sleep(POLL_S)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
