"""Trials and folds in MLflow: each trial a run below the step's, the folds in the step's own."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from steps.tracker import METRICS_A_CALL

if TYPE_CHECKING:
    from materializers.tuning_report import CrossValidation, Trial

logger = logging.getLogger("shutterline")

MOST_RUNS = 50_000
"""That MLflow lists at once."""


class TrialRuns:
    """What MLflow was told so far. Where it does not answer, the study goes on: its report has everything."""

    def __init__(self) -> None:
        """Take the run that is open; without one nothing is logged."""
        import mlflow

        self._parent: Any = mlflow.active_run()
        self._logged: set[int] | None = None
        self._silent = False

    def log(self, trials: Iterable[Trial]) -> None:
        """Log the trials that were not logged yet, each as a run of its own."""
        if self._parent is None or self._silent:
            return
        try:
            if self._logged is None:
                self._logged = self._found()
            for trial in trials:
                if trial.number not in self._logged:
                    self._log(trial)
                    self._logged.add(trial.number)
        except Exception as error:  # noqa: BLE001 - whatever the tracker's client raises, no trial is lost
            self._give_up(error)

    def log_folds(self, cross_validation: CrossValidation) -> None:
        """Log each fold's figures, and mean and deviation, in the step's own run."""
        import mlflow
        from mlflow.entities import Metric

        if self._parent is None or self._silent:
            return
        now = int(time.time() * 1000)
        metrics = []
        for name in ("accuracy", "f1_macro"):
            spread = getattr(cross_validation, name)
            metrics += [
                Metric(f"fold_{name}", getattr(f, name), now, f.number) for f in cross_validation.folds
            ]
            metrics.append(Metric(f"fold_{name}_mean", spread.mean, now, 0))
            metrics.append(Metric(f"fold_{name}_deviation", spread.deviation, now, 0))
        try:
            mlflow.MlflowClient().log_batch(self._parent.info.run_id, metrics=metrics)
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)

    def _found(self) -> set[int]:
        """The trials that an earlier attempt of this step logged; what it left half done is deleted."""
        import mlflow

        client, parent = mlflow.MlflowClient(), self._parent.info
        below = f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
        logged = set()
        for run in client.search_runs([parent.experiment_id], below, max_results=MOST_RUNS):
            if run.info.status == "FINISHED":
                logged.add(int(run.data.tags["trial"]))
            else:
                client.delete_run(run.info.run_id)
        return logged

    def _log(self, trial: Trial) -> None:
        import mlflow
        from mlflow.entities import Metric, Param

        client, parent = mlflow.MlflowClient(), self._parent.info
        run = client.create_run(
            parent.experiment_id,
            run_name=f"trial {trial.number}",
            tags={"mlflow.parentRunId": parent.run_id, "trial": str(trial.number), "state": trial.state},
        )
        now = int(time.time() * 1000)
        metrics = [
            Metric("val_accuracy", value, now, epoch) for epoch, value in enumerate(trial.val_accuracy, 1)
        ]
        if trial.score is not None:
            metrics.append(Metric("score", trial.score, now, 0))
        parameters = [Param(name, str(value)) for name, value in trial.parameters.items()]
        client.log_batch(run.info.run_id, params=parameters, metrics=metrics[:METRICS_A_CALL])
        for begin in range(METRICS_A_CALL, len(metrics), METRICS_A_CALL):
            client.log_batch(run.info.run_id, metrics=metrics[begin : begin + METRICS_A_CALL])
        client.set_terminated(run.info.run_id, "FINISHED")

    def _give_up(self, error: Exception) -> None:
        self._silent = True
        logger.warning("MLflow does not take trials any more (%s); the tuning report has them all.", error)
