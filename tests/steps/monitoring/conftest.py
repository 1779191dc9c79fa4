"""What people are told and what stands in the log instead; a store that services captured to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from steps.monitoring.traffic import captures
from steps.monitoring.traffic.captures import read_captures, read_feedback
from tests.captured import MODEL, NOON, shipped
from tests.materializers.stores import disk_store
from tests.stacks.apprise_alerter.webhook import Webhook, stack_with_alerter, webhook_server
from tests.steps.registry.conftest import artifacts, tracker

if TYPE_CHECKING:
    from zenml.client import Client

__all__ = ["artifacts", "tracker"]
PLANTED = "pLanted-s3cret"
HOUR = timedelta(hours=1)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What was logged as ``shutterline``; the environment holds a secret."""
    monkeypatch.setenv("PLANTED_TOKEN", PLANTED)
    caplog.set_level(logging.WARNING, logger="shutterline")
    return caplog


@pytest.fixture
def hook(zenml_client: Client) -> Iterator[Webhook]:
    """A webhook that the active stack's alerter posts to."""
    with webhook_server() as server, stack_with_alerter(zenml_client, server.url):
        yield server


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of an artifact store of its own, on disk."""
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(captures, "active_store", lambda: disk_store(tmp_path / "store"))
    return tmp_path / "store"


def read(**options: object) -> pd.DataFrame:
    """What was captured in the hour before and the two after noon."""
    return read_captures(
        MODEL.name,
        "staging",
        **{"since": NOON - HOUR, "until": NOON + 2 * HOUR, **options},  # type: ignore[arg-type]
    )


def feedback_of(root: Path, spool: Path, *given: object) -> pd.DataFrame:
    """What feedback comes to."""
    shipped(root, spool, given)  # type: ignore[arg-type]
    return read_feedback(MODEL.name, "staging", since=NOON - HOUR, until=NOON + 48 * HOUR)
