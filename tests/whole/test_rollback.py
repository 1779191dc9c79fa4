"""Putting the previous release back: deployer first, registry after, on the release's own evidence."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stacks.local_deployer import loopback, microservice
from stacks.probing import predict
from tests.whole.shop import SEED_1, Shop, altered, registry_down, registry_read_only

FAILED = 1
MINUTE_S = 60.0
OTHER_POLICY = "policy.rules.accuracy.limit=0.9"


@pytest.fixture(scope="module")
def two_versions(open_shop: Callable[[str], Shop]) -> Shop:
    """Two versions that passed."""
    shop = open_shop("rollback")
    shop.train()
    shop.train(SEED_1)
    return shop


@pytest.fixture
def second_live(two_versions: Shop) -> Shop:
    """Version 2 is live in staging, version 1 was before."""
    served = two_versions.served()
    if served is None:
        two_versions.deploy(1)
    if served is None or served[0] == 1:
        two_versions.deploy(2)
    assert two_versions.aliases()["staging"] == 2
    return two_versions


def state_file() -> Path:
    """Where the deployer keeps what is live and what was."""
    from steps.deployment.deployer import active_deployer

    site: Path = active_deployer().config.site  # type: ignore[attr-defined]
    return site / "state.json"


def test_staging_goes_back(second_live: Shop) -> None:
    """The previous model answers at the same URL, and the alias follows."""
    outcome = second_live.run(rollback=True)
    assert outcome.exit_code == 0, outcome.said
    assert (outcome.last["details"]["version"], outcome.last["details"]["from_version"]) == (1, 2)
    assert second_live.served() == (1, second_live.versions()[1]["model_digest"])
    assert second_live.aliases()["staging"] == 1
    assert "challenger" not in second_live.aliases()  # a scheduled deployment would bring it back
    assert second_live.run(deploy=True).exit_code == 0
    assert second_live.served() == (1, second_live.versions()[1]["model_digest"])


@pytest.mark.parametrize("tracker", ["up", "down"])
def test_a_rollback_takes_less_than_a_minute_answers_a_picture_and_is_audited(
    second_live: Shop, tracker: str
) -> None:
    """With the tracker down the deployer goes first, and the next command writes the log."""
    url = f"{second_live.url()}/api/v1.0/predictions"
    with registry_down() if tracker == "down" else contextlib.nullcontext():
        begun = time.monotonic()
        outcome = second_live.run(rollback=True)
        seconds = time.monotonic() - begun
        assert predict(loopback.client, url) == "1"
    assert outcome.exit_code == (0 if tracker == "up" else 4)
    assert seconds < MINUTE_S
    audited = second_live.run(audit=True)
    assert audited.exit_code == 0, audited.said
    last = [
        entry
        for entry in audited.last["details"]["entries"]
        if entry["subject"].get("model") == second_live.model
    ][-1]
    assert (last["act"], last["actor"]) == ("rollback", "default")
    assert (last["by"], last["reason"]) == ("default", "rolled back by hand")
    assert (last["subject"]["version"], last["subject"]["from_version"]) == ("1", "2")


@pytest.mark.parametrize("tracker", ["up", "down"])
def test_who_rolled_back_and_why_stands_in_the_log(second_live: Shop, tracker: str) -> None:
    """As it was given; also where another command had to write the entry, later."""
    with registry_down() if tracker == "down" else contextlib.nullcontext():
        second_live.run(rollback=True, by="Bob", reason="the bags look wrong")
    audited = second_live.run(audit=True)
    last = [
        entry
        for entry in audited.last["details"]["entries"]
        if entry["subject"].get("model") == second_live.model
    ][-1]
    told = (last["act"], last["actor"], last["by"], last["reason"])
    assert told == ("rollback", "default", "Bob", "the bags look wrong")


def test_a_second_rollback_says_what_the_first_one_replaced(second_live: Shop) -> None:
    """Nothing is left to go back to, and the refusal names what was live and how it comes back."""
    assert second_live.run(rollback=True).exit_code == 0
    assert second_live.run(reject=1, by="Bob", reason="the bags look wrong").exit_code == 0
    again = second_live.run(rollback=True)
    assert second_live.run(approve=1, by="Ada", reason="they are fine").exit_code == 0
    assert again.exit_code == 2
    assert "put back in the place of version 2" in again.said
    assert "--deploy --environment staging --version 2" in again.said


def test_a_rollback_that_answers_no_picture_changes_nothing(
    second_live: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was served goes on, with the reason; nothing is recorded."""
    before = second_live.served(), second_live.aliases()

    def no_answer(url: str) -> str:
        raise ValueError("no label in it")

    with monkeypatch.context() as patch:
        patch.setattr(microservice, "predict", no_answer)
        outcome = second_live.run(rollback=True)
    assert outcome.exit_code == FAILED
    assert "did not answer a picture" in outcome.said
    assert (second_live.served(), second_live.aliases()) == before


def test_production_goes_back_whatever_the_policy_is_now(two_versions: Shop) -> None:
    """Champion and previous follow the deployer; a policy that changed since is said, and refuses nothing."""
    shop = two_versions
    shop.deploy(1, "production")
    assert {"champion": 1}.items() <= shop.aliases().items()
    assert "previous" not in shop.aliases()
    assert shop.train(SEED_1) == 2  # judged again, beside what is in production now
    shop.deploy(2, "production")
    assert {"champion": 2, "previous": 1}.items() <= shop.aliases().items()

    refused = shop.run(OTHER_POLICY, deploy=True, version=1, environment="production")
    assert refused.exit_code == 3
    outcome = shop.run(OTHER_POLICY, rollback=True, environment="production")
    assert outcome.exit_code == 0, outcome.said
    assert "The policy changed" in outcome.said
    assert shop.served("production") == (1, shop.versions()[1]["model_digest"])
    assert shop.aliases()["champion"] == 1
    assert "previous" not in shop.aliases()

    again = shop.run(rollback=True, environment="production")
    assert (again.exit_code, "nothing to roll back to" in again.said) == (2, True)
    assert shop.served("production") == (1, shop.versions()[1]["model_digest"])


def test_with_the_registry_down_the_model_is_back_and_the_next_command_records_it(second_live: Shop) -> None:
    """What is served does not wait for the registry; what could not be recorded is pending."""
    digest = second_live.versions()[1]["model_digest"]
    with registry_down():
        outcome = second_live.run(rollback=True)
        assert outcome.exit_code == 4
        assert "next command records it" in outcome.said
        assert second_live.served() == (1, digest)
    assert second_live.aliases()["staging"] == 2
    status = second_live.run(status=True)
    assert (status.exit_code, status.stderr) == (0, "")
    assert second_live.aliases()["staging"] == 1


def test_a_release_that_could_not_be_recorded_is_recorded_by_the_next_command(second_live: Shop) -> None:
    """An alias that cannot be written: exit code 4, and the record is made up for."""
    with registry_read_only("registered_model_aliases"):
        outcome = second_live.run(rollback=True)
    assert outcome.exit_code == 4
    assert second_live.run(predict=True, photos=("data/photos/bag.png",)).exit_code == 0
    served = second_live.served()
    assert served is not None
    assert second_live.aliases()["staging"] == served[0] == 1


@pytest.mark.parametrize("what", ["verdict", "outcome", "model digest"])
def test_an_altered_history_is_refused(second_live: Shop, what: str) -> None:
    """A release that was live goes back with its verdict and model unaltered, or not at all."""
    state = json.loads(state_file().read_bytes())
    entry = state["deployments"]["staging/rollback"]["history"][-1]
    arm = entry["release"]["candidate"]
    if what == "verdict":
        arm["verdict"]["rules"][0]["measured"] = 0.5
    elif what == "outcome":
        arm["verdict"]["outcome"] = "refused"
    else:
        arm["model_digest"] = second_live.versions()[2]["model_digest"]
    before = second_live.served(), second_live.aliases()
    with altered(state_file(), json.dumps(state).encode()):
        outcome = second_live.run(rollback=True)
    assert outcome.exit_code == 3
    assert len(outcome.last["reasons"]) == 1
    assert (second_live.served(), second_live.aliases()) == before


def test_model_bytes_that_were_altered_everywhere_are_refused(second_live: Shop) -> None:
    """With the deployer's copy and the stored model both changed there is nothing to go back to."""
    digest = second_live.versions()[1]["model_digest"]
    copy = state_file().parent / "models" / digest / "model.onnx"
    stored = second_live.stored(1, "model") / "model.onnx"
    other = second_live.stored(2, "model") / "model.onnx"
    before = second_live.served()
    with altered(stored, other.read_bytes()):
        copy.write_bytes(other.read_bytes())
        outcome = second_live.run(rollback=True)
        assert outcome.exit_code == 3
        assert "altered" in outcome.said
        assert second_live.served() == before
    # The stored model is whole again: a damaged copy is fetched anew.
    assert second_live.run(rollback=True).exit_code == 0
    assert second_live.served() == (1, digest)
