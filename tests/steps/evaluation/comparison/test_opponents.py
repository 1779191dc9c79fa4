"""Which versions a model is compared with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from materializers.errors import Refused
from materializers.evidence import RegisteredVersion
from steps.evaluation.comparison.opponents import find_anchor, find_champion


def version(number: int, *aliases: str, live: bool = False, accuracy: float = 0.9) -> RegisteredVersion:
    """A registered version that is or was in production, or never was."""
    tags = {"accuracy": f"{accuracy:.4f}", **({"was_live_production": "true"} if live else {})}
    return RegisteredVersion(
        model_name="shop", version=number, created=datetime.now(UTC), aliases=aliases, tags=tags
    )


def test_the_champion_is_what_the_registry_says_is_in_production() -> None:
    """Staging and challengers are none."""
    versions = [version(3, "challenger", "staging"), version(2, "champion", live=True), version(1, live=True)]
    assert find_champion("shop", versions) == versions[1]


def test_before_the_first_release_to_production_there_is_no_champion() -> None:
    """Whatever is registered or in staging."""
    assert find_champion("shop", [version(2, "staging"), version(1)]) is None
    assert find_anchor([version(2, "staging"), version(1)], "first") is None


def test_a_champion_that_the_registry_lost_is_not_taken_for_none() -> None:
    """Without its alias the next model would be compared with nothing."""
    with pytest.raises(Refused, match=r"Version 1 was in production.*'champion' names none"):
        find_champion("shop", [version(2), version(1, live=True)])


def test_the_first_anchor_never_moves() -> None:
    """The first version that went to production, however many followed."""
    versions = [version(number, live=number > 1) for number in (5, 4, 3, 2, 1)]
    anchor = find_anchor(versions, "first")
    assert anchor is not None
    assert anchor.version == 2


def test_the_best_anchor_is_the_most_accurate_that_was_in_production() -> None:
    """Of equal ones the first; a version that never was in production is none."""
    versions = [
        version(4, accuracy=0.99),
        version(3, live=True, accuracy=0.95),
        version(2, live=True, accuracy=0.95),
        version(1, live=True, accuracy=0.90),
    ]
    anchor = find_anchor(versions, "best")
    assert anchor is not None
    assert anchor.version == 2
