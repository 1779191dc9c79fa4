"""Training: from a delivery to a registered version and its verdict."""

from __future__ import annotations

from zenml import pipeline

from materializers.report import Record
from pipelines.config import Config
from steps.data.ingest import ingest
from steps.data.split import split
from steps.data.validate import validate
from steps.evaluation.evaluate import evaluate
from steps.evaluation.gate import gate
from steps.registry.register import register
from steps.training.train import train


class TrainingInputs(Record):
    """What one run is given beside its configuration."""

    source: str | None
    data_version: str | None
    code: str
    """Digest of the code that decides what a model becomes."""


@pipeline(name="training")
def training(config: Config, inputs: TrainingInputs) -> None:
    """Ingest, validate, split, train, evaluate, gate, register."""
    product, code = config.product, inputs.code
    classes = list(product.classes)
    delivery, screening, previous_splits = ingest(
        model_name=product.model,
        source_name=product.source.name,
        settings=config.ingest,
        source=inputs.source,
        data_version=inputs.data_version,
    )
    dataset, data_report = validate(
        delivery, screening, classes=classes, settings=config.validate_, code=code
    )
    splits = split(dataset, previous_splits, settings=config.split, code=code)
    classifier = train(
        dataset,
        splits,
        classes=classes,
        settings=config.train,
        configuration=config.training_digest,
        code=code,
    )
    evaluation = evaluate(classifier, dataset, splits, settings=config.evaluate, code=code)
    verdict = gate(
        classifier, evaluation, data_report, model_name=product.model, policy=config.policy, code=code
    )
    register(
        classifier,
        evaluation,
        verdict,
        splits,
        model_name=product.model,
        source_name=product.source.name,
        origin="train",
    )
