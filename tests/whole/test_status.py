"""``--status`` names what is live otherwise than it was released, whoever changed it, and stops nobody."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.whole.shop import IMPOSSIBLE, REFUSED, SEED_1, Shop, alias_moved, altered, tag_edited

INTERRUPTED = 130


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 is live in staging, 2 passed."""
    made = open_shop("looked-at")
    made.deploy(made.train())
    made.train(SEED_1)
    return made


@contextlib.contextmanager
def record_edited(shop: Shop, edit: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Let the deployer's record of the live version say something else for a while."""
    from steps.deployment.deployer import active_deployer

    state: Path = active_deployer().config.site / "state.json"  # type: ignore[attr-defined]
    edited = json.loads(state.read_bytes())
    edit(edited["deployments"][f"staging/{shop.model}"]["live"]["release"]["candidate"])
    with altered(state, json.dumps(edited).encode()):
        yield


def named(shop: Shop) -> str:
    """What ``--status`` says besides; it ends well."""
    outcome = shop.run(status=True)
    assert outcome.exit_code == 0, outcome.said
    return outcome.stderr


def test_what_is_live_as_released_is_not_remarked_upon(shop: Shop) -> None:
    """Also after the same release again, and after a rollback and back."""
    assert named(shop) == ""
    shop.deploy(1)
    assert named(shop) == ""
    shop.deploy(2)
    assert shop.run(rollback=True).exit_code == 0
    assert named(shop) == ""


def test_the_newest_version_that_passed_waits_for_an_approval(shop: Shop) -> None:
    """Of those that nobody decided on; what a person decided waits no more."""
    (waiting,) = shop.run(status=True).last["waiting"]
    assert waiting["kind"] == "approval"
    assert waiting["reason"].startswith("Version 2 passed, and production needs a person who approves it: ")
    assert "--approve 2 --by WHO" in waiting["reason"]


def test_a_change_of_kind_waits_for_an_approval(open_shop: Callable[[str], Shop]) -> None:
    """Where the configuration would train another kind of model than production's."""
    shop = open_shop("changing")
    version = shop.train()
    shop.deploy(version, "production")
    assert shop.run(status=True).last["waiting"] == []
    (waiting,) = shop.run("product.source.name=elsewhere", status=True).last["waiting"]
    assert waiting["kind"] == "change"
    assert "--approve-change" in waiting["reason"]


def test_what_is_live_says_since_when_and_on_which_data(shop: Shop) -> None:
    """Each release of it begins anew."""
    (live,) = shop.run(status=True).last["deployments"]
    assert live["data"] == shop.versions()[1]["data_version"]
    shop.deploy(1)
    (again,) = shop.run(status=True).last["deployments"]
    assert live["since"] <= again["since"] <= datetime.now(UTC).isoformat()


def test_the_next_run_is_the_schedule_that_is_due_first(shop: Shop) -> None:
    """Of those that are not paused; null where nothing is due."""
    before = shop.run(status=True).last
    assert before["next_run"] is None or before["schedules"]
    name = f"monitoring-{shop.model}"
    assert shop.run(monitor=True, schedule="* * * * *").exit_code == 0
    try:
        status = shop.run(status=True).last
        due = status["next_run"]
        assert (due["schedule"], due["pipeline"]) == (name, "monitoring")
        (listed,) = (each for each in status["schedules"] if each["name"] == name)
        assert listed["environment"] == "staging"
        assert shop.run(pause=name).exit_code == 0
        paused = shop.run(status=True).last["next_run"]
        assert paused is None or paused["schedule"] != name
    finally:
        assert shop.run(unschedule=name).exit_code == 0


def test_an_alias_that_was_moved_is_named(shop: Shop) -> None:
    """With both versions, and the command that puts it right."""
    with alias_moved(shop, "staging", 2):
        assert "Version 1 is live in staging, but the registry's alias 'staging' names version 2" in named(
            shop
        )


def another_version(candidate: dict[str, Any]) -> None:
    candidate["version"] = 2


def another_verdict(candidate: dict[str, Any]) -> None:
    candidate["verdict"]["rules"][0]["measured"] = 0.5


def another_approval(candidate: dict[str, Any]) -> None:
    verdict = candidate["verdict"]
    candidate["approval"] = {
        "decision": "approved",
        "model_name": verdict["model_name"],
        "version": 1,
        "model_digest": candidate["model_digest"],
        "report_digest": verdict["evidence"]["report"],
        "policy_digest": verdict["evidence"]["policy"],
        "actor": "default",
        "by": "Mallory",
        "reason": "nobody looked",
        "at": "2026-11-21T12:00:00Z",
    }


def another_model(candidate: dict[str, Any]) -> None:
    candidate["model_digest"] = "0" * 64


@pytest.mark.parametrize("edit", [another_version, another_verdict, another_approval, another_model])
def test_a_record_that_was_edited_is_named(shop: Shop, edit: Callable[[dict[str, Any]], None]) -> None:
    """The deployer's own file says otherwise than the audit log; what serves goes on."""
    before = shop.served()
    with record_edited(shop, edit):
        said = named(shop)
    assert "by the deployer's record, but the audit log has no release of that version" in said
    assert "--rollback --environment staging" in said
    assert shop.served() == before


def test_a_service_that_was_exchanged_or_ended_is_named(shop: Shop) -> None:
    """Its process is another than the released one, or none: the release again brings it back."""
    from stacks.local_deployer import processes
    from steps.deployment.deployer import active_deployer

    site = active_deployer().config.site  # type: ignore[attr-defined]
    (name,) = [name for name in processes.running(site) if name in live_replicas(shop, site)]
    for process in processes.running(site)[name]:
        process.kill()
        process.wait(10)
    assert "does not answer as that version, unaltered" in named(shop)
    shop.deploy(1)
    assert named(shop) == ""


def live_replicas(shop: Shop, site: Path) -> list[str]:
    """The processes that serve this shop's model."""
    state = json.loads((site / "state.json").read_bytes())
    return [state["deployments"][f"staging/{shop.model}"]["replica"]["name"]]


def test_a_tag_that_was_edited_is_named(shop: Shop) -> None:
    """What the registry says of a version's verdict, and what the gate's entry says; nothing is stopped."""
    with tag_edited(shop, 2, "verdict", "refused"):
        said = named(shop)
    assert "The registry says that the verdict of version 2 is refused, entry " in said
    assert "(gate) of the audit log that it is passed" in said


def test_a_decision_that_was_cut_short_before_it_was_logged_is_named(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is made again, by the command that is named; what is live stays live."""
    before = shop.served()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("steps.registry.audit.record", killed)
        assert shop.run(reject=2, by="Bob", reason="the bags look wrong").exit_code == INTERRUPTED
    said = named(shop)
    assert "The registry says that version 2 was 'rejected by Bob: the bags look wrong'" in said
    assert "but no entry has it" in said
    assert "--reject 2" in said
    assert shop.run(audit=True).exit_code == REFUSED
    assert shop.run(reject=2, by="Bob", reason="the bags look wrong").exit_code == 0
    assert named(shop) == ""
    assert shop.run(audit=True).exit_code == 0
    assert shop.served() == before


def test_a_run_that_a_gate_refused_is_listed_as_refused(shop: Shop) -> None:
    """Also a release that was; the run itself ended well, and ZenML says completed."""
    shop.train(SEED_1, IMPOSSIBLE, expected=REFUSED)
    assert shop.run(deploy=True, version=3).exit_code == REFUSED
    runs = shop.run(status=True).last["runs"]
    assert [(run["pipeline"], run["status"]) for run in runs[:2]] == [
        ("deployment", "refused"),
        ("training", "refused"),
    ]
    assert {run["status"] for run in runs[2:]} == {"completed"}


def test_a_rejected_version_that_is_live_is_named_with_what_ends_it(shop: Shop) -> None:
    """By the rejection itself and by each status after it; the command that both name works."""
    assert shop.run(approve=2, by="Ada", reason="they are fine").exit_code == 0
    shop.deploy(2)
    rejected = shop.run(reject=2, by="Bob", reason="the bags look wrong")
    assert rejected.exit_code == 0
    assert "It is live in staging, and stays so until: python run.py" in rejected.said
    said = named(shop)
    assert "Version 2 is live in staging, and was rejected by Bob (the bags look wrong), as entry" in said
    for line in (rejected.said, said):
        assert "--rollback --environment staging" in line
    assert shop.served() == (2, shop.versions()[2]["model_digest"])
    assert shop.run(rollback=True).exit_code == 0
    assert named(shop) == ""
