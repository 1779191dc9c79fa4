"""What no user asked is answered like anything else and not captured; over HTTP, on a service that runs."""

from pathlib import Path
from typing import Any

import httpx

from serving.capture_options import CaptureSettings, capture_arguments
from serving.synthetic import HEADER, SYNTHETIC
from tests.serving.conftest import StartService, kept
from tests.serving.pictures import base64_of, encode, gradient

RAW = {"content-type": "application/octet-stream"}
PICTURE = encode(gradient(28, 28))
BODIES: tuple[dict[str, Any], ...] = (
    {"content": PICTURE, "headers": RAW},
    {"json": {"binData": base64_of(PICTURE)}},
    {"content": b"this is text", "headers": RAW},
    {"content": b"{"},
    {"json": [1, 2]},
    {"content": bytes(40_000_000), "headers": RAW},
)
"""Two that are answered, and those that are refused in the model and before it."""
NO_MESSAGE = 4
"""Of those: it has no place for the id of a header, and gets one of its own."""


def test_synthetic_requests_are_answered_and_counted_and_not_captured(
    start_service: StartService, tmp_path: Path
) -> None:
    """Good, bad and too large; under an id of their own, and under one that a user has too."""
    settings = CaptureSettings(tmp_path / "spool", "staging", pictures=1.0, flush_s=0.05)
    running = start_service(*capture_arguments(settings))
    running.wait_until_ready()

    def sent(name: str, more: dict[str, str]) -> list[int]:
        codes = []
        for number, body in enumerate(BODIES):
            headers = {"content-type": "application/json", "x-request-id": f"{name}-{number}"}
            asked = body | {"headers": headers | body.get("headers", {}) | more}
            codes.append(httpx.post(running.url, **asked, timeout=30).status_code)
        return codes

    users = sent("user", {})
    assert users == [200, 200, 400, 400, 400, 413]
    assert sent("ours", SYNTHETIC) == sent("user", SYNTHETIC) == users
    lines = [
        line for line in running.metrics().splitlines() if line.startswith("shutterline_requests_total{")
    ]
    assert running.stop() == 0
    rows = kept(settings, "captures")
    assert [row["status"] for row in rows] == users
    named = {f"user-{number}" for number in range(len(BODIES))} - {f"user-{NO_MESSAGE}"}
    assert named < {row["request_id"] for row in rows}
    assert sum(float(line.rsplit(" ", 1)[1]) for line in lines) == 3 * len(BODIES)


def test_no_request_id_hides_a_request(start_service: StartService, tmp_path: Path) -> None:
    """The header alone does, and only as our senders write it."""
    settings = CaptureSettings(tmp_path / "spool", "staging", pictures=0.0, flush_s=0.05)
    running = start_service(*capture_arguments(settings))
    running.wait_until_ready()
    for headers in ({"x-request-id": HEADER}, {"x-request-id": "odd", HEADER: "1"}):
        assert httpx.post(running.url, content=PICTURE, headers=RAW | headers).status_code == 200
    assert running.stop() == 0
    assert [row["request_id"] for row in kept(settings, "captures")] == [HEADER, "odd"]
