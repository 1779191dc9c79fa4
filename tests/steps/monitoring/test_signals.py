"""What the decision to retrain is told about the last version."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from materializers.evidence import RegisteredVersion
from steps.monitoring.signals import TriggerSettings, gather_signals
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
    found = gather_signals(dataset(1), None, last, settings=TriggerSettings(), now=NOW)
    assert found.last is not None
    assert (found.last.released, found.last.rejected) == (released, rejected)


def test_every_picture_is_new_where_the_last_ones_cannot_be_read() -> None:
    """And the reason names the damage."""
    last = RegisteredVersion(model_name="m", version=4, created=NOW, aliases=(), tags=TAGS)
    damage = "index.parquet is damaged"
    found = gather_signals(
        dataset(1, 2), None, last, settings=TriggerSettings(new_rows=2), now=NOW, damage=damage
    )
    [signal] = [each for each in found.signals if each.name == "new_data"]
    assert (signal.value, signal.fired) == (2, True)
    assert signal.reason.endswith(f"the limit is 2; all count, for {damage}")
