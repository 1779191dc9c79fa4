"""What is asked of a model's behaviour, as ``evaluate.behaviour`` of ``configs/training.yaml`` sets it."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from materializers.report import Record

Transformation = Literal["flip", "shift", "brighter", "darker", "jpeg", "png"]
TRANSFORMATIONS: tuple[Transformation, ...] = get_args(Transformation)


class BehaviourSettings(Record):
    """How many pictures are asked about, and how they are changed."""

    pictures: int = Field(default=200, ge=0, le=10_000)
    """Test pictures, each class by its share; 0: behaviour is not assessed.

    Each is asked for ten times: 200 take 0.4 CPU-s on the sample, and 15 where they are photographs and the
    network EfficientNet-Lite0 at 224 px.
    """
    transformations: tuple[Transformation, ...] = TRANSFORMATIONS
    """What changes no product. Where a mirrored one is another one, as a left shoe is, leave ``flip`` out."""
    shift: float = Field(default=0.04, gt=0, le=0.5)
    """Of the side, one pixel at least, in a direction that is drawn for each picture."""
    brightness: float = Field(default=0.1, gt=0, lt=1)
    """The share by which pixels get ``brighter`` and ``darker``."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    """Pillow's number for it."""
    cover: float = Field(default=0.5, gt=0, le=1)
    """The share of each side that is covered, in the middle."""
    easy_list: tuple[str, ...] = ()
    """``image_id`` of test pictures that a person found easy, each of which has to be answered right."""
    min_n: int = Field(default=10, ge=1)
    """Test pictures of a class that has to be among the answers."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the choice of pictures, of directions and of batches."""

    @field_validator("transformations", "easy_list")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named twice")
        return names
