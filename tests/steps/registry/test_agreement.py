"""What the registry says of a version is compared with the audit log, which nobody edits unseen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
from mlflow import MlflowClient

from materializers.evidence import RegisteredVersion
from steps.registry.agreement import disagreements
from steps.registry.audit import record
from tests.keys import TRUSTED

MODEL = "shop"
LEARNT = {"model_digest": "1" * 64, "data_version": "2" * 64}
JUDGED = {"model_digest": "1" * 64, "verdict": "passed", "verdict_digest": "3" * 64}
APPROVAL = "4" * 64
APPROVED = {"decision": "approved by Ada: looked", "approval_digest": APPROVAL}


def version(number: int = 1, changed: Mapping[str, str] = MappingProxyType({})) -> RegisteredVersion:
    """A version as the registry has it."""
    tags = {"identity": "one", **LEARNT, **JUDGED, **changed}
    now = datetime.now(UTC)
    return RegisteredVersion(model_name=MODEL, version=number, created=now, aliases=(), tags=tags)


def log_training(number: int = 1, *, verdict: Mapping[str, str] = JUDGED) -> None:
    about = {"model": MODEL, "version": str(number)}
    record("train", {**about, **LEARNT}, by="a pipeline", reason="train", once=True)
    record("gate", {**about, **verdict}, by="a pipeline", reason="passed")


def log_decision(act: str, by: str, reason: str, approval: str = APPROVAL) -> None:
    subject = {"model": MODEL, "version": "1", "approval": approval}
    record("approve" if act == "approve" else "reject", subject, by=by, reason=reason)


@pytest.fixture(autouse=True)
def log(artifacts: Path, tracker: MlflowClient) -> None:
    """A log of this test."""


def test_what_was_logged_is_agreed_on() -> None:
    """Also a version that was judged again, and decided on twice: the last entry counts."""
    log_training(verdict={**JUDGED, "verdict": "refused"})
    log_training()
    assert disagreements(MODEL, [version()], TRUSTED) == []
    log_decision("reject", "Bob", "the bags look wrong", approval="5" * 64)
    log_decision("approve", " Ada", "looked ")
    assert disagreements(MODEL, [version(changed=APPROVED)], TRUSTED) == []


def test_a_judgement_that_came_to_nothing_is_no_difference() -> None:
    """The log has it as its newest, and what was judged before stands in both."""
    log_training()
    log_training(verdict={**JUDGED, "verdict": "not_assessed", "verdict_digest": "6" * 64})
    assert disagreements(MODEL, [version()], TRUSTED) == []


def test_versions_that_nobody_logged_are_named_together() -> None:
    """A training that was killed between the registry and the log; the same command logs it."""
    log_training(2)
    (said,) = disagreements(MODEL, [version(3), version(2), version(1)], TRUSTED)
    assert "how version 1, 3 was trained or judged" in said
    assert said.endswith("python run.py --train --source PATH")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verdict": "refused"}, r"verdict of version 1 is refused, entry 2 \(gate\) .* is passed"),
        ({"data_version": "9" * 64}, r"data version of version 1 is 9{40}, entry 1 \(train\) .* is 2{40}"),
    ],
)
def test_a_tag_that_was_edited_is_named(changed: dict[str, str], said: str) -> None:
    """With what the registry says, and what the log says."""
    log_training()
    (found,) = disagreements(MODEL, [version(changed=changed)], TRUSTED)
    assert re.search(said, found)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (APPROVED, "'approved by Ada: looked' (decision 444444444444), but no entry has it"),
        ({"decision": "rejected by Bob: wrong"}, "'rejected by Bob: wrong' (decision none), but no entry"),
    ],
)
def test_a_decision_without_an_entry_is_named(tags: dict[str, str], said: str) -> None:
    """Killed between the registry and the log, whole or half written."""
    log_training()
    (found,) = disagreements(MODEL, [version(changed=tags)], TRUSTED)
    assert said in found
    assert "--approve 1 --by WHO" in found


def test_a_rejection_that_the_registry_lost_is_named() -> None:
    """An older approval, put back in its place."""
    log_training()
    log_decision("approve", "Ada", "looked")
    log_decision("reject", "Bob", "the bags look wrong", approval="5" * 64)
    (found,) = disagreements(MODEL, [version(changed=APPROVED)], TRUSTED)
    assert "entry 4 of the audit log is the last, 'rejected by Bob: the bags look wrong'" in found
