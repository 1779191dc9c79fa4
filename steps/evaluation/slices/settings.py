"""Which groups of test pictures are looked at, and how many pictures a group must have."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from materializers.report import Record

Property = Literal["picture_size", "brightness", "source"]


class SlicesSettings(Record):
    """What the test pictures are grouped by."""

    columns: tuple[str, ...] = ()
    """Columns of ``labels.csv``; none: each with 2 to ``max_groups`` values."""
    quarters: tuple[str, ...] = ()
    """Columns of numbers or times (``captured_at``) that are cut into quarters of the test pictures."""
    properties: tuple[Property, ...] = ("picture_size", "brightness", "source")
    """Of the pictures: pixels and brightness, cut into thirds of the test pictures, and who delivered."""
    sensitive: tuple[str, ...] = ()
    """Columns whose groups are to be treated alike; what one of them is without, the gate refuses."""
    min_n: int = Field(default=50, ge=2, le=1_000_000)
    """Test pictures that a group must have; one with fewer is listed and not compared."""
    min_class_n: int = Field(default=20, ge=2, le=1_000_000)
    """Test pictures of one class, and of all others, that a group must have for the true and false positive
    rates of that class to be compared."""
    max_groups: int = Field(default=20, ge=2, le=100)
    """A column with more values makes no groups."""
    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval of a difference."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the resamples."""
