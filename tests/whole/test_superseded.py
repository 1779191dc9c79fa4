"""Releases that another command, a crash or a person overtook before they were concluded."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.shrunk.delivery import PROJECT
from tests.whole.conftest import own_services
from tests.whole.shop import IMPOSSIBLE, SEED_1, Shop, altered, kill_service, registry_down, tag_edited

if TYPE_CHECKING:
    from zenml.client import Client

REFUSED, INTERRUPTED = 3, 130
pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture(scope="module", autouse=True)
def services(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No other test's."""
    with own_services(local_stack, "superseded", tmp_path_factory.mktemp("superseded")):
        yield


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """Two versions that passed; each test says what is live first."""
    made = open_shop("superseded")
    made.train()
    made.train(SEED_1)
    return made


def release_to(shop: Shop, *versions: int) -> Any:
    """Release these versions one after the other from nothing; return what is live then."""
    from steps.deployment.deployer import active_deployer

    deployer = active_deployer()
    deployer.stop()
    for version in versions:
        shop.deploy(version)
    return deployer.current(shop.model, "staging")


def killed(*_: object, **__: object) -> None:
    """End a command here."""
    raise KeyboardInterrupt


def make_pending(release: Any) -> None:
    """Leave the live release as a command does that was killed before it recorded it."""
    from steps.deployment.deployer import active_deployer

    active_deployer().apply(release.model_copy(update={"recorded": False}))


@pytest.mark.parametrize("overtaken_by", [{"rollback": True}, {"stop": True}])
def test_recording_a_superseded_release_moves_nothing(shop: Shop, overtaken_by: dict[str, Any]) -> None:
    """A release that was rolled back or stopped before its record is refused, and stays away."""
    from steps.deployment.conclude import conclude_release

    late = release_to(shop, 1, 2)
    assert shop.run(**overtaken_by).exit_code == 0
    before = shop.served(), shop.aliases()
    for observation in ("promote", "roll back"):
        concluded = conclude_release(late, observation)
        assert (concluded.status, concluded.recorded) == ("refused", late.recorded)
        assert "superseded" in concluded.reasons[0]
    assert (shop.served(), shop.aliases()) == before


def test_a_service_that_stops_answering_is_a_fault_and_the_one_before_is_back(shop: Shop) -> None:
    """The release fails, and what was live before answers at the URL and is recorded."""
    from materializers.errors import ServiceFailed
    from steps.deployment.conclude import conclude_release
    from steps.deployment.observe import judge_service

    applied = release_to(shop, 1, 2)
    kill_service(applied)
    with pytest.raises(ServiceFailed, match="version 1 is live in staging again"):
        conclude_release(applied, judge_service(applied))
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert shop.aliases()["staging"] == 1


def test_what_came_back_is_said_to_be_live_although_something_failed_after_that(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZenML's list cannot be written once the version before serves again: that is no withdrawal."""
    from materializers.errors import ServiceFailed, ServiceUnreachable
    from stacks.local_deployer.service import record_services
    from steps.deployment.conclude import conclude_release
    from steps.deployment.observe import judge_service

    applied = release_to(shop, 1, 2)
    kill_service(applied)
    failures = [ServiceUnreachable("ZenML's list could not be written")]

    def out_of_reach_once(*args: Any, **options: Any) -> None:
        if failures:
            raise failures.pop()
        record_services(*args, **options)

    monkeypatch.setattr("stacks.local_deployer.deployer.record_services", out_of_reach_once)
    with pytest.raises(ServiceFailed, match="version 1 is live in staging now"):
        conclude_release(applied, judge_service(applied))
    assert shop.served() == (1, shop.versions()[1]["model_digest"])


def test_a_service_that_stops_answering_leaves_nothing_where_nothing_was(
    open_shop: Callable[[str], Shop],
) -> None:
    """Without a release before it, nothing unverified stays live."""
    from materializers.errors import ServiceFailed
    from steps.deployment.conclude import conclude_release
    from steps.deployment.deployer import active_deployer
    from steps.deployment.observe import judge_service

    alone = open_shop("superseded-first")
    alone.train()
    applied = release_to(alone, 1)
    kill_service(applied)
    with pytest.raises(ServiceFailed, match="nothing is live in staging now"):
        conclude_release(applied, judge_service(applied))
    assert active_deployer().current(alone.model, "staging") is None
    assert alone.served() is None


@pytest.mark.parametrize("act", [{"stop": True}, {"reject": 1, "by": "Bob", "reason": "the bags look wrong"}])
def test_what_was_stopped_or_rejected_does_not_come_back_by_itself(shop: Shop, act: dict[str, Any]) -> None:
    """A release that fails brings back what it replaced, unless a person took that out or refused it."""
    from materializers.errors import ServiceFailed
    from steps.deployment.conclude import conclude_release
    from steps.deployment.deployer import active_deployer
    from steps.deployment.observe import judge_service

    release_to(shop, 1)
    if "stop" in act:
        assert shop.run(**act).exit_code == 0
    shop.deploy(2)
    if "reject" in act:
        assert shop.run(**act).exit_code == 0
    applied = active_deployer().current(shop.model, "staging")
    assert applied is not None
    kill_service(applied)
    with pytest.raises(ServiceFailed, match="nothing is live in staging now"):
        conclude_release(applied, judge_service(applied))
    assert shop.served() is None
    if "reject" in act:
        assert shop.run(approve=1, by="Ada", reason="they are fine").exit_code == 0


def test_a_release_that_fails_goes_also_where_what_it_replaced_cannot_come_back(
    shop: Shop, tmp_path: Path
) -> None:
    """Its model is gone, at the site and in the store: nothing stays live, and the fault is still told."""
    from materializers.errors import ServiceFailed
    from steps.deployment.conclude import conclude_release
    from steps.deployment.deployer import active_deployer
    from steps.deployment.observe import judge_service

    applied = release_to(shop, 1, 2)
    kill_service(applied)
    deployer: Any = active_deployer()
    digest = shop.versions()[1]["model_digest"]
    [copy] = [path for path in deployer.config.site.rglob("*") if path.is_dir() and digest in path.name]
    shutil.rmtree(copy)
    stored = shop.stored(1, "model")
    stored.rename(tmp_path / "elsewhere")
    try:
        with pytest.raises(ServiceFailed, match="nothing is live in staging now"):
            conclude_release(applied, judge_service(applied))
    finally:
        (tmp_path / "elsewhere").rename(stored)
    assert shop.served() is None


def test_a_rejected_version_is_not_released_to_staging_either(shop: Shop) -> None:
    """Named or as the challenger, until a person decides otherwise."""
    from materializers.evidence import registry_client

    release_to(shop, 1)
    registry_client().set_registered_model_alias(shop.model, "challenger", "2")
    assert shop.run(reject=2, by="Bob", reason="the bags look wrong").exit_code == 0
    for version in (2, None):
        refused = shop.run(deploy=True, version=version)
        assert refused.exit_code == REFUSED
        assert "rejected by Bob: the bags look wrong" in refused.said
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert shop.run(approve=2, by="Ada", reason="they are fine").exit_code == 0
    shop.deploy(2)


def test_a_rejected_model_is_not_released_under_another_number(shop: Shop) -> None:
    """The same bytes, judged by another policy, are another version; a person decides on that, or nothing."""
    release_to(shop, 2)
    policy = "policy.rules.latency_p99_ms.limit=501"
    assert shop.run(reject=1, by="Bob", reason="the bags look wrong").exit_code == 0
    again = shop.train(policy)
    versions = shop.versions()
    assert again not in (1, 2)
    assert versions[again]["model_digest"] == versions[1]["model_digest"]
    refused = shop.run(policy, deploy=True, version=again)
    assert refused.exit_code == REFUSED
    assert "the same model as version 1, which was rejected by Bob: the bags look wrong" in refused.said
    assert shop.run(policy, approve=again, by="Ada", reason="they are fine").exit_code == 0
    assert shop.run(policy, deploy=True, version=again).exit_code == 0
    assert shop.run(approve=1, by="Ada", reason="they are fine").exit_code == 0


def test_zenml_does_not_start_a_rejected_version_again(shop: Shop) -> None:
    """``zenml model-deployer models start`` is checked as a rollback is."""
    from steps.deployment.deployer import active_deployer

    release_to(shop, 1)
    deployer: Any = active_deployer()
    [service] = deployer.find_model_server()
    deployer.stop_model_server(service.uuid)
    assert shop.run(reject=1, by="Bob", reason="the bags look wrong").exit_code == 0
    with pytest.raises(RuntimeError, match="rejected by Bob"):
        deployer.start_model_server(service.uuid)
    live = deployer.current(shop.model, "staging")
    assert live is not None
    assert not deployer.healthy(live)
    assert shop.run(approve=1, by="Ada", reason="they are fine").exit_code == 0


def test_a_rollback_that_was_cut_short_does_not_go_on_to_a_rejected_version(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had put back died and was rejected: a look says so, the next release takes it out, and says so.

    The rejection was cut short itself, once it was logged. What the rollback had replaced is what was live
    last: it can be gone back to.
    """
    from steps.deployment.deployer import active_deployer

    release_to(shop, 1, 2)
    with registry_down():
        shop.run(rollback=True)
    begun = active_deployer().current(shop.model, "staging")
    assert begun is not None
    assert begun.restored and not begun.recorded
    kill_service(begun)
    with monkeypatch.context() as patch:
        patch.setattr("actions.approve._where_live", killed)
        assert shop.run(reject=1, by="Bob", reason="the bags look wrong").exit_code == INTERRUPTED
    for look in ({"status": True}, {"audit": True}, {"lineage": 1}, {"schedules": True}):
        looked = shop.run(**look)
        assert "rejected by Bob" in looked.stderr
        assert re.search(r"stopped by: python run\.py .* --stop$", looked.stderr, re.MULTILINE)
        assert active_deployer().current(shop.model, "staging") == begun
    tried = shop.run(predict=True, photos=("data/photos/bag.png",))
    assert "nothing is live in staging now (version 2 was before" in tried.stderr
    assert active_deployer().current(shop.model, "staging") is None
    assert shop.served() is None
    taken = shop.run(audit=True).last["details"]["entries"][-1]
    assert (taken["act"], taken["by"], taken["subject"]["version"]) == ("withdraw", "a pipeline", "1")
    assert "rejected by Bob" in taken["reason"]
    assert shop.run(rollback=True).exit_code == 0
    assert shop.served() == (2, shop.versions()[2]["model_digest"])
    assert shop.run(approve=1, by="Ada", reason="they are fine").exit_code == 0


@pytest.mark.parametrize("recorded", [True, False])
def test_a_registry_that_lost_what_is_live_says_how_to_begin_anew(
    open_shop: Callable[[str], Shop], recorded: bool
) -> None:
    """Neither a rollback nor an alias would mend it, so ``--stop`` is what is named, and it does."""
    from materializers.evidence import registry_client

    lost = open_shop(f"lost-{recorded}".lower())
    lost.train()
    live = release_to(lost, 1)
    if not recorded:
        make_pending(live)
    registry_client().delete_registered_model(lost.model)
    refused = lost.run(deploy=True)
    assert refused.exit_code == REFUSED
    assert "put the registry back, or begin anew: python run.py" in refused.said
    assert "--stop" in refused.said
    assert lost.run(stop=True).exit_code == 0
    assert lost.served() is None


def test_an_entry_that_lacks_a_tag_refuses_its_version_and_hides_no_other(shop: Shop) -> None:
    """``--status`` goes on, and the release of that version is refused with the tag's name."""
    from materializers.evidence import registry_client

    release_to(shop, 1)
    tags = shop.versions()[2]
    client = registry_client()
    for key in ("accuracy", "model_uri"):
        client.delete_model_version_tag(shop.model, "2", key)
    try:
        status = shop.run(status=True)
        refused = shop.run(deploy=True, version=2)
    finally:
        for key in ("accuracy", "model_uri"):
            client.set_model_version_tag(shop.model, "2", key, tags[key])
    assert status.exit_code == 0
    metrics = {one["version"]: one["metrics"]["accuracy"] for one in status.last["models"]}
    assert metrics[2] is None
    assert metrics[1] is not None
    assert refused.exit_code == REFUSED
    assert "lacks the tag 'model_uri'" in refused.said


@pytest.mark.parametrize("left", ["tag", "artifact"])
def test_a_rejection_that_was_cut_short_refuses(shop: Shop, left: str) -> None:
    """The decision is read where the registry keeps it and where ZenML does; either one is enough."""
    from materializers.evidence import read_version
    from steps.deployment.candidate import last_approval

    release_to(shop, 1)
    assert shop.run(reject=2, by="Bob", reason="the bags look wrong").exit_code == 0
    said = shop.versions()[2]["decision"]
    if left == "artifact":
        with tag_edited(shop, 2, "decision", "approved by Ada: fine"):
            refused = shop.run(deploy=True, version=2)
    else:
        decision = last_approval(read_version(shop.model, 2))
        assert decision is not None
        assert shop.run(approve=2, by="Ada", reason="they are fine").exit_code == 0
        with tag_edited(shop, 2, "decision", said):
            refused = shop.run(deploy=True, version=2)
    assert refused.exit_code == REFUSED
    assert "rejected by Bob" in refused.said
    assert shop.run(approve=2, by="Ada", reason="they are fine").exit_code == 0


def test_a_release_that_is_pending_when_its_version_is_rejected_is_taken_out(shop: Shop) -> None:
    """By that command, which does not record it before; what it replaced is live again."""
    make_pending(release_to(shop, 1, 2))
    rejected = shop.run(reject=2, by="Bob", reason="the bags look wrong")
    assert rejected.exit_code == 0, rejected.said
    assert "not recorded yet; version 1 is live in staging again. It was rejected by Bob" in rejected.said
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert shop.aliases()["staging"] == 1
    entries = shop.run(audit=True).last["details"]["entries"]
    assert [entry["act"] for entry in entries[-2:]] == ["reject", "rollback"]
    assert shop.run(approve=2, by="Ada", reason="they are fine").exit_code == 0


@pytest.mark.parametrize("found_by", ["its own command", "the next command"])
def test_a_version_that_is_rejected_while_it_comes_up_does_not_stay(shop: Shop, found_by: str) -> None:
    """Whoever would record it takes it out instead, and what it replaced is live again."""
    from steps.deployment.conclude import conclude_release

    assert shop.run(approve=2, by="Ada", reason="they are fine").exit_code == 0
    applied = release_to(shop, 1, 2)
    make_pending(applied)
    with tag_edited(shop, 2, "decision", "rejected by Bob: the bags look wrong"):
        if found_by == "its own command":
            concluded = conclude_release(applied, "promote")
            assert concluded.status == "refused"
            (said,) = concluded.reasons
        else:
            assert "may not be: Version 2 was rejected by Bob" in shop.run(status=True).stderr
            assert shop.served() == (2, shop.versions()[2]["model_digest"])
            said = shop.run(predict=True, photos=("data/photos/bag.png",)).stderr
    assert "rejected by Bob: the bags look wrong" in said
    assert "version 1 is live in staging again" in said
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert shop.aliases()["staging"] == 1


def test_what_a_forged_history_says_was_live_is_not_gone_back_to(shop: Shop) -> None:
    """A refused version that somebody wrote into the deployer's record: the registry knows better."""
    from steps.deployment.deployer import active_deployer

    refused = shop.train(IMPOSSIBLE, expected=REFUSED)
    release_to(shop, 1, 2)
    deployer: Any = active_deployer()
    state = deployer.config.site / "state.json"
    written = state.read_text()
    (key,) = [key for key in json.loads(written)["deployments"] if key.endswith(shop.model)]
    forged = json.loads(written)
    forged["deployments"][key]["history"][-1]["release"]["candidate"]["version"] = refused
    state.write_text(json.dumps(forged))
    try:
        told = shop.run(rollback=True)
    finally:
        state.write_text(written)
    assert told.exit_code == REFUSED, told.said
    assert "but the registry recorded" in told.said
    assert shop.served() == (2, shop.versions()[2]["model_digest"])


@pytest.mark.parametrize("recorded", [True, False])
def test_what_a_forged_record_says_is_live_is_neither_used_nor_recorded(
    shop: Shop, tmp_path: Path, recorded: bool
) -> None:
    """A refused version that somebody wrote into the deployer's record as the one that is live."""
    from materializers.errors import Refused
    from steps.deployment.deployer import active_deployer
    from steps.inference.champion import champion

    refused = shop.train(IMPOSSIBLE, expected=REFUSED)
    release_to(shop, 1)
    deployer: Any = active_deployer()
    state = deployer.config.site / "state.json"
    written = state.read_text()
    forged = json.loads(written)
    (key,) = [key for key in forged["deployments"] if key.endswith(shop.model)]
    live = forged["deployments"][key]["live"]["release"]
    live["candidate"]["version"], live["recorded"] = refused, recorded
    state.write_text(json.dumps(forged))
    output = tmp_path / "predictions.parquet"
    try:
        with pytest.raises(Refused, match="but the registry recorded"):
            champion.entrypoint(shop.model, "staging")
        told = shop.run(infer=True, input=str(PROJECT / "data" / "photos"), output=str(output))
    finally:
        state.write_text(written)
    assert not output.exists()
    assert told.exit_code in (2, REFUSED), told.said
    assert "was_live_staging" not in shop.versions()[refused]
    assert shop.aliases()["staging"] == 1


@pytest.fixture
def untested(shop: Shop) -> Any:
    """Version 2, live in staging in the place of 1 by a command that was killed before it tested that."""
    from steps.deployment.deployer import active_deployer

    tested_then = release_to(shop, 1, 2)
    assert shop.run(rollback=True).exit_code == 0
    return active_deployer().apply(tested_then.model_copy(update={"recorded": False}))


def test_a_release_that_nobody_tested_is_recorded_once_it_is(shop: Shop, untested: Any) -> None:
    """Not by who looks, nor by who predicts, nor for a test of an earlier release of the same model."""
    digests = {version: tags["model_digest"] for version, tags in shop.versions().items()}
    for look in ({"status": True}, {"predict": True, "photos": ("data/photos/bag.png",)}):
        looked = shop.run(**look)
        assert looked.exit_code == 0, looked.said
        assert "not recorded yet: who released it was cut short before it was tested end" in looked.stderr
        assert re.search(
            r"Test it: python run\.py .*--deploy --environment staging --version 2", looked.stderr
        )
        assert (shop.served(), shop.aliases()["staging"]) == ((2, digests[2]), 1)
    shop.deploy(2)
    assert (shop.served(), shop.aliases()["staging"]) == ((2, digests[2]), 2)


def test_a_release_that_nobody_tested_can_be_rolled_back(shop: Shop, untested: Any) -> None:
    """Whatever is not known of it."""
    assert shop.run(rollback=True).exit_code == 0
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert shop.aliases()["staging"] == 1


def test_a_release_that_failed_its_own_test_is_never_recorded(shop: Shop, untested: Any) -> None:
    """Whoever tested it was killed before it was taken out: who looks says so, the next release does it."""
    from pipelines.config import load_config
    from steps.deployment.tested import keep_end_to_end
    from tests.materializers.examples import end_to_end, exchange
    from tests.shrunk.delivery import SHRUNK_CONFIG

    digests = {version: tags["model_digest"] for version, tags in shop.versions().items()}
    failed = end_to_end(
        model_name=shop.model,
        version=2,
        model=digests[2],
        exchanges=(exchange(answered="HTTP 500: no reason", outcome="refused"),),
    )
    keep_end_to_end(failed, untested, load_config(SHRUNK_CONFIG, ()).presupposed)
    looked = shop.run(status=True)
    assert "may not be: Version 2 did not pass its end-to-end test in staging" in looked.stderr
    assert (shop.served(), shop.aliases()["staging"]) == ((2, digests[2]), 1)
    told = shop.run(predict=True, photos=("data/photos/bag.png",)).stderr
    assert "version 1 is live in staging again. Version 2 did not pass its end-to-end test" in told
    assert (shop.served(), shop.aliases()["staging"]) == ((1, digests[1]), 1)


def test_a_pending_release_that_does_not_answer_locks_nobody_out(shop: Shop) -> None:
    """``--status`` tells it and moves nothing; the next ``--deploy`` goes on and brings it up."""
    from steps.deployment.deployer import active_deployer

    live = release_to(shop, 1, 2)
    make_pending(live)
    kill_service(live)
    status = shop.run(status=True)
    assert status.exit_code == 0, status.stderr
    assert "not recorded yet" in status.stderr
    now = active_deployer().current(shop.model, "staging")
    assert now is not None and now.candidate is not None
    assert (now.candidate.version, now.recorded) == (2, False)
    shop.deploy(2)
    assert shop.served() == (2, shop.versions()[2]["model_digest"])


def test_with_the_registry_down_a_pending_release_still_can_be_stopped(shop: Shop) -> None:
    """What cannot be recorded is one line on standard error; ``--stop`` stops, other commands end with 4."""
    make_pending(release_to(shop, 1, 2))
    with registry_down():
        assert shop.run(predict=True, photos=("data/photos/bag.png",)).exit_code == 4
        stopped = shop.run(stop=True)
    assert stopped.exit_code == 0, stopped.said
    assert "The model registry could not" in stopped.stderr
    assert shop.served() is None
    logged = shop.run(audit=True).last["details"]["entries"][-1]
    assert (logged["act"], logged["by"], logged["actor"]) == ("stop", "default", "default")
    assert "staging: superseded version 2" in logged["subject"]["services"]


def test_a_version_that_was_rejected_is_not_gone_back_to(shop: Shop) -> None:
    """Refused with who and why, by the audit log, whether or not the registry answers."""
    release_to(shop, 1, 2)
    before = shop.served(), shop.aliases()
    assert shop.run(reject=1, by="Bob", reason="the bags look wrong").exit_code == 0
    refused = shop.run(rollback=True)
    assert refused.exit_code == REFUSED
    assert "rejected by Bob (the bags look wrong), as entry" in refused.said
    assert "--approve 1" in refused.said
    assert (shop.served(), shop.aliases()) == before
    with registry_down():
        assert shop.run(rollback=True).exit_code == REFUSED
    assert (shop.served(), shop.aliases()) == before
    assert shop.run(approve=1, by="Ada", reason="they are fine").exit_code == 0


def test_a_rejection_needs_nothing_in_order(shop: Shop) -> None:
    """With another policy and a damaged report a version can still be rejected, and its digests are named."""
    from materializers.approval import Approval
    from materializers.evidence import read_version
    from steps.deployment.candidate import last_approval

    with altered(shop.stored(2, "evaluation"), b"{"):
        outcome = shop.run(
            "policy.rules.accuracy.limit=0.51", reject=2, by="Bob", reason="the report is damaged"
        )
    assert outcome.exit_code == 0, outcome.said
    decision = last_approval(read_version(shop.model, 2))
    assert isinstance(decision, Approval)
    tags = shop.versions()[2]
    assert (decision.decision, decision.model_digest) == ("rejected", tags["model_digest"])
    assert (decision.report_digest, decision.policy_digest) == (tags["report_digest"], tags["policy_digest"])
    assert shop.run(approve=2, by="Ada", reason="looked again").exit_code == 0


def test_the_release_knows_its_mode_and_the_registry_that_it_was_live(shop: Shop) -> None:
    """``deployment.staging.mode`` reaches the proposing step; a rollback leaves the tag that it was live."""
    from zenml.client import Client

    release_to(shop, 1)
    outcome = shop.run(deploy=True, version=2)
    assert outcome.exit_code == 0, outcome.said
    run = Client().get_pipeline_run(outcome.last["run"])
    assert run.steps["candidate"].config.parameters["settings"]["staging"]["mode"] == "full"
    assert shop.run(rollback=True).exit_code == 0
    assert shop.aliases()["staging"] == 1
    assert shop.versions()[2]["was_live_staging"] == "true"


def test_after_a_rollback_and_a_stop_what_was_live_is_deployed_without_its_number(shop: Shop) -> None:
    """What was rolled back is no challenger, and nothing is live: what was last is."""
    from materializers.evidence import registry_client

    if shop.aliases().get("challenger") not in (None, 1, 2):  # what another test trained is none here
        registry_client().delete_registered_model_alias(shop.model, "challenger")
    release_to(shop, 1, 2)
    assert shop.run(rollback=True).exit_code == 0
    assert "challenger" not in shop.aliases()
    assert shop.run(stop=True).exit_code == 0
    shop.deploy()
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
