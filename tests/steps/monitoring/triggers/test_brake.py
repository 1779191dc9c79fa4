"""Retrainings in a row that came to nothing are counted, until one is better or a person looked at them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from materializers.evidence import GAIN, RegisteredVersion, was_live_tag
from steps.monitoring.triggers.brake import brake_hold, in_vain

REFUSED = {"verdict": "refused"}
BETTER = {GAIN: "0.0100"}


def version(number: int, **tags: str) -> RegisteredVersion:
    """A retraining that passed and was as accurate as the champion."""
    known = {"origin": "continuous", "verdict": "passed", GAIN: "0.0000"}
    created = datetime(2026, 1, number, tzinfo=UTC)
    return RegisteredVersion(
        model_name="m", version=number, created=created, aliases=(), tags={**known, **tags}
    )


def numbers(versions: list[RegisteredVersion], released: int = 0) -> list[int]:
    """The versions of the row."""
    return [each.version for each in in_vain(versions, released)]


def test_what_was_refused_or_no_better_is_counted() -> None:
    """Refused, not assessed, exactly as good, and worse within the margin."""
    row = [
        version(5, **REFUSED),
        version(4, verdict="not_assessed"),
        version(3),
        version(2, **{GAIN: "-0.01"}),
    ]
    assert numbers([*row, version(1, **BETTER)]) == [5, 4, 3, 2]


@pytest.mark.parametrize(
    "tags", [BETTER, {was_live_tag("production"): "true"}], ids=["better", "went to production"]
)
def test_a_better_one_ends_the_row(tags: dict[str, str]) -> None:
    """By the numbers, or by a person who let it go to production."""
    assert numbers([version(4, **REFUSED), version(3, **tags), version(2, **REFUSED)]) == [4]


def test_one_that_nothing_was_beside_counts_as_better() -> None:
    """Without a champion there is nothing to be better than."""
    alone = version(2)
    alone = alone.model_copy(update={"tags": {k: v for k, v in alone.tags.items() if k != GAIN}})
    assert numbers([alone, version(1, **REFUSED)]) == []


def test_a_gain_that_is_no_number_is_none_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever edited the tag neither stops what asks for the row nor ends it."""
    assert numbers([version(2, **{GAIN: "abc"}), version(1, **REFUSED)]) == [2, 1]
    assert "Version 2 counts as no better: its tag gain is 'abc'" in caplog.text


def test_better_numbers_of_a_refused_version_are_no_success() -> None:
    """The gate decides first."""
    assert numbers([version(1, **REFUSED, **BETTER)]) == [1]


def test_what_a_person_trained_neither_counts_nor_ends_the_row() -> None:
    """It is no retraining: who trains by hand has not thereby looked at why those before failed."""
    by_hand = version(3, origin="train", **BETTER)
    assert numbers([version(4, **REFUSED), by_hand, version(2, **REFUSED)]) == [4, 2]


def test_a_release_begins_the_count_anew() -> None:
    """Up to the version that was the newest then."""
    versions = [version(number, **REFUSED) for number in (5, 4, 3, 2)]
    assert numbers(versions, released=3) == [5, 4]
    assert numbers(versions, released=5) == []


@pytest.mark.parametrize(("n", "holds"), [(0, False), (2, False), (3, True), (4, True)])
def test_the_brake_holds_from_its_limit_on(n: int, holds: bool) -> None:
    """And names the versions, and the command that releases it."""
    hold = brake_hold([version(number, **REFUSED) for number in range(n, 0, -1)], 3)
    assert (hold.holds, hold.value, hold.limit) == (holds, n, 3)
    assert hold.version == (n or None)
    if holds:
        assert "(versions 1, 2, 3" in hold.reason
        assert "--release-brake --by WHO --reason" in hold.reason
