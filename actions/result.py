"""What an act came to: its entry in ``results``, and the lines that a person reads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from materializers.report import Record

COMMAND = "python run.py"
"""How messages name this program; what is printed has the caller's own --config, --set and --stack in it."""


def in_full(text: str, command: str) -> str:
    """The text with each ``python run.py`` as the caller would have to type it."""
    return text.replace(COMMAND, command)


class ActionResult(Record):
    """One act's entry in ``results``."""

    action: str
    status: Literal["done", "refused", "failed"]
    reasons: tuple[str, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)
    exit_code: int = Field(exclude=True, default=0)
