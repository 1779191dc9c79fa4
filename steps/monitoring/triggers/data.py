"""Signals of the data: how much is new, what share, and how much newer it is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from materializers.report import number, percent
from materializers.trigger_decision import Signal, SignalName
from steps.monitoring.triggers.settings import TriggerSettings

if TYPE_CHECKING:
    import pandas as pd

    from materializers.image_dataset import ImageDataset

DAY_S = 86_400


def count_changes(joined: ImageDataset, trained_on: ImageDataset | None) -> int:
    """Pictures whose bytes or label the last registered version did not learn from."""
    if trained_on is None:
        return len(joined)
    columns = ["image_id", "label"]
    known = set(trained_on.index[columns].itertuples(index=False, name=None))
    return sum(row not in known for row in joined.index[columns].itertuples(index=False, name=None))


def newest_picture(index: pd.DataFrame | None) -> datetime | None:
    """When the newest picture of a dataset's index was taken; None where nothing says so."""
    import pandas as pd

    if index is None or "captured_at" not in index:
        return None
    newest = pd.to_datetime(index["captured_at"], utc=True, errors="coerce").max()
    return None if pd.isna(newest) else newest.to_pydatetime()


def new_data(changes: int, settings: TriggerSettings, *, damage: str = "") -> Signal:
    """Enough new or relabelled pictures.

    Args:
        changes: how many.
        settings: the limit.
        damage: why what the last version learnt from cannot be read, where it cannot: then all are new.
    """
    return Signal(
        name="new_data",
        value=changes,
        limit=settings.new_rows,
        fired=changes >= settings.new_rows,
        reason=f"{changes:,} pictures are new or relabelled since the last version, "
        f"the limit is {settings.new_rows:,}" + (f"; all count, for {damage}" if damage else ""),
    )


def data_volume(changes: int, learnt: int | None, settings: TriggerSettings) -> Signal:
    """A large enough share of what the last version learnt from.

    Args:
        changes: new or relabelled pictures.
        learnt: pictures that the last version learnt from; None where that is not known.
        settings: the limit.
    """
    share, limit = changes / learnt if learnt else None, settings.new_share
    said = "what the last version learnt from is not known"
    if share is not None:
        said = (
            f"{changes:,} new or relabelled pictures are {percent(share)} of the {learnt:,} that the last "
            f"version learnt from, the limit is {percent(limit)}"
        )
    return _at_limit("data_volume", share, limit, said, setting="new_share")


def freshness(newest: datetime | None, learnt: datetime | None, settings: TriggerSettings) -> Signal:
    """Pictures that are newer by enough than all that the last version learnt from.

    Args:
        newest: when the newest picture was taken; None where nothing says so.
        learnt: the same of those that the last version learnt from.
        settings: the limit.
    """
    limit = settings.newer_days
    newer = None if newest is None or learnt is None else (newest - learnt).total_seconds() / DAY_S
    said = "the pictures do not say when they were taken"
    if newer is not None:
        said = (
            f"the newest picture is {newer:.1f} days newer than the newest that the last version learnt "
            f"from, the limit is {number(limit)}"
        )
    return _at_limit("freshness", newer, limit, said, setting="newer_days")


def _at_limit(
    name: SignalName, value: float | None, limit: float | None, said: str, *, setting: str
) -> Signal:
    """A signal that fires from its limit on, where that is set and the value is known."""
    if limit is None:
        said = f"it is not asked: trigger.{setting} is not set"
    fired = limit is not None and value is not None and value >= limit
    return Signal(name=name, value=value, limit=limit, fired=fired, reason=said)
