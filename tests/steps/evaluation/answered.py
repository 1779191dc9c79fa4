"""A model under examination, with its answers on pictures that it did not learn from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from materializers.classifier import Classifier
from materializers.image_dataset import ImageDataset
from serving.model_directory import model_digest, read_metadata, write_metadata
from serving.predictor import Predictor
from steps.evaluation.answers import answers
from steps.evaluation.examined import Examined
from tests.steps.training.examples import CLASSES, dataset

LEARNT_FROM = 20
"""Pictures of each class that ``examples.trained`` knows."""


def unseen(per_class: int) -> tuple[ImageDataset, tuple[str, ...]]:
    """A dataset, and of each class so many pictures in it that the model does not know, sorted."""
    pictures = dataset(LEARNT_FROM + per_class)
    known = set(dataset(LEARNT_FROM).index["image_id"])
    ids = sorted(each for each in pictures.index["image_id"] if each not in known)
    return pictures, tuple(ids)


def examined(classifier: Classifier, per_class: int) -> Examined:
    """The model and its answers on so many new pictures of each class."""
    pictures, image_ids = unseen(per_class)
    predictor = Predictor.load(classifier.serving_directory)
    true = np.array([CLASSES.index(label) for label in pictures.labels(list(image_ids))])
    predicted, probabilities = answers(predictor, pictures, list(image_ids), true, batch_size=64)
    return Examined(classifier, predictor, pictures, image_ids, true, predicted, probabilities)


def with_threshold(base: Examined, threshold: float, folder: Path) -> Examined:
    """The same, of a model that abstains from what is less probable than ``threshold``."""
    shutil.copytree(base.classifier.directory, folder)
    serving = folder / "serving"
    write_metadata(serving, read_metadata(serving).model_copy(update={"abstention_threshold": threshold}))
    record = base.classifier.record.model_copy(update={"model_digest": model_digest(serving)})
    return replace(base, classifier=Classifier(folder, record), predictor=Predictor.load(serving))
