"""Automation that ran away: labels are silently wrong, every retraining is refused, until the brake holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shrunk.delivery import cut_delivery
from tests.whole.shop import Outcome, Shop

WRONG_USE, REFUSED = 2, 3
LIMITS = ("trigger.brake_after=2", "trigger.new_rows=1", "policy.rules.accuracy.limit=0.7")
PER_DELIVERY = 30


def acts_of(act: str, model: str) -> list[dict[str, str]]:
    """What the audit log's entries of an act are about."""
    from materializers.audit_log import sound_entries
    from steps.deployment.deployer import active_deployer

    trusted = active_deployer().trusted_keys()
    return [entry.subject for entry in sound_entries(act, {"model": model}, trusted)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def runaway(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 learnt from right labels and is live in staging."""
    shop = open_shop("runaway")
    shop.train(*LIMITS)
    assert shop.run(*LIMITS, deploy=True, version=1).exit_code == 0
    return shop


def deliver(shop: Shop, folder: Path, number: int) -> Outcome:
    """The next delivery whose pictures all stand under the label of another class."""
    bad = cut_delivery(
        folder / f"{number}.zip",
        archive="second-delivery.zip",
        per_class=PER_DELIVERY,
        skip=PER_DELIVERY * number,
        mislabelled=True,
    )
    return shop.run(*LIMITS, continuous=True, source=str(bad))


def test_wrong_labels_end_at_the_brake_and_the_champion_stays(runaway: Shop, tmp_path: Path) -> None:
    """Two retrainings are refused; the third delivery is taken in and trains nothing; a person goes on."""
    served, aliases = runaway.served(), runaway.aliases()
    for number in (0, 1):
        outcome = deliver(runaway, tmp_path, number)
        assert (outcome.exit_code, outcome.last["status"]) == (REFUSED, "refused"), outcome.said
    assert [tags["verdict"] for tags in runaway.versions().values()].count("refused") == 2

    braked = deliver(runaway, tmp_path, 2)
    assert (braked.exit_code, braked.last["status"], braked.last["version"]) == (0, "skipped", None)
    assert "2 retrainings in a row were refused or no better" in braked.said
    assert "--release-brake --by WHO --reason TEXT" in braked.said
    held = {hold["name"]: hold["holds"] for hold in braked.last["decision"]["holds"]}
    assert held == {"cooldown": False, "budget_runs": False, "budget_gpu_hours": False, "brake": True}
    assert len(runaway.versions()) == 3
    assert (runaway.served(), runaway.aliases()) == (served, aliases)
    assert [(about["row"], about["version"]) for about in acts_of("brake", runaway.model)] == [("2", "3")]
    assert "retraining_braked (critical)" in braked.stderr

    # A wish in a schedule's command does not pass the brake.
    data = braked.last["decision"]["data"]
    wished = runaway.run(*LIMITS, "trigger.manual=true", continuous=True, data=data)
    assert (wished.exit_code, wished.last["status"]) == (0, "skipped"), wished.said

    other = ("approval.approvers=[ada@example.com]",)
    act: dict[str, Any] = {"release_brake": True, "by": "Ada", "reason": "to be sure"}
    assert runaway.run(*LIMITS, *other, **act).exit_code == REFUSED
    released = runaway.run(*LIMITS, release_brake=True, by="Ada", reason="the supplier mends the labels")
    assert released.exit_code == 0, released.said
    (about,) = acts_of("release-brake", runaway.model)
    assert about["version"] == "3"
    again = runaway.run(*LIMITS, "trigger.manual=true", continuous=True, data=data)
    assert again.last["decision"]["retrain"] is True
    assert (runaway.served(), runaway.aliases()) == (served, aliases)


def test_a_brake_that_does_not_hold_cannot_be_released(open_shop: Callable[[str], Shop]) -> None:
    """Nothing would be different afterwards: wrong use, and nothing is logged."""
    shop = open_shop("no-brake")
    outcome = shop.run(release_brake=True, by="Ada", reason="to be sure")
    assert outcome.exit_code == WRONG_USE
    assert "The brake of no-brake does not hold" in outcome.said
    assert acts_of("release-brake", shop.model) == []


def test_a_spent_budget_holds_a_retraining(runaway: Shop, tmp_path: Path) -> None:
    """The runs of this month are counted by the audit log; the champion stays, and people are told."""
    used = len([about for about in acts_of("decide", runaway.model) if about["retrain"] == "yes"])
    assert used >= 3
    outcome = runaway.run(
        *LIMITS,
        *("trigger.brake_after=99", f"trigger.budget.runs={used}", "trigger.manual=true"),
        continuous=True,
        source=str(cut_delivery(tmp_path / "more.zip", per_class=70)),
    )
    assert (outcome.exit_code, outcome.last["status"]) == (0, "skipped"), outcome.said
    assert f"{used} of {used} retrainings of this month are used" in outcome.said
    assert "budget_exhausted (warning)" in outcome.stderr
