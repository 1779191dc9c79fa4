"""Inference: a folder of pictures, classified by the live model."""

from __future__ import annotations

from zenml import pipeline

from materializers.release import Environment
from steps.inference.champion import champion
from steps.inference.join import join
from steps.inference.predict import predict
from steps.inference.predict_part import predict_part
from steps.inference.settings import InferenceSettings


def part_name(number: int) -> str:
    """The name of the step that classifies a part of the pictures, counted from 0."""
    return f"predict_{number + 1}"


@pipeline(name="inference")
def inference(
    model_name: str,
    environment: Environment,
    source: str,
    output: str | None,
    settings: InferenceSettings,
    code: str,
) -> None:
    """Find the live model, classify: in one step or, in as many as are configured, a part in each."""
    live = champion(model_name=model_name, environment=environment)
    if settings.steps == 1:
        predict(live, source=source, output=output, settings=settings, code=code)
        return
    parts = [
        predict_part(live, source=source, settings=settings, code=code, part=number, id=part_name(number))
        for number in range(settings.steps)
    ]
    join(parts, source=source, output=output)
