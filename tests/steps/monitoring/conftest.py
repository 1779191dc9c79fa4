"""What people are told, and what stands in the log instead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.stacks.apprise_alerter.webhook import Webhook, stack_with_alerter, webhook_server

if TYPE_CHECKING:
    from zenml.client import Client

PLANTED = "pLanted-s3cret"


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
