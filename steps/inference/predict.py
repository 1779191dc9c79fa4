"""Classify every picture of a source with the live model, by the code that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from zenml import step

from materializers.errors import UsageError
from materializers.predictions import Predictions
from materializers.release import Release
from steps.inference.output import write_predictions
from steps.inference.settings import DECIDES_NOTHING, InferenceSettings

if TYPE_CHECKING:
    from steps.inference.classify import Part


def predict_source(
    live: Release, source: str, settings: InferenceSettings, code: str, part: Part
) -> Predictions:
    """Classify a source, or a part of it, by the version that is live in ``live``, whatever is by now.

    Args:
        live: the live release.
        source: a folder, an archive, Parquet files, or an address in a bucket.
        settings: how.
        code: the digest of the project's code.
        part: which of the pictures.

    Raises:
        Refused: the release names no version, or the model is not the one that it names.
        UsageError: there is no such source, or it changed while it was read.
        ServiceUnreachable: the source or the store does not answer, or a disk is full.
    """
    import tempfile
    from datetime import UTC, datetime
    from pathlib import Path

    from zenml.client import Client

    from materializers.classifier import fetch_model_directory
    from materializers.errors import Refused
    from materializers.finished_shards import FinishedShards, ShardKey
    from materializers.predictions import PredictionCounts, PredictionProvenance
    from serving.model_directory import ModelDirectoryError
    from steps.data.sources import open_source
    from steps.inference.classify import classify_source
    from steps.inference.classifying import Model

    arm, began = live.candidate, datetime.now(UTC)
    if arm is None:
        raise Refused("The live release names no version.")
    key = ShardKey(
        model_digest=arm.model_digest,
        model_version=arm.version,
        code=code,
        settings=settings.model_dump(exclude=DECIDES_NOTHING),
    )
    finished = FinishedShards(Client().active_stack.artifact_store, key)
    with tempfile.TemporaryDirectory() as folder, open_source(source) as opened:
        fetch_model_directory(arm.model_uri, Path(folder))
        model = Model(folder, arm.model_digest, arm.version, settings.threads, settings.batch_size)
        try:
            done = classify_source(opened, model, finished, part=part, processes=settings.processes)
        except ModelDirectoryError as error:
            raise Refused(str(error)) from error
    return done.writer.finish(
        PredictionProvenance(
            model_name=live.model_name,
            environment=live.environment,
            model_version=arm.version,
            model_digest=arm.model_digest,
            verdict=arm.verdict.digest,
            code=code,
            source=source,
            began=began,
            ended=datetime.now(UTC),
            counts=PredictionCounts.of(done.writer.tally),
            taken_over=done.taken_over,
        )
    )


def refuse_empty(predictions: Predictions, source: str) -> None:
    """Refuse a source without pictures: nobody meant that.

    Raises:
        UsageError: there is no row.
    """
    if not predictions.provenance or not predictions.provenance.counts.pictures:
        raise UsageError(f"{source} holds no picture (.jpg, .jpeg, .png, .webp): give --input another one")


@step(enable_cache=False)
def predict(
    live: Release, source: str, output: str | None, settings: InferenceSettings, code: str
) -> Annotated[Predictions, "predictions"]:
    """Classify the pictures of ``source``; where ``output`` names an object, write the answers there too."""
    from steps.inference.classify import Part

    predictions = predict_source(live, source, settings, code, Part())
    refuse_empty(predictions, source)
    if output is not None:
        write_predictions(predictions, output)
    return predictions
