"""Trials and folds in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from materializers.tuning_report import CrossValidation, Fold, Trial, TuningReport
from steps.training.tuning.cross_validation import spread
from steps.training.tuning.trial_tracking import TUNING_TAG, TrialRuns
from tests.materializers.examples import tuning_report
from tests.steps.tracking_run import tracking_run

TRIALS = [
    Trial(number=1, state="complete", parameters={"dropout": 0.5}, val_accuracy=(0.5, 0.7, 0.6), score=0.7),
    Trial(number=2, state="pruned", parameters={"dropout": 0.1}, val_accuracy=(0.2,), score=None),
]
FOLDS = tuple(Fold(number=k, n=10, accuracy=0.6 + k / 10, f1_macro=0.5, epochs=3) for k in (1, 2, 3))


def folds() -> CrossValidation:
    """Three folds."""
    accuracy, f1_macro = (
        spread([getattr(fold, name) for fold in FOLDS]) for name in ("accuracy", "f1_macro")
    )
    return CrossValidation(folds=FOLDS, accuracy=accuracy, f1_macro=f1_macro, parameters={})


def report() -> TuningReport:
    """Two trials and three folds."""
    return tuning_report(trials=tuple(TRIALS), cross_validation=folds())


def test_each_trial_is_a_run_below_the_steps(tmp_path: Path) -> None:
    """Once, with its parameters, an accuracy an epoch, and whether it was pruned."""
    import mlflow

    with tracking_run(tmp_path) as run_id:
        runs = TrialRuns()
        runs.log(TRIALS[:1])
        runs.log(TRIALS)
        client = mlflow.MlflowClient()
        experiment = client.get_run(run_id).info.experiment_id
        below = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
        found = {run.data.tags["trial"]: run for run in below}
        assert len(below) == 2
        assert found["1"].data.params == {"dropout": "0.5"}
        assert found["1"].data.metrics["score"] == 0.7
        logged = client.get_metric_history(found["1"].info.run_id, "val_accuracy")
        assert [(point.step, point.value) for point in logged] == [(1, 0.5), (2, 0.7), (3, 0.6)]
        assert [(found[n].info.status, found[n].data.tags["state"]) for n in ("1", "2")] == [
            ("FINISHED", "complete"),
            ("FINISHED", "pruned"),
        ]


def test_trials_of_a_killed_run_are_taken_over(tmp_path: Path) -> None:
    """The study has each once, below the run that ends it; what the killed one left half done is gone.

    A run that finished, and another study, keep theirs.
    """
    import mlflow

    with tracking_run(tmp_path) as run_id:
        client = mlflow.MlflowClient()
        experiment = client.get_run(run_id).info.experiment_id
        parents = {status: client.create_run(experiment).info.run_id for status in ("KILLED", "FINISHED")}
        for parent, study, number, state in (
            ("KILLED", "mine", 1, "FINISHED"),
            ("KILLED", "mine", 2, "RUNNING"),
            ("KILLED", "another", 1, "FINISHED"),
            ("FINISHED", "mine", 1, "FINISHED"),
        ):
            tags = {"mlflow.parentRunId": parents[parent], "trial": str(number), "study": study}
            trial = client.create_run(experiment, tags=tags)
            if state == "FINISHED":
                client.set_terminated(trial.info.run_id)
        for status, parent in parents.items():
            client.set_terminated(parent, status)
        TrialRuns("mine").log(TRIALS)

        def below(parent: str) -> list[tuple[str, str]]:
            found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
            return sorted((run.data.tags["study"], run.data.tags["trial"]) for run in found)

        assert below(run_id) == [("mine", "1"), ("mine", "2")]
        assert below(parents["KILLED"]) == [("another", "1")]
        assert below(parents["FINISHED"]) == [("mine", "1")]


def test_a_second_attempt_doubles_no_trial(tmp_path: Path) -> None:
    """It finds what the first one logged; what that left half done is logged again."""
    import mlflow

    with tracking_run(tmp_path) as run_id:
        TrialRuns().log(TRIALS[:1])
        client = mlflow.MlflowClient()
        experiment = client.get_run(run_id).info.experiment_id
        client.create_run(experiment, tags={"mlflow.parentRunId": run_id, "trial": "2"})
        TrialRuns().log(TRIALS)
        found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert sorted((run.data.tags["trial"], run.info.status) for run in found) == [
        ("1", "FINISHED"),
        ("2", "FINISHED"),
    ]


def test_folds_are_in_the_steps_own_run(tmp_path: Path) -> None:
    """A value a fold, the mean and the deviation, once; by its tag the run then has the whole tuning."""
    import mlflow

    with tracking_run(tmp_path) as run_id:
        for _ in range(2):
            TrialRuns().log_report(report())
        client = mlflow.MlflowClient()
        values = client.get_run(run_id).data.metrics
        assert values["fold_accuracy_mean"] == pytest.approx(0.8)
        assert values["fold_accuracy_deviation"] == pytest.approx(0.1)
        logged = client.get_metric_history(run_id, "fold_accuracy")
        assert sorted(point.step for point in logged) == [1, 2, 3]
        assert {point.step: point.value for point in logged} == pytest.approx({1: 0.7, 2: 0.8, 3: 0.9})
        assert client.get_run(run_id).data.tags[TUNING_TAG] == report().digest


def test_a_tracker_that_is_gone_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The study goes on, and nothing is asked of it again: the run is not said to have the tuning."""
    import mlflow

    caplog.set_level("WARNING", "shutterline")

    with tracking_run(tmp_path) as run_id:
        runs = TrialRuns()

        def gone(*_: Any, **__: Any) -> None:
            raise ConnectionError("refused")

        monkeypatch.setattr(mlflow.MlflowClient, "create_run", gone)
        runs.log(TRIALS[:1])
        monkeypatch.undo()
        runs.log(TRIALS)
        runs.log_report(report())
        kept = mlflow.get_run(run_id).data
    (said,) = [
        each for each in caplog.messages if each.startswith("The experiment tracker was lost (refused)")
    ]
    assert "this tuning is in the artifact store, and is sent before" in said
    assert TUNING_TAG not in kept.tags
    assert not kept.metrics


def test_what_is_completed_raises_where_the_tracker_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever registers has to know; the next attempt logs what is missing."""
    import mlflow

    def gone(*_: Any, **__: Any) -> None:
        raise ConnectionError("refused")

    with tracking_run(tmp_path) as run_id:
        with monkeypatch.context() as patched:
            patched.setattr(mlflow.MlflowClient, "log_batch", gone)
            with pytest.raises(ConnectionError):
                TrialRuns().complete(report())
        TrialRuns().complete(report())
        client = mlflow.MlflowClient()
        experiment = client.get_run(run_id).info.experiment_id
        found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert sorted((run.data.tags["trial"], run.info.status) for run in found) == [
        ("1", "FINISHED"),
        ("2", "FINISHED"),
    ]


def test_without_an_open_run_nothing_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store appears in the working directory."""
    monkeypatch.chdir(tmp_path)
    runs = TrialRuns()
    runs.log(TRIALS)
    runs.log_report(report())
    runs.complete(report())
    assert not list(tmp_path.iterdir())
