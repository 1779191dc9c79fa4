"""What ZenML, the registry and the deployer know, as figures for Prometheus; one function a source.

Each asks through the functions that pipelines and actions ask with, and may raise anything: who calls them
says that the source cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from prometheus_client.core import GaugeMetricFamily

from materializers.release import Environment

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

    from materializers.drift_report import DriftReport
    from materializers.schedule import Schedule

PIPELINES = ("training", "deployment", "continuous", "inference", "monitoring")
REPORTS_OF = timedelta(days=35)
"""A report that is older says nothing of today."""
RUNS_FOR = timedelta(hours=6)
"""A look that began so long before the last reading may have ended since."""

DRIFT, DROP = "drift", "drop"

Families: TypeAlias = list[GaugeMetricFamily]
Labels: TypeAlias = Mapping[str, str]


def gauge(name: str, says: str, rows: Iterable[tuple[Labels, float | None]]) -> GaugeMetricFamily:
    """A gauge with a row for each set of labels that has a value; all rows have the same labels."""
    found = [(labels, value) for labels, value in rows if value is not None]
    family = GaugeMetricFamily(f"shutterline_{name}", says, labels=list(found[0][0]) if found else ())
    for labels, value in found:
        family.add_metric(list(labels.values()), float(value))
    return family


def read_runs(model_name: str) -> Families:
    """The last run of each pipeline: how it ended, and when."""
    from zenml.client import Client

    from pipelines.results import was_refused

    last: dict[str, PipelineRunResponse] = {}
    for pipeline in PIPELINES:
        runs = Client().list_pipeline_runs(
            tags=f"model:{model_name}", pipeline_name=pipeline, sort_by="desc:created", size=1, hydrate=True
        )
        if runs.items:
            last[pipeline] = runs.items[0]
    about = {pipeline: {"model_name": model_name, "pipeline": pipeline} for pipeline in last}
    return [
        gauge(
            "last_run_info",
            "1, with the status of the last run of a pipeline",
            [
                ({**about[name], "status": "refused" if was_refused(run) else str(run.status.value)}, 1)
                for name, run in last.items()
            ],
        ),
        gauge(
            "last_run_start_timestamp_seconds",
            "When the last run of a pipeline began",
            [(about[name], _moment(run.start_time)) for name, run in last.items()],
        ),
        gauge(
            "last_run_end_timestamp_seconds",
            "When the last run of a pipeline ended",
            [(about[name], _moment(run.end_time)) for name, run in last.items()],
        ),
    ]


class MonitoringReports:
    """The last report on each environment; it is loaded again only when there is another run.

    Of drift and of a drop of the accuracy the last one that could tell: a window with too few pictures or
    labels is no end of either.
    """

    def __init__(self) -> None:
        self._seen: Any = None
        self._read_at: datetime | None = None
        self._reports: list[DriftReport] = []
        self._told: dict[tuple[Environment, str], DriftReport] = {}

    def read(self, model_name: str) -> Families:
        """Drift by signal, accuracy and coverage of the last window of each environment."""
        from zenml.client import Client

        runs = Client().list_pipeline_runs(
            tags=f"model:{model_name}", pipeline_name="monitoring", sort_by="desc:created", size=1
        )
        seen = [(run.id, run.status) for run in runs.items]
        now = datetime.now(UTC)
        since = now - REPORTS_OF
        if seen != self._seen:
            self._load(model_name, since if self._read_at is None else max(since, self._read_at - RUNS_FOR))
            self._seen, self._read_at = seen, now
        recent = [each for each in self._reports if each.captured.until >= since]
        told = {about: each for about, each in self._told.items() if each.captured.until >= since}
        return list(_of_reports(recent, told))

    def _load(self, model_name: str, since: datetime) -> None:
        from steps.monitoring.history import drifted, dropped, last_reports, newest_told

        newest, alarms = last_reports(model_name), {DRIFT: drifted, DROP: dropped}
        for environment in get_args(Environment):
            told = newest_told(model_name, environment, alarms, since=since)
            self._told |= {(environment, name): report for name, report in told.items()}
        self._reports = list(newest.values())


def _of_reports(
    reports: list[DriftReport], told: Mapping[tuple[Environment, str], DriftReport]
) -> Iterable[GaugeMetricFamily]:
    """The figures of the newest reports; of an alarm those of the newest that could tell, where one could."""

    def one(name: str, says: str, value: Callable[[DriftReport], float | None]) -> GaugeMetricFamily:
        return gauge(f"monitoring_{name}", says, [(_about(report), value(report)) for report in reports])

    def stated(name: str, says: str, alarm: str, value: Callable[[DriftReport], str]) -> GaugeMetricFamily:
        judged = [told.get((report.captured.environment, alarm), report) for report in reports]
        rows = [({**_about(report), "outcome": value(report)}, 1) for report in judged]
        return gauge(f"monitoring_{name}", says, rows)

    def signals(name: str, says: str, field: str) -> GaugeMetricFamily:
        rows = [
            ({**_about(report), "signal": signal.name}, getattr(signal, field))
            for report in reports
            for signal in report.signals
        ]
        return gauge(f"drift_signal_{name}", says, rows)

    yield stated(
        "outcome",
        "1, with the outcome of the last window that could be judged",
        DRIFT,
        lambda report: report.outcome,
    )
    yield stated(
        "performance",
        "1, with what the labels of the last window with enough of them came to",
        DROP,
        lambda report: report.performance.outcome,
    )
    yield one("accuracy", "On labels that came", lambda report: report.performance.accuracy.value)
    yield one("accuracy_low", "Of its interval of 95 %", lambda report: report.performance.accuracy.low)
    yield one("accuracy_high", "Of its interval of 95 %", lambda report: report.performance.accuracy.high)
    yield one("accuracy_baseline", "That it is compared with", lambda report: report.performance.baseline)
    yield one("label_coverage", "Share of answers with a label", lambda report: report.performance.coverage)
    yield one("predictions", "Pictures of the last window", lambda report: report.captured.pictures)
    yield one("drift_share", "Share of the compared signals that drift", lambda report: report.drift_share)
    yield one(
        "until_timestamp_seconds",
        "When the last window ended",
        lambda report: report.captured.until.timestamp(),
    )
    yield signals("value", "Distance to the reference", "value")
    yield signals("threshold", "Above which it is drift", "threshold")
    rows = [
        ({**_about(report), "signal": signal.name, "outcome": signal.outcome}, 1)
        for report in reports
        for signal in report.signals
    ]
    yield gauge("drift_signal_outcome", "1, with the outcome of a signal in the last window", rows)


def read_registry(model_name: str) -> Families:
    """How old what is live is, and whether a version waits for a person."""
    from materializers.evidence import read_versions
    from steps.deployment.deployer import active_deployer
    from steps.monitoring.alerts.waiting import waiting_version

    known = read_versions(model_name)
    versions = {entry.version: entry for entry in known}
    live = {
        release.environment: release.candidate.version
        for release in active_deployer().live()
        if release.model_name == model_name and release.candidate is not None
    }
    return [
        gauge(
            "live_version_registered_timestamp_seconds",
            "When the version was registered that is live",
            [
                (
                    {
                        "environment": environment,
                        "model_name": model_name,
                        "model_version": str(version),
                    },
                    versions[version].created.timestamp() if version in versions else None,
                )
                for environment, version in sorted(live.items())
            ],
        ),
        gauge(
            "versions_waiting_for_approval",
            "1 where the newest version that passed since production's waits for a person, else 0",
            [({"model_name": model_name}, int(waiting_version(known) is not None))],
        ),
        gauge("versions", "Registered versions", [({"model_name": model_name}, len(versions))]),
    ]


def read_schedules(model_name: str) -> Families:
    """What is scheduled, and whether a process fires it; nothing where the stack keeps no schedules.

    Of the model's own: how often each environment is to be looked at, by the schedule that does it most
    often.
    """
    from steps.orchestrator import find_orchestrator

    orchestrator = find_orchestrator()
    if orchestrator is None:
        return []
    schedules, book = orchestrator.schedules(), orchestrator.book()
    active = [schedule for schedule in schedules if not schedule.paused]
    # Kubeflow fires by itself: there is no process to look for.
    alive = 1 if book is None else int(book.holder() is not None)
    return [
        gauge("schedules_active", "Schedules that are not paused", [({}, len(active))]),
        gauge("scheduler_up", "Whether what is scheduled is fired", [({}, alive)]),
        gauge(
            "schedule_next_timestamp_seconds",
            "When a schedule fires next",
            [({"schedule": schedule.name}, _moment(schedule.next_fire)) for schedule in active],
        ),
        *_of_looks(model_name, active, datetime.now(UTC)),
    ]


def _of_looks(model_name: str, active: list[Schedule], now: datetime) -> Families:
    """How often each environment is to be looked at, and since when."""
    from steps.monitoring.alerts.missing import is_of

    looks: dict[Environment, tuple[float, float | None]] = {}
    for schedule in active:
        if schedule.pipeline != "monitoring" or not is_of(schedule, model_name):
            continue
        length = between_fires(schedule, now)
        if schedule.environment is None or length is None:
            continue
        look = (length, _moment(schedule.since))
        looks[schedule.environment] = min(
            look, looks.get(schedule.environment, look), key=lambda each: each[0]
        )
    about = {each: {"environment": each, "model_name": model_name} for each in looks}
    return [
        gauge(
            "monitoring_period_seconds",
            "How far apart the looks at an environment are, by its schedule",
            [(about[each], length) for each, (length, _) in looks.items()],
        ),
        gauge(
            "monitoring_scheduled_timestamp_seconds",
            "From when on that schedule fires as it does",
            [(about[each], since) for each, (_, since) in looks.items()],
        ),
    ]


def between_fires(schedule: Schedule, now: datetime) -> float | None:
    """Seconds between two fires: the longer of the times before the last and before the next one.

    What fires on working days alone was not to look over a weekend that has just ended.
    """
    from materializers.schedule import period, previous_fire

    last = previous_fire(schedule.cron, now, schedule.time_zone)
    fires = [fire for fire in (last, schedule.next_fire) if fire is not None]
    lengths = [period(schedule.cron, fire, schedule.time_zone) for fire in fires]
    return max((length.total_seconds() for length in lengths if length is not None), default=None)


def _about(report: DriftReport) -> dict[str, str]:
    captured = report.captured
    return {
        "environment": captured.environment,
        "model_name": captured.model_name,
        "model_version": str(captured.version),
    }


def _moment(time: datetime | None) -> float | None:
    """In seconds since 1970; a time without a zone is ZenML's, in UTC."""
    if time is None:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
