"""Train a network on the training pictures, and export what will be served."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import Annotated

from zenml import step

from materializers.blobs import write_file
from materializers.classifier import CURVES, Classifier, TrainingRecord
from materializers.image_dataset import ImageDataset
from materializers.splits import TRAIN, VALIDATION, Splits
from serving.model_directory import ModelMetadata
from steps.training.settings import TrainSettings, check_trainable


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
    write_file(directory / CURVES, curves(result.epochs, result.best_epoch))
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
