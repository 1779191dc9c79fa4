"""Gather the reasons to retrain: new data, the age of the model, a person's wish."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field
from zenml import step
from zenml.client import Client

from materializers.approval import Change
from materializers.errors import DamagedArtifact
from materializers.evidence import RegisteredVersion, read_versions, was_live_tag
from materializers.image_dataset import ImageDataset
from materializers.report import Record
from materializers.trigger_decision import Evidence, Signal, Signals
from steps.registry.aliases import CHAMPION, STAGING
from steps.registry.approvers import ApprovalSettings
from steps.registry.change import require_approved


class TriggerSettings(Record):
    """When to retrain."""

    new_rows: int = Field(default=10_000, ge=0)
    """New or relabelled pictures since the last registered version."""
    max_age_days: float = Field(default=30.0, ge=0)
    """Age of the last registered version."""
    cooldown_hours: float = Field(default=24.0, ge=0)
    """No retraining sooner than this after the last one, unless a person asks."""
    manual: bool = False
    """A person asks for a retraining, whatever the other signals say."""


def count_changes(joined: ImageDataset, trained_on: ImageDataset | None) -> int:
    """Pictures whose bytes or label the last registered version did not learn from."""
    if trained_on is None:
        return len(joined)
    columns = ["image_id", "label"]
    known = set(trained_on.index[columns].itertuples(index=False, name=None))
    return sum(row not in known for row in joined.index[columns].itertuples(index=False, name=None))


def gather_signals(
    joined: ImageDataset,
    trained_on: ImageDataset | None,
    last: RegisteredVersion | None,
    *,
    settings: TriggerSettings,
    now: datetime,
    damage: str = "",
) -> Signals:
    """Each signal's value beside its limit.

    Args:
        joined: the parent dataset with the new delivery.
        trained_on: the dataset of the last registered version; None when there is none.
        last: the last registered version; None when there is none.
        settings: the limits.
        now: the time to measure ages at.
        damage: why that dataset cannot be read, where it cannot: then every picture counts as new.
    """
    changes = count_changes(joined, trained_on)
    age = (now - last.created).total_seconds() / 86_400 if last else None
    signals = (
        Signal(
            name="new_data",
            value=changes,
            limit=settings.new_rows,
            fired=changes >= settings.new_rows,
            reason=f"{changes:,} pictures are new or relabelled since the last version, "
            f"the limit is {settings.new_rows:,}" + (f"; all count, for {damage}" if damage else ""),
        ),
        Signal(
            name="model_age",
            value=age,
            limit=settings.max_age_days,
            fired=age is None or age >= settings.max_age_days,
            reason="there is no version yet"
            if age is None
            else f"the last version is {age:.1f} days old, the limit is {settings.max_age_days:g}",
        ),
        Signal(
            name="manual",
            value=float(settings.manual),
            limit=None,
            fired=settings.manual,
            reason="a person asked for it" if settings.manual else "nobody asked for it",
        ),
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
    return Signals(signals=signals, last=evidence)


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


@step(enable_cache=False)
def signals(
    dataset: ImageDataset | None,
    model_name: str,
    change: Change,
    approval: ApprovalSettings,
    settings: TriggerSettings,
) -> Annotated[Signals | None, "signals"]:
    """Ask the registry and the clock what speaks for a retraining on this dataset.

    Raises:
        Refused: by now it would train another kind of model than production's, which nobody approved.
    """
    if dataset is None:
        return None
    require_approved(model_name, change, approval)
    versions = read_versions(model_name)
    last = versions[0] if versions else None
    trained_on, damage = None, ""
    try:
        trained_on = dataset_of(last) if last else None
    except DamagedArtifact as error:
        damage = str(error)
    return gather_signals(dataset, trained_on, last, settings=settings, now=datetime.now(UTC), damage=damage)
