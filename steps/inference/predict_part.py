"""Classify one of several parts of a source, each in a step of its own."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from materializers.predictions import Predictions
from materializers.release import Release
from steps.inference.predict import predict_source
from steps.inference.settings import InferenceSettings


@step(enable_cache=False)
def predict_part(
    live: Release, source: str, settings: InferenceSettings, code: str, part: int
) -> Annotated[Predictions, "part"]:
    """Classify the pictures of ``source`` that belong to this part, from 0 on, of ``settings.steps``."""
    from steps.inference.classify import Part

    return predict_source(live, source, settings, code, Part(part, settings.steps))
