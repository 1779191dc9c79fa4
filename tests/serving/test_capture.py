"""The recorder: what of a request is kept, that nobody waits for it, and what is lost when."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from serving import capture
from serving.capture import Recorder, is_picture_kept
from serving.capture_options import CaptureSettings
from serving.captured_line import Said, rows_of
from serving.predictor import Prediction
from serving.recording import Exchange
from serving.spool import Stream, files_of, folder_of_stream, taken
from serving.strip_metadata import strip_metadata
from tests.captured import (
    CLASSES,
    MODEL,
    NOON,
    Asked,
    answered,
    bad_picture,
    picture,
    said,
    wait_for,
)
from tests.serving.pictures import encode, exif, gradient

PHOTOGRAPH = encode(gradient(64, 48), "JPEG", exif=exif(6))
RECORDS_FOR_EVER = """
import sys, time
from pathlib import Path
from serving.capture import Recorder
from serving.capture_options import CaptureSettings
from tests.captured import MODEL, answered
recorder = Recorder(CaptureSettings(Path(sys.argv[1]), "staging"), MODEL)
number = 0
while True:
    recorder.record(answered(f"{number} {time.time()}"))
    print(number, time.time(), flush=True)
    number += 1
    time.sleep(0.005)
"""


@pytest.fixture
def settings(tmp_path: Path) -> CaptureSettings:
    """Everything is kept, pictures too."""
    return CaptureSettings(tmp_path / "spool", "staging", pictures=1.0, flush_s=0.01)


def rows(settings: CaptureSettings, model: str = MODEL.name) -> list[dict[str, Any]]:
    """The rows of all closed files."""
    found = []
    for path in files_of(folder_of_stream(settings.spool, Stream(settings.environment, model))):
        with taken(path) as content:
            found += [row for line in (content or b"").splitlines() for row in rows_of(line)[1]]
    return found


def recorded(settings: CaptureSettings, *requests: Exchange) -> list[dict[str, Any]]:
    """What a recorder makes of requests."""
    recorder = Recorder(settings, MODEL)
    for request in requests:
        recorder.record(request)
    recorder.close()
    return rows(settings)


def test_an_answer_is_kept_whole(settings: CaptureSettings) -> None:
    """Who answered what, when, how fast, and the scores in the order of the classes."""
    (row,) = recorded(settings, answered("order-17", picture(PHOTOGRAPH, (0.1, 0.1, 0.8), abstained=True)))
    assert (row["request_id"], row["position"], row["at"], row["status"]) == ("order-17", 0, NOON, 200)
    assert (row["latency_ms"], row["model_name"], row["model_version"]) == (12.5, MODEL.name, "7")
    assert row["model_digest"] == MODEL.digest
    assert (row["label"], row["probability"], row["abstained"]) == ("tops", 0.8, True)
    assert row["scores"].tolist() == np.array([0.1, 0.1, 0.8], np.float32).tolist()
    assert row["classes"] == list(CLASSES)
    assert row["embedding"].tolist() == [0.5, -1.0]


def test_a_picture_is_known_by_the_digests_of_datasets_and_kept_without_metadata(
    settings: CaptureSettings,
) -> None:
    """Where and with what it was taken is nobody's business."""
    (row,) = recorded(settings, answered("a", picture(PHOTOGRAPH)))
    stripped = strip_metadata(PHOTOGRAPH).data
    assert b"Exif" in PHOTOGRAPH
    assert b"Exif" not in stripped
    assert (row["picture"], row["orientation"]) == (stripped, 6)
    assert row["input_digest"] == blake3(PHOTOGRAPH).hexdigest()
    assert row["image_id"] == blake3(stripped).hexdigest()


def test_a_picture_that_cannot_be_stripped_is_not_kept(settings: CaptureSettings) -> None:
    """What a decoder took and the container's reader does not may hold anything."""
    (row,) = recorded(settings, answered("a", picture(b"no container")))
    assert (row["picture"], row["image_id"], row["label"]) == (None, None, "bags")
    assert row["input_digest"] == blake3(b"no container").hexdigest()


def test_every_picture_of_a_request_has_its_row(settings: CaptureSettings) -> None:
    """A bad one among them with its reason."""
    bad = bad_picture(b"text", "not_an_image")
    found = recorded(settings, answered("a", picture(), bad, picture(scores=(0, 1, 0))))
    assert [(row["position"], row["label"], row["reason"]) for row in found] == [
        (0, "bags", None),
        (1, None, "not_an_image"),
        (2, "dresses", None),
    ]


@pytest.mark.parametrize("status", [400, 413, 429, 500])
@pytest.mark.parametrize("pictures", [0, 1, 3])
def test_a_request_without_an_answer_has_one_row(
    settings: CaptureSettings, status: int, pictures: int
) -> None:
    """With its status and reason; the digest where one picture was sent; never the picture."""
    bad = bad_picture(PHOTOGRAPH, "truncated")
    request = answered("a", *[bad] * pictures, status=status, reason="why")
    (row,) = recorded(settings, request)
    assert (row["position"], row["status"], row["reason"]) == (0, status, "why")
    assert (row["label"], row["scores"], row["picture"]) == (None, None, None)
    assert row["input_digest"] == (blake3(PHOTOGRAPH).hexdigest() if pictures == 1 else None)


def test_embeddings_can_be_left_out(settings: CaptureSettings, tmp_path: Path) -> None:
    """They are most of what a row takes up."""
    without = CaptureSettings(tmp_path / "spool", "staging", embeddings=False)
    (row,) = recorded(without, answered("a"))
    assert row["embedding"] is None
    assert row["scores"] is not None


def test_the_share_of_pictures_is_kept_and_always_the_same() -> None:
    """By the id alone, whoever asks: 1 % of many, within chance; of none and all exactly."""
    ids = [f"request-{number}" for number in range(20_000)]
    kept = [request_id for request_id in ids if is_picture_kept(request_id, 0.01)]
    assert 140 < len(kept) < 260  # 200 ± 4 standard deviations
    assert kept == [request_id for request_id in ids if is_picture_kept(request_id, 0.01)]
    assert set(kept) <= {request_id for request_id in ids if is_picture_kept(request_id, 0.02)}
    assert not any(is_picture_kept(request_id, 0) for request_id in ids)
    assert all(is_picture_kept(request_id, 1) for request_id in ids)


def test_feedback_lies_beside_the_answers(settings: CaptureSettings) -> None:
    """In the same spool."""
    recorder = Recorder(settings, MODEL)
    assert recorder.feedback(said("a", Said(position=0, label="tops"), Said(reward=1.0)))
    recorder.close()
    assert [(row["label"], row["reward"]) for row in rows(settings)] == [("tops", None), (None, 1.0)]


def test_who_hands_over_never_waits_for_a_disk_that_hangs(
    settings: CaptureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds no room in the queue is dropped and counted; once the disk goes on, the rest is kept."""
    monkeypatch.setattr(capture, "MOST_WAITING", 50)
    hanging, goes_on, really_write = threading.Event(), threading.Event(), os.write

    def write(file: int, data: bytes) -> int:
        hanging.set()
        goes_on.wait(30)
        return really_write(file, data)

    monkeypatch.setattr(os, "write", write)
    recorder = Recorder(settings, MODEL)
    recorder.record(answered("first"))
    assert hanging.wait(30)
    started = time.monotonic()
    for number in range(200):
        recorder.record(answered(f"{number}"))
    assert time.monotonic() - started < 1
    assert not recorder.feedback(said("a", Said(reward=1.0)))
    assert recorder.dropped == 151
    goes_on.set()
    recorder.close()
    assert len(rows(settings)) == 51


def test_pictures_in_the_queue_are_bounded(
    settings: CaptureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their bytes: memory stays flat."""
    monkeypatch.setattr(capture, "MOST_WAITING_BYTES", 1_000)
    slow = CaptureSettings(settings.spool, "staging", flush_s=30)
    recorder = Recorder(slow, MODEL)
    for number in range(5):
        recorder.record(answered(f"{number}", picture(bytes(400))))
    assert recorder.dropped == 3
    recorder.close()
    assert len(rows(settings)) == 2


def test_a_disk_that_takes_nothing_is_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A spool in the place of whose folder a file stands; the service goes on."""
    (tmp_path / "spool").write_text("a file")
    settings = CaptureSettings(tmp_path / "spool", "staging", flush_s=0.01)
    recorder = Recorder(settings, MODEL)
    with caplog.at_level(logging.WARNING, logger="serving.capture"):
        for number in range(3):
            recorder.record(answered(f"{number}"))
            wait_for(lambda number=number: recorder.dropped == number + 1)  # type: ignore[misc]
    recorder.close()
    assert len([entry for entry in caplog.records if "cannot be written" in entry.message]) == 1


def test_what_cannot_be_captured_is_dropped_alone(settings: CaptureSettings) -> None:
    """A value that nobody expected costs its own request, not the thread."""
    odd = Asked(b"", Prediction("bags", 0.5, {"bags": "no number"}, abstained=False))  # type: ignore[dict-item]
    recorder = Recorder(settings, MODEL)
    recorder.record(answered("odd", odd))
    recorder.record(answered("good"))
    recorder.close()
    assert recorder.dropped == 1
    assert (recorder.newly_dropped(), recorder.newly_dropped()) == (1, 0)
    assert [row["request_id"] for row in rows(settings)] == ["good"]


def test_closing_writes_the_rest_and_takes_nothing_more(settings: CaptureSettings) -> None:
    """As after a SIGTERM, long before the next flush."""
    slow = CaptureSettings(settings.spool, "staging", flush_s=30)
    recorder = Recorder(slow, MODEL)
    for number in range(100):
        recorder.record(answered(f"{number}"))
    started = time.monotonic()
    recorder.close()
    assert time.monotonic() - started < 5
    assert len(rows(settings)) == 100
    recorder.record(answered("late"))
    assert recorder.dropped == 1


def test_threads_lose_nothing_of_each_other(settings: CaptureSettings) -> None:
    """Eight at a time, while the file is changed again and again."""
    quick = CaptureSettings(settings.spool, "staging", flush_s=0.001, rotate_s=0.002)
    recorder = Recorder(quick, MODEL)

    def send(thread: int) -> None:
        for number in range(250):
            recorder.record(answered(f"{thread}-{number}"))
            if number % 25 == 0:
                time.sleep(0.005)

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    found = [row["request_id"] for row in rows(settings)]
    assert recorder.dropped == 0
    assert sorted(found) == sorted(f"{thread}-{number}" for thread in range(8) for number in range(250))
    assert len(files_of(folder_of_stream(quick.spool, Stream("staging", MODEL.name)))) > 1


def test_a_kill_loses_no_more_than_the_flush_interval(tmp_path: Path) -> None:
    """What was handed over earlier than that is in the spool."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDS_FOR_EVER, str(tmp_path / "spool")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    handed_over: list[tuple[int, float]] = []
    while len(handed_over) < 300:
        number, moment = process.stdout.readline().split()
        handed_over.append((int(number), float(moment)))
    killed = time.time()
    process.send_signal(signal.SIGKILL)
    handed_over += [(int(n), float(m)) for n, m in (line.split() for line in process.stdout.readlines())]
    process.wait()
    settings = CaptureSettings(tmp_path / "spool", "staging")
    kept = {int(row["request_id"].split()[0]) for row in rows(settings)}
    slack = 0.25  # a busy machine wakes the thread late
    must = {number for number, moment in handed_over if moment < killed - settings.flush_s - slack}
    assert must
    assert must <= kept
