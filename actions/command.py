"""Carry out what the flags of ``run.py`` ask, in their fixed order, up to the first non-zero exit code."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from materializers.release import Release
    from pipelines.config import Config

INTERRUPTED = 130
PIPELINES = frozenset({"train", "deploy", "continuous", "infer"})
ALWAYS_ALLOWED = frozenset({"status", "rollback", "stop"})
"""Acts that a difference between registry and deployer does not stop: they are how one mends it."""


@dataclass(frozen=True)
class Request:
    """The flags of one call of ``run.py``."""

    train: bool = False
    deploy: bool = False
    continuous: bool = False
    infer: bool = False
    status: bool = False
    predict: bool = False
    stop: bool = False
    rollback: bool = False
    approve: int | None = None
    reject: int | None = None
    approve_change: str | None = None
    by: str | None = None
    reason: str | None = None
    source: str | None = None
    data: str | None = None
    version: int | None = None
    input: str | None = None
    output: str | None = None
    environment: Literal["staging", "production"] = "staging"
    photos: tuple[str, ...] = ()
    config: Path | None = None
    assignments: tuple[str, ...] = field(default=())
    stack: str | None = None
    no_cache: bool = False
    as_json: bool = False

    @property
    def wanted(self) -> list[str]:
        """What is asked for, in the order in which it is done."""
        flags = {
            "approve-change": self.approve_change is not None,
            "train": self.train,
            "approve": self.approve is not None,
            "reject": self.reject is not None,
            "deploy": self.deploy,
            "continuous": self.continuous,
            "infer": self.infer,
            "rollback": self.rollback,
            "predict": self.predict,
            "status": self.status,
            "stop": self.stop,
        }
        return [name for name, asked in flags.items() if asked]


def execute(request: Request) -> int:
    """Do what is asked, print it for a person or as one JSON object, and return the exit code."""
    _prepare_environment()
    results: list[Any] = []
    # Whatever a library prints goes to standard error, so that standard output is the results alone.
    with contextlib.redirect_stdout(sys.stderr):
        exit_code = _answer(request, results)
    if request.as_json:
        entries = [result.model_dump(mode="json") for result in results]
        sys.stdout.write(json.dumps({"results": entries}, indent=2) + "\n")
    return exit_code


def _prepare_environment() -> None:
    """Set what must be set before ZenML is imported."""
    # `uv` lies beside this Python; with it on PATH ZenML lists packages in 0.1 s instead of 3.5 s.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # Waiting OpenMP threads must sleep: spinning, they take three times the CPU on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("ZENML_ANALYTICS_OPT_IN", "false")
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "ERROR")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("shutterline")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


def _answer(request: Request, results: list[Any]) -> int:
    from materializers.errors import ShutterlineError

    try:
        return _carry_out(request, results)
    except KeyboardInterrupt:
        said = "Interrupted; the same command goes on. See what is live: python run.py --status"
        _explain(said, request, results, INTERRUPTED)
        return INTERRUPTED
    except ShutterlineError as error:
        _explain(str(error), request, results, error.exit_code)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear line, whatever it was
        from pipelines.results import exit_code_of

        exit_code = exit_code_of(f"{type(error).__module__}.{type(error).__qualname__}")
        if exit_code == 1 and os.environ.get("SHUTTERLINE_DEBUG"):
            traceback.print_exc(file=sys.stderr)
        line = " ".join(str(error).split()) or type(error).__name__
        hint = "" if exit_code != 1 else " (SHUTTERLINE_DEBUG=1 shows where)"
        _explain(f"{type(error).__name__}: {line}{hint}", request, results, exit_code)
        return exit_code


def _explain(message: str, request: Request, results: list[Any], exit_code: int) -> None:
    from actions.result import ActionResult, in_full

    message = in_full(message, _command(request))
    sys.stderr.write(message + "\n")
    action = " ".join(request.wanted) or "run"
    status: Literal["refused", "failed"] = "refused" if exit_code == 3 else "failed"  # noqa: PLR2004
    results.append(ActionResult(action=action, status=status, reasons=(message,), exit_code=exit_code))


def _carry_out(request: Request, results: list[Any]) -> int:
    _check_flags(request)
    from pipelines.config import load_config
    from pipelines.session import prepare

    config = load_config(request.config, request.assignments)
    prepare(request.stack)
    finished = _put_in_order(config, always_allowed=ALWAYS_ALLOWED.issuperset(request.wanted))
    for name in request.wanted:
        with _exclusive(name):
            result = _acts(request, config, finished)[name]()
        results.append(result)
        if name == "train" and request.version is None:
            request = replace(request, version=result.version)
        if request.as_json:
            _say_beside(result)
        else:
            _show(result, request)
        if result.exit_code:
            return int(result.exit_code)
    if not request.as_json:
        _show_next(results, config, request)
    return 0


def _check_flags(request: Request) -> None:
    """Refuse combinations that cannot be meant.

    Raises:
        UsageError: naming the flag that is missing or too much.
    """
    from materializers.errors import UsageError

    if not request.wanted:
        raise UsageError("Nothing was asked for: python run.py --help")
    if request.train or request.continuous:
        if (request.source is None) == (request.data is None):
            raise UsageError("--train and --continuous take one of --source PATH and --data VERSION")
    elif request.source is not None or request.data is not None:
        raise UsageError("--source and --data go with --train or --continuous")
    if request.infer and (request.input is None or request.output is None):
        raise UsageError("--infer takes --input FOLDER and --output FILE.parquet")
    if not request.infer and (request.input is not None or request.output is not None):
        raise UsageError("--input and --output go with --infer")
    if request.version is not None and not request.deploy:
        raise UsageError("--version goes with --deploy")
    _check_decision(request)
    _check_photos(request)


def _check_decision(request: Request) -> None:
    from materializers.errors import UsageError

    decided = {"approve", "reject", "approve-change"}.intersection(request.wanted)
    given = {"--by WHO": request.by, '--reason "…"': request.reason}
    missing = [flag for flag, value in given.items() if not (value or "").strip()]
    if decided and missing:
        raise UsageError(f"A decision is a named person's: give {' and '.join(missing)}")
    if not decided and (request.by is not None or request.reason is not None):
        raise UsageError("--by and --reason go with --approve, --reject or --approve-change")


def _check_photos(request: Request) -> None:
    from materializers.errors import UsageError

    if request.photos and not request.predict:
        raise UsageError(f"Unexpected argument {request.photos[0]!r}: photographs go with --predict")
    if request.predict and not request.photos:
        raise UsageError("--predict takes photographs: python run.py --predict photo.jpg")
    for photo in request.photos:
        if not Path(photo).is_file():
            raise UsageError(f"There is no photograph at {photo}")


def _put_in_order(config: Config, *, always_allowed: bool) -> list[Release]:
    """Close dead runs, record pending releases and return them; stop where registry and deployer disagree.

    Acts that are always allowed are told of every fault here and stopped by none.

    Raises:
        Refused: they disagree, and what was asked is not how one mends that.
        ServiceUnreachable: a dead run cannot be closed or a pending release not be recorded.
    """
    from actions.status import differences
    from materializers.errors import Refused, ShutterlineError
    from pipelines.session import close_dead_runs
    from steps.deployment.conclude import finish_pending

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    try:
        for name in close_dead_runs():
            say(f"Run {name} was closed: its process is gone.")
    except ShutterlineError as error:
        if not always_allowed:
            raise
        say(str(error))
    finished = finish_pending(keep_going=always_allowed, say=say)
    found = [] if always_allowed else differences(config.product.model)
    if found:
        raise Refused(" ".join(found))
    return finished


@contextlib.contextmanager
def _exclusive(name: str) -> Iterator[None]:
    """Hold the run lock for pipelines; an act of a person never waits for one."""
    from pipelines.session import one_run_at_a_time

    with (
        one_run_at_a_time()
        if name in {"train", "deploy", "continuous", "infer"}
        else contextlib.nullcontext()
    ):
        yield


def _acts(request: Request, config: Config, finished: list[Release]) -> dict[str, Callable[[], Any]]:
    from actions import approve as versions
    from actions import approve_change as changes
    from actions.predict import predict_photos
    from actions.rollback import roll_back
    from actions.status import read_status
    from actions.stop import stop
    from pipelines import launch

    cache = False if request.no_cache else None
    environment = request.environment

    def decide(version: int | None, decision: versions.Decision) -> Any:
        by, reason = versions.refuse_without_person(request.by, request.reason)
        return versions.decide_version(config, version=version or 0, decision=decision, by=by, reason=reason)

    def approve_change() -> Any:
        by, reason = versions.refuse_without_person(request.by, request.reason)
        return changes.approve_change(config, digest=request.approve_change or "", by=by, reason=reason)

    return {
        "approve-change": approve_change,
        "train": lambda: launch.train(config, source=request.source, data=request.data, cache=cache),
        "approve": lambda: decide(request.approve, "approved"),
        "reject": lambda: decide(request.reject, "rejected"),
        "deploy": lambda: launch.deploy(
            config, environment=environment, version=request.version, cache=cache
        ),
        "continuous": lambda: launch.retrain(config, source=request.source, data=request.data, cache=cache),
        "infer": lambda: launch.infer(
            config,
            environment=environment,
            source=request.input or "",
            output=request.output or "",
            cache=cache,
        ),
        "rollback": lambda: roll_back(config, environment, finished=finished),
        "predict": lambda: predict_photos(config, request.photos, environment),
        "status": lambda: read_status(config),
        "stop": stop,
    }


def _say_beside(result: Any) -> None:
    """Say on standard error what the JSON of a result has no field for."""
    for note in getattr(result, "differences", ()):
        sys.stderr.write(f"{note}\n")


def _show(result: Any, request: Request) -> None:
    from actions.show import show

    show(result, command=_command(request), output=request.output)


def _show_next(results: list[Any], config: Config, request: Request) -> None:
    from actions.show import show_next

    show_next(results, config=config, command=_command(request))


def _command(request: Request) -> str:
    """The beginning of a further call on the same configuration and stack."""
    parts = ["python", "run.py"]
    if request.config is not None:
        parts += ["--config", str(request.config)]
    for assignment in request.assignments:
        parts += ["--set", assignment]
    if request.stack is not None:
        parts += ["--stack", request.stack]
    return shlex.join(parts)
