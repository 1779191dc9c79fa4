"""What the experiment tracker lost of a tuning or a training is sent before the registration, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from materializers.classifier import Classifier
from materializers.errors import ServiceUnreachable
from materializers.evaluation_report import EvaluationReport
from materializers.tuning_report import TuningReport
from steps.registry.unsent import send_unsent
from steps.training.tuning.trial_tracking import TrialRuns
from tests.materializers.examples import evaluation_report, tuning_report
from tests.steps.tracking_run import tracking_run
from tests.steps.training.examples import trained


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Trained for two epochs."""
    return trained(tmp_path_factory.mktemp("trained") / "model", epochs=2)


@pytest.fixture(scope="module")
def evaluation() -> EvaluationReport:
    """Of whichever model."""
    return evaluation_report()


@pytest.fixture(scope="module")
def tuning() -> TuningReport:
    """Three trials and two folds."""
    return tuning_report()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """The MLflow run of the ZenML run that registers."""
    with tracking_run(tmp_path) as run_id:
        yield run_id


@pytest.fixture
def earlier(own: str) -> str:
    """The MLflow run of a ZenML run before, left open by a tracker that was lost."""
    experiment = mlflow.get_run(own).info.experiment_id
    return str(MlflowClient().create_run(experiment).info.run_id)


def epochs(run_id: str) -> list[int]:
    """The epochs that a run has."""
    return sorted(point.step for point in MlflowClient().get_metric_history(run_id, "val_loss"))


def trials_below(run_id: str) -> list[tuple[str, str]]:
    """Number and status of the trials that a run has below."""
    experiment = mlflow.get_run(run_id).info.experiment_id
    found = MlflowClient().search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return sorted((run.data.tags["trial"], run.info.status) for run in found)


def folds(run_id: str) -> list[int]:
    """The folds that a run has."""
    return sorted(point.step for point in MlflowClient().get_metric_history(run_id, "fold_accuracy"))


ALL_TRIALS = [(number, "FINISHED") for number in "123"]


def test_a_training_is_sent_to_the_run_that_trained(
    classifier: Classifier, evaluation: EvaluationReport, own: str, earlier: str
) -> None:
    """Which ends by it; the run that registers names it, and has the evaluation."""
    for _ in range(2):
        send_unsent(classifier, evaluation, None, training_run=earlier, tuning_run=None)
        assert (epochs(earlier), epochs(own)) == ([1, 2], [])
    assert mlflow.get_run(earlier).info.status == "FINISHED"
    data = mlflow.get_run(own).data
    assert data.tags["training_run"] == earlier
    assert "test_accuracy" in data.metrics
    assert len(MlflowClient().search_logged_models([mlflow.get_run(own).info.experiment_id])) == 1


@pytest.mark.parametrize("known", [True, False])
def test_where_its_run_is_gone_the_training_is_sent_to_this_one(
    classifier: Classifier, evaluation: EvaluationReport, own: str, earlier: str, known: bool
) -> None:
    """Deleted in MLflow, or never known."""
    MlflowClient().delete_run(earlier)
    send_unsent(classifier, evaluation, None, training_run=earlier if known else None, tuning_run=None)
    assert epochs(own) == [1, 2]


def test_a_run_of_another_experiment_is_found(
    classifier: Classifier, evaluation: EvaluationReport, own: str, tmp_path: Path
) -> None:
    """The experiment's name was changed in between, and no step depends on it."""
    other = mlflow.create_experiment("renamed", artifact_location=(tmp_path / "renamed").as_uri())
    elsewhere = MlflowClient().create_run(other).info.run_id
    send_unsent(classifier, evaluation, None, training_run=elsewhere, tuning_run=None)
    assert (epochs(elsewhere), epochs(own)) == ([1, 2], [])
    active = mlflow.active_run()
    assert active is not None
    assert active.info.run_id == own


def test_what_the_tracker_does_not_take_is_a_service_that_is_not_reached(
    classifier: Classifier, evaluation: EvaluationReport, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4: nothing may be registered then."""

    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(MlflowClient, "log_batch", lost)
    with pytest.raises(ServiceUnreachable, match="nothing was registered: refused"):
        send_unsent(classifier, evaluation, None, training_run=None, tuning_run=None)


def test_a_tuning_is_sent_below_the_run_that_tuned(
    classifier: Classifier, evaluation: EvaluationReport, tuning: TuningReport, own: str, earlier: str
) -> None:
    """What it has stays, what was left half logged is replaced, and what it lost comes beside."""
    client, experiment = MlflowClient(), mlflow.get_run(own).info.experiment_id
    with mlflow.start_run(earlier, nested=True):
        TrialRuns().log(tuning.trials[:1])
    half = client.create_run(experiment, tags={"mlflow.parentRunId": earlier, "trial": "2"}).info.run_id
    for _ in range(2):
        send_unsent(classifier, evaluation, tuning, training_run=earlier, tuning_run=earlier)
        assert (trials_below(earlier), trials_below(own)) == (ALL_TRIALS, [])
        assert (folds(earlier), folds(own)) == ([1, 2], [])
    assert mlflow.get_run(half).info.lifecycle_stage == "deleted"
    assert mlflow.get_run(earlier).info.status == "FINISHED"


def test_a_tuning_and_its_training_may_have_runs_of_their_own(
    classifier: Classifier, evaluation: EvaluationReport, tuning: TuningReport, own: str, earlier: str
) -> None:
    """Tuned, then ended before it trained: the training is this run's, the trials that one's."""
    send_unsent(classifier, evaluation, tuning, training_run=own, tuning_run=earlier)
    assert (trials_below(earlier), trials_below(own)) == (ALL_TRIALS, [])
    assert (epochs(earlier), epochs(own)) == ([], [1, 2])


def test_where_its_run_is_gone_the_tuning_is_sent_to_this_one(
    classifier: Classifier, evaluation: EvaluationReport, tuning: TuningReport, own: str, earlier: str
) -> None:
    """Beside a training whose own is there."""
    gone = MlflowClient().create_run(mlflow.get_run(own).info.experiment_id).info.run_id
    MlflowClient().delete_run(gone)
    send_unsent(classifier, evaluation, tuning, training_run=earlier, tuning_run=gone)
    assert (trials_below(own), folds(own)) == (ALL_TRIALS, [1, 2])
    assert epochs(earlier) == [1, 2]


def test_a_tuning_that_is_there_is_not_asked_for(
    classifier: Classifier,
    evaluation: EvaluationReport,
    tuning: TuningReport,
    own: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tag came with the run that has the training: no trial is listed, and nothing is written."""
    TrialRuns().log_report(tuning)
    send_unsent(classifier, evaluation, tuning, training_run=own, tuning_run=own)

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("it was asked again")

    for call in ("search_runs", "create_run", "log_batch", "set_tag"):
        monkeypatch.setattr(MlflowClient, call, asked)
    send_unsent(classifier, evaluation, tuning, training_run=own, tuning_run=own)


def test_a_trial_that_the_tracker_does_not_take_is_a_service_that_is_not_reached(
    classifier: Classifier,
    evaluation: EvaluationReport,
    tuning: TuningReport,
    own: str,
    earlier: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing may be registered; once it takes them, each is there once."""

    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("refused")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_terminated", lost)
        with pytest.raises(ServiceUnreachable, match="nothing was registered: refused"):
            send_unsent(classifier, evaluation, tuning, training_run=earlier, tuning_run=earlier)
    assert trials_below(earlier) == [("1", "RUNNING")]
    send_unsent(classifier, evaluation, tuning, training_run=earlier, tuning_run=earlier)
    assert trials_below(earlier) == ALL_TRIALS
