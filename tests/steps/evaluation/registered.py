"""Versions in the registry, with a real run behind them that stored what they were made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from zenml import pipeline, step
from zenml.client import Client

from materializers.classifier import Classifier
from materializers.evidence import RegisteredVersion, read_version
from materializers.image_dataset import ImageDataset
from materializers.splits import Splits
from pipelines.session import prepare
from steps.registry.register import register_version


@dataclass
class Made:
    """What the next run stores."""

    classifier: Classifier
    dataset: ImageDataset
    splits: Splits


_NEXT: list[Made] = []


@step(enable_cache=False)
def stands_for_training() -> tuple[
    Annotated[Classifier, "classifier"],
    Annotated[ImageDataset, "dataset"],
    Annotated[Splits, "splits"],
]:
    """Store a model, and the pictures that it was made of."""
    made = _NEXT.pop()
    return made.classifier, made.dataset, made.splits


@pipeline(enable_cache=False)
def stored_training() -> None:
    """One step."""
    stands_for_training()


def register_trained(model_name: str, made: Made, **tags: str) -> RegisteredVersion:
    """Register a model that a run of the active stack stored, as a version that passed."""
    prepare(stack=None)
    _NEXT.append(made)
    run: Any = stored_training()
    stored: Classifier = (
        Client().get_pipeline_run(run.id).steps["stands_for_training"].outputs["classifier"][0].load()
    )
    about = {
        "identity": f"{made.classifier.record.model_digest}",
        "verdict": "passed",
        "zenml_run": str(run.id),
        "model_uri": stored.model_uri,
        "model_digest": made.classifier.record.model_digest,
        "splits_digest": made.splits.digest,
        "accuracy": "0.9",
    }
    entry = register_version(model_name, about | tags)
    return read_version(model_name, entry.version)
