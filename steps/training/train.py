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
from steps.training.calibration import DEFAULT_SETTINGS, CalibrateSettings
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
    calibration: CalibrateSettings = DEFAULT_SETTINGS,
    lock: str | None = None,
) -> Classifier:
    """Train, keep the best epoch, export it into ``directory``, calibrate what was exported.

    The same data, splits, classes and settings give the same bytes on the same kind of machine.

    Args:
        dataset: holds the pictures that ``splits`` names.
        splits: training pictures are learnt from, validation pictures choose epoch, temperature and
            threshold, test pictures choose nothing: what the model answers on them is kept.
        classes: the names, in the order of the logits.
        settings: what is trained and how.
        configuration: digest of the run's configuration.
        code: digest of the code.
        directory: empty.
        calibration: what validation pictures choose once the network is trained.
        lock: digest of the lock files.

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
    from steps.training.machine import describe_machine
    from steps.training.networks import build_network
    from steps.training.reference import finish, unseen_answers
    from steps.training.tracking import curves

    with reproducible(settings.seed, settings.threads):
        network = build_network(settings, len(classes))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        network.to(device)
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
        export(network, metadata, directory)
    answers = unseen_answers(directory / "serving", dataset, splits, settings.seed, settings.threads)
    calibrated, digest = finish(directory, answers, calibration)
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
        calibration=calibrated,
        reference_rows=len(answers.rows),
        settings=settings.model_dump(mode="json"),
        runtime=settings.features.runtime if settings.freeze_backbone else None,
        lock=lock,
        platform=describe_machine(device),
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
    calibration: CalibrateSettings = DEFAULT_SETTINGS,
    lock: str | None = None,
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
        calibration=calibration,
        lock=lock,
    )
    # The materializer copies the files when the step is over; then nobody holds the classifier any more.
    weakref.finalize(classifier, folder.cleanup)
    track(classifier, settings)
    return classifier
