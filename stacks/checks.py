"""Check what a stack file points to before ZenML is told: folders, databases, ports, environments.

A check returns what it found good, None where it cannot tell, or raises what is wrong: UsageError where the
file or the machine has to change, ServiceUnreachable where something cannot be reached or written. Nothing is
created.
"""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from pydantic import ValidationError

from materializers.errors import ServiceUnreachable, ShutterlineError, UsageError
from stacks.remote_checks import check_bucket
from stacks.stack_file import StackFile

Configuration = dict[str, Any]


class Finding(NamedTuple):
    """What the check of one component found; ``error`` is None where nothing is wrong."""

    kind: str
    message: str
    error: ShutterlineError | None


def check_stack(stack: StackFile) -> list[Finding]:
    """Check each component of the stack, in the order of ZenML's types."""
    return [_check(stack, kind) for kind in stack.present()]


def _check(stack: StackFile, kind: str) -> Finding:
    component = stack.present()[kind]
    check = CHECKS.get((kind, component.flavor))
    try:
        good = check(stack, component.configuration) if check else None
    except ShutterlineError as error:
        message = f"{error} ({stack.where('components', kind)})"
        return Finding(kind, f"WRONG: {message}", type(error)(f"{kind}: {message}"))
    return Finding(kind, f"ok: {good}" if good else f"not checked: flavor {component.flavor}", None)


def check_folder(folder: str) -> str:
    """Require an absolute folder that can be written, or made.

    Raises:
        UsageError: the path is relative, or something on it is not a folder.
        ServiceUnreachable: it cannot be written.
    """
    path = Path(folder)
    if not path.is_absolute():
        raise UsageError(
            f"{folder!r} refused: a relative path moves with each run; set SHUTTERLINE_HOME to /…"
        )
    try:
        present = next(parent for parent in (path, *path.parents) if parent.exists())
    except OSError as error:
        raise ServiceUnreachable(
            f"{path}: {error.strerror}: chmod it, or set SHUTTERLINE_HOME to another"
        ) from error
    if not present.is_dir():
        raise UsageError(f"{present} is no folder: move it away, or set SHUTTERLINE_HOME to another")
    if not os.access(present, os.W_OK | os.X_OK):
        raise ServiceUnreachable(f"{present} cannot be written: chmod it, or set SHUTTERLINE_HOME to another")
    return str(path)


def check_sqlite(uri: str) -> str:
    """Require a SQLite file that opens for writing, or a folder where one can be made.

    Raises:
        UsageError: the path is relative.
        ServiceUnreachable: the file is no database, or cannot be written.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    check_folder(str(path.parent))
    if not path.exists():
        return f"{path} (made by the first run)"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=5)
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ServiceUnreachable(
            f"{path} does not open as a SQLite database ({error}): restore it, or move it away"
        ) from error
    if not os.access(path, os.W_OK):
        raise ServiceUnreachable(f"{path} cannot be written: chown or chmod it")
    return str(path)


def check_port(address: str, port: int) -> bool:
    """Tell whether ``address:port`` is free to listen on.

    Raises:
        UsageError: this machine lacks the address, or this user may not use the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise UsageError(
                f"{address}:{port} cannot be listened on ({error.strerror}): set SHUTTERLINE_PORT to another"
            ) from error
    return True


def _check_orchestrator(stack: StackFile, configuration: Configuration) -> str:
    return "runs in the calling process"


def _check_artifact_store(stack: StackFile, configuration: Configuration) -> str:
    return check_folder(str(configuration.get("path", "")))


def _check_bucket(stack: StackFile, configuration: Configuration) -> str:
    return check_bucket(configuration)


def _check_tracker(stack: StackFile, configuration: Configuration) -> str | None:
    """Check MLflow's database; without an address it lies in the artifact store's folder."""
    folder = stack.components.artifact_store.configuration.get("path", "")
    uri = str(configuration.get("tracking_uri", f"sqlite:///{folder}/mlflow.db"))
    return check_sqlite(uri) if uri.startswith("sqlite:") else None


def _check_registry(stack: StackFile, configuration: Configuration) -> str:
    tracker = stack.components.experiment_tracker
    if tracker is None or tracker.flavor != "mlflow":
        raise UsageError("MLflow's registry is that of the experiment tracker: add one of flavor mlflow")
    return "that of the experiment tracker"


def _check_local_deployer(stack: StackFile, configuration: Configuration) -> str:
    from stacks.local_deployer import processes
    from stacks.local_deployer.flavor import SeldonLocalModelDeployerConfig

    try:
        config = SeldonLocalModelDeployerConfig(**configuration)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    check_folder(str(config.site))
    if not config.serving_python.exists():
        raise UsageError(f"{config.serving_python} is not there: `make setup` builds the serving environment")
    address = f"{config.host}:{config.port}"
    if check_port(config.host, config.port):
        return f"{address} is free"
    ours = [process for group in processes.running(config.site).values() for process in group]
    if any(config.port in _listening(process) for process in ours):
        return f"{address} is served by this deployer"
    raise UsageError(f"{address} is taken by another program: stop it, or set SHUTTERLINE_PORT to another")


def _listening(process: psutil.Process) -> set[int]:
    """Give the ports that a process listens on; none where it has ended."""
    try:
        return {entry.laddr.port for entry in process.net_connections("tcp") if entry.status == "LISTEN"}
    except psutil.Error:
        return set()


CHECKS: dict[tuple[str, str], Callable[[StackFile, Configuration], str | None]] = {
    ("orchestrator", "local"): _check_orchestrator,
    ("artifact_store", "local"): _check_artifact_store,
    ("artifact_store", "s3"): _check_bucket,
    ("experiment_tracker", "mlflow"): _check_tracker,
    ("model_registry", "mlflow"): _check_registry,
    ("model_deployer", "seldon-local"): _check_local_deployer,
}
