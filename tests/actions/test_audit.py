"""``--audit`` shows who changed what, and ends with exit code 3 where that was altered."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from actions.audit import audit
from actions.show import show
from steps.registry.audit import record
from tests.keys import TRUSTED

DIGEST = "5d" * 32


@pytest.fixture
def entries(artifacts: Path, tracker: MlflowClient) -> Path:
    """A log of two entries, and the folder in which it lies."""
    subject = {"model": "shop", "version": "3", "verdict": DIGEST}
    record("gate", subject, by="training", reason="every rule passed")
    record("approve", subject, by="Ada Lovelace", reason="looked at the mistakes")
    return artifacts


def test_a_whole_log_is_shown_with_the_newest_entry_last(
    entries: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Number, time, act, person, account, subject and reason; a digest by its first digits."""
    result = audit("shop", TRUSTED)
    show(result, command="python run.py")
    assert (result.status, result.exit_code) == ("done", 0)
    status, summary, *lines = capfd.readouterr().out.splitlines()
    assert status == "audit: done"
    digest = result.details["entries"][1]["digest"]
    said = "Every signature and the chain hold. Read to entry 2, whose digest is"
    assert summary == f"  {said} {digest}"
    moments = [entry["at"][:19].replace("T", " ") for entry in result.details["entries"]]
    assert lines == [
        f"1  {moments[0]} UTC  gate by training (default)",
        "   model shop, version 3, verdict 5d5d5d5d5d5d, reason: every rule passed",
        f"2  {moments[1]} UTC  approve by Ada Lovelace (default)",
        "   model shop, version 3, verdict 5d5d5d5d5d5d, reason: looked at the mistakes",
    ]


def test_an_altered_entry_is_refused_and_still_shown(entries: Path) -> None:
    """The findings come first; the entries are in the result whatever is wrong with them."""
    (first,) = [file for file in entries.rglob("report.json") if '"number": 1' in file.read_text()]
    first.write_text(first.read_text().replace("every rule passed", "nobody looked"))
    result = audit("shop", TRUSTED)
    assert (result.status, result.exit_code) == ("refused", 3)
    assert result.reasons[0].startswith("Entry 1 was altered")
    assert [entry["reason"] for entry in result.details["entries"]] == [
        "nobody looked",
        "looked at the mistakes",
    ]


def test_a_log_without_entries_is_said_to_be_empty(artifacts: Path, tracker: MlflowClient) -> None:
    """Nothing was logged yet, and nothing is wrong."""
    result = audit("shop", TRUSTED)
    assert (result.exit_code, result.reasons) == (0, ("The audit log has no entry.",))


def test_a_decision_that_no_entry_has_is_refused(entries: Path, tracker: MlflowClient) -> None:
    """A command that was killed before it was logged, or a tag that somebody wrote: named, and what mends."""
    tracker.create_registered_model("shop")
    tags = {"identity": "one", "decision": "approved by Bob: fine", "approval_digest": "ab" * 32}
    tracker.create_model_version("shop", "store/model", tags=tags)
    result = audit("shop", TRUSTED)
    assert (result.status, result.exit_code) == ("refused", 3)
    made, decided, _ = result.reasons
    assert made.startswith("The audit log does not say how version 1 was trained or judged")
    assert "version 1 was 'approved by Bob: fine' (decision abababababab), but no entry has it" in decided
    assert "python run.py --approve 1" in decided
