"""What changes what is trained, kept or served stands in the audit log, which shows when it was altered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.whole.shop import IMPOSSIBLE, SEED_1, Shop, altered, edited, tag_edited

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
        *("train", "gate", "end-to-end", "release", "approve", "release"),
        *("train", "gate", "end-to-end", "release", "approve", "release", "reject", "rollback"),
    ]
    tags, found = shop.versions()[second], entries(shop)
    trained, judged, tested, _, approved, released, rejected, back = found[6:]
    assert (tested["subject"]["outcome"], tested["subject"]["environment"]) == ("passed", "staging")
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


def test_the_same_again_is_no_second_entry(open_shop: Callable[[str], Shop]) -> None:
    """A repeated training and judgement of what is there already change nothing."""
    shop = open_shop("audited-again")
    shop.train()
    before = acts(shop)
    shop.train(no_cache=True)
    assert acts(shop) == before


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

    from materializers.audit_log import log_name

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


def test_the_lineage_leads_from_pictures_to_what_is_live(open_shop: Callable[[str], Shop]) -> None:
    """Data, digests, run, verdict, every act on the version, and where it answers now."""
    shop = open_shop("lineage")
    shop.deploy(shop.train())
    outcome = shop.run(lineage=1)
    assert outcome.exit_code == 0, outcome.said
    details, tags = outcome.last["details"], shop.versions()[1]
    assert details["digests"]["model"] == tags["model_digest"]
    assert details["digests"]["data"] == tags["data_version"]
    assert details["tracked_run"] == tags["mlflow_run"]
    assert [event["act"] for event in details["history"]] == ["train", "gate", "end-to-end", "release"]
    assert details["live_in"] == [f"staging ({shop.url()}/api/v1.0/predictions)"]
    assert "0 pictures forgotten since" in details["pictures"]
    assert details["data_checks"].startswith("passed")


def test_a_lineage_whose_parts_say_different_things_is_refused(
    open_shop: Callable[[str], Shop],
) -> None:
    """A tag that was edited, a verdict that was: named before the record, which shows the stored numbers'."""
    shop = open_shop("lineage-edited")
    shop.train()
    with tag_edited(shop, 1, "verdict", "refused"):
        edited_tag = shop.run(lineage=1)
    verdict = shop.stored(1, "verdict")
    with altered(verdict, edited(verdict, outcome="refused")):
        edited_verdict = shop.run(lineage=1)
    for outcome in (edited_tag, edited_verdict):
        assert (outcome.exit_code, outcome.last["details"]["verdict"]) == (REFUSED, "passed"), outcome.said
    assert (
        "The registry says that the verdict of version 1 is refused, entry" in edited_tag.last["reasons"][0]
    )
    assert edited_verdict.last["reasons"][0].startswith(
        "The stored verdict of version 1 says refused, its numbers passed"
    )
    assert shop.run(lineage=1).exit_code == 0


def test_a_version_that_is_not_there_has_no_lineage(untouched: Shop) -> None:
    """Wrong use, with the versions that there are."""
    outcome = untouched.run(lineage=99)
    assert outcome.exit_code == 2
    assert "has no version 99" in outcome.said


def test_the_card_of_a_version_is_in_dashboard_and_tracker(
    open_shop: Callable[[str], Shop], tmp_path: Path
) -> None:
    """After training, and again with each decision of a person."""
    from materializers.evidence import registry_client
    from steps.registry.model_card import last_card

    shop = open_shop("card")
    shop.train()
    made = last_card(shop.model, 1)
    assert made is not None
    assert (made.outcome, made.decisions) == ("passed", ())
    assert shop.run(approve=1, by="Ada", reason="looked at the mistakes").exit_code == 0
    decided = last_card(shop.model, 1)
    assert decided is not None
    assert [each.by for each in decided.decisions] == ["Ada"]
    client, run_id = registry_client(), shop.versions()[1]["mlflow_run"]
    for name, said in {
        "md": "approved by Ada (logged in as default)",
        "html": "looked at the mistakes",
    }.items():
        kept = client.download_artifacts(run_id, f"model_card.{name}", str(tmp_path))
        assert said in Path(kept).read_text()


def test_a_decision_not_to_train_stands_in_the_log(open_shop: Callable[[str], Shop]) -> None:
    """Continuous training looked at the delivery, found no reason, and says so."""
    shop = open_shop("audited-decision")
    shop.train()
    assert shop.run(continuous=True, source=str(shop.delivery)).exit_code == 0
    assert acts(shop) == ["train", "gate", "decide"]
    decided = entries(shop)[-1]
    assert (decided["subject"]["retrain"], decided["by"]) == ("no", "a pipeline")
