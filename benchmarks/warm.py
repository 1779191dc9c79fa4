"""Carry out commands of run.py in forked children of one process that has imported everything.

:mod:`.commands` starts it. A request is one JSON line on standard input, the exit codes of its children
(minus the signal that ended one) a JSON line on standard output. Every command starts from the same fresh
state as a new process would, without the ten seconds that importing ZenML, torch and MLflow takes.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import event
from sqlalchemy.engine import Engine

PROJECT = Path(__file__).resolve().parents[1]
IMPORTED_ONCE = (
    "actions.command",
    "actions.rollback",
    "actions.show",
    "actions.status",
    "actions.stop",
    "git",
    "httpcore",
    "matplotlib.figure",
    "mlflow.onnx",
    "mlflow.pytorch",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pipelines.launch",
    "sklearn.metrics",
    "sklearn.model_selection",
    "stacks.apply",
    "stacks.local_deployer.deployer",
    "steps.training.export",
    "steps.training.fitting.loop",
    "torch.onnx",
    "torchvision.transforms.v2",
    "steps.evaluation.metrics",
    "steps.evaluation.pictures",
    "steps.training.tracking",
    "zenml.integrations.mlflow.experiment_trackers",
    "zenml.integrations.mlflow.model_registries",
    "zenml.orchestrators.local.local_orchestrator",
    "zenml.log_stores.otel.otel_log_store",
    "zenml.orchestrators.step_launcher",
    "zenml.orchestrators.step_runner",
    "zenml.zen_stores.rest_zen_store",
    "zenml.zen_stores.sql_zen_store",
)


def serve() -> None:
    """Answer requests until standard input ends."""
    # ZenML's log goes to what standard output is at its import: to standard error, as in a command.
    with contextlib.redirect_stdout(sys.stderr):
        for module in IMPORTED_ONCE:
            importlib.import_module(module)
    event.listen(Engine, "connect", leave_flushing_to_the_system)
    gc.freeze()  # a child's collector would touch, and so copy, every page
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    answers.write("ready\n")
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        children = []
        for output in request["outputs"]:
            children.append(os.fork())
            if children[-1] == 0:
                carry_out(request, output)
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        answers.write(f"{json.dumps(ended)}\n")


def leave_flushing_to_the_system(connection: object, _: object) -> None:
    """Spare SQLite's databases an fsync a commit: only the machine's end, not a process', would need it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def carry_out(request: dict[str, Any], output: str) -> NoReturn:
    """Do a request in this process, its output in ``output``.out and .err, and end it."""
    for descriptor, suffix in ((1, "out"), (2, "err")):
        file = os.open(f"{output}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
    # As in a terminal, however the benchmark itself was started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["strike"] is not None:
        strike(**request["strike"])
    acts: dict[str, Callable[[list[str]], None]] = {
        "run": run,
        "apply": apply_stack,
        "look": look,
        "promote": promote,
        "recorded": recorded,
    }
    exit_code: Any = 0
    try:
        acts[request["act"]](request["arguments"])
    except SystemExit as ended:
        exit_code = ended.code or 0
    except BaseException:  # noqa: BLE001 - what the interpreter does with it
        traceback.print_exc()
        exit_code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)  # taking a copy of all that was imported apart would take seconds


def strike(point: str, when: str, signum: int) -> None:
    """Send this process a signal before or after it carries out the function at ``module:attribute``."""
    module, _, path = point.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    whole = getattr(owner, name)

    @functools.wraps(whole)
    def struck(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signum)
        result = whole(*args, **kwargs)
        os.kill(os.getpid(), signum)
        return result

    setattr(owner, name, struck)


def run(arguments: list[str]) -> None:
    """``python run.py …``."""
    sys.argv = ["run.py", *arguments]
    runpy.run_path(str(PROJECT / "run.py"), run_name="__main__")


def apply_stack(arguments: list[str]) -> None:
    """``python -m stacks.apply …``."""
    from stacks.apply import main

    sys.exit(main(arguments))


def look(arguments: list[str]) -> None:
    """Print what is registered, what is live and what is left open, of the model that is named."""
    from zenml.client import Client

    from materializers.evidence import read_versions, registry_client
    from pipelines.session import prepare
    from steps.deployment.deployer import active_deployer

    prepare(None)
    (name,) = arguments
    client, tracker, deployer = Client(), registry_client(), active_deployer()
    experiments = [experiment.experiment_id for experiment in tracker.search_experiments()]
    tracked = tracker.search_runs(experiments, "attributes.status = 'RUNNING'")
    versions = [
        {"version": entry.version, "aliases": sorted(entry.aliases)}
        | {key: entry.tags[key] for key in ("verdict", "model_digest", "data_version", "splits_digest")}
        for entry in read_versions(name)
    ]
    live = [
        {
            "environment": release.environment,
            "version": release.candidate.version,
            "model_digest": release.candidate.model_digest,
            "recorded": release.recorded,
            "healthy": deployer.healthy(release),
        }
        for release in deployer.live()
        if release.candidate is not None
    ]
    known: Any = client.list_model_versions(model=name, size=100) if versions else []
    runs = client.list_pipeline_runs(size=500)
    state = {
        "versions": versions,
        "zenml_versions": sorted(str(version.name) for version in known),
        "live": live,
        "open_runs": sorted(run.name for run in runs if not run.status.is_finished),
        "open_tracked": sorted(run.info.run_name for run in tracked),
    }
    sys.stdout.write(json.dumps(state))


def promote(arguments: list[str]) -> None:
    """Give what rolls out of a model in an environment all the traffic."""
    from pipelines.session import prepare
    from steps.deployment.deployer import active_deployer
    from steps.deployment.rollout import advance
    from steps.deployment.settings import EnvironmentSettings

    prepare(None)
    name, environment = arguments
    where: Any = environment
    rolling = active_deployer().rolling_out(name, where)
    if rolling is None:
        sys.exit(f"Nothing of {name} rolls out in {environment}.")
    advance(rolling, EnvironmentSettings(mode="full"))


def recorded(arguments: list[str]) -> None:
    """``python -m benchmarks.kubeflow.recorded …``."""
    from benchmarks.kubeflow.recorded import main

    main(arguments)


if __name__ == "__main__":
    serve()
