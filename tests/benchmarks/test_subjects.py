"""What ``python -m benchmarks`` can be asked for is what it can measure."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.__main__ import SUBJECTS


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_subject_can_be_measured(name: str) -> None:
    """A file that only holds what others share is no subject: without a name, all of them are measured."""
    assert callable(importlib.import_module(f"benchmarks.{name}").measure)
