"""A trained model: the directory that is served, the weights it was exported from, and how it was made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError
from zenml.client import Client
from zenml.enums import ArtifactType, VisualizationType
from zenml.io import fileio
from zenml.materializers.base_materializer import BaseMaterializer
from zenml.utils.io_utils import is_remote

from materializers.blobs import write_blob, write_file
from materializers.drift_reference import REFERENCE_FILE, DriftReference
from materializers.errors import DamagedArtifact, ModelGone, NoRoom, Refused, ServiceUnreachable
from materializers.report import Record

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

SERVING_FILES = ("model.onnx", "metadata.json")
WEIGHTS = "weights.safetensors"
CURVES = "curves.png"
FAILED_TO_LEARN = "failed_to_learn"
"""The tag ``status`` of a version, and of its run in the tracker, whose training was given up."""
RELIABILITY, RISK_COVERAGE = "reliability.png", "risk_coverage.png"
CHARTS = (CURVES, RELIABILITY, RISK_COVERAGE)


class EpochMetrics(Record):
    """What one epoch measured."""

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    precision: float
    recall: float
    f1_score: float


class Calibration(Record):
    """What was chosen on the n validation pictures, and what it comes to on them."""

    temperature: float
    threshold: float
    """An answer less probable than this is an abstention."""
    n: int
    nll_before: float
    nll_after: float
    """Mean negative log-likelihood, nats, without and with the temperature."""
    ece_before: float
    ece_after: float
    """Expected calibration error, 0 to 1."""
    coverage: float
    """The share of the pictures that get an answer."""
    selective_risk: float
    """The share of wrong answers among those given."""
    risk_bound: float
    """The upper confidence bound of ``selective_risk``."""
    risk: float | None
    """The limit that the threshold was chosen for; None: every picture gets an answer."""
    confidence: float
    notes: tuple[str, ...] = ()
    """What these numbers do not say, and a limit that they do not meet."""


class TrainingRecord(Record):
    """How a model was made. The digests are hex; the same four give the same model bytes.

    What is None by default came with format 2.
    """

    format_version: Literal[1, 2] = 2
    architecture: str
    classes: tuple[str, ...]
    threads: int
    seed: int
    data: str
    splits: str
    configuration: str
    code: str
    model_digest: str
    best_epoch: int
    epochs: tuple[EpochMetrics, ...]
    fine_tuned_from: int | None = None
    """The last epoch of the first phase, in which the backbone was frozen; None: there was one phase."""
    failure: str | None = None
    """Why the training was given up, in one sentence; None: it was not."""
    calibration: Calibration | None = None
    reference_rows: int | None = None
    """Pictures in the drift reference when it was made; None: there is none."""
    settings: dict[str, Any] | None = None
    """All settings of the training, as they were after tuning."""
    runtime: str | None = None
    """What computed the features that the head learnt from; None where it learnt from pictures."""
    lock: str | None = None
    """sha256 over the names and bytes of both lock files."""
    platform: str | None = None
    """Processor family, device, and the versions of torch and onnxruntime: on another one the last digits
    of the weights may differ."""

    @property
    def fine_tuning_gain(self) -> float | None:
        """By how much the best validation accuracy of the second phase is above that of the first.

        Where it is not above 0 fine-tuning was no better. None: there was one phase, or the second measured
        nothing.
        """
        done = self.fine_tuned_from
        if done is None or len(self.epochs) == done:
            return None
        first, second = (
            max(each.val_accuracy for each in part) for part in (self.epochs[:done], self.epochs[done:])
        )
        return second - first


def fetch_model_directory(uri: str, target: Path) -> None:
    """Copy a served model directory (``model_uri``) out of the artifact store into a folder.

    The bytes are not looked at: whoever uses them compares their digest.

    Args:
        uri: the directory in the store.
        target: a local folder, made where it is not there.

    Raises:
        ModelGone: nothing is there.
        ServiceUnreachable: the store cannot be read, or ``target`` cannot be written.
        Refused: other files than a model's are there.
    """
    try:
        if is_remote(uri):
            # ZenML reads from a remote store once the store's component is loaded.
            store = Client().active_stack.artifact_store
            # Object stores' clients list a folder once in a process: what lies there may be newer.
            if (filesystem := getattr(store, "filesystem", None)) is not None:
                filesystem.invalidate_cache(uri)
        # A folder that is not there lists nothing, on disk as on an object store.
        names = sorted(os.fsdecode(name) for name in fileio.listdir(uri))
        if not names:
            raise FileNotFoundError("nothing is there")
        if names != sorted(SERVING_FILES):
            raise Refused(
                f"What lies at {uri} is no model: it holds {', '.join(names)}, a model is "
                f"{' and '.join(SERVING_FILES)}. Train again: python run.py --train --source PATH"
            )
        for name in names:
            with fileio.open(f"{uri.rstrip('/')}/{name}", "rb") as file:
                write_file(target / name, file.read())
    except NoRoom:
        raise
    except OSError as error:
        kind = ModelGone if isinstance(error, FileNotFoundError) else ServiceUnreachable
        raise kind(
            f"The model at {uri} cannot be copied from the artifact store: {error}. "
            "Train again where it is gone: python run.py --train --source PATH"
        ) from error


@dataclass(frozen=True)
class Classifier:
    """A model on local disk.

    Args:
        directory: holds ``serving/`` (``model.onnx``, ``metadata.json``), ``weights.safetensors``,
            ``curves.png``, and what the record says there is: the charts of the calibration, the drift
            reference.
        record: how it was made; ``record.model_digest`` is the digest of ``serving/``.
        uri: where the artifact store holds it; None before it is stored.
    """

    directory: Path
    record: TrainingRecord
    uri: str | None = None

    @property
    def serving_directory(self) -> Path:
        """The directory that evaluation and serving run."""
        return self.directory / "serving"

    @property
    def model_uri(self) -> str:
        """Where the artifact store holds the serving directory."""
        if self.uri is None:
            raise DamagedArtifact("This classifier was not stored yet, so it has no address.")
        return f"{self.uri}/serving"

    @property
    def files(self) -> tuple[str, ...]:
        """What belongs to it beside its record, as paths below ``directory``."""
        record = self.record
        charts = CHARTS if record.calibration is not None else (CURVES,)
        reference = () if record.reference_rows is None else (REFERENCE_FILE,)
        return (WEIGHTS, *charts, *reference, *(f"serving/{name}" for name in SERVING_FILES))

    def reference(self) -> DriftReference | None:
        """Its answers on the pictures that it did not learn from; None for a model of format 1.

        Raises:
            DamagedArtifact: the file is missing or damaged.
        """
        if self.record.reference_rows is None:
            return None
        try:
            return DriftReference.from_bytes((self.directory / REFERENCE_FILE).read_bytes())
        except (OSError, ValueError) as error:
            raise DamagedArtifact(
                f"The drift reference of the model {self.record.model_digest[:12]} cannot be read ({error}). "
                "Train again: python run.py --train --source PATH"
            ) from error


class ClassifierMaterializer(BaseMaterializer):
    """Stores a :class:`Classifier` file by file, its record last."""

    ASSOCIATED_TYPES = (Classifier,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.MODEL

    def save(self, classifier: Classifier) -> None:
        """Write its files, then the record."""
        for name in classifier.files:
            write_blob(self.artifact_store, f"{self.uri}/{name}", (classifier.directory / name).read_bytes())
        write_blob(
            self.artifact_store, f"{self.uri}/record.json", classifier.record.model_dump_json().encode()
        )

    def load(self, data_type: type[Any]) -> Classifier:
        """Copy the model to local disk, where it stays until the step ends.

        Raises:
            DamagedArtifact: a file is missing or the record is unreadable.
        """
        with self.get_temporary_directory(delete_at_exit=False) as folder:
            directory = Path(folder)
        (directory / "serving").mkdir(parents=True)
        try:
            with self.artifact_store.open(f"{self.uri}/record.json", "rb") as file:
                record = TrainingRecord.model_validate_json(file.read())
            classifier = Classifier(directory=directory, record=record, uri=self.uri)
            for name in classifier.files:
                with self.artifact_store.open(f"{self.uri}/{name}", "rb") as file:
                    write_file(directory / name, file.read())
        except NoRoom:
            raise
        except (OSError, ValidationError) as error:
            raise DamagedArtifact(
                f"The classifier at {self.uri} cannot be read ({error}). Train again: "
                "python run.py --train --source PATH"
            ) from error
        return classifier

    def save_visualizations(self, classifier: Classifier) -> dict[str, VisualizationType]:
        """Show the charts, which are stored already."""
        shown = [name for name in classifier.files if name in CHARTS]
        return {f"{self.uri}/{name}": VisualizationType.IMAGE for name in shown}

    def extract_metadata(self, classifier: Classifier) -> dict[str, MetadataType]:
        """The digest, the architecture, the best epoch and the calibration."""
        record = classifier.record
        best = next((epoch for epoch in record.epochs if epoch.epoch == record.best_epoch), None)
        values: dict[str, MetadataType] = {
            "digest": record.model_digest,
            "architecture": record.architecture,
            "classes": list(record.classes),
            "epochs": len(record.epochs),
        }
        if best is not None:
            values["val_accuracy"] = best.val_accuracy
        if (gain := record.fine_tuning_gain) is not None:
            values["fine_tuning_gain"] = gain
        if (calibration := record.calibration) is not None:
            values |= {
                "temperature": calibration.temperature,
                "abstention_threshold": calibration.threshold,
                "expected_calibration_error": calibration.ece_after,
                "coverage": calibration.coverage,
            }
        return values

    def compute_content_hash(self, classifier: Classifier) -> str | None:
        """The digest of the serving directory."""
        return classifier.record.model_digest
