"""A training that learns nothing is given up, and ends as a refusal: recorded, tagged, never served."""

from __future__ import annotations

import pytest

from tests.whole.shop import Shop, registry_file

REFUSED = 3
NOTHING_LEARNT = (
    "train.learning_rate=0.0000001",
    "train.learning.after_epochs=1",
    "train.learning.floor=0.9",
)
EXPLODED = ("train.learning_rate=1.0", "train.learning.loss_limit=1.0001")


@pytest.mark.parametrize(
    ("assignments", "sentence"),
    [
        (NOTHING_LEARNT, "after epoch 1 the best validation accuracy is 0."),
        (
            EXPLODED,
            "times that of guessing one of 5 classes, at learning rate 1; lower it: --set train.learn",
        ),
    ],
    ids=["nothing-learnt", "exploded"],
)
def test_what_does_not_learn_is_refused(untouched: Shop, assignments: tuple[str, ...], sentence: str) -> None:
    """Exit 3 with the sentence; the version and its run are tagged; what serves and the aliases stay."""
    from mlflow import MlflowClient

    tracker = MlflowClient(f"sqlite:///{registry_file()}")

    outcome = untouched.run(*assignments, train=True, source=str(untouched.delivery))
    assert (outcome.exit_code, outcome.last["verdict"]) == (REFUSED, "refused")
    (reason,) = [
        reason for reason in outcome.last["reasons"] if reason.startswith("learning: 0, limit >= 1 (")
    ]
    assert sentence in reason
    version = outcome.last["version"]
    assert untouched.versions()[version]["status"] == "failed_to_learn"
    found = tracker.search_runs(
        [each.experiment_id for each in tracker.search_experiments()],
        "tags.status = 'failed_to_learn'",
    )
    assert any(run.data.tags["failure"] in reason for run in found)
    released = untouched.run(*assignments, deploy=True, version=version)
    assert (released.exit_code, released.last["status"]) == (REFUSED, "refused")
    assert sentence in released.said


def test_a_version_that_learnt_has_no_such_tag(serving: Shop) -> None:
    """The versions that were trained to the end say nothing of it."""
    assert all("status" not in serving.versions()[version] for version in (1, 2, 3))
