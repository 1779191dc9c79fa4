"""Pictures that a tiny network learns in a second, and the settings that it learns with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from materializers.classifier import Classifier
from materializers.image_dataset import ImageDataset, Picture
from materializers.splits import Splits
from serving.model_directory import Preprocessing
from steps.training.settings import Augmentation, TrainSettings
from steps.training.train import train_classifier

CLASSES = ["dark", "light", "striped"]
PER_CLASS = 20
SPLIT_OF_TEN = ("train",) * 6 + ("validation",) * 2 + ("test",) * 2


def picture(label: str, seed: int, side: int = 16) -> bytes:
    """One PNG of a class: dark, light, or light with dark stripes; noise makes each another one."""
    pixels = np.random.default_rng([CLASSES.index(label), seed]).integers(0, 60, (side, side, 3))
    if label != "dark":
        pixels += 180
    if label == "striped":
        pixels[:, ::4] -= 180
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def dataset(per_class: int = PER_CLASS) -> ImageDataset:
    """Pictures of the three classes."""
    return ImageDataset.from_pictures(
        Picture(picture(label, seed), label, 16, 16, 1, f"{label}/{seed}.png")
        for label in CLASSES
        for seed in range(per_class)
    )


def splits(pictures: ImageDataset) -> Splits:
    """Of every ten pictures of a class six to learn from, two to choose by, two to test."""
    members = pictures.index[["image_id", "label"]].copy()
    place = members.groupby("label").cumcount() % len(SPLIT_OF_TEN)
    members["split"] = [SPLIT_OF_TEN[number] for number in place]
    return Splits(members=pd.DataFrame(members))


def settings(**differences: Any) -> TrainSettings:
    """A small network on pictures of 16 × 16, one thread, three epochs."""
    small: dict[str, Any] = {
        "architecture": "small_cnn",
        "freeze_backbone": False,
        "preprocessing": Preprocessing(height=16, width=16),
        "hidden": 16,
        "augmentation": Augmentation(),
        "batch_size": 8,
        "epochs": 3,
        "threads": 1,
    }
    return TrainSettings(**(small | differences))


def trained(directory: Path, **differences: Any) -> Classifier:
    """A classifier trained into ``directory``."""
    pictures = dataset()
    return train_classifier(
        pictures,
        splits(pictures),
        CLASSES,
        settings(**differences),
        configuration="c" * 64,
        code="d" * 64,
        lock="e" * 64,
        directory=directory,
    )
