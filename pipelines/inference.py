"""Inference: a folder of pictures, classified by the live model."""

from __future__ import annotations

from zenml import pipeline

from materializers.release import Environment
from steps.inference.champion import champion
from steps.inference.predict import InferenceSettings, predict


@pipeline(name="inference")
def inference(
    model_name: str, environment: Environment, source: str, output: str | None, settings: InferenceSettings
) -> None:
    """Find the live model, classify."""
    live = champion(model_name=model_name, environment=environment)
    predict(live, source=source, output=output, settings=settings)
