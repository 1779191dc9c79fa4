"""What the decision to retrain is told about the last version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from materializers.evidence import RegisteredVersion
from materializers.trigger_decision import SignalName
from steps.monitoring.signals import Situation, gather_signals
from steps.monitoring.triggers.data import count_changes
from steps.monitoring.triggers.settings import TriggerSettings
from tests.materializers.examples import dataset

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TAGS = {"data_version": "old", "verdict": "passed", "origin": "continuous"}


@pytest.mark.parametrize(
    ("tags", "aliases", "released", "rejected"),
    [
        ({}, ("challenger",), False, False),
        ({}, ("staging",), True, False),
        ({"was_live_staging": "true"}, ("challenger",), True, False),
        ({"was_live_production": "true"}, (), True, False),
        ({"decision": "rejected by Ada: trousers are missed"}, ("challenger",), False, True),
        ({"decision": "approved by Ada: fine"}, ("challenger",), False, False),
    ],
)
def test_a_version_that_was_rolled_back_or_rejected_is_told_apart(
    tags: dict[str, str], aliases: tuple[str, ...], released: bool, rejected: bool
) -> None:
    """What was live once counts as released for ever, and a rejection is known."""
    last = RegisteredVersion(model_name="m", version=4, created=NOW, aliases=aliases, tags={**TAGS, **tags})
    found = gather_signals(Situation(now=NOW, changes=1, learnt=None, versions=[last]), TriggerSettings())
    assert found.last is not None
    assert (found.last.released, found.last.rejected) == (released, rejected)


def test_every_picture_is_new_where_the_last_ones_cannot_be_read() -> None:
    """And the reason names the damage."""
    last = RegisteredVersion(model_name="m", version=4, created=NOW, aliases=(), tags=TAGS)
    damage = "index.parquet is damaged"
    changes = count_changes(dataset(1, 2), None)
    situation = Situation(now=NOW, changes=changes, learnt=None, versions=[last], damage=damage)
    found = gather_signals(situation, TriggerSettings(new_rows=2))
    [signal] = [each for each in found.signals if each.name == "new_data"]
    assert (signal.value, signal.fired) == (2, True)
    assert signal.reason.endswith(f"the limit is 2; all count, for {damage}")


def signalled(**about: object) -> dict[str, bool]:
    """Which signals fire, by default of a version of yesterday."""
    last = RegisteredVersion(
        model_name="m", version=4, created=NOW - timedelta(days=1), aliases=(), tags=TAGS
    )
    settings = TriggerSettings.model_validate(about)
    found = gather_signals(Situation(now=NOW, changes=1, learnt=100, versions=[last]), settings)
    return {signal.name: signal.fired for signal in found.signals}


def test_every_signal_is_asked_and_by_default_none_fires() -> None:
    """One new picture, a version of yesterday, nobody who asks."""
    assert signalled() == dict.fromkeys(get_args(SignalName), False)


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ({"scheduled": True}, "schedule"),
        ({"new_rows": 1}, "new_data"),
        ({"new_share": 0.01}, "data_volume"),
        ({"max_age_days": 1}, "model_age"),
        ({"manual": True}, "manual"),
    ],
)
def test_each_fires_by_its_own_setting(about: dict[str, object], name: str) -> None:
    """And no other."""
    assert [each for each, fired in signalled(**about).items() if fired] == [name]
