"""Classify every picture of a source with the live model, by the code that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pandas as pd
from pydantic import Field
from zenml import step

from materializers.errors import Refused, UsageError
from materializers.predictions import Predictions
from materializers.release import Release
from materializers.report import Record
from steps.data.class_folders import printable
from steps.data.files import Source, Unreadable

if TYPE_CHECKING:
    from serving.predictor import Predictor


class InferenceSettings(Record):
    """How pictures are classified in bulk."""

    batch_size: int = Field(default=64, ge=1)
    threads: int = Field(default=2, ge=1)


def classify(predictor: Predictor, pictures: dict[str, bytes | Unreadable], version: int) -> pd.DataFrame:
    """One row a picture: path, model version, label, probability, abstention, each class's probability.

    A picture that cannot be read has its reason in ``error`` and no label.
    """
    from serving.predictor import Prediction

    rows = []
    readable = {path: data for path, data in pictures.items() if isinstance(data, bytes)}
    predicted = dict(zip(readable, predictor.predict(list(readable.values())), strict=True))
    for path, data in pictures.items():
        row: dict[str, object] = dict.fromkeys(("path", "model_version", "label", "probability", "abstained"))
        row |= {"path": printable(path), "model_version": version, "error": None}
        answer = predicted.get(path)
        if isinstance(data, Unreadable):
            row["error"] = data.reason
        elif isinstance(answer, Prediction):
            row |= {"label": answer.label, "probability": answer.probability, "abstained": answer.abstained}
            row |= {f"probability_{name}": value for name, value in answer.probabilities.items()}
        elif answer is not None:
            row["error"] = f"{answer.reason}: {answer.message}"
        rows.append(row)
    return pd.DataFrame(rows)


def _read(source: Source, name: str) -> bytes | Unreadable:
    try:
        return source.read(name)
    except Unreadable as error:
        return error


def refuse_unwritable(output: str) -> None:
    """Look before the pictures are classified whether the predictions can be written; a bucket is not asked.

    Raises:
        UsageError: ``output`` is a folder or a device, its folder is none or cannot be written, or it is an
            address outside the artifact store.
    """
    import os
    from pathlib import Path

    from zenml.utils.io_utils import is_remote

    if is_remote(output):
        _refuse_outside_store(output)
        return
    path = Path(output).absolute()
    try:
        found = path.exists()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise UsageError(
            f"{output} cannot be written ({error.strerror}): give --output another one"
        ) from error
    if path.is_dir():
        raise UsageError(f"{output} is a folder: give --output a file, such as {output}/predictions.parquet")
    if found and not path.is_file():
        raise UsageError(f"{output} is no file but a device or a pipe: give --output another one")
    there = next(folder for folder in path.parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(
            f"{output} cannot be written, {there} is no writable folder: give --output another one"
        )


def _refuse_outside_store(output: str) -> None:
    from zenml.client import Client

    root = Client().active_stack.artifact_store.path.rstrip("/")
    if not output.startswith(f"{root}/"):
        raise UsageError(
            f"{output} is not below the artifact store of the stack, {root}, which its credentials are "
            f"for: give --output a path of this machine, or {root}/predictions.parquet"
        )


def write_predictions(predictions: Predictions, output: str) -> None:
    """Write the answers as Parquet, to a path of this machine or to an object of a bucket.

    Raises:
        UsageError: it cannot be written.
    """
    from zenml.client import Client

    from materializers.blobs import write_blob

    try:
        write_blob(Client().active_stack.artifact_store, output, predictions.to_parquet())
    except OSError as error:
        raise UsageError(f"{output} cannot be written ({error}): give --output another one") from error


@step(enable_cache=False)
def predict(
    live: Release, source: str, output: str | None, settings: InferenceSettings
) -> Annotated[Predictions, "predictions"]:
    """Classify the pictures of ``source``; where ``output`` names an object, write the answers there too."""
    import tempfile
    from pathlib import Path

    from materializers.classifier import fetch_model_directory
    from serving.model_directory import ModelDirectoryError
    from serving.predictor import Predictor
    from steps.data.sources import open_source
    from steps.progress import progress

    arm = live.candidate
    if arm is None:
        raise Refused("The live release names no version.")
    with tempfile.TemporaryDirectory() as folder:
        fetch_model_directory(arm.model_uri, Path(folder))
        try:
            predictor = Predictor.load(
                Path(folder), expected_digest=arm.model_digest, threads=settings.threads
            )
        except ModelDirectoryError as error:
            raise Refused(str(error)) from error
    frames = []
    with open_source(source) as opened:
        names = opened.pictures()
        with progress("predict", total=len(names)) as bar:
            for start in range(0, len(names), settings.batch_size):
                batch = {name: _read(opened, name) for name in names[start : start + settings.batch_size]}
                frames.append(classify(predictor, batch, arm.version))
                bar.advance(len(batch))
    if not frames:
        raise UsageError(f"{source} holds no picture (.jpg, .jpeg, .png, .webp): give --input another one")
    predictions = Predictions(rows=pd.concat(frames, ignore_index=True))
    if output is not None:
        write_predictions(predictions, output)
    return predictions
