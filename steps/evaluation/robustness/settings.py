"""How it is measured what a model withstands."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from materializers.report import Record

Corruption = Literal["blur", "noise", "jpeg", "brightness", "contrast", "rotation", "fog"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
SEVERITIES = (1, 2, 3, 4, 5)


class RobustnessSettings(Record):
    """How many test pictures are corrupted and attacked, and how."""

    pictures: int = Field(default=200, ge=0, le=5_000)
    """Test pictures that are corrupted, each class by its share; 0: neither corrupted nor attacked. Each
    costs an answer for every corruption at every severity, 35 where all are measured."""
    corruptions: Annotated[tuple[Corruption, ...], Field(min_length=1)] = CORRUPTIONS
    severities: Annotated[tuple[Annotated[int, Field(ge=1, le=5)], ...], Field(min_length=1)] = SEVERITIES
    """From 1, mild, to 5; ``steps/evaluation/robustness/corruptions.py`` says what each is."""
    attacked_pictures: int = Field(default=100, ge=0, le=1_000)
    """Of these pictures, how many are attacked at most; 0: none."""
    epsilons_255: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(min_length=1)] = (2,)
    """By how much an attack may change each value of a picture, in 255ths of the range."""
    pgd_steps: int = Field(default=10, ge=1, le=1000)
    """Steps of projected gradient descent, each of which costs a pass forth and back through the network."""
    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval of a relative accuracy."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the sample, of its resamples, of what a corruption draws, and of where an attack starts."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name in ("corruptions", "severities", "epsilons_255"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names something twice: {values}")
        return self
