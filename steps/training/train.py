"""Train a network on the training pictures, and export what will be served."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from zenml import step

from materializers.blobs import write_file
from materializers.classifier import CURVES, Classifier, TrainingRecord
from materializers.errors import DamagedArtifact, Refused, UsageError
from materializers.image_dataset import ImageDataset
from materializers.splits import Splits
from materializers.tuning_report import TuningReport
from serving.model_directory import ModelMetadata
from steps.training.calibration.calibration import DEFAULT_SETTINGS, CalibrateSettings
from steps.training.fitting.training_key import REPRODUCTION, TRAINING, purpose_here, training_key
from steps.training.settings import TrainSettings, check_trainable
from steps.training.tuning.search import tuned

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore


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
    store: BaseArtifactStore | None = None,
    purpose: str = TRAINING,
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
        store: where features and checkpoints are kept; None: nowhere.
        purpose: what it is for; only a training of a version takes features that are there already.

    Raises:
        UsageError: the settings can never learn, or the weights or the watermark's key are not what was
            configured.
        ServiceUnreachable: the server that keeps the weights or the key, or the store, does not answer.
        NoRoom: a disk is full; the checkpoint before is as it was.
        ExportDiffers: the exported model does not answer as the trained one.
    """
    check_trainable(settings)
    # Read when torch is loaded: threads that wait for one another sleep. Spinning, on a machine that others
    # use too, they took 2 to 5 times the CPU for the same bytes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from materializers.feature_cache import FeatureCache
    from steps.training.device import training_device
    from steps.training.export import export
    from steps.training.fitting.checkpoints import Checkpoints
    from steps.training.machine import describe_machine
    from steps.training.phases import learn
    from steps.training.reference import finish, unseen_answers
    from steps.training.tracking import curves
    from steps.training.watermark.marking import triggers_of

    used = settings.model_dump(mode="json")
    key = training_key(
        data=dataset.version, splits=splits.digest, classes=classes, settings=used, code=code, purpose=purpose
    )
    learnt = learn(
        dataset,
        splits,
        classes,
        settings,
        cache=None if store is None or purpose != TRAINING else FeatureCache(store),
        checkpoints=None if store is None else Checkpoints(store, key),
        triggers=triggers_of(settings, classes),
    )
    metadata = ModelMetadata(
        architecture=settings.architecture, classes=tuple(classes), preprocessing=settings.preprocessing
    )
    export(learnt.network, metadata, directory)
    if settings.export.precision == "int8":
        from steps.training.quantizing import quantize_directory

        quantize_directory(
            directory / "serving", dataset, splits, seed=settings.seed, threads=settings.threads
        )
    answers = unseen_answers(directory / "serving", dataset, splits, settings.seed, settings.threads)
    calibrated, digest = finish(directory, answers, calibration)
    write_file(directory / CURVES, curves(learnt.fit.epochs, learnt.fit.best_epoch))
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
        best_epoch=learnt.fit.best_epoch,
        epochs=learnt.fit.epochs,
        failure=learnt.fit.failure,
        fine_tuned_from=learnt.fine_tuned_from,
        calibration=calibrated,
        reference_rows=len(answers.rows),
        settings=used,
        runtime=settings.features.runtime if settings.freeze_backbone else None,
        lock=lock,
        platform=describe_machine(training_device().type),
    )
    return Classifier(directory=directory, record=record)


@contextmanager
def again_or_refused(purpose: str) -> Iterator[None]:
    """Where a version is trained again, what is gone or damaged of its inputs is an answer, not a fault.

    Raises:
        Refused: it cannot be trained again.
    """
    try:
        yield
    except (DamagedArtifact, UsageError) as error:
        if purpose != REPRODUCTION:
            raise
        raise Refused(f"The version cannot be trained again: {error}") from error


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
    purpose: str = TRAINING,
    tuning: TuningReport | None = None,
) -> Annotated[Classifier | None, "classifier"]:
    """Train a classifier and log it; nothing to learn from, nothing learnt.

    Raises:
        ServiceUnreachable: the experiment tracker does not answer, so that nothing was begun.
    """
    if dataset is None or splits is None:
        return None
    from steps.data.stored import active_store
    from steps.tracker import require_run, send
    from steps.training.tracking import system_metrics, track

    require_run("begin a run, so that nothing was trained")
    settings = tuned(settings, tuning)
    folder = tempfile.TemporaryDirectory(prefix="shutterline-train-")
    with system_metrics(), again_or_refused(purpose):
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
            store=active_store(),
            purpose=purpose_here(purpose),
        )
    # The materializer copies the files when the step is over; then nobody holds the classifier any more.
    weakref.finalize(classifier, folder.cleanup)
    send("this training", lambda: track(classifier))
    return classifier
