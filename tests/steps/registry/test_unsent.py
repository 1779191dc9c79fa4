"""What the experiment tracker lost of a training is sent before its version is registered, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from materializers.classifier import Classifier
from materializers.errors import ServiceUnreachable
from materializers.evaluation_report import EvaluationReport
from steps.registry.unsent import send_unsent
from tests.materializers.examples import evaluation_report
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


def test_a_training_is_sent_to_the_run_that_trained(
    classifier: Classifier, evaluation: EvaluationReport, own: str, earlier: str
) -> None:
    """Which ends by it; the run that registers names it, and has the evaluation."""
    for _ in range(2):
        send_unsent(classifier, evaluation, training_run=earlier)
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
    send_unsent(classifier, evaluation, training_run=earlier if known else None)
    assert epochs(own) == [1, 2]


def test_a_run_of_another_experiment_is_found(
    classifier: Classifier, evaluation: EvaluationReport, own: str, tmp_path: Path
) -> None:
    """The experiment's name was changed in between, and no step depends on it."""
    other = mlflow.create_experiment("renamed", artifact_location=(tmp_path / "renamed").as_uri())
    elsewhere = MlflowClient().create_run(other).info.run_id
    send_unsent(classifier, evaluation, training_run=elsewhere)
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
        send_unsent(classifier, evaluation, training_run=None)
