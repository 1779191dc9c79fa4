"""The whole loop on the remote stack: traffic drifts, is captured, retrains; an approval, a canary, live.

What a schedule would fire is called here: recurring runs of Kubeflow's are tried in test_schedules.py.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.kubeflow.story import Teller, Told
from serving.capture_layout import CAPTURES, folder_of
from serving.launching import PREDICTIONS
from tests.remote.site import BUCKET, Site
from tests.shrunk.delivery import PROJECT, cut_delivery
from tests.stacks.apprise_alerter.webhook import Webhook

MODEL = "unattended"
PER_WINDOW, SLACK_S = 80, 40
CANARY = (
    *("--set", "deployment.production={mode: canary, stages: [0.5]}"),
    *(
        "--set",
        "deployment.observe={minimum_requests: 120, planned_requests: 120, looks: 2, first_look: 0.5}",
    ),
    *("--set", "deployment.observe={alpha: 0.1, power: 0.6, settling_s: 0}"),
    *("--set", "deployment.observe.margins={errors: 0.3, rejections: 0.3, latency: 5, latency_ms: 1000}"),
    *("--set", "deployment.observe.margins={abstention: 0.6, probability: 0.8, class_shares: 0.8}"),
)
CANARY_REQUESTS, CANARY_S = 320, 300
PRODUCTION = ("--environment", "production")
APPROVED = ("--by", "Ada", "--reason", "looked at the report")


class Users:
    """Whoever asks the production service about photographs of another camera."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.url = f"{site.environment()['SHUTTERLINE_INGRESS_URL']}/seldon/shutterline/production-{MODEL}"
        paths = sorted((PROJECT / "data" / "photos").glob("*.png"))
        self.pictures = [_inverted(path.read_bytes(), shift) for path in paths for shift in range(0, 60, 3)]

    def ask(self, n: int) -> set[str]:
        """Ask n times; the versions that answered. None may fail."""
        headers = {
            "content-type": "application/octet-stream",
            "authorization": f"Bearer {self.site.credentials.service_token}",
        }
        versions = set()
        with httpx.Client(trust_env=False, timeout=60, headers=headers) as client:
            for number in range(n):
                picture = self.pictures[number % len(self.pictures)]
                told = client.post(f"{self.url}{PREDICTIONS}", content=picture).raise_for_status().json()
                versions.add(str(told["jsonData"]["model_version"]))
        return versions

    def wait_until_captured(self, n: int, since: datetime) -> None:
        """Wait until so many answers since then lie in the bucket."""
        until = time.monotonic() + 240
        while self._captured(since) < n:
            assert time.monotonic() < until, self._captured(since)
            time.sleep(5)

    def _captured(self, since: datetime) -> int:
        client, prefix = self.site.s3_client(), f"artifacts/{folder_of(CAPTURES, 'production', MODEL)}/"
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        found = 0
        for each in listed:
            body = client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
            found += sum(
                at >= since for at in pq.read_table(io.BytesIO(body), columns=["at"])["at"].to_pylist()
            )
        return found


def _inverted(picture: bytes, shift: int) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        pixels = 255 - np.asarray(image.convert("L"))
    buffer = io.BytesIO()
    Image.fromarray(np.roll(pixels, shift, axis=1)).save(buffer, "PNG")
    return buffer.getvalue()


def look(teller: Teller, users: Users) -> Told:
    """Ask, wait until that is captured, and look at a window of just that."""
    begun = datetime.now(UTC)
    assert users.ask(PER_WINDOW) == {"1"}
    users.wait_until_captured(PER_WINDOW, begun)
    hours = (datetime.now(UTC) - begun + timedelta(seconds=SLACK_S)).total_seconds() / 3600
    looked = teller.done(
        *("--monitor", *PRODUCTION, "--set", f"monitor.window={{hours: {hours}, settling_minutes: 0}}"),
        *("--set", "monitor.drift.minimum_pictures=50", "--set", "monitor.explain=never"),
    )
    assert looked.last["monitoring"]["drift"] == "drift", looked.said
    return looked


@pytest.mark.timeout(1800)
def test_drift_leads_to_a_better_model_in_production_after_one_approval(
    remote_site: Site, on_kubeflow: Callable[[str], Teller], webhook: Webhook, tmp_path: Path
) -> None:
    """One alarm tells people, the second retrains; production changes only after the approval."""
    teller, users = on_kubeflow(MODEL), Users(remote_site)
    teller.done("--train", "--source", str(cut_delivery(tmp_path / "first.zip")), "--deploy")
    teller.done("--approve", "1", *APPROVED)
    teller.done("--deploy", "--version", "1", *PRODUCTION, "--set", "deployment.production.mode=full")

    look(teller, users)
    triggered = ("--set", "trigger.signals=[drift]", "--set", "trigger.cooldown_hours=0")
    new = str(cut_delivery(tmp_path / "new.zip", archive="second-delivery.zip", per_class=40))
    early = teller.done("--continuous", "--source", new, *triggered)
    assert (early.last["status"], early.last["version"]) == ("skipped", None), early.said
    drift = {each["name"]: each for each in early.last["decision"]["signals"]}["drift"]
    assert (drift["fired"], drift["value"]) == (False, 1)
    assert any("data_drift_detected (warning)" in message for message in webhook.messages)

    time.sleep(SLACK_S)
    look(teller, users)
    more = str(cut_delivery(tmp_path / "more.zip", archive="second-delivery.zip", per_class=40, skip=40))
    retrained = teller.done("--continuous", "--source", more, *triggered)
    assert (retrained.last["status"], retrained.last["version"]) == ("completed", 2), retrained.said
    assert "two alarms in a row on version 1 in production" in retrained.said
    status = teller.done("--status").last
    live = {each["environment"]: each["version"] for each in status["deployments"]}
    assert live == {"production": 1, "staging": 2}
    assert [each["kind"] for each in status["waiting"] if each["kind"] == "approval"] == ["approval"]

    teller.done("--approve", "2", *APPROVED)
    begun = datetime.now(UTC)
    rolling = teller.done("--deploy", "--version", "2", *PRODUCTION, *CANARY)
    assert rolling.last["release"]["status"] == "rolling_out", rolling.results
    assert users.ask(CANARY_REQUESTS) == {"1", "2"}
    users.wait_until_captured(CANARY_REQUESTS, begun)
    left = CANARY_S + SLACK_S / 2 - (datetime.now(UTC) - begun).total_seconds()
    time.sleep(max(left, 0))
    promoted = teller.done("--observe", *PRODUCTION, *CANARY)
    assert promoted.last["release"]["status"] == "live", promoted.results
    assert users.ask(10) == {"2"}
