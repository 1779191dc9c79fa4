"""Tests of steps/registry/presupposed.py: a release is judged with what is configured now."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from materializers.audit_entry import AuditEntry
from materializers.errors import Refused
from materializers.release import Environment
from pipelines.config import load_config
from steps.registry.presupposed import Presupposed, require_same_presupposed
from tests.materializers.examples import EVIDENCE, arm

NOW = Presupposed(declared="a" * 64, serving="b" * 64)
AGAIN = f"judge it again, .* needs a new approval: python run.py --train --data {EVIDENCE.data[:16]}"


def judged(**presupposed: str) -> AuditEntry:
    """The gate's entry on version 3."""
    subject = {"model": "shop", "version": "3", **presupposed}
    return AuditEntry(
        number=1,
        previous=None,
        act="gate",
        subject=subject,
        actor="default",
        by="",
        reason="",
        at=datetime.now(UTC),
    )


def test_what_was_judged_with_the_same_is_released() -> None:
    """Also where the log says nothing about it, as before this was recorded."""
    for entry in (judged(**NOW.recorded), judged()):
        require_same_presupposed(entry, NOW, arm=arm(), environment="production")


@pytest.mark.parametrize(
    ("changed", "environment", "said"),
    [
        ({"declared": "c" * 64}, "staging", "sensitive columns"),
        ({"declared": "c" * 64}, "production", "sensitive columns"),
        ({"serving": "c" * 64}, "production", "another peak"),
    ],
)
def test_what_was_judged_with_something_else_is_refused(
    changed: dict[str, str], environment: Environment, said: str
) -> None:
    """The message names the settings and the way out."""
    before = NOW.model_copy(update=changed)
    with pytest.raises(Refused, match=f"Version 3 was judged with .*{said}.*{AGAIN}"):
        require_same_presupposed(judged(**before.recorded), NOW, arm=arm(), environment=environment)


def test_in_staging_serving_is_measured_again() -> None:
    """With the peak of now, so that it may be another one."""
    before = NOW.model_copy(update={"serving": "c" * 64})
    require_same_presupposed(judged(**before.recorded), NOW, arm=arm(), environment="staging")


@pytest.mark.parametrize(
    ("assignment", "changes"),
    [
        (
            "evaluate.security.accepted=[{id: X, package: pip, reason: never called, expires: 2099-01-01}]",
            "declared",
        ),
        ("evaluate.slices.sensitive=[shop]", "declared"),
        ("evaluate.behaviour.easy_list=[aa]", "declared"),
        ("evaluate.cost.offered_total_per_s=1", "serving"),
        ("evaluate.cost.price_per_hour=0.01", "serving"),
        ("evaluate.cost.maximum_replicas=20", "serving"),
    ],
)
def test_the_configuration_names_what_a_verdict_takes_for_granted(assignment: str, changes: str) -> None:
    """One of the two digests changes, and with it the change that a person approves."""
    shipped, other = load_config(None, ()), load_config(None, (assignment,))
    different = {
        name
        for name in Presupposed.model_fields
        if getattr(shipped.presupposed, name) != getattr(other.presupposed, name)
    }
    assert different == {changes}
    assert shipped.compliance_digest != other.compliance_digest


def test_how_a_model_is_measured_is_not_presupposed() -> None:
    """More pictures or another seed ask for no approval, and release what was judged before."""
    other = load_config(None, ("evaluate.robustness.pictures=100", "evaluate.seed=1"))
    assert other.presupposed == load_config(None, ()).presupposed
