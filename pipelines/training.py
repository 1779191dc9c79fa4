"""Training: from a delivery to a registered version and its verdict."""

from __future__ import annotations

from typing import Any, Literal

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
from steps.training.tune import tune


class TrainingInputs(Record):
    """What one run is given beside its configuration."""

    source: str | None
    data_version: str | None
    code: str
    """Digest of the code that decides what a model becomes."""
    lock: str | None = None
    """Digest of the lock files; None in a schedule of before there was one."""


@pipeline(name="training")
def training(config: Config, inputs: TrainingInputs) -> None:
    """Ingest, validate, split, tune, train, evaluate, gate, register."""
    dataset, data_report, previous_splits = receive(config, inputs, join_parent=False)
    learn(dataset, data_report, previous_splits, config=config, inputs=inputs, origin="train")


def receive(config: Config, inputs: TrainingInputs, *, join_parent: bool) -> tuple[Any, Any, Any]:
    """The steps that take a delivery in: ingest, validate."""
    product, checks = config.product, config.validate_
    delivery, screening, quarantine, previous_dataset, previous_splits = ingest(
        model_name=product.model,
        source_name=product.source.name,
        settings=config.ingest,
        classes=list(product.classes),
        class_changes=product.class_changes,
        freshness=checks.freshness,
        drift=checks.drift,
        personal_data=checks.personal_data,
        checks=checks,
        source=inputs.source,
        data_version=inputs.data_version,
        join_parent=join_parent,
    )
    dataset, data_report = validate(
        delivery,
        screening,
        quarantine,
        previous_dataset,
        classes=list(product.classes),
        renamed=product.class_changes.renamed,
        sensitive=list(config.evaluate.slices.sensitive),
        settings=checks,
        code=inputs.code,
    )
    return dataset, data_report, previous_splits


def learn(
    dataset: Any,
    data_report: Any,
    previous_splits: Any,
    *,
    config: Config,
    inputs: TrainingInputs,
    origin: Literal["train", "continuous"],
) -> tuple[Any, Any]:
    """The steps that make a judged version of a dataset: split, tune, train, evaluate, gate, register.

    Returns:
        The version, and the verdict that this run reached on it.
    """
    product, code = config.product, inputs.code
    splits, _ = split(
        dataset, previous_splits, settings=config.split, min_tested=config.policy.min_tested, code=code
    )
    shared: dict[str, Any] = {
        "classes": list(product.classes),
        "settings": config.train,
        "configuration": config.training_digest,
        "code": code,
    }
    # A step that has nothing to do opens no run of the tracker either.
    tuning = tune.with_options(experiment_tracker=config.tunes)(
        dataset, splits, search=config.tune, folds=config.cross_validate, **shared
    )
    classifier = train(
        dataset, splits, calibration=config.calibrate, lock=inputs.lock, tuning=tuning, **shared
    )
    evaluation = evaluate(
        classifier,
        dataset,
        splits,
        settings=config.evaluate,
        comparison=config.policy.comparison,
        anchor=config.policy.anchor,
        class_changes=product.class_changes,
        model_name=product.model,
    )
    verdict, _ = gate(
        classifier, evaluation, data_report, model_name=product.model, policy=config.policy, code=code
    )
    version = register(
        classifier,
        evaluation,
        verdict,
        splits,
        tuning,
        model_name=product.model,
        source_name=product.source.name,
        purpose=product.purpose,
        compliance=config.compliance_digest,
        presupposed=config.presupposed,
        approval=config.approval,
        origin=origin,
    )
    return version, verdict
