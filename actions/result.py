"""What an act came to: its entry in ``results``, and the lines that a person reads."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field

from materializers.errors import Refused
from materializers.report import Record

COMMAND = "python run.py"
"""How messages name this program; what is printed has the caller's own --config, --set and --stack in it."""
INCOMPLETE = re.compile(rf"{COMMAND}(?!(?:(?!{COMMAND}).)* --config )")
"""One that no --config follows, up to the next command or the end of the line."""


def in_full(text: str, command: str) -> str:
    """The text with each ``python run.py`` as the caller would have to type it.

    One that names its configuration, as a schedule's does, is whole already.
    """
    return INCOMPLETE.sub(lambda _: command, text)


class ActionResult(Record):
    """One act's entry in ``results``."""

    action: str
    status: Literal["done", "refused", "failed"]
    reasons: tuple[str, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict)
    exit_code: int = Field(exclude=True, default=0)

    @classmethod
    def of_fault(cls, action: str, reason: str, exit_code: int) -> Self:
        """The entry of an act that was refused or failed."""
        status: Literal["refused", "failed"] = "refused" if exit_code == Refused.exit_code else "failed"
        return cls(action=action, status=status, reasons=(reason,), exit_code=exit_code)
