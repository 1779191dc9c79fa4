"""Who may approve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from zenml import pipeline, step
from zenml.client import Client

from materializers.errors import Refused, UsageError
from materializers.evidence import RegisteredVersion
from pipelines.config import load_config
from steps.registry.approvers import ApprovalSettings, require_approver, require_other_than_trainer

FOUR_EYES = ApprovalSettings(four_eyes=True)


@step
def train() -> int:
    """Stands for a training."""
    return 1


@pipeline(enable_cache=False)
def training() -> None:
    """A run of the account that is logged in."""
    train()


@pytest.fixture
def second_account(zenml_client: Client) -> Iterator[str]:
    """Another account of the store."""
    user = zenml_client.create_user(name="ada@example.com", password="not-a-secret")
    yield user.name
    zenml_client.delete_user(str(user.id))


@pytest.fixture(scope="module")
def run_id(zenml_client: Client) -> str:
    """A run of the account ``default``."""
    default = zenml_client.get_stack("default", allow_name_prefix_match=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZENML_ACTIVE_STACK_ID", str(default.id))
        run = training()
    assert run is not None
    return str(run.id)


def version_of(run_id: str) -> RegisteredVersion:
    """Version 3, made by this run."""
    tags = {"zenml_run": run_id}
    return RegisteredVersion(model_name="shop", version=3, created=datetime.now(UTC), aliases=(), tags=tags)


def test_without_a_list_every_account_approves(zenml_client: Client) -> None:
    """The shipped configuration names nobody."""
    require_approver(ApprovalSettings(), "default")


def test_a_list_admits_its_accounts_alone() -> None:
    """Another account is refused, with the list and how to change it."""
    settings = ApprovalSettings(approvers=("ada@example.com", "bob@example.com"))
    require_approver(settings, "bob@example.com")
    with pytest.raises(
        Refused, match=r"'default' may not approve; configured are: ada@.*, bob@.*zenml login"
    ):
        require_approver(settings, "default")


@pytest.mark.parametrize("name", ["", " ", "ada\n", " ada", "ada\tbob"])
def test_an_approver_without_a_name_is_refused(name: str) -> None:
    """Else nobody could approve, or somebody whom the list does not show as who it is."""
    with pytest.raises(UsageError, match=r"configuration: approval\.approvers.*name of an account"):
        load_config(None, (f"approval.approvers={json.dumps([name])}",))


def test_four_eyes_need_two_accounts(zenml_client: Client, second_account: str) -> None:
    """With a second account in the store it can be told who is who."""
    require_approver(FOUR_EYES, "default")
    require_approver(FOUR_EYES, second_account)


def test_four_eyes_with_one_account_refuse(zenml_client: Client) -> None:
    """The store of a laptop has one account."""
    with pytest.raises(Refused, match=r"cannot be assessed.*one account.*zenml login URL.*zenml user create"):
        require_approver(FOUR_EYES, "default")


def test_who_trained_does_not_approve(run_id: str) -> None:
    """Another account does; without four eyes the same does, too."""
    with pytest.raises(Refused, match="'default' trained it"):
        require_other_than_trainer(FOUR_EYES, "default", version_of(run_id))
    require_other_than_trainer(FOUR_EYES, "ada@example.com", version_of(run_id))
    require_other_than_trainer(ApprovalSettings(), "default", version_of(run_id))


def test_a_training_that_nobody_can_name_is_nobodys_to_approve(zenml_client: Client) -> None:
    """The run is gone from the store."""
    gone = version_of("00000000-0000-0000-0000-000000000000")
    with pytest.raises(Refused, match="is gone"):
        require_other_than_trainer(FOUR_EYES, "ada@example.com", gone)
