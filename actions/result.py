"""What an act came to: its entry in ``results``, and the lines that a person reads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from materializers.report import Record


class ActionResult(Record):
    """One act's entry in ``results``."""

    action: str
    status: Literal["done", "refused", "failed"]
    reasons: tuple[str, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)
    exit_code: int = Field(exclude=True, default=0)
