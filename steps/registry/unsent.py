"""Send to the experiment tracker what it lost of a tuning, a training and its evaluation, once.

A tuning and a training belong to the MLflow run of the ZenML run that made them, which may be an earlier one:
the step's output was remembered. An evaluation belongs to the run that measured, which is always this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from materializers.classifier import Classifier
from materializers.evaluation_report import EvaluationReport
from materializers.tuning_report import TuningReport
from steps.evaluation.tracking import EVALUATION_TAG
from steps.evaluation.tracking import track as track_evaluation
from steps.tracker import require_run, tracker_errors

if TYPE_CHECKING:
    from mlflow.entities import Run

TRAINING_RUN_TAG = "training_run"
"""Of a run that did not train itself: the MLflow run that has the training."""


def send_unsent(
    classifier: Classifier,
    evaluation: EvaluationReport,
    tuning: TuningReport | None,
    *,
    training_run: str | None,
    tuning_run: str | None,
) -> None:
    """Log what the tracker does not have yet; where the stack tracks nothing, nothing is logged.

    Args:
        classifier: its record holds the metrics and the parameters.
        evaluation: of this ZenML run.
        tuning: trials and folds; None where there were none.
        training_run: the MLflow run that was open while it was trained; None where nobody knows it.
        tuning_run: the one that was open while it was tuned.

    Raises:
        ServiceUnreachable: the tracker cannot be read or written.
    """
    from steps.training.tracking import TRAINING_TAG
    from steps.training.tracking import track as track_training
    from steps.training.tuning.trial_tracking import TUNING_TAG, TrialRuns

    own = require_run("take what this run made, so that nothing was registered")
    if own is None:
        return
    import mlflow

    with tracker_errors("take what this run made, so that nothing was registered"):
        client = mlflow.MlflowClient()
        trained = _find(training_run) or client.get_run(own.info.run_id)
        if tuning is not None:
            same = tuning_run == training_run
            tuned = trained if same else _find(tuning_run) or client.get_run(own.info.run_id)
            if tuned.data.tags.get(TUNING_TAG) != tuning.digest:
                with _open(tuned, own):
                    TrialRuns().complete(tuning)
        if trained.data.tags.get(TRAINING_TAG) != classifier.record.digest:
            with _open(trained, own):
                track_training(classifier)
        now = client.get_run(own.info.run_id)
        if now.data.tags.get(EVALUATION_TAG) != evaluation.digest:
            track_evaluation(evaluation)
        if trained.info.run_id != own.info.run_id:
            mlflow.set_tag(TRAINING_RUN_TAG, trained.info.run_id)


def _find(run_id: str | None) -> Run | None:
    """A run that MLflow still has; None where it was deleted, or MLflow is another one by now."""
    import mlflow
    from mlflow.exceptions import MlflowException

    if run_id is None:
        return None
    try:
        run = mlflow.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


@contextmanager
def _open(run: Run, own: Run) -> Iterator[None]:
    """Log to ``run`` for a while, and end it then: what lost the tracker left it open."""
    import mlflow

    if run.info.run_id == own.info.run_id:
        yield
        return
    # It may be of another experiment: the name is a setting that no step's output depends on.
    mlflow.set_experiment(experiment_id=run.info.experiment_id)
    try:
        with mlflow.start_run(run_id=run.info.run_id, nested=True):
            yield
    finally:
        mlflow.set_experiment(experiment_id=own.info.experiment_id)
