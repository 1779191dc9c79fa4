"""Labelled photographs with their splits and their features of EfficientNet-Lite0.

The clothing photographs beside the project where they are there, else the pictures of ``data/*.zip``.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor

from benchmarks.dataset.photographs import FOLDER
from benchmarks.warm import PROJECT
from materializers.feature_cache import FeatureCache
from materializers.image_dataset import ImageDataset, Picture
from materializers.splits import TEST, TRAIN, VALIDATION, Splits
from pipelines.config import load_config
from serving.strip_metadata import strip_metadata
from steps.training.inputs.examples import Rows
from steps.training.networks.features import features_of
from steps.training.networks.network import build_network
from steps.training.settings import TrainSettings

BACKBONE = PROJECT / "configs" / "backbones" / "efficientnet_lite0.yaml"
DELIVERIES = tuple(PROJECT / "data" / f"{name}-delivery.zip" for name in ("first", "second"))
SEEDS = 5
"""Splits, on which an accuracy is a mean."""


@dataclass(frozen=True)
class Labelled:
    """Pictures with a label each.

    Attributes:
        name: what a claim calls them.
        dataset: holds them.
        classes: the names, sorted.
    """

    name: str
    dataset: ImageDataset
    classes: tuple[str, ...]

    @property
    def image_ids(self) -> list[str]:
        """Of every picture, in the dataset's order."""
        return [str(image_id) for image_id in self.dataset.index["image_id"]]

    @property
    def labels(self) -> list[str]:
        """Of every picture, in the dataset's order."""
        return [str(label) for label in self.dataset.index["label"]]


@dataclass(frozen=True)
class Features:
    """What a frozen backbone made of every picture.

    Attributes:
        rows: ``(n, d)`` float32, in the dataset's order.
        numbers: of the classes, ``(n,)`` int64.
        place_of: the row of each picture.
        classes: how many there are.
    """

    rows: NDArray[np.float32]
    numbers: NDArray[np.int64]
    place_of: dict[str, int]
    classes: int

    def of(self, image_ids: Sequence[str]) -> Rows:
        """The rows of some pictures."""
        places = [self.place_of[image_id] for image_id in image_ids]
        inputs, labels = self.rows[places], self.numbers[places]
        return Rows(torch.from_numpy(inputs), torch.from_numpy(labels), self.classes)


def lite0(**changes: object) -> TrainSettings:
    """EfficientNet-Lite0 as the product trains it, frozen, with one thread, but for the changes."""
    settings = load_config(BACKBONE, ()).train
    return TrainSettings.model_validate(settings.model_dump() | {"threads": 1} | changes)


@cache
def labelled() -> Labelled:
    """Every picture there is."""
    return _labelled("clothing photographs", _photographs()) if FOLDER.is_dir() else sample()


@cache
def sample() -> Labelled:
    """The pictures of ``data/*.zip``."""
    return _labelled("pictures of data/*.zip", _delivered())


def _labelled(what: str, pictures: Iterable[tuple[str, str, bytes]]) -> Labelled:
    dataset = ImageDataset.from_pictures(
        Picture(each.data, label, each.width, each.height, each.orientation, path)
        for path, label, each in ((path, label, strip_metadata(data)) for path, label, data in pictures)
    )
    classes = tuple(sorted(set(dataset.index["label"])))
    return Labelled(f"{len(dataset):,} {what}, {len(classes)} classes", dataset, classes)


def features(data: Labelled, kept: FeatureCache) -> Features:
    """The features of all pictures, computed where the cache does not have them."""
    settings, image_ids = lite0(), data.image_ids
    network = build_network(settings, len(data.classes))
    numbers = pd.Index(data.classes).get_indexer(pd.Index(data.labels)).astype(np.int64)
    rows = features_of(network, data.dataset, image_ids, settings, kept)
    return Features(rows, numbers, {each: place for place, each in enumerate(image_ids)}, len(data.classes))


def split(data: Labelled, seed: int, train: int) -> Splits:
    """So many pictures to learn from, half of the others to choose by and half to test, by class shares."""
    learnt, others, _, left = train_test_split(
        data.image_ids, data.labels, train_size=train, random_state=seed, stratify=data.labels
    )
    checked, tested = train_test_split(others, test_size=0.5, random_state=seed, stratify=left)
    side = {TRAIN: learnt, VALIDATION: checked, TEST: tested}
    split_of = {image_id: name for name, ids in side.items() for image_id in ids}
    members = pd.DataFrame({"image_id": data.image_ids, "label": data.labels})
    return Splits(members.assign(split=members["image_id"].map(split_of)))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of ``(n, classes)`` logits whose largest is at the label ``(n,)``."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def _photographs() -> Iterator[tuple[str, str, bytes]]:
    """The name, the label and the bytes of each."""
    with (FOLDER.parent / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["image"], row["label"], (FOLDER / row["image"]).read_bytes()


def _delivered() -> Iterator[tuple[str, str, bytes]]:
    for path in DELIVERIES:
        with zipfile.ZipFile(path) as archive:
            labels = io.StringIO(archive.read("labels.csv").decode())
            for row in csv.DictReader(labels):
                yield row["image_path"], row["label"], archive.read(row["image_path"])
