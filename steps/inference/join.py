"""Join what several steps answered to one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from zenml import step

from materializers.errors import DamagedArtifact
from materializers.predictions import (
    PredictionCounts,
    PredictionProvenance,
    Predictions,
    PredictionsWriter,
)
from steps.inference.output import write_predictions
from steps.inference.predict import refuse_empty


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """One table of all rows, part after part.

    Raises:
        DamagedArtifact: a part does not say where it comes from.
        NoRoom: the disk is full.
    """
    said = [_provenance(part) for part in parts]
    writer = PredictionsWriter(parts[0].schema)
    for part in parts:
        for table in part.tables():
            writer.add(table)
    whole = said[0].model_copy(
        update={
            "began": min(each.began for each in said),
            "ended": max(each.ended for each in said),
            "counts": PredictionCounts.of(writer.tally),
            "taken_over": sum(each.taken_over for each in said),
        }
    )
    return writer.finish(whole)


def _provenance(part: Predictions) -> PredictionProvenance:
    if part.provenance is None:
        raise DamagedArtifact(f"The predictions {part.path} do not say where they come from.")
    return part.provenance


@step(enable_cache=False)
def join(parts: list[Predictions], source: str, output: str | None) -> Annotated[Predictions, "predictions"]:
    """Join the parts; where ``output`` names an object, write the answers there too."""
    predictions = join_predictions(parts)
    refuse_empty(predictions, source)
    if output is not None:
        write_predictions(predictions, output)
    return predictions
