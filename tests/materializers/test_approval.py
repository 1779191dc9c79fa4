"""An approval is for exactly one version on exactly one evidence."""

import re
from typing import Any

import pytest

from materializers.approval import Approval, verify_approval
from materializers.errors import Refused
from tests.keys import TRUSTED
from tests.materializers.examples import approval, change_approval, verdict

VERDICT = verdict()


def verify(given: Approval | None, **known: Any) -> None:
    """Verify an approval of version 3, recorded as it is."""
    about: dict[str, Any] = {"version": 3, "verdict": VERDICT, "recorded": given.digest if given else None}
    about["trusted"] = TRUSTED
    verify_approval(given, **(about | known))


def test_an_approval_of_this_version_on_this_evidence_is_accepted() -> None:
    """Recorded, approved, and about the model, report and policy of the verdict."""
    verify(approval())


def test_no_approval_is_refused_with_the_command_that_gives_one() -> None:
    """Production needs a person, and the message says how a person acts."""
    command = re.escape("python run.py --approve 3 --by WHO")
    with pytest.raises(Refused, match=f"Version 3 has no approval, and production needs one: {command}"):
        verify(None)


def test_a_rejection_is_refused_with_its_reason() -> None:
    """A recorded rejection says who and why."""
    with pytest.raises(Refused, match="rejected by Anna Weber: dresses look like coats"):
        verify(approval(decision="rejected", reason="dresses look like coats"))


@pytest.mark.parametrize(
    "fields",
    [{"by": "Somebody Else"}, {"decision": "approved", "reason": "fine"}, {"actor": "root"}],
    ids=["who", "why", "account"],
)
def test_an_approval_edited_after_it_was_given_is_refused(fields: dict[str, Any]) -> None:
    """The registry's digest is of the approval as the person gave it."""
    honest = approval(decision="rejected")
    edited = Approval.model_validate(honest.model_dump() | fields)
    with pytest.raises(Refused, match="altered after it was given"):
        verify(edited, recorded=honest.digest)


def test_an_approval_that_nothing_recorded_is_refused() -> None:
    """A file that lies there is not an approval."""
    with pytest.raises(Refused, match="altered"):
        verify(approval(), recorded=None)


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 2},
        {"model_name": "another"},
        {"model_digest": "00" * 32},
        {"report_digest": "00" * 32},
        {"policy_digest": "00" * 32},
        {"model_digest": None, "report_digest": None, "policy_digest": None},
    ],
    ids="+".join,
)
def test_an_approval_of_other_evidence_is_refused(fields: dict[str, Any]) -> None:
    """Version, model name, model, report and policy must each be the verdict's."""
    with pytest.raises(Refused, match="about other evidence"):
        verify(approval(**fields))


def test_an_approved_change_approves_no_version() -> None:
    """Leave to run something new is not leave to release it."""
    with pytest.raises(Refused, match="about other evidence"):
        verify(change_approval())
