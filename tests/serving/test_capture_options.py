"""What a service that really runs keeps of its traffic, as its command line says; and what it does not."""

import argparse
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from blake3 import blake3
from PIL import Image

from serving.capture_options import (
    CaptureSettings,
    add_capture_arguments,
    capture_arguments,
    capture_settings,
)
from serving.captured_line import rows_of
from serving.part_store import open_store
from serving.shipper import Shipper
from serving.spool import Stream, files_of, folder_of_stream, taken
from tests.captured import wait_for
from tests.serving.conftest import (
    CLASSES,
    ROOT,
    SERVING_PYTHON,
    ExportedModel,
    Service,
    StartService,
    serving_environment,
)
from tests.serving.pictures import base64_of, encode, gradient

RAW = {"content-type": "application/octet-stream"}
PICTURE = encode(gradient(28, 28))
FLUSH_S = 0.05
DROPPED = "shutterline_captures_dropped_total"


class Captured:
    """A service that keeps its traffic, and what it kept."""

    def __init__(self, service: Service, spool: Path) -> None:
        self.service = service
        self.spool = spool

    @property
    def folder(self) -> Path:
        """Of its stream in the spool."""
        return folder_of_stream(self.spool, Stream("staging", "product-classifier"))

    def lines(self) -> list[bytes]:
        """All lines, also those of the file that is being written."""
        return [line for path in files_of(self.folder) for line in path.read_bytes().splitlines()]

    def rows(self, kind: str = "captures") -> list[dict[str, Any]]:
        """The rows of one kind, in their order."""
        parsed = map(rows_of, self.lines())
        return [row for found, rows in parsed if found == kind for row in rows]

    def row(self, request_id: str) -> dict[str, Any]:
        """The one row of a request, once it is written."""
        wait_for(lambda: any(row["request_id"] == request_id for row in self.rows()))
        (row,) = (row for row in self.rows() if row["request_id"] == request_id)
        return row

    def feedback(self, message: Any, **options: Any) -> httpx.Response:
        """Post feedback."""
        url = f"http://127.0.0.1:{self.service.port}/api/v1.0/feedback"
        return httpx.post(url, json=message, **options)


StartCaptured = Callable[..., Captured]


@pytest.fixture(scope="module")
def start_captured(start_service: StartService, tmp_path_factory: pytest.TempPathFactory) -> StartCaptured:
    """Start a service that keeps its traffic."""

    def start(*arguments: str, pictures: float = 1.0, flush_s: float = FLUSH_S, **changes: Any) -> Captured:
        spool = tmp_path_factory.mktemp("captured") / "spool"
        settings = CaptureSettings(spool, "staging", pictures=pictures, flush_s=flush_s)
        service = start_service(*capture_arguments(settings), *arguments, **changes)
        service.wait_until_ready()
        return Captured(service, spool)

    return start


@pytest.fixture(scope="module")
def captured(start_captured: StartCaptured) -> Captured:
    """One service for every test that only asks it."""
    return start_captured(max_bytes=200_000, max_batch=3)


def ask(captured: Captured, request_id: str, **options: Any) -> httpx.Response:
    """Ask about a picture."""
    headers = {"x-request-id": request_id, **options.pop("headers", {})}
    return httpx.post(captured.service.url, headers=headers, timeout=60, **options)


def test_an_answer_is_kept_as_it_was_given(captured: Captured, exported: ExportedModel) -> None:
    """To the last digit of a float32, with who gave it; warming up leaves nothing."""
    begun = time.time()
    answer = ask(captured, "an answer", content=PICTURE, headers=RAW).json()["jsonData"]["predictions"][0]
    row = captured.row("an answer")
    assert (row["status"], row["reason"], row["label"]) == (200, None, answer["label"])
    assert row["probability"] == answer["probability"]
    given = [answer["probabilities"][name] for name in CLASSES]
    assert row["classes"] == list(CLASSES)
    assert row["scores"] == pytest.approx(given, rel=1e-6)
    assert len(row["embedding"]) == exported.embeddings.shape[1]
    assert (row["model_version"], row["model_digest"]) == ("7", exported.digest)
    assert row["input_digest"] == blake3(PICTURE).hexdigest()
    assert row["picture"] == PICTURE
    assert begun <= row["at"].timestamp() <= time.time()
    assert 0 < row["latency_ms"] < 10_000
    assert len([one for one in captured.rows() if one["request_id"] == "an answer"]) == 1


def test_base64_and_several_pictures_are_kept_alike(captured: Captured) -> None:
    """Each with its place, a bad one among them with its reason."""
    images = [base64_of(PICTURE), "no base64 %", base64_of(encode(gradient(28, 28, 1)))]
    assert ask(captured, "three", json={"jsonData": {"images": images}}).status_code == 200
    wait_for(lambda: [row for row in captured.rows() if row["request_id"] == "three"])
    rows = [row for row in captured.rows() if row["request_id"] == "three"]
    assert [(row["position"], row["reason"], row["picture"] is None) for row in rows] == [
        (0, None, False),
        (1, "not_base64", True),
        (2, None, False),
    ]
    (embedding,) = {len(row["embedding"]) for row in (rows[0], rows[2])}
    assert embedding


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no picture": ({"content": b"text", "headers": RAW}, 400, "not_an_image"),
    "no JSON": ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "bad_request"),
    "two bad pictures": ({"json": {"jsonData": {"images": ["%", "%"]}}}, 400, "not_base64"),
    "too large": ({"content": bytes(32_000_001), "headers": RAW}, 413, "request_entity_too_large"),
    "compressed": (
        {"content": b"x", "headers": RAW | {"content-encoding": "gzip"}},
        415,
        "unsupported_media_type",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request_is_kept_without_its_picture(captured: Captured, name: str) -> None:
    """One row, with status and reason."""
    request, code, reason = REFUSED[name]
    assert ask(captured, name, **request).status_code == code
    row = captured.row(name)
    assert (row["status"], row["reason"], row["position"]) == (code, reason, 0)
    assert (row["label"], row["picture"], row["embedding"]) == (None, None, None)


def test_a_request_that_was_one_too_many_is_kept(start_captured: StartCaptured) -> None:
    """429, like those that were answered meanwhile."""
    narrow = start_captured("--workers", "1", "--queue", "0")
    slow = base64_of(encode(Image.new("RGB", (5000, 5000), "grey")))
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(ask, narrow, "long", json={"jsonData": {"images": [slow] * 6}})
        time.sleep(0.3)  # until it is being decoded
        assert ask(narrow, "too many", content=PICTURE, headers=RAW).status_code == 429
        assert long.result().status_code == 200
    row = narrow.row("too many")
    assert (row["status"], row["reason"]) == (429, "overloaded")
    assert narrow.service.stop() == 0


def test_latency_begins_when_the_request_has_arrived(start_captured: StartCaptured) -> None:
    """What it waited for a place is part of it, in the capture and for Prometheus; `at` is when it came."""
    narrow = start_captured("--workers", "1", "--queue", "1", "--queue-wait-s", "30")
    slow = base64_of(encode(Image.new("RGB", (5000, 5000), "grey")))
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(ask, narrow, "long", json={"jsonData": {"images": [slow] * 6}})
        time.sleep(0.3)  # until it is being decoded
        sent = time.time()
        assert ask(narrow, "waited", content=PICTURE, headers=RAW).status_code == 200
        waited = time.time() - sent
        assert long.result().status_code == 200
    row = narrow.row("waited")
    assert waited / 2 < row["latency_ms"] / 1000 <= waited
    assert sent <= row["at"].timestamp() < sent + waited / 2
    (counted,) = re.findall(r"shutterline_request_seconds_total{[^}]*} (\S+)", narrow.service.metrics())
    latencies = {each["request_id"]: each["latency_ms"] for each in narrow.rows()}
    assert set(latencies) == {"long", "waited"}
    assert float(counted) == pytest.approx(sum(latencies.values()) / 1000)
    assert narrow.service.stop() == 0


def test_other_paths_leave_nothing(captured: Captured) -> None:
    """Health, metrics, and what nothing answers."""
    before = len(captured.lines())
    for path in ("/health/status", "/health/ping", "/nowhere", "/transform-input"):
        httpx.get(f"http://127.0.0.1:{captured.service.port}{path}")
    time.sleep(3 * FLUSH_S)
    assert len(captured.lines()) == before


def counted_feedback(captured: Captured) -> float:
    """How many were taken, by the metrics of the environment."""
    named = r'^shutterline_feedback_total{[^}]*environment="staging"[^}]*} (\S+)$'
    return sum(map(float, re.findall(named, captured.service.metrics(), re.M)))


def test_feedback_is_kept_beside_the_answers(captured: Captured) -> None:
    """On both of Seldon's paths, the executor's too; the id comes back, and each is counted."""
    before = counted_feedback(captured)
    message = {"response": {"meta": {"puid": "order-17"}}, "truth": {"strData": "tops"}, "reward": 1}
    answer = captured.feedback(message)
    assert (answer.status_code, answer.json()) == (200, {"meta": {"puid": "order-17"}})
    inside = httpx.post(f"http://127.0.0.1:{captured.service.port}/send-feedback", json=message)
    assert inside.status_code == 200
    wait_for(lambda: len(captured.rows("feedback")) == 4)
    assert counted_feedback(captured) - before == 2
    assert [(row["request_id"], row["label"], row["reward"]) for row in captured.rows("feedback")[:2]] == [
        ("order-17", "tops", None),
        ("order-17", None, 1.0),
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"reward": 1}, "no_request_id"),
        ({"response": {"meta": {"puid": "a"}}, "truth": {"strData": "hats"}}, "unknown_label"),
        ({"response": {"meta": {"puid": "a"}}, "reward": 1e300}, "bad_reward"),
        ([1], "bad_feedback"),
    ],
)
def test_feedback_that_cannot_be_meant_is_a_400(captured: Captured, message: Any, reason: str) -> None:
    """In Seldon's shape, and nothing is kept; the classes are named."""
    before = captured.rows("feedback")
    answer = captured.feedback(message, headers={"x-request-id": "of the post"})
    said = answer.json()["status"]
    assert (answer.status_code, said["code"], said["reason"], said["status"]) == (400, 400, reason, 1)
    time.sleep(2 * FLUSH_S)
    assert captured.rows("feedback") == before
    if reason == "unknown_label":
        assert ", ".join(CLASSES) in said["info"]


def test_feedback_that_is_no_json_or_too_large_is_refused(captured: Captured) -> None:
    """400 and 413, like predictions."""
    url = f"http://127.0.0.1:{captured.service.port}/api/v1.0/feedback"
    assert httpx.post(url, content=b"{").status_code == 400
    assert httpx.post(url, content=bytes(32_000_001)).status_code == 413


def test_feedback_needs_no_place_and_is_small(captured: Captured) -> None:
    """A label a picture is taken; a message that would keep the whole service busy is a 413 at once."""
    for count, code in ((3, 200), (4, 400)):
        labels = {"truth": {"jsonData": {"labels": [CLASSES[0]] * count}}}
        assert captured.feedback({"response": {"meta": {"puid": "order-18"}}} | labels).status_code == code
    answer = captured.feedback({"response": {"jsonData": [{}] * 30_000}})
    said = answer.json()["status"]
    assert (answer.status_code, said["reason"]) == (413, "request_entity_too_large")
    assert "65,536" in said["info"]


def test_without_a_spool_nothing_is_kept(service: Service) -> None:
    """And feedback is told so."""
    answer = httpx.post(f"http://127.0.0.1:{service.port}/api/v1.0/feedback", json={"reward": 1})
    assert (answer.status_code, answer.json()["status"]["reason"]) == (501, "feedback_off")


def test_pictures_and_embeddings_can_be_left_out(start_captured: StartCaptured) -> None:
    """Digests and scores stay."""
    bare = start_captured("--capture-without-embeddings", pictures=0.0)
    ask(bare, "a", content=PICTURE, headers=RAW)
    row = bare.row("a")
    assert (row["picture"], row["embedding"]) == (None, None)
    assert (row["image_id"], len(row["scores"])) == (blake3(PICTURE).hexdigest(), len(CLASSES))
    assert bare.service.stop() == 0


def test_sigterm_writes_what_was_answered(start_captured: StartCaptured) -> None:
    """All of it, long before its time, while requests still come; the file is the shipper's then."""
    slow = start_captured(flush_s=60.0)
    answered: list[str] = []
    ending = threading.Event()

    def keep_asking() -> None:
        number = 0
        while not ending.is_set():
            try:
                if ask(slow, f"{number}", content=PICTURE, headers=RAW).status_code == 200:
                    answered.append(f"{number}")
            except httpx.TransportError:
                return
            number += 1

    asking = threading.Thread(target=keep_asking)
    asking.start()
    wait_for(lambda: len(answered) > 20)
    assert slow.rows() == []
    assert slow.service.stop() == 0
    ending.set()
    asking.join()
    assert {row["request_id"] for row in slow.rows()} >= set(answered)
    for path in files_of(slow.folder):
        with taken(path) as content:
            assert content


def test_a_killed_service_loses_the_flush_interval_at_most(
    start_captured: StartCaptured, tmp_path: Path
) -> None:
    """What was answered before that reaches the store."""
    killed = start_captured()
    for number in range(30):
        assert ask(killed, f"{number}", content=PICTURE, headers=RAW).status_code == 200
    time.sleep(FLUSH_S + 2.0)  # on a busy machine a thread waits for its turn
    os.killpg(killed.service.process.pid, signal.SIGKILL)
    killed.service.process.wait()
    shipper = Shipper(killed.spool, open_store(str(tmp_path)))

    def shipped() -> bool:  # not before the last of its processes is gone, which wrote into the spool
        shipper.ship()
        return files_of(killed.folder) == []

    wait_for(shipped)
    assert shipper.status.rows == 30


def test_a_spool_that_cannot_be_written_hurts_no_prediction(
    start_service: StartService, tmp_path: Path
) -> None:
    """Every request is answered, what was dropped is counted for Prometheus, and the log says why."""
    (tmp_path / "spool").write_text("a file where the folder should be")
    settings = CaptureSettings(tmp_path / "spool", "staging", flush_s=FLUSH_S)
    service = start_service(*capture_arguments(settings))
    service.wait_until_ready()
    for _ in range(5):
        assert httpx.post(service.url, content=PICTURE, headers=RAW).status_code == 200
        time.sleep(3 * FLUSH_S)
    (line,) = (line for line in service.metrics().splitlines() if line.startswith(f"{DROPPED}{{"))
    assert float(line.rpartition(" ")[2]) == 4
    assert "the spool cannot be written" in service.log.read_text()
    assert service.stop() == 0


def test_grpc_is_kept_alike(start_service: StartService, tmp_path: Path) -> None:
    """By the same options; SIGTERM writes the rest."""
    settings = CaptureSettings(tmp_path / "spool", "staging", flush_s=60.0)
    service = start_service(*capture_arguments(settings), module="serving.grpc_launcher")
    service.wait_until_ready()
    order = {"method": "/seldon.protos.Seldon/Predict", "message": {"binData": base64_of(PICTURE)}}
    done = subprocess.run(
        [SERVING_PYTHON, ROOT / "tests/serving/grpc_client.py", f"127.0.0.1:{service.port}"],
        cwd=ROOT,
        env=serving_environment(),
        input=json.dumps(order) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["code"] == "OK"
    assert service.stop() == 0
    captured = Captured(service, tmp_path / "spool")
    (row,) = captured.rows()
    assert (row["status"], row["input_digest"]) == (200, blake3(PICTURE).hexdigest())


def parsed(*arguments: str) -> CaptureSettings | None:
    """What options come to."""
    parser = argparse.ArgumentParser()
    add_capture_arguments(parser)
    return capture_settings(parser.parse_args(arguments))


@pytest.mark.parametrize("embeddings", [True, False])
def test_options_say_what_the_settings_are(embeddings: bool) -> None:
    """There and back; without a spool nothing is kept."""
    settings = CaptureSettings(Path("some/spool"), "staging", 0.5, embeddings, 1.5, 20.0, 1_000)
    assert parsed(*capture_arguments(settings)) == settings
    assert parsed() is None
    plain = CaptureSettings(Path("spool"), "production")
    assert parsed("--capture-spool", "spool", "--capture-environment", "production") == plain
    assert replace(settings, pictures=0.0) == parsed(*capture_arguments(replace(settings, pictures=0.0)))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pictures", "1.1"),
        ("pictures", "-0.1"),
        ("pictures", "nan"),
        ("flush-s", "0"),
        ("rotate-s", "3601"),
        ("limit-bytes", "0"),
        ("environment", "../elsewhere"),
        ("environment", "Staging"),
    ],
)
def test_an_absurd_option_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named, with what is taken."""
    with pytest.raises(SystemExit):
        parsed(f"--capture-{option}", value)
    assert f"--capture-{option}" in capsys.readouterr().err


def test_a_spool_without_its_environment_is_refused(start_service: StartService, tmp_path: Path) -> None:
    """In one line, with exit code 2."""
    service = start_service("--capture-spool", str(tmp_path))
    assert service.process.wait(60) == 2
    last = service.log.read_text().splitlines()[-1]
    assert last == "serving.launcher: not started: --capture-spool goes with --capture-environment"
