"""Carry out what the flags of ``run.py`` ask, in their fixed order, up to the first non-zero exit code."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actions.interrupts import noted_interrupts
from actions.request import CHANGES_DATA, Request, check_flags
from materializers.redaction import visible

if TYPE_CHECKING:
    from actions.result import ActionResult
    from materializers.release import Release
    from pipelines.config import Config
    from pipelines.results import PipelineResult

INTERRUPTED = 130
PIPELINES = {
    "train": "training",
    "deploy": "deployment",
    "observe": "deployment",
    "continuous": "continuous",
    "infer": "inference",
    "monitor": "monitoring",
    "reproduce": "reproduction",
}
"""The pipeline that carries an act out, by the act's flag."""
WAITED_FOR = ("deploy", "observe")
"""What --wait waits for the end of."""
SCHEDULE_ACTS = frozenset({"pause", "unschedule", "schedules", "scheduler"})
DATA_ACTS = CHANGES_DATA | {"data-diff", "export-uncertain"}
LOOKS = frozenset({"status", "why", "audit", "lineage"})
ALWAYS_ALLOWED = LOOKS | {"rollback", "stop"} | SCHEDULE_ACTS | DATA_ACTS
"""Acts that a difference between registry and deployer does not stop: one mends it so, or has to do nothing
with it."""
WITHOUT_REGISTRY = ALWAYS_ALLOWED - {"status"}
"""Acts before which nobody looks for versions that wait: they go on where the registry is down, at once."""
WITHOUT_DEPLOYER = ALWAYS_ALLOWED | {"reject"}
"""Acts that go on where nobody can read what is live; a difference that is read stops a rejection."""


@dataclass
class Account:
    """What the acts of one call came to so far, and which of them is under way, or the first to be."""

    act: str
    results: list[Any] = field(default_factory=list)
    begun: bool = False
    """Whether any of them was begun."""


class Visible(logging.Formatter):
    """Writes what is logged so that a terminal shows all of it and obeys none of it, each command in full."""

    def __init__(self, request: Request) -> None:
        """Take the call whose ``--config``, ``--set`` and ``--stack`` the commands need."""
        super().__init__("%(message)s")
        self._request = request

    def format(self, record: logging.LogRecord) -> str:
        """The line, escaped as everything that is printed."""
        return visible(_in_full(super().format(record), self._request))


def execute(request: Request) -> int:
    """Do what is asked, print it for a person or as one JSON object, and return the exit code."""
    _prepare_environment(request)
    _prepare_streams()
    account = Account(act=next(iter(request.wanted), "run"))
    # Whatever a library prints goes to standard error, so that standard output is the results alone.
    with contextlib.redirect_stdout(sys.stderr):
        exit_code = _answer(request, account)
    if request.as_json:
        entries = [_entry(result, request) for result in account.results]
        exit_code = _print_json({"results": entries}, exit_code)
    return exit_code


def _entry(result: Any, request: Request) -> dict[str, Any]:
    """A result's entry in ``results``, the commands in its reasons as the caller would have to type them."""
    entry: dict[str, Any] = result.model_dump(mode="json")
    if "reasons" in entry:
        entry["reasons"] = [_in_full(reason, request) for reason in entry["reasons"]]
    for each in entry.get("waiting", ()):
        each["reason"] = _in_full(each["reason"], request)
    return entry


def _print_json(answer: dict[str, Any], exit_code: int) -> int:
    """Write the answer to standard output; what was done stays done where that takes nothing."""
    try:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        sys.stdout.flush()
    except OSError as error:
        _tell(f"Standard output cannot be written ({error}); the work ended with {exit_code}.")
        # What is still buffered must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_code or 1
    return exit_code


def _tell(text: str) -> None:
    """Write lines for a person to standard error; see also :func:`actions.show.show`."""
    sys.stderr.write(f"{visible(text)}\n")


def _prepare_environment(request: Request) -> None:
    """Set what must be set before ZenML is imported."""
    # `uv` lies beside this Python; with it on PATH ZenML lists packages in 0.1 s instead of 3.5 s.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # Waiting OpenMP threads must sleep: spinning, they take three times the CPU on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("ZENML_ANALYTICS_OPT_IN", "false")
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "ERROR")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # Seven, with waits that double, would leave a person at the terminal for four minutes, and a server that
    # takes a question and never answers it for two minutes a question.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Visible(request))
    log = logging.getLogger("shutterline")
    # It would print a traceback for each call that a database does not take; what is raised is one line here.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


def _prepare_streams() -> None:
    """Print whatever a name or a message holds, on any terminal; a stream that was closed takes nothing."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.__stdout__, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _answer(request: Request, account: Account) -> int:
    with noted_interrupts() as interrupts:
        exit_code = _attempt(request, account)
    # A library may have made a fault of its own of it, as C++ modules do that are just being imported.
    if exit_code == 1 and interrupts:
        return _explain_interruption(request, account)
    return exit_code


def _explain_interruption(request: Request, account: Account) -> int:
    goes_on = "the same command goes on, steps that ended are kept"
    said = f"Interrupted; {goes_on}. See what is live: python run.py --status"
    _explain(said, request, account, INTERRUPTED)
    return INTERRUPTED


def _attempt(request: Request, account: Account) -> int:
    from materializers.errors import ShutterlineError

    try:
        return _carry_out(request, account)
    except KeyboardInterrupt:
        return _explain_interruption(request, account)
    except ShutterlineError as error:
        _explain(str(error), request, account, error.exit_code)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear line, whatever it was
        from pipelines.results import exit_code_of, reason_of

        exit_code = exit_code_of(f"{type(error).__module__}.{type(error).__qualname__}")
        if exit_code == 1 and os.environ.get("SHUTTERLINE_DEBUG"):
            _tell(traceback.format_exc())
        line = reason_of(str(error)) or type(error).__name__
        hint = "" if exit_code != 1 else " (SHUTTERLINE_DEBUG=1 shows where)"
        _explain(f"{type(error).__name__}: {line}{hint}", request, account, exit_code)
        return exit_code


def _explain(message: str, request: Request, account: Account, exit_code: int) -> None:
    _tell(_in_full(message, request))
    if account.begun:
        _say_left_out(request.wanted, account.act)
    account.results.append(_fault(account.act, message, exit_code))


def _fault(act: str, reason: str, exit_code: int) -> ActionResult | PipelineResult:
    """The entry of an act that ended early; a pipeline's has a pipeline's fields, also where no run began."""
    if act in PIPELINES:
        from pipelines.results import PipelineResult

        return PipelineResult.of_fault(PIPELINES[act], reason, exit_code)
    from actions.result import ActionResult

    return ActionResult.of_fault(act, reason, exit_code)


def _carry_out(request: Request, account: Account) -> int:
    check_flags(request)
    from actions.logged import LOG_THEMSELVES, log_act, require_signer
    from pipelines.config import load_config
    from pipelines.session import prepare

    config = load_config(request.config, request.assignments)
    prepare(request.stack)
    finished = _put_in_order(
        config,
        always_allowed=ALWAYS_ALLOWED.issuperset(request.wanted),
        without_deployer=WITHOUT_DEPLOYER.issuperset(request.wanted),
        registry=not WITHOUT_REGISTRY.issuperset(request.wanted),
        rejected=request.reject,
        say=lambda text: _tell(_in_full(text, request)),
    )
    for name in request.wanted:
        account.act, account.begun = name, True
        if name != "collect" or request.apply:  # which only looks
            require_signer("schedule" if request.schedule is not None and name in PIPELINES else name)
        with _exclusive(name, request):
            result = _acts(request, config, finished)[name]()
        if request.wait and name in WAITED_FOR:
            result = _waited_for(result, request, config)
        account.results.append(result)
        if name not in LOG_THEMSELVES:
            log_act(result, model=config.product.model, by=request.by or "", reason=request.reason or "")
        if name == "train" and request.version is None and request.schedule is None:
            request = replace(request, version=result.version)
        if request.as_json:
            _say_beside(result, request)
        else:
            _show(result, request)
        if result.exit_code:
            if not request.as_json:
                _show_next([result], config, request)
            _say_left_out(request.wanted, name)
            return int(result.exit_code)
    if not request.as_json:
        _show_next(account.results, config, request)
    return 0


def _put_in_order(
    config: Config,
    *,
    always_allowed: bool,
    without_deployer: bool,
    registry: bool,
    rejected: int | None,
    say: Callable[[str], None],
) -> list[Release]:
    """Close dead runs, look for what people are to be told, record pending releases and return those.

    A difference between registry and deployer stops it.

    Acts that are always allowed are told of every fault here and stopped by none; one that needs no deployer
    is stopped by a difference alone.

    A dead run that cannot be closed now is left to the next command, which says so, too.

    Raises:
        Refused: they disagree, and what was asked is not how one mends that.
        ServiceUnreachable: a pending release cannot be recorded.
    """
    from actions.status import differences
    from materializers.errors import Refused, ShutterlineError
    from pipelines.notification import look_around
    from pipelines.session import close_dead_runs
    from steps.deployment.conclude import finish_pending

    try:
        for name in close_dead_runs():
            say(f"Run {name} was closed: nobody carries it any more.")
    except ShutterlineError as error:
        say(str(error))
    look_around(config, registry=registry)
    about_to = None if rejected is None else (config.product.model, rejected)
    finished = finish_pending(keep_going=without_deployer, say=say, rejected=about_to)
    found: list[str] = []
    if not always_allowed:
        # What keeps it from being read was told with what is pending.
        with contextlib.suppress(*((ShutterlineError,) if without_deployer else ())):
            found = differences(config.product.model)
    if found:
        raise Refused(" ".join(found))
    return finished


def _waited_for(result: PipelineResult, request: Request, config: Config) -> PipelineResult:
    """What a rollout came to in the end; other runs get their turn between two looks."""
    from actions.wait import wait_for_end

    def look() -> PipelineResult:
        with _exclusive("observe", request):
            looked: PipelineResult = _pipelines(request, config)["observe"]()
        return looked

    def say(text: str) -> None:
        _tell(_in_full(text, request))

    seconds = config.deployment.wait_seconds
    return wait_for_end(result, look, model=config.product.model, seconds=seconds, say=say)


@contextlib.contextmanager
def _exclusive(name: str, request: Request) -> Iterator[None]:
    """Hold the run lock for pipelines that run now and what changes or copies data; no other act waits."""
    from pipelines.session import one_run_at_a_time

    runs = name in PIPELINES and request.schedule is None and request.compile is None
    # A reference is made of pictures, which an erasure must not miss on their way into it.
    waits = name in CHANGES_DATA or name == "rebase-reference"
    with one_run_at_a_time(f"--{name}") if runs or waits else contextlib.nullcontext():
        yield


def _acts(request: Request, config: Config, finished: list[Release]) -> dict[str, Callable[[], Any]]:
    """What each flag does; ``finished`` are the pending releases that this command found and recorded."""
    return {
        **_pipelines(request, config),
        **_decisions(request, config, finished),
        **_upkeep(request, config),
        **_looks(request, config),
    }


def _pipelines(request: Request, config: Config) -> dict[str, Callable[[], Any]]:
    """Those that run a pipeline, or keep a schedule of it."""
    from actions.schedules import as_kept
    from pipelines import launch
    from pipelines.scheduling import Repetition

    repetition = None
    if request.schedule is not None:
        repetition = Repetition(cron=request.schedule, command=request.repeated)
    how = launch.How(
        cache=False if request.no_cache else None,
        repetition=repetition,
        compile_to=request.compile,
        look=request.look,
    )
    environment, source, data = request.environment, request.source, request.data

    def kept(result: PipelineResult) -> Any:
        return as_kept(result, model=config.product.model) if repetition else result

    def infer() -> Any:
        asked, output = request.input or "", request.output or ""
        return kept(launch.infer(config, environment=environment, source=asked, output=output, how=how))

    def deploy() -> Any:
        return kept(launch.deploy(config, environment=environment, version=request.version, how=how))

    return {
        "train": lambda: kept(launch.train(config, source=source, data=data, how=how)),
        "deploy": deploy,
        "observe": lambda: launch.observe(config, environment=environment, how=how),
        "continuous": lambda: kept(launch.retrain(config, source=source, data=data, how=how)),
        "infer": infer,
        "monitor": lambda: kept(launch.monitor(config, environment=environment, how=how)),
        "reproduce": lambda: kept(launch.reproduce(config, version=request.reproduce or 0, how=how)),
    }


def _decisions(request: Request, config: Config, finished: list[Release]) -> dict[str, Callable[[], Any]]:
    """Those that are a person's word, and go into the audit log."""
    from actions import approve as versions
    from actions.approve_change import approve_change
    from actions.forget import forget
    from actions.rebase_reference import rebase_reference
    from actions.release_brake import release_brake
    from actions.rollback import roll_back
    from actions.set_baseline import set_baseline
    from actions.stop import stop

    environment = request.environment
    by, reason = (request.by or "").strip(), (request.reason or "").strip()

    def decide(version: int | None, decision: versions.Decision) -> Any:
        return versions.decide_version(config, version=version or 0, decision=decision, by=by, reason=reason)

    return {
        "approve": lambda: decide(request.approve, "approved"),
        "reject": lambda: decide(request.reject, "rejected"),
        "approve-change": lambda: approve_change(
            config, digest=request.approve_change or "", by=by, reason=reason
        ),
        "release-brake": lambda: release_brake(config, by=by),
        "rollback": lambda: roll_back(config, environment, finished=finished, by=by, reason=reason),
        "rebase-reference": lambda: rebase_reference(config, environment, by=by, reason=reason),
        "set-baseline": lambda: set_baseline(config, version=request.set_baseline or 0),
        "forget": lambda: forget(request.photos, by=by, reason=reason),
        "stop": lambda: stop(config.product.model, by=by, reason=reason),
    }


def _upkeep(request: Request, config: Config) -> dict[str, Callable[[], Any]]:
    """Those that keep stored data and schedules in order."""
    from actions import schedules, timetable
    from actions.collect import collect
    from actions.compact import compact
    from actions.readmit import readmit
    from actions.scheduler import run_scheduler

    timetabled = timetable.apply_timetable if request.apply else timetable.list_with_plan
    return {
        "readmit": lambda: readmit(config, request.readmit or ""),
        "compact": compact,
        "collect": lambda: collect(config, apply=request.apply),
        "pause": lambda: schedules.pause_schedule(request.pause or ""),
        "unschedule": lambda: schedules.unschedule(request.unschedule or ""),
        "schedules": lambda: timetabled(config, request),
        "scheduler": lambda: run_scheduler(config),
    }


def _looks(request: Request, config: Config) -> dict[str, Callable[[], Any]]:
    """Those that change nothing."""
    from actions.audit import audit
    from actions.data_diff import compare_data
    from actions.export_uncertain import export_uncertain
    from actions.lineage import show_lineage
    from actions.predict import predict_photos
    from actions.status import read_status
    from actions.why import tell_why
    from steps.deployment.deployer import active_deployer

    environment = request.environment
    return {
        "data-diff": lambda: compare_data(*(request.data_diff or ("", ""))),
        "export-uncertain": lambda: export_uncertain(config, request.export_uncertain or "", environment),
        "predict": lambda: predict_photos(config, request.photos, environment),
        "status": lambda: read_status(config),
        "why": lambda: tell_why(config, request.why or ""),
        "lineage": lambda: show_lineage(config, request.lineage or 0),
        "audit": lambda: audit(config.product.model, active_deployer().trusted_keys()),
    }


def _say_left_out(wanted: list[str], ended: str) -> None:
    """Say which acts were asked for and not begun, because the one before them did not end well."""
    left = wanted[wanted.index(ended) + 1 :]
    if left:
        _tell(f"Not done, because of this: {', '.join(f'--{name}' for name in left)}")


def _say_beside(result: Any, request: Request) -> None:
    """Say on standard error what the JSON of a result has no field for."""
    for note in getattr(result, "differences", ()):
        _tell(_in_full(note, request))


def _show(result: Any, request: Request) -> None:
    from actions.show import show

    show(result, command=_command(request), output=request.output)


def _show_next(results: list[Any], config: Config, request: Request) -> None:
    from actions.show import show_next

    show_next(results, config=config, command=_command(request))


def _in_full(text: str, request: Request) -> str:
    from actions.result import in_full

    return in_full(text, _command(request))


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
