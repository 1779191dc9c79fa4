"""A run that ended badly is closed without hiding how it ended."""

from __future__ import annotations

import logging

import pytest

from materializers.errors import ServiceUnreachable
from pipelines import launch


def test_a_run_that_cannot_be_closed_hides_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An interruption stays one, with exit code 130: what closing came to is said beside it."""

    def unreachable() -> None:
        raise ServiceUnreachable("The store does not answer")

    monkeypatch.setattr(launch, "Client", unreachable)
    monkeypatch.setattr(logging.getLogger("shutterline"), "propagate", True)
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        launch._close("training-1")
    assert "Run training-1 was not closed: The store does not answer; the next command" in caplog.text
