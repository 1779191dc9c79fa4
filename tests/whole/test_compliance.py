"""What docs/compliance.md promises and no other test tries: evidence of erasure, fairness and privacy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.shrunk.delivery import cut_delivery, noise
from tests.whole.shop import Shop

REFUSED = 3
OWN = 7
"""The key of a picture that no other test has, for this one loses it for good."""


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop], tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Version 1, whatever the gate says of it, learnt from a delivery with a customer's picture in it."""
    target = tmp_path_factory.mktemp("compliance") / "delivery.zip"
    delivery = cut_delivery(target, bags={"customer.png": noise(OWN, 0)})
    opened = replace(open_shop("compliance"), delivery=delivery)
    assert opened.run(train=True, source=str(delivery)).last["version"] == 1
    return opened


def test_an_erasure_is_proven_logged_and_in_the_lineage(shop: Shop) -> None:
    """Who asked for it and why stands in a log that verifies, without a path; each version counts it."""
    outcome = shop.run(forget=True, photos=("customer.png",), by="Ada", reason="the customer asked")
    assert outcome.exit_code == 0, outcome.said
    assert outcome.last["details"]["outcome"] == "erased"
    audited = shop.run(audit=True)
    assert audited.exit_code == 0, audited.said
    entries = [each for each in audited.last["details"]["entries"] if each["act"] == "forget"]
    assert [(each["by"], each["reason"]) for each in entries] == [("Ada", "the customer asked")]
    assert entries[0]["subject"]["model"] == shop.model
    assert "customer.png" not in json.dumps(audited.results)
    lineage = shop.run(lineage=1)
    assert lineage.exit_code == 0, lineage.said
    assert lineage.last["details"]["pictures"].endswith("1 picture forgotten since")


def test_a_sensitive_column_makes_fairness_a_required_rule(shop: Shop) -> None:
    """Until a column is declared the rule advises; then every version is judged by it, with an interval."""
    fairness = {1: shop.stored(1, "verdict")}
    outcome = shop.run(
        "evaluate.slices.sensitive=[article]",
        "evaluate.slices.min_n=2",
        "evaluate.slices.min_class_n=2",
        train=True,
        source=str(shop.delivery),
    )
    assert outcome.exit_code in {0, REFUSED}, outcome.said
    fairness[2] = shop.stored(outcome.last["version"], "verdict")
    found = {
        number: [rule for rule in json.loads(path.read_text())["rules"] if rule["rule"] == "fairness_gap"]
        for number, path in fairness.items()
    }
    assert [(rule["requirement"], rule["outcome"]) for rule in found[1]] == [("advisory", "not_assessed")]
    assert [(rule["requirement"], rule["subject"]) for rule in found[2]] == [("required", "article")]
    low, high = found[2][0]["interval"]
    assert 0 <= low <= found[2][0]["measured"] <= high <= 1


def test_pictures_in_which_nobody_can_look_for_faces_are_refused(shop: Shop) -> None:
    """Where faces are to be refused, pictures too small for a detector are, and nothing is trained."""
    before = shop.versions()
    outcome = shop.run("validate.personal_data.pictures=refuse", train=True, source=str(shop.delivery))
    assert (outcome.exit_code, outcome.last["version"]) == (REFUSED, None)
    assert "examined for a face (300 are too small), so that nobody knows" in outcome.said
    assert shop.versions() == before
