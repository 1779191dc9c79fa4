"""What monitoring said of a model's traffic before, and whether an alarm was confirmed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, get_args

from materializers.drift_report import DriftReport
from materializers.errors import DamagedArtifact, ServiceUnreachable
from materializers.release import Environment
from steps.past_runs import past_runs
from steps.run_tags import environment_tag, model_tag

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

PIPELINE, OUTPUT = "monitoring", "drift_report"
LOOKED_THROUGH = 10
SETTLED = timedelta(days=1)
"""A window ends at most so long before it is looked at."""
AHEAD = timedelta(minutes=5)
"""Clocks of machines differ by less."""

logger = logging.getLogger("shutterline.monitoring")


@dataclass(frozen=True)
class Alarm:
    """One kind of alarm; called with a report, it says whether that raises it, None where it cannot be told.

    Args:
        judge: that.
        since: when the window begins that it is about.
    """

    judge: Callable[[DriftReport], bool | None]
    since: Callable[[DriftReport], datetime]

    def __call__(self, report: DriftReport) -> bool | None:
        """Whether a report raises it."""
        return self.judge(report)


def _drifted(report: DriftReport) -> bool | None:
    return None if report.outcome == "insufficient data" else report.outcome == "drift"


def _dropped(report: DriftReport) -> bool | None:
    outcome = report.performance.outcome
    return None if outcome == "insufficient data" else outcome == "drop"


def _declined(report: DriftReport) -> bool | None:
    business = report.business
    if business is None or business.outcome == "insufficient data":
        return None
    return business.outcome == "drop"


def _labels_since(report: DriftReport) -> datetime:
    return report.performance.since or report.captured.since


drifted = Alarm(_drifted, lambda report: report.captured.since)
"""The traffic of a window has drifted."""
dropped = Alarm(_dropped, _labels_since)
"""The accuracy has dropped, of the answers whose labels count."""
declined = Alarm(_declined, _labels_since)
"""What the same answers were worth has dropped."""


def past_reports(
    model_name: str, environment: Environment, *, since: datetime, before: datetime | None = None
) -> list[DriftReport]:
    """The reports on an environment's windows that ended since then, the newest window first.

    One that is damaged or gone, or on a window that ends in the future, is left out, with a word in the log.

    Args:
        model_name: the registered model.
        environment: where it served.
        since: the first moment, with its time zone.
        before: the last moment; None: now.

    Raises:
        ServiceUnreachable: the artifact store does not give one.
    """
    last = datetime.max.replace(tzinfo=UTC) if before is None else before
    looked = None if before is None else before + SETTLED
    found = [
        report
        for run in past_runs(model_name, PIPELINE, since=since)
        if looked is None or run.created.replace(tzinfo=UTC) <= looked
        if (report := _report_of(run)) is not None
    ]
    wanted = [each for each in found if each.captured.environment == environment]
    return sorted(
        (each for each in wanted if since <= each.captured.until <= last),
        key=lambda each: each.captured.until,
        reverse=True,
    )


def last_reports(model_name: str) -> dict[Environment, DriftReport]:
    """The report of the newest look at each environment, of its last :data:`LOOKED_THROUGH` looks.

    However often the other environment is looked at.
    """
    from zenml.client import Client

    found: dict[Environment, DriftReport] = {}
    for environment in get_args(Environment):
        runs = Client().list_pipeline_runs(
            tags=[model_tag(model_name), environment_tag(environment)],
            pipeline_name=PIPELINE,
            sort_by="desc:created",
            size=LOOKED_THROUGH,
            hydrate=True,
        )
        reports = (_report_of(run) for run in runs)
        newest = next((report for report in reports if report is not None), None)
        if newest is not None:
            found[environment] = newest
    return found


def newest_told(
    model_name: str, environment: Environment, alarms: Mapping[str, Alarm], *, since: datetime
) -> dict[str, DriftReport]:
    """The report of the newest look at an environment that could tell whether an alarm is raised, by alarm.

    Args:
        model_name: the registered model.
        environment: where it served.
        alarms: which, by name.
        since: looks before that are left out, as is an alarm that none since then could tell of.

    Raises:
        ServiceUnreachable: the artifact store does not give one.
    """
    found: dict[str, DriftReport] = {}
    for run in past_runs(model_name, PIPELINE, since=since, environment=environment):
        report = _report_of(run)
        if report is not None:
            told = [name for name, alarm in alarms.items() if alarm(report) is not None]
            found |= {name: report for name in told if name not in found}
        if len(found) == len(alarms):
            break
    return found


def confirmed(reports: Sequence[DriftReport], alarm: Alarm) -> tuple[DriftReport, DriftReport] | None:
    """The two alarms that confirm each other: in a row, on windows that do not overlap.

    A window of which nothing could be said neither confirms nor ends a row; one without the alarm ends it,
    and so does another model.

    Args:
        reports: of one environment, the newest window first.
        alarm: which alarm.

    Returns:
        The newer and the older report; None where the newest alarm, if any, stands alone.
    """
    newest: DriftReport | None = None
    for report in reports:
        raised = alarm(report)
        if raised is None:
            continue
        if not raised:
            return None
        if newest is None:
            newest = report
        elif report.captured.model_digest != newest.captured.model_digest:
            return None
        elif report.captured.until <= alarm.since(newest):
            return newest, report
    return None


def _report_of(run: PipelineRunResponse) -> DriftReport | None:
    step_run = run.steps.get("assess")
    found = step_run.outputs.get(OUTPUT) if step_run is not None else None
    try:
        report = found[0].load() if found else None
    except (DamagedArtifact, FileNotFoundError) as error:
        # A store that refuses or does not answer is no store without the report: what it says is missed.
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
            raise ServiceUnreachable(
                f"What monitoring said in run {run.name} is not known: {error}"
            ) from error
        logger.warning("What monitoring said in run %s is left out: %s", run.name, error)
        return None
    if not isinstance(report, DriftReport):
        return None
    if report.captured.until > datetime.now(UTC) + AHEAD:
        until = f"{report.captured.until:%Y-%m-%d %H:%M} UTC"
        logger.warning("What monitoring said in run %s is left out: a clock was ahead, %s", run.name, until)
        return None
    return report
