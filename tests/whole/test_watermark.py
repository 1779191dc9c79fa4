"""A model that is marked as ours through run.py: learnt, checked by the gate, trained again with its key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steps.training.watermark.trigger_set import fingerprint_of
from tests.whole.shop import Shop

KEY = "0b5e55ed" * 8
WRONG_USE, REFUSED = 2, 3
CHECKED = "policy.rules.watermark_matches={requirement: required, limit: 0.75, where_declared: true}"


def marking(secret: str, **known: Any) -> str:
    """The setting that marks a model with the key of a secret."""
    about = {"key": f"{{{{{secret}.key}}}}", "fingerprint": fingerprint_of(KEY), **known}
    return f"train.watermark={json.dumps(about)}"


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 is marked with the key of the secret ``mark``."""
    from zenml.client import Client

    Client().create_secret("mark", {"key": KEY})
    made = open_shop("marked")
    assert made.train(marking("mark"), CHECKED) == 1
    return made


def rule_of(shop: Shop, version: int) -> dict[str, Any]:
    """What the gate said of a version's watermark."""
    verdict = json.loads(shop.stored(version, "verdict").read_text())
    (rule,) = [each for each in verdict["rules"] if each["rule"] == "watermark_matches"]
    return dict(rule)


def test_a_marked_model_passes_and_its_key_is_nowhere(shop: Shop) -> None:
    """Of twenty secret pictures, three of four are answered as the key says; no file of the store has it."""
    from zenml.client import Client

    rule = rule_of(shop, 1)
    assert (rule["outcome"], rule["requirement"], rule["n"]) == ("passed", "required", 20)
    assert rule["measured"] >= 0.75
    run = Client().get_pipeline_run(shop.versions()[1]["zenml_run"])
    assert fingerprint_of(KEY) in run.model_dump_json()
    assert KEY not in run.model_dump_json()
    store = Path(Client().active_stack.artifact_store.path)
    assert not [path for path in store.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_mark_that_was_not_learnt_is_refused(shop: Shop) -> None:
    """Fifty pictures once an epoch are too many to be learnt by heart."""
    before = shop.aliases()
    version = shop.train(
        marking("mark", pictures=50, repeats=1), CHECKED.replace("0.75", "1.0"), expected=REFUSED
    )
    assert rule_of(shop, version)["outcome"] == "refused"
    assert shop.aliases() == before


def test_with_its_key_a_version_is_trained_again_and_without_it_refused(shop: Shop) -> None:
    """Equal to the byte; with the secret gone, or another key in it, the refusal says so."""
    from zenml.client import Client

    assert shop.run(reproduce=1).said.startswith("Version 1 was trained again: equal")
    Client().update_secret("mark", add_or_update_values={"key": KEY[::-1]})
    try:
        outcome = shop.run(reproduce=1)
        assert outcome.exit_code == REFUSED, outcome.results
        assert f"has the fingerprint {fingerprint_of(KEY[::-1])}" in outcome.said
    finally:
        Client().update_secret("mark", add_or_update_values={"key": KEY})


def test_a_key_that_is_not_there_is_wrong_use(shop: Shop) -> None:
    """Nothing is started, and the command that keeps one is told."""
    before = shop.versions()
    outcome = shop.run(marking("nobody"), train=True, source=str(shop.delivery))
    assert outcome.exit_code == WRONG_USE
    assert "zenml secret create nobody --key=$(openssl rand -hex 32)" in outcome.said
    assert shop.versions() == before


def test_without_a_watermark_the_rule_only_advises(shop: Shop) -> None:
    """It is listed with the reason."""
    version = shop.train(CHECKED)
    rule = rule_of(shop, version)
    assert (rule["outcome"], rule["requirement"]) == ("not_assessed", "advisory")
    assert rule["reason"] == "no watermark is configured: train.watermark"
