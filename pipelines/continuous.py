"""Continuous training: a delivery joins what is there; when there is a reason, retrain, gate and stage."""

from __future__ import annotations

from zenml import pipeline

from pipelines.config import Config
from pipelines.training import TrainingInputs, learn, receive
from steps.deployment.staging import staging
from steps.monitoring.decide import decide
from steps.monitoring.signals import signals


@pipeline(name="continuous")
def continuous(config: Config, inputs: TrainingInputs) -> None:
    """Ingest, validate, gather signals, decide; then, if yes, the training steps and staging.

    Validation comes before the decision, so that a delivery which does not lead to a retraining is kept:
    it is part of the dataset that the next one joins.
    """
    model_name = config.product.model
    dataset, data_report, previous_splits = receive(config, inputs, join_parent=True)
    found = signals(
        dataset,
        model_name=model_name,
        change=config.change,
        approval=config.approval,
        settings=config.trigger,
        learning=config.running.learning,
        retrain_at=config.monitor.drift.fixed.data_drift_retrain,
    )
    decision, training_dataset = decide(dataset, found, settings=config.trigger, model_name=model_name)
    version, verdict = learn(
        training_dataset, data_report, previous_splits, config=config, inputs=inputs, origin="continuous"
    )
    staging(
        version,
        verdict,
        decision,
        model_name=model_name,
        policy=config.policy,
        presupposed=config.presupposed,
        cost=config.evaluate.cost,
        settings=config.deployment,
        class_changes=config.product.class_changes,
    )
