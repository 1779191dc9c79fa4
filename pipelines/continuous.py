"""Continuous training: a delivery joins what is there; when there is a reason, retrain, gate and stage."""

from __future__ import annotations

from zenml import pipeline

from pipelines.config import Config
from pipelines.training import TrainingInputs
from steps.data.ingest import ingest
from steps.data.split import split
from steps.data.validate import validate
from steps.deployment.staging import staging
from steps.evaluation.evaluate import evaluate
from steps.evaluation.gate import gate
from steps.monitoring.decide import decide
from steps.monitoring.signals import signals
from steps.registry.register import register
from steps.training.train import train


@pipeline(name="continuous")
def continuous(config: Config, inputs: TrainingInputs) -> None:
    """Ingest, validate, gather signals, decide; then, if yes, the training steps and staging.

    Validation comes before the decision, so that a delivery which does not lead to a retraining is kept:
    it is part of the dataset that the next one joins.
    """
    product, code = config.product, inputs.code
    classes = list(product.classes)
    delivery, screening, previous_splits = ingest(
        model_name=product.model,
        source_name=product.source.name,
        settings=config.ingest,
        source=inputs.source,
        data_version=inputs.data_version,
        join_parent=True,
    )
    dataset, data_report = validate(
        delivery, screening, classes=classes, settings=config.validate_, code=code
    )
    found = signals(dataset, model_name=product.model, settings=config.trigger)
    decision, training_dataset = decide(dataset, found, settings=config.trigger)
    splits = split(training_dataset, previous_splits, settings=config.split, code=code)
    classifier = train(
        training_dataset,
        splits,
        classes=classes,
        settings=config.train,
        configuration=config.training_digest,
        code=code,
    )
    evaluation = evaluate(classifier, training_dataset, splits, settings=config.evaluate, code=code)
    verdict = gate(
        classifier, evaluation, data_report, model_name=product.model, policy=config.policy, code=code
    )
    version = register(
        classifier,
        evaluation,
        verdict,
        splits,
        model_name=product.model,
        source_name=product.source.name,
        origin="continuous",
    )
    staging(version, decision, model_name=product.model, policy_digest=config.policy.digest)
