"""Tests of steps/data/class_changes.py."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from steps.data.class_changes import ClassChanges


@pytest.mark.parametrize(
    "changes",
    [
        {"renamed": {"novels": "books", "books": "print"}},
        {"renamed": {"a": "b", "b": "a"}},
        {"renamed": {"novels": "books"}, "retired": ["books"]},
    ],
)
def test_changes_of_classes_that_would_change_again_are_refused(changes: dict[str, Any]) -> None:
    """Each run makes them anew: what was renamed by the last one would be renamed once more."""
    with pytest.raises(ValidationError, match="renamed or retired itself"):
        ClassChanges.model_validate(changes)


def test_deliveries_may_go_on_using_old_names() -> None:
    """Those of renamed and of retired classes, each once."""
    changes = ClassChanges(renamed={"novels": "books"}, retired=("hats",))
    assert changes.known(["books", "toys"]) == ["books", "toys", "novels", "hats"]
