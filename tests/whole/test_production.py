"""Production: a person's approval of exactly this, and of changes before they are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from materializers.approval import Approval
from materializers.signatures import PrivateKey, Signer, make_key_pair
from tests.shrunk.delivery import SHRUNK_CONFIG
from tests.whole.shop import (
    REFUSED,
    SEED_1,
    Shop,
    alias_moved,
    altered,
    edited,
    one_bit_off,
    tag_edited,
)


@pytest.fixture(scope="module")
def production(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 is live in production; 2 passed and nobody decided on it."""
    shop = open_shop("production")
    assert shop.train() == 1
    shop.deploy(1, "production")
    assert shop.train(SEED_1) == 2
    return shop


@pytest.fixture
def guarded(production: Shop) -> Iterator[Shop]:
    """The shop, without decisions on version 2; production must serve version 1 afterwards."""
    from zenml.client import Client

    from materializers.evidence import registry_client
    from steps.deployment.candidate import approval_artifact

    before = production.served("production")
    assert before is not None
    assert before[0] == 1
    yield production
    assert production.served("production") == before
    assert production.aliases()["champion"] == 1
    for artifact in Client().list_artifact_versions(artifact=approval_artifact(production.model, 2)).items:
        Client().delete_artifact_version(artifact.id)
    if "approval_digest" in production.versions()[2]:
        registry_client().delete_model_version_tag(production.model, "2", "approval_digest")


def refused_in_production(shop: Shop) -> str:
    """Try to release version 2 to production; return why it was refused."""
    outcome = shop.run(deploy=True, version=2, environment="production")
    assert (outcome.exit_code, outcome.last["status"]) == (REFUSED, "refused"), outcome
    return outcome.said


def approval_of(version: int, shop: Shop) -> Path:
    """The file of the last decision on a version."""
    from zenml.client import Client

    from steps.deployment.candidate import approval_artifact

    name = approval_artifact(shop.model, version)
    found = Client().list_artifact_versions(artifact=name, sort_by="desc:created", size=1).items
    return Path(found[0].uri) / "report.json"


def approve(shop: Shop, version: int) -> None:
    """Approve a version."""
    outcome = shop.run(approve=version, by="Ada", reason="looked at the report")
    assert outcome.exit_code == 0, outcome.said


def test_production_needs_an_approval(guarded: Shop) -> None:
    """A verdict that passed is not enough, and the refusal names the command."""
    assert "--approve 2" in refused_in_production(guarded)


def put(shop: Shop, decision: Approval) -> None:
    """Make this the last decision on version 2, in store and registry."""
    from zenml import save_artifact

    from materializers.evidence import registry_client
    from steps.deployment.candidate import approval_artifact

    save_artifact(decision, name=approval_artifact(shop.model, 2))
    registry_client().set_model_version_tag(shop.model, "2", "approval_digest", decision.digest)


def given(shop: Shop, version: int) -> Approval:
    """The last decision on a version, as it is stored."""
    return Approval.model_validate_json(approval_of(version, shop).read_bytes())


def test_an_approval_of_another_version_is_none(guarded: Shop) -> None:
    """The approval of version 1, put in version 2's place in store and registry, is about other evidence."""
    put(guarded, given(guarded, 1))
    assert "other evidence" in refused_in_production(guarded)


def test_an_approval_by_an_account_that_the_stack_does_not_list_is_refused(guarded: Shop) -> None:
    """Whoever can write to store and registry has a key, but none that counts."""
    approve(guarded, 2)
    own = Signer("mallory", PrivateKey.from_pem(make_key_pair()[0], named="mine"))
    put(guarded, given(guarded, 2).model_copy(update={"actor": "mallory"}).signed_by(own))
    assert "signed as 'mallory', an account without a public key" in refused_in_production(guarded)


def test_an_approval_that_is_signed_with_another_key_is_refused(guarded: Shop) -> None:
    """In the name of an account that the stack lists."""
    approve(guarded, 2)
    own = Signer("default", PrivateKey.from_pem(make_key_pair()[0], named="mine"))
    put(guarded, given(guarded, 2).signed_by(own))
    assert "is not what 'default' signed" in refused_in_production(guarded)


def test_an_approval_whose_actor_was_edited_is_refused(guarded: Shop) -> None:
    """Also where the registry was edited to fit: the signature is of who acted."""
    approve(guarded, 2)
    put(guarded, given(guarded, 2).model_copy(update={"actor": "someone-else"}))
    assert "signed as 'someone-else'" in refused_in_production(guarded)


@pytest.mark.parametrize("change", [{"by": "Someone else"}, {"reason": "all is well"}])
def test_an_approval_and_its_tag_edited_to_fit_are_refused(guarded: Shop, change: dict[str, str]) -> None:
    """Store and registry agree, the signature does not."""
    approve(guarded, 2)
    put(guarded, given(guarded, 2).model_copy(update=change))
    assert "is not what 'default' signed" in refused_in_production(guarded)


def test_a_rejection_made_to_approve_everywhere_is_refused(guarded: Shop) -> None:
    """The registry's tags say approved, too; nobody signed that."""
    assert guarded.run(reject=2, by="Bob", reason="the bags look wrong").exit_code == 0
    put(guarded, given(guarded, 2).model_copy(update={"decision": "approved"}))
    with tag_edited(guarded, 2, "decision", "approved by Bob: the bags look wrong"):
        assert "is not what 'default' signed" in refused_in_production(guarded)


def test_an_older_approval_put_back_in_the_place_of_a_rejection_is_refused(guarded: Shop) -> None:
    """Validly signed, with every tag made to fit: the log has the rejection as the last decision."""
    from zenml.client import Client

    from materializers.evidence import DECISION, registry_client
    from steps.deployment.candidate import approval_artifact

    approve(guarded, 2)
    approved = guarded.versions()[2]["approval_digest"]
    assert guarded.run(reject=2, by="Bob", reason="the bags look wrong").exit_code == 0
    name = approval_artifact(guarded.model, 2)
    newest = Client().list_artifact_versions(artifact=name, sort_by="desc:created", size=1).items[0]
    Client().delete_artifact_version(newest.id)
    registry_client().set_model_version_tag(guarded.model, "2", "approval_digest", approved)
    registry_client().delete_model_version_tag(guarded.model, "2", DECISION)
    assert "rejected by Bob (the bags look wrong), as entry" in refused_in_production(guarded)
    outcome = guarded.run(deploy=True, version=2)
    assert outcome.exit_code == REFUSED
    assert "rejected by Bob" in outcome.said


def test_an_approval_whose_audit_entry_was_removed_is_refused(guarded: Shop) -> None:
    """What the log does not show was not approved; the log says that an entry is missing."""
    from zenml import save_artifact
    from zenml.client import Client

    from materializers.audit_entry import AuditEntry
    from materializers.audit_log import log_name

    approve(guarded, 2)
    newest = Client().list_artifact_versions(
        artifact=log_name(), version_number="gte:1", sort_by="desc:version_number", size=1
    )
    entry = AuditEntry.model_validate_json((Path(newest.items[0].uri) / "report.json").read_bytes())
    assert (entry.act, entry.subject["approval"]) == ("approve", given(guarded, 2).digest)
    Client().delete_artifact_version(newest.items[0].id)
    try:
        said, audited = refused_in_production(guarded), guarded.run(audit=True)
    finally:
        save_artifact(entry, name=log_name(), version=str(entry.number))
    assert "audit log" in said  # another decision is the last one now, or none is
    assert "--approve 2" in said
    assert audited.exit_code == REFUSED
    assert f"Entry {entry.number} is cut off at the end" in audited.said
    assert guarded.run(audit=True).exit_code == 0


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json"])
def test_a_model_that_changed_after_its_approval_is_refused(guarded: Shop, name: str) -> None:
    """What a person looked at is what is served, to the byte."""
    approve(guarded, 2)
    file = guarded.stored(2, "model") / name
    data = one_bit_off(file) if name == "model.onnx" else edited(file, classes=["a", "b", "c", "d", "e"])
    with altered(file, data):
        assert "changed after the gate" in refused_in_production(guarded)


def test_a_report_that_was_swapped_after_the_approval_is_refused(guarded: Shop) -> None:
    """The numbers that a person looked at are those that are there."""
    approve(guarded, 2)
    with altered(guarded.stored(2, "evaluation"), guarded.stored(1, "evaluation").read_bytes()):
        assert "report of version 2" in refused_in_production(guarded)


def test_an_altered_approval_is_refused(guarded: Shop) -> None:
    """An approval is what was recorded when it was given."""
    approve(guarded, 2)
    approval = approval_of(2, guarded)
    with altered(approval, edited(approval, by="Someone else")):
        assert "altered" in refused_in_production(guarded)


def test_a_rejection_made_to_approve_is_refused(guarded: Shop) -> None:
    """Editing the decision does not turn it."""
    outcome = guarded.run(reject=2, by="Bob", reason="the bags look wrong")
    assert outcome.exit_code == 0
    decision = approval_of(2, guarded)
    with altered(decision, edited(decision, decision="approved")):
        assert "altered" in refused_in_production(guarded)


def test_the_last_decision_counts(guarded: Shop) -> None:
    """A rejection after an approval refuses, with who and why."""
    approve(guarded, 2)
    assert guarded.run(reject=2, by="Bob", reason="the bags look wrong").exit_code == 0
    said = refused_in_production(guarded)
    assert "Bob" in said
    assert "the bags look wrong" in said


NOT_AN_APPROVER = "approval.approvers=[ada@example.com]"


def test_only_a_configured_account_approves(guarded: Shop) -> None:
    """Who is logged in counts, not the name that is given; the configured accounts are named."""
    outcome = guarded.run(NOT_AN_APPROVER, approve=2, by="ada@example.com", reason="looked")
    assert outcome.exit_code == REFUSED
    assert "'default' may not approve; configured are: ada@example.com" in outcome.said
    assert "--approve 2" in refused_in_production(guarded)


def test_an_approval_by_who_may_not_approve_any_more_releases_nothing(guarded: Shop) -> None:
    """The accounts that are configured at the release count."""
    approve(guarded, 2)
    served = guarded.served("production")
    outcome = guarded.run(NOT_AN_APPROVER, deploy=True, version=2, environment="production")
    assert outcome.exit_code == REFUSED
    assert "may not approve" in outcome.said
    assert guarded.served("production") == served


ACCEPTING = (
    "evaluate.security.accepted=[{id: CVE-2099-1, package: pillow, reason: never called here, "
    "expires: 2099-01-01}]"
)
DEARER = "evaluate.cost.price_per_hour=0.2"


@pytest.mark.parametrize(
    ("assignment", "said"), [(ACCEPTING, "other accepted advisories"), (DEARER, "another peak")]
)
def test_what_was_judged_under_other_assumptions_is_neither_approved_nor_released(
    guarded: Shop, assignment: str, said: str
) -> None:
    """As with another policy: nobody may loosen what the gate took for granted for one run alone."""
    refused = guarded.run(assignment, approve=2, by="Ada", reason="looked")
    assert refused.exit_code == REFUSED
    assert "approval_digest" not in guarded.versions()[2]
    approve(guarded, 2)
    released = guarded.run(assignment, deploy=True, version=2, environment="production")
    assert (released.exit_code, released.last["status"]) == (REFUSED, "refused")
    for outcome in (refused, released):
        assert f"Version 2 was judged with {said}" in outcome.said


def test_staging_asks_for_the_advisories_that_a_version_was_judged_with(guarded: Shop) -> None:
    """What is served there is unchanged."""
    before = guarded.served()
    outcome = guarded.run(ACCEPTING, deploy=True, version=2)
    assert outcome.exit_code == REFUSED
    assert "other accepted advisories" in outcome.said
    assert guarded.served() == before


def test_four_eyes_are_not_there_where_everyone_has_one_account(guarded: Shop) -> None:
    """Nobody could tell who trained from who approves, so nobody approves."""
    outcome = guarded.run("approval.four_eyes=true", approve=2, by="Ada", reason="looked")
    assert outcome.exit_code == REFUSED
    assert "Four eyes cannot be assessed: the store has one account, 'default'" in outcome.said


STOPPED: dict[str, dict[str, Any]] = {
    "train": {"train": True, "source": "DELIVERY"},
    "continuous": {"continuous": True, "source": "DELIVERY"},
    "deploy": {"deploy": True, "version": 2},
    "infer": {"infer": True, "input": "DELIVERY", "output": "OUTPUT"},
    "predict": {"predict": True, "photos": ("data/photos/bag.png",)},
    "approve": {"approve": 2, "by": "Ada", "reason": "looked"},
    "reject": {"reject": 2, "by": "Ada", "reason": "looked"},
    "approve-change": {"approve_change": "0" * 16, "by": "Ada", "reason": "looked"},
}


@pytest.mark.parametrize("act", STOPPED)
def test_a_champion_moved_by_hand_stops_every_command(guarded: Shop, act: str, tmp_path: Path) -> None:
    """Where registry and deployer disagree nothing is done, and the alias is named."""
    places = {"DELIVERY": str(guarded.delivery), "OUTPUT": str(tmp_path / "out.parquet")}
    flags: dict[str, Any] = {name: places.get(str(value), value) for name, value in STOPPED[act].items()}
    with alias_moved(guarded, "champion", 2):
        outcome = guarded.run(**flags)
    assert outcome.exit_code == REFUSED
    assert len(outcome.results) == 1
    assert "'champion' names version 2" in outcome.said
    assert not (tmp_path / "out.parquet").exists()
    assert "approval_digest" not in guarded.versions()[2]


def test_a_registry_whose_live_version_is_another_model_stops_every_command(guarded: Shop) -> None:
    """A registry that was replaced or edited: the number agrees and the model does not."""
    with tag_edited(guarded, 1, "model_digest", "0" * 64):
        refused = guarded.run(deploy=True, version=2)
        status = guarded.run(status=True)
    assert refused.exit_code == REFUSED
    assert "the registry's version 1 is 000000000000" in refused.said
    assert status.exit_code == 0
    assert "the registry's version 1 is 000000000000" in status.stderr


def test_the_status_is_shown_when_a_champion_was_moved_by_hand(guarded: Shop) -> None:
    """``--status`` shows both sides and says that they differ; ``--rollback`` is not stopped either."""
    with alias_moved(guarded, "champion", 2):
        status = guarded.run(status=True)
        rollback = guarded.run(rollback=True, environment="production")
    assert status.exit_code == 0
    live = [(one["environment"], one["version"]) for one in status.last["deployments"]]
    assert live == [("production", 1), ("staging", 1)]
    assert "champion" in next(one for one in status.last["models"] if one["version"] == 2)["aliases"]
    assert "'champion' names version 2" in status.stderr
    assert (rollback.exit_code, "nothing to roll back" in rollback.said) == (2, True)


CHANGES = {
    "architecture": "train={architecture: resnet18, preprocessing: {height: 32, width: 32}}",
    "source_name": "product.source.name=another-supplier",
    "policy": "policy.rules.accuracy.limit=0.51",
    "compliance": "approval.approvers=[default]",
}


def change_digest(said: str) -> str:
    """The digest that a refusal prints."""
    return said.split("--approve-change ")[1].split(maxsplit=1)[0]


@pytest.mark.parametrize("act", ["train", "continuous"])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_kind_waits_for_a_person(guarded: Shop, what: str, act: str) -> None:
    """Another architecture, source or policy than production's is refused before anything is trained."""
    before = guarded.versions()
    flags: dict[str, Any] = {act: True, "source": str(guarded.delivery)}
    outcome = guarded.run(CHANGES[what], **flags)
    assert (outcome.exit_code, outcome.last["run"], outcome.last["status"]) == (REFUSED, None, "refused")
    assert what in outcome.said
    assert len(change_digest(outcome.said)) >= 8
    assert guarded.versions() == before


@pytest.mark.parametrize(("pipeline", "before"), [("continuous", "train"), ("training", "register")])
def test_a_fire_of_an_old_schedule_waits_for_a_person_too(guarded: Shop, pipeline: str, before: str) -> None:
    """A cluster fires with the configuration of long ago: the run's own steps look at production again."""
    from zenml.client import Client

    from pipelines import launch
    from pipelines.config import load_config
    from pipelines.training import TrainingInputs

    known = guarded.versions()
    config = load_config(SHRUNK_CONFIG, (f"product.model={guarded.model}", CHANGES["source_name"]))
    inputs = TrainingInputs(source=str(guarded.delivery), data_version=None, code=launch.code_digest())
    fired = launch.start(getattr(launch, pipeline), config, {"config": config, "inputs": inputs})
    assert fired.exit_code == REFUSED, fired
    assert "source_name" in fired.reasons[0]
    assert "--approve-change" in fired.reasons[0]
    run = Client().get_pipeline_run(fired.run or "")
    assert before not in {name for name, step in run.steps.items() if step.status.is_successful}
    assert guarded.versions() == known


def test_an_approved_change_trains(guarded: Shop) -> None:
    """The digest that the refusal prints, approved by a person, lets the same command run, and no other."""
    change = CHANGES["policy"]
    refused = guarded.run(change, train=True, source=str(guarded.delivery))
    digest = change_digest(refused.said)
    approved = guarded.run(change, approve_change=digest, by="Ada", reason="a little stricter")
    assert approved.exit_code == 0, approved.said
    assert guarded.train(change) not in {1, 2}
    other = guarded.run("policy.rules.accuracy.limit=0.52", train=True, source=str(guarded.delivery))
    assert other.exit_code == REFUSED


@pytest.mark.parametrize("digest", ["0" * 16, "", "abc"])
def test_a_wrong_digest_approves_nothing(guarded: Shop, digest: str) -> None:
    """A digest that is not the change's is wrong use, and says what the right one is about."""
    outcome = guarded.run(CHANGES["source_name"], approve_change=digest, by="Ada", reason="sure")
    assert outcome.exit_code == 2
    assert "another-supplier" in outcome.said
    again = guarded.run(CHANGES["source_name"], train=True, source=str(guarded.delivery))
    assert again.exit_code == REFUSED
