"""What people are told, by a name that it is routed by."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from materializers.release import Environment
from materializers.report import Record

Severity: TypeAlias = Literal["info", "warning", "critical"]


class Alert(Record):
    """One thing that people are told of a model.

    Two alerts with the same name, model and environment are about the same thing: the second says that it
    goes on.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Such as ``data_drift_detected``."""
    severity: Severity
    model_name: str
    environment: Environment | None = None
    reasons: tuple[str, ...]
    """A sentence each; never a picture, a secret or a traceback."""

    @property
    def text(self) -> str:
        """The message: a line that says what it is about, then the reasons, one a line."""
        where = f" in {self.environment}" if self.environment else ""
        return "\n".join([f"{self.name} ({self.severity}): {self.model_name}{where}", *self.reasons])
