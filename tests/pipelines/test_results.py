"""Exit codes come from artifacts and from the exception that ZenML recorded."""

from __future__ import annotations

import os
import tempfile

import pytest

from materializers.approval import Approval
from materializers.errors import Refused, UsageError
from materializers.redaction import one_line
from pipelines.results import (
    NOTHING_REQUIRED,
    PipelineResult,
    _of_reproduction,
    _summarise,
    exit_code_of,
    reason_of,
)
from tests.materializers.examples import (
    approval,
    arm,
    data_report,
    full_verdict,
    release,
    reproduction,
    rule,
    split_report,
    verdict,
)


@pytest.mark.parametrize(
    ("source", "exit_code"),
    [
        ("materializers.errors.UsageError", 2),
        ("materializers.errors.Refused", 3),
        ("materializers.errors.ServiceUnreachable", 4),
        ("materializers.errors.ServiceFailed", 1),
        ("mlflow.exceptions.MlflowException", 4),
        ("sqlalchemy.exc.OperationalError", 4),
        ("builtins.KeyboardInterrupt", 130),
        ("builtins.ZeroDivisionError", 1),
        ("", 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(source: str, exit_code: int) -> None:
    """The recorded class decides, alike for a run that was carried here and one on a cluster."""
    assert exit_code_of(source) == exit_code


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [
        (Refused("No."), "refused", 3),
        (UsageError("No."), "failed", 2),
        (ZeroDivisionError("No."), "failed", 1),
    ],
    ids=str,
)
def test_an_exception_is_a_refusal_or_a_failure(error: Exception, status: str, exit_code: int) -> None:
    """The status says what the exit code says."""
    result = PipelineResult.of_exception("training", error, run="r")
    assert (result.status, result.exit_code) == (status, exit_code)
    assert (result.run, result.reasons) == ("r", ("No.",))


@pytest.mark.parametrize(
    "message",
    [
        "[Errno 28] No space left on device",
        "[Errno 122] Disk quota exceeded: 'x'",
        "database or disk is full",
    ],
)
def test_a_full_disk_is_told_with_what_to_do(message: str) -> None:
    """Also where a library wrote, which says neither where nor what: the folders to look at are named."""
    [reason] = PipelineResult.of_exception("training", OSError(message), run="r").reasons
    assert reason.startswith(f"{message}: something that is kept on the way has no room")
    assert "what was stored before is as it was" in reason
    assert f"df -h {os.environ['ZENML_CONFIG_PATH']} {tempfile.gettempdir()}" in reason
    assert reason_of("No such file") == "No such file"


def test_a_verdict_that_assessed_nothing_is_a_refusal() -> None:
    """Not assessed is not passed, also where no required rule has a reason to give."""
    advisory = verdict(rule(0.9, requirement="advisory"), outcome="not_assessed")
    result = _summarise("training", "r", {"data_report": data_report(), "verdict": advisory})
    assert (result.status, result.exit_code, result.verdict) == ("refused", 3, "not_assessed")
    assert result.reasons == (NOTHING_REQUIRED,)


def test_a_refused_verdict_is_told_once() -> None:
    """``--continuous`` also proposes the version, and the refusal of that repeats the verdict's reasons."""
    refused = full_verdict("refused")
    again = release(status="refused", url=None, reasons=("The gate's verdict is refused: …",))
    result = _summarise("continuous", "r", {"verdict": refused, "release": again})
    assert (result.status, result.exit_code) == ("refused", 3)
    assert result.reasons == tuple(refused.reasons())


def test_a_refused_release_of_a_passed_model_has_its_own_reasons() -> None:
    """Here the release is the one that knows."""
    no_approval = release(status="refused", url=None, reasons=("Nobody approved it.",))
    result = _summarise("deployment", "r", {"verdict": full_verdict(), "release": no_approval})
    assert (result.status, result.reasons) == ("refused", ("Nobody approved it.",))


@pytest.mark.parametrize(
    ("given", "approved"),
    [
        (approval(), True),
        (None, False),
        (approval(decision="rejected"), False),
        (approval(report_digest="9" * 64), False),
    ],
    ids=["approved", "not decided on", "rejected", "judged again since"],
)
def test_a_result_knows_whether_its_version_is_approved(given: Approval | None, approved: bool) -> None:
    """So that nobody is told to approve it again, and is where its verdict is a new one."""
    result = _summarise("deployment", "r", {"release": release(candidate=arm(approval=given))})
    assert result.approved is approved


def test_refused_data_are_a_refusal() -> None:
    """Exit code 3 and the checks' reasons."""
    result = _summarise("training", "r", {"data_report": data_report("refused", left=300)})
    assert (result.status, result.exit_code, result.data) == ("refused", 3, None)
    assert "300 pictures set aside" in result.reasons[0]


def test_accepted_data_are_named_whatever_became_of_them() -> None:
    """Also where the gate refused, for they are stored; not in JSON, whose fields are fixed."""
    report = data_report()
    result = _summarise("training", "r", {"data_report": report, "verdict": full_verdict("refused")})
    assert result.data == report.data
    assert "data" not in result.model_dump(mode="json")


def test_refused_splits_are_a_refusal() -> None:
    """Exit code 3 and the reasons of the checks that refused; splits that passed say nothing."""
    passed = _summarise("training", "r", {"data_report": data_report(), "split_report": split_report()})
    assert (passed.status, passed.exit_code, passed.reasons) == ("completed", 0, ())
    refused = {"data_report": data_report(), "split_report": split_report("refused"), "version": None}
    result = _summarise("training", "r", refused)
    assert (result.status, result.exit_code) == ("refused", 3)
    assert result.reasons == ("1,200 pictures are set apart.",)


def test_a_message_of_a_database_is_one_line_without_its_sql() -> None:
    """What went wrong stays, the statement and its parameters do not."""
    said = "(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO run VALUES (?)]"
    assert one_line(said) == "(sqlite3.OperationalError) database or disk is full"


@pytest.mark.parametrize(
    ("outcome", "status", "exit_code"), [("equal", "completed", 0), ("differs", "differs", 3)]
)
def test_a_reproduction_that_differs_is_an_answer_and_no_fault(
    outcome: str, status: str, exit_code: int
) -> None:
    """Not exit code 1, which is of what is broken and may be tried again."""
    report = reproduction(outcome=outcome)
    result = _of_reproduction("reproduction", "r", report)
    assert (result.status, result.exit_code, result.version) == (status, exit_code, 3)
    assert result.reasons == report.reasons


def test_a_rollout_that_goes_on_is_done_and_says_how_far_it_is() -> None:
    """Exit code 0: nothing was refused, and nothing is finished."""
    known = {"status": "rolling_out", "mode": "canary", "share": 0.1, "rollout": "first", "stage": 0}
    found = _summarise("deployment", "run", {"release": release(**known, reasons=("12 of 500",))})
    assert (found.status, found.exit_code, found.reasons) == ("completed", 0, ("12 of 500",))
    assert found.release is not None
    assert {key: found.release[key] for key in known} == known


def test_a_rollout_that_was_rolled_back_is_a_refusal() -> None:
    """Exit code 3, with why."""
    back = release(status="rolled_back", mode="canary", share=0.1, reasons=("it errs",))
    found = _summarise("deployment", "run", {"release": back})
    assert (found.status, found.exit_code, found.reasons) == ("refused", 3, ("it errs",))


def test_a_release_says_why_it_came_as_it_did() -> None:
    """Such as with all the traffic at once; a rollback says that itself."""
    said = "released on its verdict; nothing was live"
    assert _summarise("deployment", "run", {"release": release(why=said)}).reasons == (
        "Released on its verdict; nothing was live.",
    )
    assert _summarise("deployment", "run", {"release": release(why=said, restored=True)}).reasons == ()


def test_a_look_at_nothing_is_done() -> None:
    """A schedule that was left finds no rollout: the run has no release."""
    found = _summarise("deployment", "run", {"release": None})
    assert (found.status, found.exit_code, found.release) == ("completed", 0, None)
