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
from materializers.errors import DamagedArtifact, NoRoom, Refused, ServiceUnreachable
from materializers.report import Record

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

SERVING_FILES = ("model.onnx", "metadata.json")
WEIGHTS = "weights.safetensors"
CURVES = "curves.png"


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


class TrainingRecord(Record):
    """How a model was made. The digests are hex; the same four give the same model bytes."""

    format_version: Literal[1] = 1
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


def fetch_model_directory(uri: str, target: Path) -> None:
    """Copy a served model directory (``model_uri``) out of the artifact store into a folder.

    The bytes are not looked at: whoever uses them compares their digest.

    Args:
        uri: the directory in the store.
        target: a local folder, made where it is not there.

    Raises:
        ServiceUnreachable: the store cannot be read, nothing is there, or ``target`` cannot be written.
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
                f"{' and '.join(SERVING_FILES)}. Train again: python run.py --train"
            )
        for name in names:
            with fileio.open(f"{uri.rstrip('/')}/{name}", "rb") as file:
                write_file(target / name, file.read())
    except NoRoom:
        raise
    except OSError as error:
        raise ServiceUnreachable(
            f"The model at {uri} cannot be copied from the artifact store: {error}. "
            "Train again where it is gone: python run.py --train"
        ) from error


@dataclass(frozen=True)
class Classifier:
    """A model on local disk.

    Args:
        directory: holds ``serving/`` (``model.onnx``, ``metadata.json``), ``weights.safetensors`` and
            ``curves.png``.
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


class ClassifierMaterializer(BaseMaterializer):
    """Stores a :class:`Classifier` file by file, its record last."""

    ASSOCIATED_TYPES = (Classifier,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.MODEL

    def save(self, classifier: Classifier) -> None:
        """Write weights, serving directory and curves, then the record."""
        for name in (WEIGHTS, CURVES):
            write_blob(self.artifact_store, f"{self.uri}/{name}", (classifier.directory / name).read_bytes())
        for name in SERVING_FILES:
            data = (classifier.serving_directory / name).read_bytes()
            write_blob(self.artifact_store, f"{self.uri}/serving/{name}", data)
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
            for name in (WEIGHTS, CURVES, *(f"serving/{name}" for name in SERVING_FILES)):
                with self.artifact_store.open(f"{self.uri}/{name}", "rb") as file:
                    write_file(directory / name, file.read())
            with self.artifact_store.open(f"{self.uri}/record.json", "rb") as file:
                record = TrainingRecord.model_validate_json(file.read())
        except NoRoom:
            raise
        except (OSError, ValidationError) as error:
            raise DamagedArtifact(
                f"The classifier at {self.uri} cannot be read ({error}). Train again: python run.py --train"
            ) from error
        return Classifier(directory=directory, record=record, uri=self.uri)

    def save_visualizations(self, classifier: Classifier) -> dict[str, VisualizationType]:
        """Show the training curves, which are stored already."""
        return {f"{self.uri}/{CURVES}": VisualizationType.IMAGE}

    def extract_metadata(self, classifier: Classifier) -> dict[str, MetadataType]:
        """The digests, the architecture and the best epoch."""
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
        return values

    def compute_content_hash(self, classifier: Classifier) -> str | None:
        """The digest of the serving directory."""
        return classifier.record.model_digest
