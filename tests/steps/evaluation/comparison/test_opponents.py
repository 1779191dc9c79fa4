"""Which versions a model is compared with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from zenml.client import Client

from materializers.audit_log import log_name
from materializers.errors import Refused
from materializers.evidence import RegisteredVersion
from pipelines.session import prepare
from steps.evaluation.comparison.opponents import find_anchor, find_champion
from steps.registry.audit import record


@pytest.fixture
def shop(local_stack: Client) -> str:
    """A model of which the audit log says nothing yet."""
    prepare(stack=None)
    return f"shop-{uuid4().hex[:8]}"


def version(number: int, *aliases: str, live: bool = False, accuracy: float = 0.9) -> RegisteredVersion:
    """A registered version that is or was in production, or never was, by its tags."""
    tags = {"accuracy": f"{accuracy:.4f}", **({"was_live_production": "true"} if live else {})}
    return RegisteredVersion(
        model_name="shop", version=number, created=datetime.now(UTC), aliases=aliases, tags=tags
    )


def release(shop: str, *versions: int, environment: str = "production") -> None:
    """The entries of their releases in the audit log."""
    for number in versions:
        subject = {"model": shop, "version": str(number), "environment": environment}
        record("release", subject, by="Ada", reason="looked at the report")


def test_the_champion_is_what_the_registry_says_is_in_production(shop: str) -> None:
    """Staging and challengers are none."""
    versions = [version(3, "challenger", "staging"), version(2, "champion", live=True), version(1, live=True)]
    assert find_champion(shop, versions) == versions[1]


def test_before_the_first_release_to_production_there_is_no_champion(shop: str) -> None:
    """Whatever is registered or in staging."""
    release(shop, 2, environment="staging")
    assert find_champion(shop, [version(2, "staging"), version(1)]) is None
    assert find_anchor(shop, [version(2, "staging"), version(1)], "first") is None


def test_a_champion_that_the_registry_lost_is_not_taken_for_none(shop: str) -> None:
    """Without its alias the next model would be compared with nothing."""
    with pytest.raises(Refused, match=r"Version 1 was in production.*'champion' names none"):
        find_champion(shop, [version(2), version(1, live=True)])


def test_a_registry_that_forgot_everything_does_not_make_a_model_the_first(shop: str) -> None:
    """The audit log knows the release, whatever tags and aliases say."""
    release(shop, 1)
    with pytest.raises(Refused, match="Version 1 was released to production by the audit log"):
        find_champion(shop, [version(2), version(1)])


def test_the_first_anchor_never_moves(shop: str) -> None:
    """The first version that went to production by the log, however many followed; tags do not move it."""
    release(shop, 2, 3, 2, 4)
    versions = [version(number) for number in (5, 4, 3, 2, 1)]
    anchor = find_anchor(shop, versions, "first")
    assert anchor is not None
    assert anchor.version == 2


def test_the_best_anchor_is_the_most_accurate_that_was_in_production(shop: str) -> None:
    """Of equal ones the first; a version that never was in production is none."""
    release(shop, 1, 3, 2)
    versions = [
        version(4, accuracy=0.99),
        version(3, accuracy=0.95),
        version(2, accuracy=0.95),
        version(1, accuracy=0.90),
    ]
    anchor = find_anchor(shop, versions, "best")
    assert anchor is not None
    assert anchor.version == 2


def test_a_release_that_cannot_be_read_any_more_is_not_taken_for_none(shop: str) -> None:
    """A damaged entry may be the one that says what was in production."""
    release(shop, 1)
    page = Client().list_artifact_versions(artifact=log_name(), sort_by="desc:version_number", size=1)
    entry = Path(page.items[0].uri) / "report.json"
    kept = entry.read_text()
    try:
        entry.write_text("{}")
        with pytest.raises(Refused, match=r"cannot be read .*--audit"):
            find_champion(shop, [version(2)])
    finally:
        entry.write_text(kept)
