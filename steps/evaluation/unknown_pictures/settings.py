"""How many unknown pictures are made, and how they are compared with the known ones."""

from __future__ import annotations

from pydantic import Field

from materializers.report import Record


class UnknownPicturesSettings(Record):
    """How many pictures are made, and how they are compared."""

    pictures: int = Field(default=300, ge=0, le=10_000)
    """Test pictures; as many near and far unknown ones are made. 0: none."""
    min_pictures: int = Field(default=50, ge=20)
    """With fewer test pictures nothing is assessed: the interval would be as wide as the answer."""
    neighbours: int = Field(default=10, ge=1, le=1000)
    """The similarity of an embedding is that to its neighbour of this rank."""
    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples behind each 95 % interval."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the sample, of what is made, and of the resamples."""
