"""Tests of steps/registry/decisions.py: what was last decided on a version, and what the gate last said."""

from __future__ import annotations

import pytest

from materializers.errors import Refused
from steps.registry.audit import record
from steps.registry.decisions import last_decision, last_judgement, require_gated
from tests.keys import TRUSTED
from tests.materializers.examples import arm

pytestmark = pytest.mark.usefixtures("artifacts", "tracker")


def judge(verdict: str, digest: str, version: str = "3") -> None:
    """Log what the gate said."""
    subject = {"model": "shop", "version": version, "verdict": verdict, "verdict_digest": digest}
    record("gate", subject, by="a pipeline", reason=verdict)


def test_a_judgement_that_came_to_nothing_takes_no_ones_place() -> None:
    """The one before it stands, whichever way it went, until another one comes to something."""
    assert last_judgement("shop", 3, TRUSTED) is None
    for verdict, digest, stands in [
        ("not_assessed", "a", "a"),
        ("not_assessed", "b", "b"),
        ("passed", "c", "c"),
        ("not_assessed", "d", "c"),
        ("refused", "e", "e"),
        ("not_assessed", "f", "e"),
    ]:
        judge(verdict, digest)
        judge("passed", "another version's", version="4")
        last = last_judgement("shop", 3, TRUSTED)
        assert last is not None
        assert last.subject["verdict_digest"] == stands


def test_a_version_is_released_on_the_judgement_that_stands_alone() -> None:
    """Refused since, it is not, though its verdict passed; one that came to nothing changes nothing."""
    released = arm(3)
    with pytest.raises(Refused, match="by the audit log is none"):
        require_gated("shop", released, TRUSTED)
    judge("passed", released.verdict.digest)
    judge("not_assessed", "later")
    assert require_gated("shop", released, TRUSTED).subject["verdict_digest"] == released.verdict.digest
    judge("refused", "latest")
    with pytest.raises(Refused, match=r"by the audit log is refused, entry 3.*python run.py --train"):
        require_gated("shop", released, TRUSTED)


def test_the_last_decision_is_the_newest_of_a_person() -> None:
    """Approvals and rejections of this version alone."""
    about = {"model": "shop", "version": "3"}
    assert last_decision("shop", 3, TRUSTED) is None
    record("approve", about, by="Ada", reason="looked")
    record("reject", {**about, "version": "4"}, by="Bob", reason="another one")
    record("reject", about, by="Bob", reason="bags are missed")
    judge("passed", "a")
    last = last_decision("shop", 3, TRUSTED)
    assert last is not None
    assert (last.act, last.by) == ("reject", "Bob")
