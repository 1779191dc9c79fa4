"""Train a network on the training pictures, and export what will be served."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from zenml import step

from materializers.classifier import CURVES, Classifier, TrainingRecord
from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from materializers.report import Record
from materializers.splits import TRAIN, VALIDATION, Splits
from serving.model_directory import ModelMetadata, Preprocessing

Architecture = Literal["small_cnn", "resnet18", "resnet50"]
Colour = tuple[float, float, float]
SMALLEST_SIDE = {"small_cnn": 8, "resnet18": 32, "resnet50": 32}
"""Below it nothing is left after the network's poolings, pixels."""
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Augmentation(Record):
    """How training pictures vary."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """The share of pictures that is mirrored."""
    rotation: float = Field(default=15.0, ge=0, le=180)
    """The largest angle either way, degrees."""
    crop: float = Field(default=0.8, gt=0, le=1)
    """The smallest share of the picture's area that a crop keeps."""
    brightness: float = Field(default=0.2, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Factors are drawn from 1 − value to 1 + value."""

    @property
    def active(self) -> bool:
        """Whether anything changes at all."""
        return bool(self.flip or self.rotation or self.crop < 1 or self.brightness or self.contrast)


class TrainSettings(Record):
    """What is trained and how."""

    architecture: Architecture = "resnet50"
    weights: str | None = None
    """A safetensors file: a path, a file:// or an http(s):// URL; None: random."""
    weights_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    freeze_backbone: bool = True
    """Whether the head alone learns."""
    preprocessing: Preprocessing = Preprocessing(height=224, width=224)
    mean: Colour = IMAGENET_MEAN
    deviation: Colour = IMAGENET_DEVIATION
    """Of red, green and blue, from 0 to 1."""
    hidden: int = Field(default=512, ge=1, le=65_536)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    batch_size: int = Field(default=32, ge=2, le=65_536)
    optimizer: Literal["adam"] = "adam"
    learning_rate: float = Field(default=0.001, gt=0, le=1)
    epochs: int = Field(default=50, ge=1, le=10_000)
    plateau_patience: int = Field(default=5, ge=0)
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    early_stopping_patience: int = Field(default=10, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    threads: int = Field(default=2, ge=1, le=1024)
    """Of a CPU; part of the configuration, because another number gives other weights."""
    memory_mb: int = Field(default=4096, ge=0)
    """What a split's decoded pictures may take; above it they are decoded batch by batch."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.weights is None) != (self.weights_sha256 is None):
            raise ValueError("weights and weights_sha256 go together: nothing is loaded unchecked")
        side = min(self.preprocessing.height, self.preprocessing.width)
        if side < SMALLEST_SIDE[self.architecture]:
            raise ValueError(
                f"preprocessing gives pictures of {side} pixels; {self.architecture} needs "
                f"{SMALLEST_SIDE[self.architecture]} at least"
            )
        if any(value <= 0 for value in self.deviation):
            raise ValueError(f"deviation is {self.deviation}; each colour's must be above 0")
        return self


def check_trainable(settings: TrainSettings) -> None:
    """Refuse what could never learn, before anything starts.

    Raises:
        UsageError: the backbone is frozen and has no weights.
    """
    if settings.freeze_backbone and settings.weights is None:
        raise UsageError(
            f"train.freeze_backbone is true and train.weights is not set: the backbone of a random "
            f"{settings.architecture} learns nothing. Name pretrained weights with their sha256, or train it "
            "all: --set train.freeze_backbone=false"
        )


def train_classifier(
    dataset: ImageDataset,
    splits: Splits,
    classes: list[str],
    settings: TrainSettings,
    *,
    configuration: str,
    code: str,
    directory: Path,
) -> Classifier:
    """Train, keep the best epoch, export it into ``directory``.

    The same data, splits, classes and settings give the same bytes on the same kind of machine.

    Args:
        dataset: holds the pictures that ``splits`` names.
        splits: training pictures are learnt from, validation pictures choose the epoch, test pictures stay
            untouched.
        classes: the names, in the order of the logits.
        settings: what is trained and how.
        configuration: digest of the run's configuration.
        code: digest of the code.
        directory: empty.

    Raises:
        UsageError: the settings can never learn, or the weights are not what was configured.
        ServiceUnreachable: the server that keeps the weights does not answer.
        TrainingDiverged: the loss is not finite.
        ExportDiffers: the exported model does not answer as the trained one.
    """
    check_trainable(settings)
    # Read when torch is loaded: threads that wait for one another sleep. Spinning, on a machine that others
    # use too, they took 2 to 5 times the CPU for the same bytes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from steps.progress import progress
    from steps.training.batches import Pictures
    from steps.training.export import export
    from steps.training.loop import fit, reproducible
    from steps.training.networks import build_network
    from steps.training.tracking import curves

    with reproducible(settings.seed, settings.threads):
        network = build_network(settings, len(classes))
        network.to("cuda" if torch.cuda.is_available() else "cpu")
        learnt = Pictures(dataset, splits.image_ids(TRAIN), classes, settings)
        checked = Pictures(dataset, splits.image_ids(VALIDATION), classes, settings)
        with progress("train", total=settings.epochs * -(-len(learnt) // settings.batch_size)) as bar:
            result = fit(
                network,
                learnt,
                checked,
                settings,
                on_batch=bar.advance,
                on_epoch=lambda epoch: bar.note(
                    f"epoch {epoch.epoch} of {settings.epochs}, validation accuracy {epoch.val_accuracy:.3f}"
                ),
            )
        metadata = ModelMetadata(
            architecture=settings.architecture, classes=tuple(classes), preprocessing=settings.preprocessing
        )
        digest = export(network, metadata, directory)
    (directory / CURVES).write_bytes(curves(result.epochs, result.best_epoch))
    record = TrainingRecord(
        architecture=settings.architecture,
        classes=tuple(classes),
        threads=settings.threads,
        seed=settings.seed,
        data=dataset.version,
        splits=splits.digest,
        configuration=configuration,
        code=code,
        model_digest=digest,
        best_epoch=result.best_epoch,
        epochs=result.epochs,
    )
    return Classifier(directory=directory, record=record)


@step(experiment_tracker=True)
def train(
    dataset: ImageDataset | None,
    splits: Splits | None,
    classes: list[str],
    settings: TrainSettings,
    configuration: str,
    code: str,
) -> Annotated[Classifier | None, "classifier"]:
    """Train a classifier and log it; nothing to learn from, nothing learnt."""
    if dataset is None or splits is None:
        return None
    from steps.training.tracking import track

    folder = tempfile.TemporaryDirectory(prefix="shutterline-train-")
    classifier = train_classifier(
        dataset,
        splits,
        classes,
        settings,
        configuration=configuration,
        code=code,
        directory=Path(folder.name),
    )
    # The materializer copies the files when the step is over; then nobody holds the classifier any more.
    weakref.finalize(classifier, folder.cleanup)
    track(classifier, settings)
    return classifier
