"""What a person did stands in the log under the name of the act, without a picture's path or label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from actions.logged import LOGGED, log_act
from actions.result import ActionResult
from materializers.audit_log import read_log
from materializers.errors import ServiceUnreachable
from materializers.report import json_digest

DETAILS: dict[str, dict[str, Any]] = {
    "approve": {"version": 3, "model_digest": "d" * 64, "approval": "a" * 64},
    "reject": {"version": 3, "model_digest": "d" * 64, "approval": "a" * 64},
    "approve-change": {"change": "c" * 64, "approval": "a" * 64},
    "release-brake": {"version": 7, "row": [5, 6, 7]},
    "stop": {"stopped": 1, "services": ["staging: shop version 2"]},
    "forget": {"outcome": "erased", "image_ids": ["1" * 64], "paths": ["tops/anna.jpg"]},
    "readmit": {"source_digest": "5" * 64, "parent": "p", "data": "d", "label": "tops"},
    "collect": {"bytes_removed": 22, "found": ["tops/anna.jpg"]},
    "rebase-reference": {
        **{"environment": "staging", "version": 3, "model_digest": "d" * 64},
        **{"reference": "e" * 64, "artifact": "1", "pictures": 900},
    },
    "set-baseline": {
        **{"version": 3, "model_digest": "d" * 64, "report_digest": "f" * 64, "accuracy": 0.93},
    },
    "schedule": {"name": "weekly", "pipeline": "continuous", "cron": "0 2 * * 1"},
    "schedules --apply": {"name": "w", "pipeline": "training", "cron": "0 2 * * 1", "content": "c" * 64},
    "pause": {"name": "weekly", "paused": True},
    "unschedule": {"name": "weekly"},
}


def done(action: str, **details: Any) -> ActionResult:
    """What an act returns."""
    return ActionResult(action=action, status="done", reasons=(), details=details)


@pytest.mark.parametrize("action", LOGGED)
def test_each_act_of_a_person_is_logged_with_who_and_why(
    artifacts: Path, tracker: MlflowClient, action: str
) -> None:
    """To what, by the details that are no secret, and the digest of all of them."""
    log_act(done(action, **DETAILS[action]), model="shop", by="Ada", reason="because")
    (logged,) = read_log()
    entry = logged.entry
    assert entry is not None
    act, keys = LOGGED[action]
    assert (entry.act, entry.by, entry.reason, entry.actor) == (act, "Ada", "because", "default")
    assert entry.subject == {
        "model": "shop",
        **{key: str(DETAILS[action][key]).strip("[']") for key in keys},
        "details": json_digest(DETAILS[action]),
    }
    assert "anna.jpg" not in entry.model_dump_json()


@pytest.mark.parametrize("result", [done("status"), done("predict", label="tops"), "no result", None])
def test_what_only_looks_is_not_logged(artifacts: Path, tracker: MlflowClient, result: object) -> None:
    """It changes nothing that is trained, kept or served."""
    log_act(result, model="shop", by="", reason="")
    assert read_log() == []


def test_an_act_that_cannot_be_logged_says_that_it_was_done(artifacts: Path, tracker: MlflowClient) -> None:
    """And what to do about it: where the log lies nothing can be written."""
    (artifacts / "custom_artifacts").write_text("a file in the place of the folder")
    with pytest.raises(ServiceUnreachable, match=r"--pause was done, but stands in no audit log: .* again"):
        log_act(done("pause", **DETAILS["pause"]), model="shop", by="", reason="")
