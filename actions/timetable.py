"""Make the stack's schedules agree with the configuration: what differs, and what is done about it.

Only schedules that this made are changed or removed; they carry its mark. One that a person paused stays so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from actions.logged import log_act, require_signer
from actions.request import Request, check_flags
from actions.result import COMMAND, ActionResult
from actions.schedules import scheduler_missing
from materializers.audit_entry import Act
from materializers.audit_log import sound_entries
from materializers.errors import Refused, UsageError
from materializers.report import Record, json_digest
from materializers.schedule import Planned, Schedule, check_cron
from pipelines import launch
from pipelines.config import Config, load_config
from pipelines.results import PipelineResult
from pipelines.scheduling import Repetition, schedule_name
from pipelines.timetable import Scheduled, ScheduleSettings
from steps.data.watching import require_source
from steps.deployment.deployer import active_deployer
from steps.orchestrator import Orchestrator, active_orchestrator

FLAGS: dict[Scheduled, str] = {
    "training": "train",
    "deployment": "deploy",
    "continuous": "continuous",
    "inference": "infer",
    "monitoring": "monitor",
}
"""The flag of run.py that starts a pipeline once."""
LEARNING = ("training", "continuous")
ROWS = "schedules.rows"
SEEN = ("pipeline", "cron", "time_zone", "overlap", "missed")
"""What a schedule shows of how it was made."""
BY_THE_CONFIGURATION = "by the configuration"
FOUND = "found so, without an entry: what did it was cut off before it was logged, or was no command of ours"
"""Why, of what a call that was killed changed last."""
CHANGES_OF_SCHEDULES: tuple[Act, ...] = ("schedule", "unschedule")
CONTENT = "content"
"""Of an entry: the digest of what the configuration said."""
DONE = {"add": "added", "change": "changed", "remove": "removed"}


@dataclass(frozen=True)
class Row:
    """One row of the timetable as a call of run.py.

    Attributes:
        place: its key in the configuration.
        name: of its schedule.
        pipeline: its name.
        request: the flags that start it once.
        config: with the settings of its runs alone.
        repetition: when, and how it is fired.
    """

    place: str
    name: str
    pipeline: Scheduled
    request: Request
    config: Config
    repetition: Repetition


class Difference(Record):
    """What a schedule needs to agree with the configuration."""

    name: str
    act: Literal["add", "change", "remove"]
    why: tuple[str, ...] = ()

    @property
    def detail(self) -> str:
        """What differs, in brackets."""
        return f" ({'; '.join(self.why)})" if self.why else ""


def list_with_plan(config: Config, request: Request) -> ActionResult:
    """Every schedule of the active stack, and in what they are not as the configuration says.

    Raises:
        UsageError: the stack keeps no schedules.
        ServiceUnreachable: they cannot be read.
    """
    orchestrator = active_orchestrator()
    found = orchestrator.schedules()
    note = scheduler_missing(orchestrator, found)
    reasons = [note] if note else [] if found else ["There is no schedule."]
    differences: list[Difference] = []
    try:
        differences = compare(rows_of(config, request), found, model=config.product.model)
    except UsageError as error:
        reasons.append(f"The timetable of the configuration cannot be applied: {error}")
    reasons += [f"{each.name}: to {each.act}{each.detail}" for each in differences]
    if differences:
        reasons.append(f"To make the schedules those of the configuration: {COMMAND} --schedules --apply")
    return _result(found, differences, reasons)


def apply_timetable(config: Config, request: Request) -> ActionResult:
    """Add, change and remove schedules until they are as the configuration says; a second time does nothing.

    All of it is looked at before anything is changed. What an earlier call did and could not log, for it was
    killed, say, or the log was out of reach, is logged first.

    Raises:
        UsageError: a row cannot be meant, or its name is another schedule's; nothing was changed.
        Refused: nobody approved what a row would train; nothing was changed.
        ServiceUnreachable: the schedules cannot be read, changed or logged.
    """
    orchestrator, model = active_orchestrator(), config.product.model
    rows = {row.name: row for row in rows_of(config, request)}
    before = {schedule.name: schedule for schedule in orchestrator.schedules()}
    differences = compare(list(rows.values()), list(before.values()), model=model)
    for row in rows.values():
        _refuse_training(row)
    for each in differences:
        if each.act != "remove":
            _refuse_call(rows[each.name])
    unlogged = _unlogged(before, model)
    if differences or unlogged:
        require_signer("schedule")
    for name, schedule in unlogged.items():
        _log(name, schedule, model, reason=FOUND)
    reasons: list[str] = []
    for each in differences:
        if each.act == "remove":
            orchestrator.remove(each.name)
            _log(each.name, None, model)
        else:
            kept = _keep(rows[each.name], before.get(each.name))
            if kept.exit_code:
                reasons += [f"{rows[each.name].place}: {reason}" for reason in kept.reasons]
                return _result(orchestrator.schedules(), differences, reasons, kept)
            _log(each.name, _named(orchestrator, each.name), model)
        reasons.append(f"{each.name}: {DONE[each.act]}{each.detail}")
    found = orchestrator.schedules()
    note = scheduler_missing(orchestrator, found)
    reasons += [] if differences else ["The schedules are as the configuration says; nothing was changed."]
    return _result(found, differences, [*reasons, note] if note else reasons)


def rows_of(config: Config, request: Request) -> list[Row]:
    """The rows of the timetable that are enabled.

    Args:
        config: with the timetable.
        request: whose ``--config`` and ``--set`` each run is to have, too.

    Raises:
        UsageError: one cannot be meant; it is named.
    """
    orchestrator, rows = active_orchestrator(), []
    for key, settings in config.schedules.rows.items():
        if not settings.enabled:
            continue
        place = f"{ROWS}.{key}"
        try:
            once = _call_of(settings, config.schedules.source, request, place=place)
            repetition = _repetition(settings, config.schedules.time_zone, once)
            orchestrator.check_terms(repetition.terms)
            own = load_config(once.config, once.assignments)
            _refuse_other_model(own.product.model, config.product.model)
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
        model = own.product.model
        name = schedule_name(key, model)
        content = {"pipeline": settings.pipeline, **repetition.model_dump(mode="json")}
        if orchestrator.book() is None:
            # Who fires by itself fires what it was given: the configuration and the code of that moment.
            made_of = own.model_dump(mode="json", exclude={"schedules"})
            content["runs"] = [json_digest(made_of), launch.code_digest()]
        mark = Planned(model=model, content=json_digest(content))
        repetition = repetition.model_copy(update={"name": name, "planned": mark})
        rows.append(Row(place, name, settings.pipeline, once, own, repetition))
    return rows


def _call_of(settings: ScheduleSettings, source: str | None, request: Request, *, place: str) -> Request:
    """The call of run.py that a row stands for.

    Raises:
        UsageError: it would be refused.
    """
    flags = {"environment", "source", "data", "version", "input", "output"}
    given: dict[str, Any] = {FLAGS[settings.pipeline]: True, **settings.model_dump(include=flags)}
    if settings.pipeline in LEARNING and settings.source is settings.data is None:
        if source is None:
            raise UsageError(
                f"which deliveries? Set schedules.source or {place}.source to their folder or s3:// prefix, "
                f"or {place}.enabled to false"
            )
        given["source"] = source
    once = Request(
        **given,
        config=request.config,
        assignments=(*filter(_of_runs, request.assignments), *settings.settings),
    )
    check_flags(once)
    for place_of_pictures in (once.source, once.input):
        if place_of_pictures is not None:
            require_source(place_of_pictures)
    return once


def _refuse_other_model(own: str, model: str) -> None:
    """Refuse a row whose settings name another model: the timetable would not know its schedule again.

    Raises:
        UsageError: it does.
    """
    if own != model:
        raise UsageError(
            f"its settings set product.model to {own}, and this is the timetable of {model}: give {own} a "
            "timetable in a configuration of its own"
        )


def _of_runs(assignment: str) -> bool:
    """Whether a ``--set`` says anything to a run: none looks at the timetable."""
    return assignment.partition("=")[0].partition(".")[0].strip() != "schedules"


def _repetition(settings: ScheduleSettings, time_zone: str, once: Request) -> Repetition:
    """When a row is fired, and how.

    Raises:
        UsageError: it never is, or nobody knows the time zone.
    """
    zone = settings.time_zone or time_zone
    check_cron(settings.cron, zone)
    return Repetition(
        cron=settings.cron,
        time_zone=zone,
        overlap=settings.overlap,
        missed=settings.missed,
        command=once.repeated,
    )


def compare(rows: list[Row], found: list[Schedule], *, model: str) -> list[Difference]:
    """What makes the schedules those of the timetable, in the order in which it is done.

    Raises:
        UsageError: a row has the name of a schedule that the timetable of this model did not make.
    """
    there = {schedule.name: schedule for schedule in found}
    ours = {schedule.name for schedule in found if schedule.planned and schedule.planned.model == model}
    for row in rows:
        if row.name in there.keys() - ours:
            raise UsageError(
                f"{row.place}: there is a schedule {row.name} that the configuration of {model} "
                f"did not make: name the row otherwise, or remove it: {COMMAND} --unschedule {row.name}"
            )
    gone = sorted(ours - {row.name for row in rows})
    differences = [Difference(name=name, act="remove") for name in gone]
    for row in rows:
        if row.name not in there:
            differences.append(Difference(name=row.name, act="add"))
        elif why := tuple(_changes(row, there[row.name])):
            differences.append(Difference(name=row.name, act="change", why=why))
    return differences


def _changes(row: Row, schedule: Schedule) -> Iterator[str]:
    """In what a schedule is not as its row says."""
    wanted = {"pipeline": row.pipeline, **row.repetition.model_dump(include=set(SEEN))}
    seen = [name for name in SEEN if wanted[name] != getattr(schedule, name)]
    for name in seen:
        yield f"{name} {getattr(schedule, name)} → {wanted[name]}"
    if not seen and schedule.planned != row.repetition.planned:
        yield "what it runs"


def _refuse_training(row: Row) -> None:
    """Refuse what its pipeline would refuse before a run.

    Raises:
        UsageError: it cannot be trained so.
        Refused: nobody approved a change of kind.
    """
    if row.pipeline not in LEARNING:
        return
    try:
        refusal = launch.refusal_to_train(row.config)
    except UsageError as error:
        raise UsageError(f"{row.place}: {error}") from error
    if refusal is not None:
        raise Refused(f"{row.place}: {refusal}")


def _refuse_call(row: Row) -> None:
    """Refuse what its pipeline would refuse to be scheduled with.

    Raises:
        UsageError: there is no such version, nothing that could classify, or the output cannot be written.
        ServiceUnreachable: the registry cannot be read.
    """
    once = row.request
    try:
        if once.deploy:
            launch.check_deployment(row.config, once.version)
        if once.infer:
            launch.check_inference(
                row.config,
                once.environment,
                source=once.input or "",
                output=once.output or "",
                unattended=True,
            )
    except UsageError as error:
        raise UsageError(f"{row.place}: {error}") from error


def _keep(row: Row, before: Schedule | None) -> PipelineResult:
    """Put a row's schedule in the place of the one that there is, paused where that is."""
    once, config = row.request, row.config
    paused = before is not None and before.paused
    how = launch.How(repetition=row.repetition.model_copy(update={"paused": paused}))
    where: dict[str, Any] = {"environment": once.environment, "how": how}
    if once.train:
        return launch.train(config, source=once.source, data=once.data, how=how)
    if once.continuous:
        return launch.retrain(config, source=once.source, data=once.data, how=how)
    if once.deploy:
        return launch.deploy(config, version=once.version, **where)
    if once.infer:
        return launch.infer(config, source=once.input or "", output=once.output or "", **where)
    return launch.monitor(config, **where)


def _named(orchestrator: Orchestrator, name: str) -> Schedule:
    return next(schedule for schedule in orchestrator.schedules() if schedule.name == name)


def _unlogged(found: Mapping[str, Schedule], model: str) -> dict[str, Schedule | None]:
    """The schedules of a model's timetable that are not as the audit log has them; None: one that is gone.

    Args:
        found: every schedule there is, by name.
        model: whose.

    Raises:
        UsageError: the stack names no keys that count.
        ServiceUnreachable: the log cannot be read.
    """
    trusted = active_deployer().trusted_keys()
    entries = [
        entry for act in CHANGES_OF_SCHEDULES for entry in sound_entries(act, {"model": model}, trusted)
    ]
    logged = {entry.subject.get("name", ""): entry for entry in sorted(entries, key=lambda each: each.number)}
    missing: dict[str, Schedule | None] = {}
    for name, entry in logged.items():
        if entry.act == "schedule" and CONTENT in entry.subject and name not in found:
            missing[name] = None
    for name, schedule in found.items():
        if schedule.planned is None or schedule.planned.model != model:
            continue
        last = logged.get(name)
        content = last.subject.get(CONTENT) if last is not None and last.act == "schedule" else None
        if content != schedule.planned.content:
            missing[name] = schedule
    return missing


def _log(name: str, schedule: Schedule | None, model: str, *, reason: str = BY_THE_CONFIGURATION) -> None:
    """Write to the audit log how a schedule is now, with the digest that tells it again; None: gone."""
    act, details = "unschedule", {"name": name}
    if schedule is not None:
        content = schedule.planned.content if schedule.planned is not None else ""
        act, details = "schedules --apply", {**schedule.model_dump(mode="json"), CONTENT: content}
    done = ActionResult(action=act, status="done", details=details)
    log_act(done, model=model, by="", reason=reason)


def _result(
    found: list[Schedule],
    differences: list[Difference],
    reasons: list[str],
    refused: PipelineResult | None = None,
) -> ActionResult:
    details = {
        "schedules": [schedule.model_dump(mode="json") for schedule in found],
        "differences": [each.model_dump(mode="json") for each in differences],
    }
    if refused is not None:
        fault = ActionResult.of_fault("schedules", "", refused.exit_code)
        return fault.model_copy(update={"reasons": tuple(reasons), "details": details})
    return ActionResult(action="schedules", status="done", reasons=tuple(reasons), details=details)
