"""Trials and folds in MLflow: each trial a run below the step's, the folds in the step's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from steps.tracker import METRICS_A_CALL, log_metrics, send

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from materializers.tuning_report import CrossValidation, Trial, TuningReport

MOST_RUNS = 50_000
"""That MLflow lists at once."""
PARENT = "mlflow.parentRunId"
ENDED = ("FAILED", "KILLED")
"""How a run ends that did not finish."""
TUNING_TAG = "tuning_sent"
"""Of a run that has all trials and folds of a tuning: the report's digest. Written last."""


class TrialRuns:
    """What MLflow was told so far. Where it is lost, the study goes on, and ``register`` sends the rest."""

    def __init__(self, study: str | None = None) -> None:
        """Take the run that is open; without one nothing is logged.

        Args:
            study: what tells the trials of this study from others', so that those which a killed run has
                logged are taken over from it; None: only those below this run are looked for.
        """
        import mlflow

        self._study = study
        self._parent: Any = mlflow.active_run()
        self._logged: set[int] | None = None
        self._lost = False

    def log(self, trials: Iterable[Trial]) -> None:
        """Log the trials that were not logged yet, each as a run of its own."""
        self._unless_lost(lambda: self._log_missing(trials))

    def log_report(self, report: TuningReport) -> None:
        """Log what a tuning that is over has besides."""
        self._unless_lost(lambda: self.complete(report))

    def complete(self, report: TuningReport) -> None:
        """Log all trials and folds of a tuning to the run that is open; without one nothing is logged.

        What was logged before is not there twice; a lost MLflow raises here. Sent last is ``tuning_sent``.
        """
        import mlflow

        if self._parent is None:
            return
        self._log_missing(report.trials)
        if report.cross_validation is not None:
            log_metrics(_points(report.cross_validation))
        mlflow.set_tag(TUNING_TAG, report.digest)

    def _unless_lost(self, log: Callable[[], None]) -> None:
        """Ask nothing more of a tracker that is lost: each time may cost a minute of waiting."""
        if self._parent is not None and not self._lost:
            self._lost = not send("this tuning", log)

    def _log_missing(self, trials: Iterable[Trial]) -> None:
        if self._logged is None:
            self._logged = self._found()
        for trial in trials:
            if trial.number not in self._logged:
                self._log(trial)
                self._logged.add(trial.number)

    def _found(self) -> set[int]:
        """The trials that an earlier attempt logged; what is half done, or there twice, is deleted."""
        import mlflow

        client, parent = mlflow.MlflowClient(), self._parent.info
        if self._study is not None:
            self._take_over(client, self._study)
        below = f"tags.`{PARENT}` = '{parent.run_id}' AND tags.trial != ''"
        logged: set[int] = set()
        for run in client.search_runs([parent.experiment_id], below, max_results=MOST_RUNS):
            number = int(run.data.tags["trial"])
            if run.info.status == "FINISHED" and number not in logged:
                logged.add(number)
            else:
                client.delete_run(run.info.run_id)
        return logged

    def _take_over(self, client: MlflowClient, study: str) -> None:
        """Put the trials below this run that one which was ended has logged: the study goes on from them."""
        own, known = self._parent.info, f"tags.study = '{study}'"
        ended: dict[str, bool] = {own.run_id: False}
        for run in client.search_runs([own.experiment_id], known, max_results=MOST_RUNS):
            above = run.data.tags[PARENT]
            if above not in ended:
                ended[above] = client.get_run(above).info.status in ENDED
            if ended[above]:
                client.set_tag(run.info.run_id, PARENT, own.run_id)

    def _log(self, trial: Trial) -> None:
        import mlflow
        from mlflow.entities import Metric, Param

        client, parent = mlflow.MlflowClient(), self._parent.info
        run = client.create_run(
            parent.experiment_id,
            run_name=f"trial {trial.number}",
            tags={PARENT: parent.run_id, "trial": str(trial.number), "state": trial.state}
            | ({} if self._study is None else {"study": self._study}),
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


def _points(cross_validation: CrossValidation) -> Iterator[tuple[str, float, int]]:
    """Each fold's figures by its number, and their mean and deviation."""
    for name in ("accuracy", "f1_macro"):
        for fold in cross_validation.folds:
            yield f"fold_{name}", getattr(fold, name), fold.number
        spread = getattr(cross_validation, name)
        yield f"fold_{name}_mean", spread.mean, 0
        yield f"fold_{name}_deviation", spread.deviation, 0
