"""The tags by which runs are found again: of which model they are, and of which environment."""

from __future__ import annotations

from collections.abc import Iterable

from materializers.release import Environment

OF_MODEL = "model:"
"""How the tag begins that names the model of a run."""


def model_tag(model_name: str) -> str:
    """The tag of every run on a registered model."""
    return f"{OF_MODEL}{model_name}"


def environment_tag(environment: Environment) -> str:
    """The tag of a run that is about one environment."""
    return f"environment:{environment}"


def models_of(tags: Iterable[str]) -> list[str]:
    """The models that tags name; of a run there is one."""
    return [tag.removeprefix(OF_MODEL) for tag in tags if tag.startswith(OF_MODEL)]
