"""Every pipeline and act on both stacks: the same code and configuration, and the same outcome."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tests.kubeflow.conftest import Both

pytestmark = pytest.mark.timeout(1800)  # the first test tells the whole story, on both stacks

CHAPTERS = {
    "train_and_stage": 0,
    "refused": 3,
    "approved": 0,
    "production": 0,
    "continuous": 0,
    "rolled_back": 0,
    "rejected": 0,
    "reproduced": 0,
    "inferred": 0,
    "predicted": 0,
    "status": 0,
}
ACT_WITHIN_S = 60.0
"""On two cores with another session beside it; a container alone takes some ten seconds."""
MEASURED_ANEW = {"latency_p50_ms", "latency_p99_ms", "run", "url", "started", "actor", "approval"}
"""What differs from run to run on any stack: times, addresses, who is logged in, digests that name them."""
AGES = ("model_age", "cooldown")
"""The signal and the hold whose value is how long ago the last version was trained."""


def comparable(value: Any) -> Any:
    """A result without what is measured anew, named by chance or says where it was asked."""
    if isinstance(value, dict):
        leave = MEASURED_ANEW | ({"value", "reason"} if value.get("name") in AGES else set())
        return {key: comparable(one) for key, one in value.items() if key not in leave}
    if isinstance(value, list):
        return [comparable(one) for one in value]
    return value


def outputs(step: dict[str, Any]) -> dict[str, str]:
    """Names and types of what a step gives; the audit log is named after the store that it is of."""
    return {re.sub(r"^(audit-log)-[0-9a-f]{8}$", r"\1", name): kind for name, kind in step["outputs"].items()}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_chapter_ends_alike_on_both_stacks(both: Both, chapter: str) -> None:
    """Exit codes and results of ``run.py`` are equal: versions, verdicts, metrics, reasons, decisions."""
    local, remote = getattr(both.local.story, chapter), getattr(both.kubeflow.story, chapter)
    assert (local.exit_code, remote.exit_code) == (CHAPTERS[chapter], CHAPTERS[chapter])
    if chapter in ("predicted", "status"):
        return
    assert comparable(remote.results) == comparable(local.results)


def test_all_pipelines_ran_on_both_stacks(both: Both) -> None:
    """The same pipelines in the same order, each to the same end."""
    told = [
        [(run["pipeline"], run["status"]) for run in one.recorded["runs"]]
        for one in (both.local, both.kubeflow)
    ]
    assert told[0] == told[1]
    assert {name for name, _ in told[0]} == {
        *("training", "deployment", "continuous", "inference", "reproduction"),
    }
    assert {status for _, status in told[0]} == {"completed"}


def test_kubeflow_knows_its_runs_as_succeeded(both: Both) -> None:
    """Nobody ends a run that is done: a refusal, too, is a result."""
    assert len(both.kubeflow_states) == len(both.kubeflow.recorded["runs"])
    assert set(both.kubeflow_states) == {"SUCCEEDED"}


def test_steps_and_artifacts_are_equal(both: Both) -> None:
    """Names of steps, names and types of what they give, and verdicts."""
    for runs in zip(both.local.recorded["runs"], both.kubeflow.recorded["runs"], strict=True):
        for part in ("status", "verdict"):
            local, remote = ({name: step.get(part) for name, step in run["steps"].items()} for run in runs)
            assert remote == local
        local, remote = ({name: outputs(step) for name, step in run["steps"].items()} for run in runs)
        assert remote == local


def test_the_models_are_the_same_to_the_byte(both: Both) -> None:
    """The same data, configuration and seed give the same weights, wherever they are learnt."""
    weights = [
        [
            step["weights"]
            for run in one.recorded["runs"]
            for step in run["steps"].values()
            if "weights" in step
        ]
        for one in (both.local, both.kubeflow)
    ]
    assert len(weights[0]) == 3, "a training, a retraining, and the first one again"
    assert weights[0][2] == weights[0][0]
    assert weights[0] == weights[1]


def test_nothing_of_a_remote_run_lies_on_a_disk(both: Both) -> None:
    """Every artifact of the remote stack is in the bucket."""
    uris = [
        uri
        for run in both.kubeflow.recorded["runs"]
        for step in run["steps"].values()
        for uri in step["uris"].values()
    ]
    assert uris
    assert {uri.split("://")[0] for uri in uris} == {"s3"}


def test_predictions_in_bulk_are_equal(both: Both) -> None:
    """The Parquet files that each command wrote to the caller's disk hold the same answers."""
    local, remote = (pd.read_parquet(one.story.predictions) for one in (both.local, both.kubeflow))
    pd.testing.assert_frame_equal(local, remote)


def test_the_service_answers_alike(both: Both) -> None:
    """The same photographs get the same labels and probabilities from both services."""
    answers = [
        [
            (entry["label"], entry["probability"], entry["model_version"])
            for entry in one.story.predicted.last["details"]["predictions"]
        ]
        for one in (both.local, both.kubeflow)
    ]
    assert answers[0] == answers[1]


def test_what_is_live_is_told_alike(both: Both) -> None:
    """``--status`` shows the same versions, aliases and deployments, all healthy."""
    for one in (both.local, both.kubeflow):
        status = one.story.status.last
        live = {entry["environment"]: (entry["version"], entry["healthy"]) for entry in status["deployments"]}
        assert live == {"production": (1, True), "staging": (1, True)}
        assert sorted(run["status"] for run in status["runs"]) == ["completed"] * 6 + ["refused"]
    local, remote = both.local.story.status.last, both.kubeflow.story.status.last
    assert [(m["version"], m["aliases"], m["verdict"]) for m in remote["models"]] == [
        (m["version"], m["aliases"], m["verdict"]) for m in local["models"]
    ]
    assert (local["stack"], remote["stack"]) == ("local", "kubeflow")


@pytest.mark.parametrize("chapter", ["approved", "rejected", "rolled_back", "status", "predicted"])
def test_acts_of_a_person_start_no_container(both: Both, chapter: str) -> None:
    """Approve, reject, roll back, status and predict run in the caller's process, in seconds."""
    told = getattr(both.kubeflow.story, chapter)
    assert told.seconds < ACT_WITHIN_S
    began = told.began
    ended = began + timedelta(seconds=told.seconds)
    started = [
        run["name"]
        for run in both.kubeflow.recorded["runs"]
        if began <= datetime.fromisoformat(run["created"]) <= ended
    ]
    assert started == []
