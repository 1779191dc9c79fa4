"""Gather the reasons to retrain, from data, traffic, the clock and a person, and what holds one back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from zenml import get_step_context, step
from zenml.client import Client

from materializers.approval import Change
from materializers.errors import DamagedArtifact
from materializers.evidence import RegisteredVersion, read_versions, was_live_tag
from materializers.image_dataset import ImageDataset
from materializers.release import Environment
from materializers.trigger_decision import Evidence, Hold, Signal, SignalName, Signals
from steps.deployment.deployer import active_deployer
from steps.monitoring.drift.settings import FixedThresholds
from steps.monitoring.history import past_reports
from steps.monitoring.triggers.brake import brake_hold, in_vain, last_release
from steps.monitoring.triggers.budget import Spent, budget_holds, spent
from steps.monitoring.triggers.data import (
    DAY_S,
    count_changes,
    data_volume,
    freshness,
    new_data,
    newest_picture,
)
from steps.monitoring.triggers.settings import LearningSteps, TriggerSettings
from steps.monitoring.triggers.traffic import Traffic, traffic_signals
from steps.registry.aliases import CHAMPION, STAGING
from steps.registry.approvers import ApprovalSettings
from steps.registry.change import require_approved

NOTHING_SPENT = Spent(runs=0, gpu_hours=0.0, longest=0.0)


@dataclass(frozen=True)
class Situation:
    """What a decision to retrain is reached on, as it is at one time.

    Args:
        now: the time.
        changes: pictures that are new or relabelled since the last version.
        learnt: pictures that the last version learnt from; None where that is not known.
        newest: when the newest picture was taken; None where nothing says so.
        newest_learnt: the same of those that the last version learnt from.
        damage: why what the last version learnt from cannot be read, where it cannot: then all are new.
        versions: of the model, the newest first.
        traffic: what monitoring said of what is live; None where nothing is.
        spent: what this month's retrainings came to.
        brake_released: the version up to which a person released the brake last.
        retrain_at: the population stability index from which on a fixed threshold of drift retrains.
    """

    now: datetime
    changes: int
    learnt: int | None
    versions: Sequence[RegisteredVersion]
    newest: datetime | None = None
    newest_learnt: datetime | None = None
    damage: str = ""
    traffic: Traffic | None = None
    spent: Spent = NOTHING_SPENT
    brake_released: int = 0
    retrain_at: float = FixedThresholds().data_drift_retrain


def gather_signals(situation: Situation, settings: TriggerSettings) -> Signals:
    """Each signal's value beside its limit, and what holds a retraining back; nothing else is asked."""
    last = situation.versions[0] if situation.versions else None
    age = None if last is None else (situation.now - last.created).total_seconds() / DAY_S
    signals = (
        _asked("schedule", settings.scheduled, "the schedule asks for it", "no schedule asks for it"),
        new_data(situation.changes, settings, damage=situation.damage),
        data_volume(situation.changes, situation.learnt, settings),
        freshness(situation.newest, situation.newest_learnt, settings),
        _model_age(age, settings),
        *traffic_signals(situation.traffic, situation.versions, settings, retrain_at=situation.retrain_at),
        _asked("manual", settings.manual, "a person asked for it", "nobody asked for it"),
    )
    evidence = None
    if last is not None:
        evidence = Evidence(
            version=last.version,
            data=last.tag("data_version"),
            verdict=last.tag("verdict"),
            origin=last.tag("origin"),
            age_hours=(age or 0.0) * 24,
            released=was_released(last),
            rejected=last.rejected,
        )
    holds = (
        *(() if evidence is None else (_cooldown(evidence, settings),)),
        *budget_holds(situation.spent, settings.budget),
        brake_hold(in_vain(situation.versions, situation.brake_released), settings.brake_after),
    )
    return Signals(signals=signals, last=evidence, holds=holds)


def _asked(name: SignalName, asked: bool, yes: str, no: str) -> Signal:
    return Signal(name=name, value=float(asked), limit=None, fired=asked, reason=yes if asked else no)


def _model_age(age: float | None, settings: TriggerSettings) -> Signal:
    reason = "there is no version yet"
    if age is not None:
        reason = f"the last version is {age:.1f} days old, the limit is {settings.max_age_days:g}"
    fired = age is None or age >= settings.max_age_days
    return Signal(name="model_age", value=age, limit=settings.max_age_days, fired=fired, reason=reason)


def _cooldown(last: Evidence, settings: TriggerSettings) -> Hold:
    holds = last.age_hours < settings.cooldown_hours and not settings.manual
    reason = (
        f"the last version is {last.age_hours:.1f} hours old and the cooldown is {settings.cooldown_hours:g}"
    )
    if holds:
        reason += ": python run.py --continuous --set trigger.manual=true"
    return Hold(
        name="cooldown", value=last.age_hours, limit=settings.cooldown_hours, holds=holds, reason=reason
    )


def was_released(version: RegisteredVersion) -> bool:
    """Whether a version is or ever was live anywhere; after a rollback it still was."""
    tags = {was_live_tag(environment) for environment in ("staging", "production")}
    return bool({STAGING, CHAMPION} & set(version.aliases) or tags & set(version.tags))


def dataset_of(version: RegisteredVersion) -> ImageDataset | None:
    """The dataset that a version learnt from, or None when its run is gone."""
    try:
        run = Client().get_pipeline_run(version.run_id, allow_name_prefix_match=False)
    except KeyError:
        return None
    for step_run in run.steps.values():
        if "dataset" in step_run.outputs:
            dataset: ImageDataset | None = step_run.outputs["dataset"][0].load()
            return dataset
    return None


def watched_traffic(model_name: str, *, days: float, now: datetime) -> Traffic | None:
    """What monitoring said lately of what is live: in production, or in staging where nothing is there.

    Raises:
        ServiceUnreachable: what is live cannot be read.
    """
    environments: tuple[Environment, ...] = ("production", "staging")
    for environment in environments:
        live = active_deployer().current(model_name, environment)
        if live is not None and live.candidate is not None:
            return Traffic(
                environment=environment,
                version=live.candidate.version,
                model_digest=live.candidate.model_digest,
                reports=past_reports(model_name, environment, since=now - timedelta(days=days)),
            )
    return None


@step(enable_cache=False)
def signals(
    dataset: ImageDataset | None,
    model_name: str,
    change: Change,
    approval: ApprovalSettings,
    settings: TriggerSettings,
    learning: LearningSteps,
    retrain_at: float,
) -> Annotated[Signals | None, "signals"]:
    """Ask registry, audit log, monitoring and the clock what speaks for a retraining on this dataset.

    Raises:
        Refused: by now it would train another kind of model than production's, which nobody approved.
        ServiceUnreachable: one of them does not answer.
    """
    if dataset is None:
        return None
    require_approved(model_name, change, approval)
    now, versions = datetime.now(UTC), read_versions(model_name)
    trained_on, damage = None, ""
    try:
        trained_on = dataset_of(versions[0]) if versions else None
    except DamagedArtifact as error:
        damage = str(error)
    trusted, run = active_deployer().trusted_keys(), get_step_context().pipeline_run
    situation = Situation(
        now=now,
        changes=count_changes(dataset, trained_on),
        learnt=None if trained_on is None else len(trained_on),
        newest=newest_picture(dataset.index),
        newest_learnt=None if trained_on is None else newest_picture(trained_on.index),
        damage=damage,
        versions=versions,
        traffic=watched_traffic(model_name, days=settings.alarm_days, now=now),
        spent=spent(model_name, learning=learning, trusted=trusted, now=now, but=str(run.id)),
        brake_released=last_release(model_name, trusted),
        retrain_at=retrain_at,
    )
    return gather_signals(situation, settings)
