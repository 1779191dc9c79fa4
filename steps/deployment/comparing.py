"""Compare what is rolling out with the champion, on what was captured since its present share began."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from zenml.client import Client

from materializers.ab_report import AbReport
from materializers.errors import DamagedArtifact
from materializers.observation import Observation
from materializers.release import Arm, Release
from materializers.shadow_report import ShadowReport
from steps.data.class_changes import NO_CHANGES, ClassChanges
from steps.deployment.observing.outcomes import CAPTURED
from steps.deployment.settings import DeploymentSettings
from steps.run_tags import model_tag

if TYPE_CHECKING:
    import pandas as pd

LOOKED_THROUGH = 10
"""Of the latest runs, for the last look at a rollout."""
COMPARISON = "comparison"
"""The output of the step ``observe``."""


@dataclass(frozen=True)
class Comparison:
    """What was compared.

    Args:
        observation: what should become of the candidate, and why.
        ab_report: of an A/B test.
        shadow_report: of a shadow.
    """

    observation: Observation
    ab_report: AbReport | None = None
    shadow_report: ShadowReport | None = None


def compare(
    rolling: Release, settings: DeploymentSettings, changes: ClassChanges = NO_CHANGES, *, now: datetime
) -> Comparison | None:
    """What should become of a candidate by its answers and the champion's, with the figures over time.

    The same records give the same answer whenever it is asked, so that whoever was killed loses nothing.

    Args:
        rolling: with its present share since ``stage_since``.
        settings: how sure one has to be.
        changes: of classes: whatever an answer or a label calls one, it counts under today's name.
        now: with a time zone.

    Returns:
        None for a release that says neither since when, nor beside what.

    Raises:
        ServiceUnreachable: the artifact store does not answer.
    """
    from steps.deployment.observing.ab import report_ab
    from steps.deployment.observing.ab_pictures import ab_pictures
    from steps.deployment.observing.observation import observe_rollout
    from steps.deployment.observing.pictures import rollout_pictures
    from steps.deployment.observing.shadow import observe_shadow
    from steps.monitoring.traffic.captures import UNREADABLE, read_captures, read_feedback

    name, where, since = rolling.model_name, rolling.environment, rolling.stage_since
    champion, candidate = rolling.champion, rolling.candidate
    if since is None or champion is None or candidate is None:
        return None
    about = (*CAPTURED, "model_version", "model_digest")
    captures = read_captures(name, where, since=since, until=now, columns=about)
    feedback = read_feedback(name, where, since=since, until=now)
    unreadable = (*captures.attrs[UNREADABLE], *feedback.attrs[UNREADABLE])
    captures, feedback = (
        rows.assign(label=rows["label"].replace(changes.renamed)) for rows in (captures, feedback)
    )

    def of(arm: Arm) -> pd.DataFrame:
        same = (captures["model_version"] == str(arm.version)) & (
            captures["model_digest"] == arm.model_digest
        )
        return captures[same]

    given = (rolling, of(champion), of(candidate), feedback, settings.observe)
    if rolling.mode == "shadow":
        observation, shadow = observe_shadow(*given, now=now, unreadable=unreadable)
        return Comparison(observation, shadow_report=shadow)
    stages = len(settings.of(where).stages) if rolling.mode == "canary" else 1
    observation = observe_rollout(*given, now=now, stages=stages, unreadable=unreadable)
    observation = observation.with_pictures(rollout_pictures(observation))
    if rolling.mode != "ab":
        return Comparison(observation)
    report = report_ab(*given, now=now, unreadable=unreadable)
    return Comparison(observation, ab_report=report.with_pictures(ab_pictures(report)))


def last_observation(rolling: Release) -> Observation | None:
    """What the last look at this rollout, at its present share, came to; None where there was none yet."""
    runs = Client().list_pipeline_runs(
        tags=model_tag(rolling.model_name), sort_by="desc:created", size=LOOKED_THROUGH, hydrate=True
    )
    for run in runs:
        step_run = run.steps.get("observe")
        found = step_run.outputs.get(COMPARISON) if step_run is not None else None
        try:
            observation = found[0].load() if found else None
        except (DamagedArtifact, OSError):  # the next look makes another
            continue
        if isinstance(observation, Observation) and _is_about(observation, rolling):
            return observation
    return None


def _is_about(observation: Observation, rolling: Release) -> bool:
    return (observation.environment, observation.begin) == (rolling.environment, rolling.stage_since)
