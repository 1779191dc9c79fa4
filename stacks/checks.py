"""Check what a stack file points to before ZenML is told: folders, databases, ports, servers.

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
from typing import Any, NamedTuple, TypeVar

import psutil
from pydantic import BaseModel, ValidationError

from materializers.errors import ServiceUnreachable, ShutterlineError, UsageError
from stacks.remote_checks import (
    check_bucket,
    check_container_registry,
    check_kubeflow,
    check_tracking_server,
    looked_up,
)
from stacks.rules import SECRET_REFERENCE, is_remote
from stacks.stack_file import StackFile
from stacks.zenml_server import check_server, connection

Config = TypeVar("Config", bound=BaseModel)
Configuration = dict[str, Any]
Secrets = dict[str, dict[str, str]]

SERVER = "zenml_server"
"""What findings call the server that the stack is registered in; it is no component."""
UNCHECKED = {"image_builder": "images are built by `make images`"}
"""Why there is nothing to check, where it is not the flavor."""


class WrongSetting(UsageError):
    """A setting that the component's flavor does not take, by its name."""

    def __init__(self, message: str, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class Finding(NamedTuple):
    """What the check of one component found; ``error`` is None where nothing is wrong."""

    kind: str
    message: str
    error: ShutterlineError | None


def check_stack(stack: StackFile) -> list[Finding]:
    """Check the ZenML server, where there is one, and each component, in the order of ZenML's types."""
    findings = check_connection(stack)
    secrets: Secrets | None = None if any(finding.error for finding in findings) else {}
    return [*findings, *(_check(stack, kind, secrets) for kind in stack.present())]


def check_connection(stack: StackFile) -> list[Finding]:
    """Check the server that the stack would be registered in; nothing where store and stack are local."""
    try:
        good = check_server(connection(), remote=is_remote(stack))
    except ShutterlineError as error:
        return [Finding(SERVER, f"WRONG: {error}", type(error)(f"{SERVER}: {error}"))]
    return [Finding(SERVER, f"ok: {good}", None)] if good else []


def _check(stack: StackFile, kind: str, secrets: Secrets | None) -> Finding:
    """Check one component; ``secrets`` is None where ZenML cannot be asked for them."""
    component = stack.present()[kind]
    check = CHECKS.get((kind, component.flavor))
    settings = component.configuration
    if secrets is None and any(SECRET_REFERENCE.fullmatch(str(value)) for value in settings.values()):
        return Finding(kind, "not checked: its secrets lie in the ZenML server", None)
    try:
        settings = looked_up(settings, {} if secrets is None else secrets)
        good = check(stack, settings) if check else None
    except ShutterlineError as error:
        setting = ("configuration", error.setting) if isinstance(error, WrongSetting) else ()
        message = f"{error} ({stack.where('components', kind, *setting)})"
        return Finding(kind, f"WRONG: {message}", type(error)(f"{kind}: {message}"))
    unchecked = UNCHECKED.get(kind, f"flavor {component.flavor}")
    return Finding(kind, f"ok: {good}" if good else f"not checked: {unchecked}", None)


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
    here = "runs in the calling process"
    if schedules := configuration.get("schedules"):
        return f"{here}, with its schedules in {check_folder(str(schedules))}"
    return here


def _check_artifact_store(stack: StackFile, configuration: Configuration) -> str:
    return check_folder(str(configuration.get("path", "")))


def _check_bucket(stack: StackFile, configuration: Configuration) -> str:
    return check_bucket(configuration)


def _check_kubeflow(stack: StackFile, configuration: Configuration) -> str | None:
    return check_kubeflow(configuration)


def _check_container_registry(stack: StackFile, configuration: Configuration) -> str:
    return check_container_registry(configuration)


def _check_alerter(stack: StackFile, configuration: Configuration) -> str:
    from stacks.apprise_alerter.check import check_alerter

    return check_alerter(configuration)


def _check_tracker(stack: StackFile, configuration: Configuration) -> str | None:
    """Check MLflow's server or database; without an address it lies in the artifact store's folder."""
    folder = stack.components.artifact_store.configuration.get("path", "")
    uri = str(configuration.get("tracking_uri", f"sqlite:///{folder}/mlflow.db"))
    if uri.startswith(("http://", "https://")):
        return check_tracking_server(configuration)
    return check_sqlite(uri) if uri.startswith("sqlite:") else None


def _check_registry(stack: StackFile, configuration: Configuration) -> str:
    tracker = stack.components.experiment_tracker
    if tracker is None or tracker.flavor != "mlflow":
        raise UsageError("MLflow's registry is that of the experiment tracker: add one of flavor mlflow")
    return "that of the experiment tracker"


def _check_cluster_deployer(stack: StackFile, configuration: Configuration) -> str | None:
    from stacks.kubernetes_check import check_cluster
    from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig

    return check_cluster(_deployer(stack, SeldonClusterModelDeployerConfig, configuration).model_dump())


def _deployer(stack: StackFile, config_class: type[Config], configuration: Configuration) -> Config:
    """The model deployer's settings as its flavor takes them.

    Raises:
        WrongSetting: it has no such setting, or not with this value.
    """
    if unknown := stack.unknown_setting("model_deployer", config_class.model_fields):
        setting, hint = unknown
        raise WrongSetting(f"no setting {setting!r}: {hint}", setting)
    try:
        return config_class(**configuration)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        raise WrongSetting(f"{'.'.join(path)}: {first['msg']}", "".join(path[:1])) from error


def _check_local_deployer(stack: StackFile, configuration: Configuration) -> str:
    from stacks.local_deployer import processes
    from stacks.local_deployer.flavor import SeldonLocalModelDeployerConfig

    config = _deployer(stack, SeldonLocalModelDeployerConfig, configuration)
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
    ("orchestrator", "shutterline-local"): _check_orchestrator,
    ("orchestrator", "shutterline-kubeflow"): _check_kubeflow,
    ("orchestrator", "kubeflow"): _check_kubeflow,
    ("artifact_store", "local"): _check_artifact_store,
    ("artifact_store", "s3"): _check_bucket,
    ("experiment_tracker", "mlflow"): _check_tracker,
    ("model_registry", "mlflow"): _check_registry,
    ("model_deployer", "seldon-local"): _check_local_deployer,
    ("model_deployer", "seldon-cluster"): _check_cluster_deployer,
    ("container_registry", "default"): _check_container_registry,
    ("alerter", "apprise"): _check_alerter,
}
