"""What ZenML, the registry and the deployer know, as figures for Prometheus; one function a source.

Each asks through the functions that pipelines and actions ask with, and may raise anything: who calls them
says that the source cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

    from materializers.drift_report import DriftReport

PIPELINES = ("training", "deployment", "continuous", "inference", "monitoring")
REPORTS_OF = timedelta(days=35)
"""A report that is older says nothing of today."""

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
    """The last report on each environment; it is loaded again only when there is another run."""

    def __init__(self) -> None:
        self._seen: Any = None
        self._families: Families = []

    def read(self, model_name: str) -> Families:
        """Drift by signal, accuracy and coverage of the last window of each environment."""
        from zenml.client import Client

        runs = Client().list_pipeline_runs(
            tags=f"model:{model_name}", pipeline_name="monitoring", sort_by="desc:created", size=1
        )
        seen = [(run.id, run.status) for run in runs.items]
        if seen != self._seen:
            self._families = list(_of_reports(_last_reports(model_name)))
            self._seen = seen
        return self._families


def _last_reports(model_name: str) -> list[DriftReport]:
    from materializers.release import Environment
    from steps.monitoring.history import past_reports

    environments: tuple[Environment, ...] = ("staging", "production")
    since = datetime.now(UTC) - REPORTS_OF
    return [
        report
        for environment in environments
        for report in past_reports(model_name, environment, since=since)[:1]
    ]


def _of_reports(reports: list[DriftReport]) -> Iterable[GaugeMetricFamily]:
    def one(name: str, says: str, value: Callable[[DriftReport], float | None]) -> GaugeMetricFamily:
        return gauge(f"monitoring_{name}", says, [(_about(report), value(report)) for report in reports])

    def stated(name: str, says: str, value: Callable[[DriftReport], str]) -> GaugeMetricFamily:
        rows = [({**_about(report), "outcome": value(report)}, 1) for report in reports]
        return gauge(f"monitoring_{name}", says, rows)

    def signals(name: str, says: str, field: str) -> GaugeMetricFamily:
        rows = [
            ({**_about(report), "signal": signal.name}, getattr(signal, field))
            for report in reports
            for signal in report.signals
        ]
        return gauge(f"drift_signal_{name}", says, rows)

    yield stated("outcome", "1, with the outcome of the last window", lambda report: report.outcome)
    yield stated(
        "performance",
        "1, with what the labels of the last window came to",
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
    """How old what is live is, and how many versions wait for a person."""
    from materializers.evidence import DECISION, read_versions
    from steps.deployment.deployer import active_deployer

    versions = {entry.version: entry for entry in read_versions(model_name)}
    live = {
        release.environment: release.candidate.version
        for release in active_deployer().live()
        if release.model_name == model_name and release.candidate is not None
    }
    in_production = live.get("production", 0)
    waiting = [
        entry
        for entry in versions.values()
        if entry.version > in_production
        and entry.tags.get("verdict") == "passed"
        and DECISION not in entry.tags
    ]
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
            "Versions that passed, newer than production's, of which nobody decided",
            [({"model_name": model_name}, len(waiting))],
        ),
        gauge("versions", "Registered versions", [({"model_name": model_name}, len(versions))]),
    ]


def read_schedules(_: str) -> Families:
    """What is scheduled, and whether a process fires it; nothing where the stack keeps no schedules."""
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
    ]


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
