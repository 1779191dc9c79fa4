"""Classes that have another name now, or were given up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from materializers.report import Record


class ClassChanges(Record):
    """How classes came to be others than earlier deliveries named."""

    renamed: dict[str, str] = Field(default_factory=dict)
    """Old name → new name."""
    retired: tuple[str, ...] = ()
    """Classes whose pictures are taken out."""

    @model_validator(mode="after")
    def _lasting(self) -> Self:
        """Refuse changes that would change again what they changed: they are made anew by every run."""
        again = sorted(set(self.renamed.values()) & {*self.renamed, *self.retired})
        if again:
            raise ValueError(
                f"{', '.join(again)} is the new name of a class and is renamed or retired itself; name the "
                "last name of each class directly"
            )
        return self

    def known(self, classes: Sequence[str]) -> list[str]:
        """Every label that a delivery may use, old names among them."""
        return [*classes, *(name for name in (*self.renamed, *self.retired) if name not in classes)]


NO_CHANGES = ClassChanges()
