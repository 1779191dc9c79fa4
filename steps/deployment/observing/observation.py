"""What should become of a release that rolls out, from what was captured since its stage began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializers.observation import Observation
from steps.deployment.observing.moments import moment, time_of
from steps.deployment.observing.outcomes import outcomes_of
from steps.deployment.observing.planning import make_plan
from steps.deployment.observing.reasons import left_out, missing_in, reasons_for
from steps.deployment.observing.replay import Replayed, Stage, replay, seen_until
from steps.deployment.observing.shadow import observe_shadow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

    from materializers.release import Release
    from steps.deployment.observing.settings import ObserveSettings


def observe_rollout(
    release: Release,
    champion: pd.DataFrame,
    candidate: pd.DataFrame,
    feedback: pd.DataFrame,
    settings: ObserveSettings,
    *,
    now: datetime,
    stages: int = 1,
    unreadable: Sequence[str] = (),
) -> Observation:
    """Say what should become of a canary, of the candidate of an A/B test, or of a shadow.

    A pure function: whoever asks again with the same records and a later ``now`` gets the same answer from
    the moment of the decision on.

    Args:
        release: as it is rolling out, with ``stage_since``.
        champion: what was captured of the champion since then, one row a picture; columns ``CAPTURED``.
        candidate: what was captured of the candidate.
        feedback: what was posted since then, columns ``POSTED`` of :mod:`steps.monitoring.traffic.labels`.
        settings: margins, error rates and policy.
        now: with a time zone.
        stages: how many shares the release goes through in all.
        unreadable: the parts of captures and feedback that could not be read; while there are any nothing is
            promoted, for they may be those that tell of harm.

    Raises:
        ValueError: the release is not rolling out.
    """
    if release.mode == "shadow":
        rows = (champion, candidate, feedback)
        return observe_shadow(release, *rows, settings, now=now, unreadable=unreadable)[0]
    stage = stage_of(release, champion, candidate, feedback, settings, stages=stages, unreadable=unreadable)
    return observation_of(release, stage, replay(stage, now), now)


def stage_of(
    release: Release,
    champion: pd.DataFrame,
    candidate: pd.DataFrame,
    feedback: pd.DataFrame,
    settings: ObserveSettings,
    *,
    stages: int = 1,
    unreadable: Sequence[str] = (),
) -> Stage:
    """What there is to replay of a canary or an A/B test; arguments as those of :func:`observe_rollout`.

    Raises:
        ValueError: the release is not rolling out, or is a shadow.
    """
    if release.status != "rolling_out" or release.stage_since is None or release.mode in ("full", "shadow"):
        raise ValueError(f"A {release.mode} release that is {release.status} is not compared like this.")
    return Stage(
        champion=outcomes_of(champion, feedback),
        candidate=outcomes_of(candidate, feedback),
        settings=settings,
        plan=make_plan(settings, mode=release.mode, share=release.share, stages=stages),
        mode=release.mode,
        begin=moment(release.stage_since),
        unreadable=tuple(unreadable),
    )


def observation_of(release: Release, stage: Stage, replayed: Replayed, now: datetime) -> Observation:
    """The report of a stage that was replayed until now."""
    until = seen_until(stage, now) if replayed.at is None else replayed.at
    champion, candidate = stage.arms
    report = Observation(
        model_name=release.model_name,
        environment=release.environment,
        mode=release.mode,
        stage=release.stage,
        share=release.share,
        candidate=release.candidate.version if release.candidate else None,
        champion=release.champion.version if release.champion else None,
        begin=time_of(stage.begin),
        deadline=time_of(stage.deadline),
        seen_until=time_of(until),
        answer=replayed.answer,
        because=replayed.because,
        decided_at=None if replayed.at is None else time_of(replayed.at),
        requests_candidate=stage.count(candidate, "requests", until),
        requests_champion=stage.count(champion, "requests", until),
        reasons=(),
        missing=(),
        plan=stage.plan,
        looks=replayed.looks,
    )
    latest = report.latest
    return report.model_copy(
        update={
            "reasons": tuple(reasons_for(stage, replayed, latest)),
            "missing": (
                *left_out(stage.unreadable, release.environment),
                *missing_in(stage, replayed, latest, until),
            ),
        }
    )
