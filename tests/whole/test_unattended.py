"""The whole loop, with nobody at the terminal but for the approval: traffic drifts, a new model goes live.

The scheduler fires ``--monitor`` and ``--continuous`` every minute. Users send pictures that look otherwise
than those that were learnt from; the services capture them. A delivery comes in to a watched place.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image

from serving.launching import PREDICTIONS
from tests.captured import wait_for
from tests.shrunk.delivery import cut_delivery
from tests.stacks.apprise_alerter.webhook import Webhook, webhook_server
from tests.whole.captured import RAW, Traffic
from tests.whole.conftest import own_services
from tests.whole.shop import Shop
from tests.whole.test_rollouts import CANARY, ENOUGH, LATER

if TYPE_CHECKING:
    from zenml.client import Client

pytestmark = pytest.mark.timeout(1500)

EVERY_MINUTE = "* * * * *"
WINDOW_S = 40
MONITORED = (
    f"monitor.window={{hours: {WINDOW_S / 3600}, settling_minutes: 0.05}}",  # no two of them overlap
    "monitor.drift.minimum_pictures=50",
    "monitor.explain=never",
)
TRIGGERED = ("trigger.signals=[drift]", "trigger.cooldown_hours=0", "monitor.drift.minimum_pictures=50")
STAGED_WITHIN_S = 600
A_SECOND = 4


@pytest.fixture(scope="module")
def hook() -> Iterator[Webhook]:
    """What alerts are posted to."""
    with webhook_server() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def services(local_stack: Client, tmp_path_factory: pytest.TempPathFactory, hook: Webhook) -> Iterator[None]:
    """Services that ship what they captured within seconds, on a stack whose alerts go to the webhook."""
    from zenml.enums import StackComponentType as Kind

    folder = tmp_path_factory.mktemp("unattended")
    with own_services(local_stack, "unattended", folder, capture=True, capture_rotate_s=0.5):
        parts = {kind: found[0].id for kind, found in local_stack.active_stack_model.components.items()}
        local_stack.create_stack_component("unattended", "apprise", Kind.ALERTER, {"urls": hook.url})
        local_stack.create_stack("unattended-told", {**parts, Kind.ALERTER: "unattended"})
        local_stack.activate_stack("unattended-told")
        yield
        local_stack.activate_stack("unattended")


class Users:
    """Whoever sends pictures to production, a few a second, in a thread, until it is ended."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.drifted, self.failed = shop, False, 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        with zipfile.ZipFile(shop.delivery) as delivery:
            names = [name for name in delivery.namelist() if name.endswith(".png")]
            self.pictures = [delivery.read(name) for name in names]

    def __enter__(self) -> Users:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(60)

    def _send(self) -> None:
        url, number = f"{self.shop.url('production')}{PREDICTIONS}", 0
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not self._ending.wait(1 / A_SECOND):
                picture = self.pictures[number % len(self.pictures)]
                picture, number = (inverted(picture) if self.drifted else picture), number + 1
                answer = client.post(url, content=picture, headers=RAW | {"x-request-id": uuid4().hex})
                self.failed += not answer.is_success


def inverted(picture: bytes) -> bytes:
    """As if another camera had taken it."""
    with Image.open(io.BytesIO(picture)) as image:
        pixels = 255 - np.asarray(image.convert("L"))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def scheduler(local_stack: Client) -> Iterator[Callable[[Shop], subprocess.Popen[bytes]]]:
    """Starts the scheduler as a process of its own, and ends it as systemd does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(shop: Shop) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(shop.command("--scheduler"), env=dict(os.environ)))
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(90)


def version_in(shop: Shop, environment: str) -> int | None:
    """The version that answers."""
    served = shop.served(environment)
    return served[0] if served else None


def is_tested(shop: Shop, version: int) -> bool:
    """Whether a version's end-to-end test in staging stands in the log: it comes after it is live there."""
    from materializers.audit_log import sound_entries
    from steps.deployment.deployer import active_deployer

    about = {"model": shop.model, "version": str(version)}
    return bool(sound_entries("end-to-end", about, active_deployer().trusted_keys()))


def test_drift_leads_to_a_better_model_in_production_after_one_approval(
    open_shop: Callable[[str], Shop],
    scheduler: Callable[[Shop], subprocess.Popen[bytes]],
    hook: Webhook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No request fails meanwhile; production changes only after the approval, by a canary."""
    shop, inbox = open_shop("unattended"), tmp_path / "inbox"
    inbox.mkdir()
    shop.train()
    shop.deploy(1, "production")
    kept = shop.run(*MONITORED, monitor=True, environment="production", schedule=EVERY_MINUTE)
    assert kept.exit_code == 0, kept.said
    kept = shop.run(*TRIGGERED, continuous=True, source=f"{inbox}/*", schedule=EVERY_MINUTE)
    assert kept.exit_code == 0, kept.said

    with Users(shop) as users:
        running = scheduler(shop)
        users.drifted = True
        cut_delivery(inbox / "new.zip", archive="second-delivery.zip", per_class=40)
        (inbox / "new.zip._COMPLETE").touch()
        begun = time.monotonic()
        while version_in(shop, "staging") != 2 or not is_tested(shop, 2):
            assert time.monotonic() - begun < STAGED_WITHIN_S, [one["status"] for one in runs(shop)]
            assert running.poll() is None
            time.sleep(5)
        assert users.failed == 0
    running.send_signal(signal.SIGTERM)
    assert running.wait(90) == 0

    assert version_in(shop, "production") == 1
    assert any("data_drift_detected (warning)" in message for message in hook.messages)
    decided = [one for one in decisions(shop) if one["retrain"]]
    assert len(decided) == 1
    fired = {signal["name"]: signal["reason"] for signal in decided[0]["signals"] if signal["fired"]}
    assert "two alarms in a row on version 1 in production" in fired["drift"]
    status = shop.run(status=True).last
    (approval,) = (each for each in status["waiting"] if each["kind"] == "approval")
    assert "Version 2 passed" in approval["reason"]
    for name in (f"monitoring-{shop.model}", f"continuous-{shop.model}"):
        assert shop.run(unschedule=name).exit_code == 0

    assert shop.run(approve=2, by="Ada", reason="it knows the new camera").exit_code == 0
    rolled = shop.run(*CANARY, deploy=True, version=2, environment="production")
    assert rolled.last["release"]["status"] == "rolling_out", rolled.said
    traffic = Traffic(shop, "production", users.pictures[::7])
    assert set(traffic.send(ENOUGH)) == {"1", "2"}
    since = began(shop)
    wait_for(lambda: captured_since(shop, since) >= ENOUGH)
    monkeypatch.setattr("steps.deployment.observe.now", lambda: datetime.now(UTC) + LATER)
    live = shop.run(*CANARY, observe=True, environment="production")
    assert (live.exit_code, live.last["release"]["status"]) == (0, "live"), (live.results, live.stderr)
    assert version_in(shop, "production") == 2
    assert (shop.aliases()["champion"], shop.aliases()["previous"]) == (2, 1)


def runs(shop: Shop) -> list[dict[str, Any]]:
    """The newest runs, by --status."""
    found: list[dict[str, Any]] = shop.run(status=True).last["runs"]
    return found


def decisions(shop: Shop) -> list[dict[str, Any]]:
    """Every decision to retrain or not, the newest first."""
    from zenml.client import Client

    found = Client().list_pipeline_runs(
        tags=f"model:{shop.model}", pipeline_name="continuous", sort_by="desc:created", hydrate=True
    )
    made = [run.steps["decide"].outputs["decision"][0].load() for run in found if "decide" in run.steps]
    return [decision.model_dump() for decision in made if decision is not None]


def began(shop: Shop) -> datetime:
    """When what is rolling out in production began."""
    from steps.deployment.deployer import active_deployer

    rolling = active_deployer().rolling_out(shop.model, "production")
    assert rolling is not None and rolling.stage_since is not None
    return rolling.stage_since


def captured_since(shop: Shop, since: datetime) -> int:
    """How many answers of production lie in the store."""
    from steps.monitoring.traffic.captures import read_captures

    until = datetime.now(UTC) + timedelta(minutes=1)
    return len(read_captures(shop.model, "production", since=since, until=until, columns=("request_id",)))
