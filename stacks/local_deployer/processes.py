"""Processes that outlive the command that started them, found again by a mark in their environment.

The mark is there from the moment the process runs, so that a command that was killed leaves nothing that the
next one cannot find; process ids, which the system uses again, are never stored.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import psutil

from serving.launching import passed_on

SITE = "SHUTTERLINE_SITE"
NAME = "SHUTTERLINE_PROCESS"
POLL_S = 0.05
KILL_TIMEOUT_S = 10.0


def start(
    name: str,
    command: Sequence[str],
    *,
    site: Path,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Start a marked process in a session of its own, its output appended to ``log``.

    Args:
        name: by which it is found again.
        command: what it runs.
        site: whose it is.
        log: where it writes.
        cwd: where it runs.
        environment: what it gets besides what every server gets.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env={**passed_on(), **environment, SITE: str(site), NAME: name},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def running(site: Path) -> dict[str, list[psutil.Process]]:
    """The site's processes that run, with their children, by the name they were started under."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            if environment.get(SITE) == str(site) and _runs(process):
                found.setdefault(environment[NAME], []).append(process)
    return found


def stop(names: Collection[str], *, site: Path, patience_s: float) -> None:
    """End these processes: SIGTERM, after ``patience_s`` SIGKILL; to children that outlive them at once.

    Returns once none runs.

    Raises:
        TimeoutError: a process survived SIGKILL (the kernel holds it).
    """
    found = _of(names, site)
    for process in found:
        if _leads(process):
            with contextlib.suppress(psutil.Error):
                process.terminate()
    patient_until = time.monotonic() + patience_s
    while found:
        if time.monotonic() > patient_until + KILL_TIMEOUT_S:
            raise TimeoutError(f"process {found[0].pid} does not end, not even by SIGKILL")
        if time.monotonic() > patient_until or not any(map(_leads, found)):
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        # To look through all processes of the machine, for children they had since, is for the end.
        found = [process for process in found if _runs(process)] or _of(names, site)
        if found:
            time.sleep(POLL_S)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _leads(process: psutil.Process) -> bool:
    """Whether it was started here, and is not a child of what was."""
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def _of(names: Collection[str], site: Path) -> list[psutil.Process]:
    found = running(site)
    return [process for name in names for process in found.get(name, [])]
