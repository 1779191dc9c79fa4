"""The last decision on a version is what the audit log says, whatever the registry's tags do."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from materializers.errors import Refused
from materializers.release import Arm
from materializers.verdict import Verdict
from steps.registry.audit import record
from steps.registry.decisions import last_decision, last_judgement, require_approval_logged, require_gated
from tests.keys import TRUSTED
from tests.materializers.examples import approval, arm, verdict

SHOP = "shop"

pytestmark = pytest.mark.usefixtures("artifacts", "tracker")


def gated(passed: Verdict, outcome: str = "passed") -> None:
    """What the step ``gate`` logs of a version."""
    subject = {"model": SHOP, "version": "3", "verdict": outcome, "verdict_digest": passed.digest}
    record("gate", subject, by="training", reason="")


def decided(candidate: Arm, act: str = "approve") -> None:
    """What a person's command logs of a version."""
    assert candidate.approval is not None
    subject = {"model": SHOP, "version": str(candidate.version), "approval": candidate.approval.digest}
    record("reject" if act == "reject" else "approve", subject, by="Ada Lovelace", reason="looked at it")


def test_a_version_is_released_on_its_last_verdict(artifacts: Path, tracker: MlflowClient) -> None:
    """The same verdict again, as of a training that was repeated, changes nothing."""
    candidate = arm(verdict=verdict())
    gated(candidate.verdict)
    gated(candidate.verdict)
    require_gated(SHOP, candidate, TRUSTED)


def test_a_verdict_that_was_put_back_is_refused() -> None:
    """It passed once, and the gate refused the version since: the entry is named."""
    candidate = arm(verdict=verdict())
    gated(candidate.verdict)
    gated(verdict(outcome="refused"), "refused")
    with pytest.raises(Refused, match=r"last verdict on version 3 .* is refused, entry 2, .*--train"):
        require_gated(SHOP, candidate, TRUSTED)


def test_a_judgement_that_came_to_nothing_takes_no_ones_place() -> None:
    """The one before it stands, whichever way it went, until another one comes to something."""
    assert last_judgement(SHOP, 3, TRUSTED) is None
    for outcome, digest, stands in [
        ("not_assessed", "a", "a"),
        ("not_assessed", "b", "b"),
        ("passed", "c", "c"),
        ("not_assessed", "d", "c"),
        ("refused", "e", "e"),
        ("not_assessed", "f", "e"),
    ]:
        subject = {"model": SHOP, "version": "3", "verdict": outcome, "verdict_digest": digest}
        record("gate", subject, by="training", reason="")
        record("gate", {**subject, "version": "4", "verdict": "passed"}, by="training", reason="")
        last = last_judgement(SHOP, 3, TRUSTED)
        assert last is not None
        assert last.subject["verdict_digest"] == stands


def test_a_verdict_that_was_never_logged_is_refused() -> None:
    """Another model's, or another version's, entry is none of it."""
    candidate = arm(verdict=verdict())
    record(
        "gate",
        {"model": "other", "version": "3", "verdict_digest": candidate.verdict.digest},
        by="x",
        reason="",
    )
    record(
        "gate",
        {"model": SHOP, "version": "33", "verdict_digest": candidate.verdict.digest},
        by="x",
        reason="",
    )
    with pytest.raises(Refused, match="by the audit log is none"):
        require_gated(SHOP, candidate, TRUSTED)


def test_an_approval_that_is_the_last_decision_counts() -> None:
    """Also after an earlier rejection: a person may think again."""
    candidate = arm()
    decided(arm(approval=approval(decision="rejected")), "reject")
    decided(candidate)
    require_approval_logged(SHOP, candidate, TRUSTED)


def test_an_approval_that_is_not_the_last_decision_is_none() -> None:
    """Even with the older approval back in the rejection's place."""
    candidate = arm()
    decided(candidate)
    decided(candidate, "reject")
    with pytest.raises(Refused, match=r"no sound entry of the act 'approve' .* as the last decision"):
        require_approval_logged(SHOP, candidate, TRUSTED)


def test_production_needs_the_entry_of_exactly_this_approval() -> None:
    """Nobody decided, or on another approval."""
    for _ in range(2):
        with pytest.raises(Refused, match=r"no sound entry of the act 'approve' .* --approve 3 --by WHO"):
            require_approval_logged(SHOP, arm(), TRUSTED)
        decided(arm(approval=approval(reason="another approval")))


def test_an_altered_entry_is_no_decision(artifacts: Path) -> None:
    """A rejection that was edited into an approval does not count as one."""
    decided(arm(), "reject")
    (entry,) = artifacts.rglob("report.json")
    entry.write_text(entry.read_text().replace('"act": "reject"', '"act": "approve"'))
    assert last_decision(SHOP, 3, TRUSTED) is None
    with pytest.raises(Refused, match="no sound entry"):
        require_approval_logged(SHOP, arm(), TRUSTED)
