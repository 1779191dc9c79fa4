"""What changes what is trained, kept or served stands in the audit log, which shows when it was altered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.whole.shop import IMPOSSIBLE, SEED_1, Shop

REFUSED = 3


def entries(shop: Shop) -> list[dict[str, Any]]:
    """The entries about this shop's model, the oldest first; the log is whole."""
    outcome = shop.run(audit=True)
    assert outcome.exit_code == 0, outcome.said
    found: list[dict[str, Any]] = outcome.last["details"]["entries"]
    return [entry for entry in found if entry["subject"].get("model") == shop.model]


def acts(shop: Shop) -> list[str]:
    """What was done, in order."""
    return [entry["act"] for entry in entries(shop)]


def test_the_life_of_a_version_stands_in_the_log(open_shop: Callable[[str], Shop]) -> None:
    """From training to rollback, each once, with the digests of what it was done to, signed and chained."""
    shop = open_shop("audited")
    first = shop.train()
    assert acts(shop) == ["train", "gate"]
    shop.deploy(first)
    shop.deploy(first, "production")
    second = shop.train(SEED_1)
    shop.deploy(second, "production")
    assert shop.run(reject=second, by="Bob", reason="the bags look wrong").exit_code == 0
    assert shop.run(rollback=True, environment="production").exit_code == 0
    assert acts(shop) == [
        *("train", "gate", "release", "approve", "release"),
        *("train", "gate", "approve", "release", "reject", "rollback"),
    ]
    tags, found = shop.versions()[second], entries(shop)
    trained, judged, approved, released, rejected, back = found[5:]
    assert trained["subject"]["model_digest"] == judged["subject"]["model_digest"] == tags["model_digest"]
    assert trained["subject"]["data_version"] == tags["data_version"]
    assert judged["subject"]["verdict_digest"] == tags["verdict_digest"]
    assert (approved["by"], approved["reason"], approved["actor"]) == (
        "Ada",
        "looked at the report",
        "default",
    )
    assert (released["subject"]["environment"], released["subject"]["version"]) == ("production", str(second))
    assert (rejected["by"], rejected["subject"]["version"]) == ("Bob", str(second))
    assert (back["subject"]["version"], back["subject"]["from_version"]) == (str(first), str(second))


def test_the_same_again_is_no_second_entry(untouched: Shop) -> None:
    """A repeated training, judgement and release of what is there already change nothing."""
    before = acts(untouched)
    untouched.train()
    assert acts(untouched) == before


def test_a_refused_judgement_and_its_policy_stand_in_the_log(open_shop: Callable[[str], Shop]) -> None:
    """The log says by which policy a version was refused, and that it was another one than before."""
    shop = open_shop("audited-policy")
    shop.train()
    shop.train(IMPOSSIBLE, expected=REFUSED)
    *_, changed, _, judged = entries(shop)
    assert (changed["act"], changed["subject"]["to"]) == ("change-policy", judged["subject"]["policy_digest"])
    assert judged["subject"]["verdict"] == "refused"


@pytest.fixture
def an_entry(untouched: Shop) -> Path:
    """The file of the newest entry."""
    from zenml.client import Client

    from steps.registry.audit import log_name

    untouched.run(audit=True)
    page = Client().list_artifact_versions(artifact=log_name(), sort_by="desc:version_number", size=1)
    return Path(page.items[0].uri) / "report.json"


def test_an_altered_entry_is_found(untouched: Shop, an_entry: Path) -> None:
    """Another name in an entry: the log is refused, and the number is named."""
    text = an_entry.read_text()
    entry = json.loads(text)
    try:
        an_entry.write_text(json.dumps({**entry, "by": "Mallory"}))
        outcome = untouched.run(audit=True)
    finally:
        an_entry.write_text(text)
    assert outcome.exit_code == REFUSED
    assert f"Entry {entry['number']} was altered" in outcome.said
    assert f"Entry {entry['number']} has no valid signature" in outcome.said
