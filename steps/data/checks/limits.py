"""What a check is held to, and what happens beyond it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from materializers.data_report import Severity
from materializers.report import Record


class CheckLimit(Record):
    """The limit of one check, and what happens beyond it."""

    limit: float = Field(allow_inf_nan=False)
    severity: Severity


class CountLimit(CheckLimit):
    """A limit in pieces."""

    limit: float = Field(ge=0, allow_inf_nan=False)


class ShareLimit(CheckLimit):
    """A limit in shares of a whole."""

    limit: float = Field(ge=0, le=1, allow_inf_nan=False)


class NeededLimit(CheckLimit):
    """A limit beyond which there is nothing to train on: no configuration softens it to a warning."""

    limit: float = Field(ge=0, allow_inf_nan=False)
    severity: Literal["refuse"] = "refuse"
