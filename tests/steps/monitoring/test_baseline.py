"""The baseline is the first version in production, until a person sets another; promotions do not move it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from zenml.client import Client

from pipelines.session import prepare
from steps.monitoring.baseline import baseline_of
from steps.registry.audit import record
from tests.steps.evaluation.comparison.test_opponents import release, version


@pytest.fixture
def shop(local_stack: Client) -> str:
    """A model of which the audit log says nothing yet."""
    prepare(stack=None)
    return f"shop-{uuid4().hex[:8]}"


VERSIONS = [version(3, accuracy=0.95), version(2, accuracy=0.92), version(1, accuracy=0.9)]


def set_to(shop: str, number: int, accuracy: float) -> None:
    """The entry that ``--set-baseline`` leaves."""
    subject = {"model": shop, "version": str(number), "accuracy": str(accuracy)}
    record("set-baseline", subject, by="Ada", reason="measured anew")


def test_without_a_version_in_production_there_is_none(shop: str) -> None:
    """Staging is none."""
    release(shop, 2, environment="staging")
    assert baseline_of(shop, VERSIONS) is None


def test_promotions_do_not_move_it(shop: str) -> None:
    """The first one stays, however many follow; since it went there."""
    release(shop, 2, 3)
    first = baseline_of(shop, VERSIONS)
    assert first is not None
    release(shop, 1)
    assert baseline_of(shop, VERSIONS) == first
    assert (first.version, first.accuracy) == (2, 0.92)


def test_the_newest_act_counts_and_of_no_other_model(shop: str) -> None:
    """Also before anything was in production."""
    set_to(f"{shop}-other", 1, 0.1)
    assert baseline_of(shop, VERSIONS) is None
    set_to(shop, 1, 0.9)
    release(shop, 2)
    set_to(shop, 3, 0.9512)
    found = baseline_of(shop, VERSIONS)
    assert found is not None
    assert (found.version, found.accuracy) == (3, 0.9512)
