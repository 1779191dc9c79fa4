"""The Seldon class: requests, answers and refusals, without Seldon and under Seldon's own application."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.captured_line import Said
from serving.model_directory import ModelDirectoryError
from serving.recording import Exchange, GivenFeedback
from serving.service import PictureClassifier
from tests.serving.conftest import ExportedModel, in_serving_environment
from tests.serving.pictures import base64_of, encode, gradient

PICTURE = encode(gradient(28, 28))

UNDER_SELDON = """
import json, sys
from seldon_core.metrics import SeldonMetrics
from seldon_core.wrapper import get_rest_microservice
from serving.recording import Exchange
from serving.service import PictureClassifier
model = {"model_directory": sys.argv[1], "model_digest": sys.argv[2]}
service = PictureClassifier(**model, model_version="7", model_name="product-classifier")
service.load()
client = get_rest_microservice(service, SeldonMetrics()).test_client()
answers = [client.post("/api/v1.0/predictions", json={"binData": data}) for data in sys.argv[3:]]
status = client.get("/health/status")
print(json.dumps([[answer.status_code, answer.json] for answer in [*answers, status]]))
"""


@pytest.fixture(scope="module")
def classifier(exported: ExportedModel) -> PictureClassifier:
    made = PictureClassifier(
        model_directory=str(exported.directory),
        model_digest=exported.digest,
        model_version="7",
        model_name="product-classifier",
        max_pixels=100_000,
        max_batch=3,
    )
    made.load()
    return made


def test_answer_has_the_contract_s_shape(classifier: PictureClassifier) -> None:
    """One picture: request id, model version, and one prediction with everything in it."""
    answer = classifier.predict_raw({"binData": base64_of(PICTURE)})["jsonData"]
    assert set(answer) == {"request_id", "model_version", "predictions"}
    assert answer["model_version"] == "7"
    (prediction,) = answer["predictions"]
    assert set(prediction) == {"label", "probability", "probabilities", "abstained"}
    assert prediction["probability"] == prediction["probabilities"][prediction["label"]]


def test_request_id_is_the_caller_s(classifier: PictureClassifier) -> None:
    """Seldon's puid comes back; without a sane one each request gets its own."""

    def request_id(**message: Any) -> str:
        answer = classifier.predict_raw({"binData": base64_of(PICTURE), **message})
        assert answer["meta"]["puid"] == answer["jsonData"]["request_id"]
        return str(answer["jsonData"]["request_id"])

    assert request_id(meta={"puid": "order-17"}) == "order-17"
    assert request_id() != request_id()
    for puid in ("", "x" * 129, "two\nlines", 17, None):
        assert len(request_id(meta={"puid": puid})) == 36


def test_bad_picture_among_good_ones_gets_its_error_in_its_place(classifier: PictureClassifier) -> None:
    """Several pictures, some bad: an answer for each, in order."""
    images = [base64_of(PICTURE), "no base64", base64_of(b"text")]
    good, no_base64, text = classifier.predict_raw({"jsonData": {"images": images}})["jsonData"][
        "predictions"
    ]
    assert good["label"]
    assert no_base64["error"]["reason"] == "not_base64"
    assert text["error"]["reason"] == "not_an_image"
    assert set(text["error"]) == {"reason", "message"}


BAD_REQUESTS: dict[str, tuple[Any, str]] = {
    "a list": ([1, 2], "bad_request"),
    "nothing": ({}, "bad_request"),
    "both": ({"binData": "", "jsonData": {"images": []}}, "bad_request"),
    "an unknown key": ({"binData": "", "data": {}}, "unknown_keys"),
    "an unknown key inside": ({"jsonData": {"images": ["x"], "imagse": []}}, "unknown_keys"),
    "no list": ({"jsonData": {"images": "x"}}, "bad_request"),
    "no object": ({"jsonData": ["x"]}, "bad_request"),
    "no images": ({"jsonData": {"images": []}}, "empty"),
    "too many": ({"jsonData": {"images": [base64_of(PICTURE)] * 4}}, "too_many_pictures"),
    "a number": ({"binData": 7}, "not_base64"),
    "not base64": ({"binData": "%%%"}, "not_base64"),
    "no ASCII": ({"binData": "Träger"}, "not_base64"),
    "empty": ({"binData": ""}, "empty"),
    "empty bytes": ({"binData": b""}, "empty"),
    "too large": ({"binData": encode(gradient(400, 400), "JPEG")}, "too_many_pixels"),
    "all bad, alike": ({"jsonData": {"images": ["%", "%%"]}}, "not_base64"),
    "all bad, each its way": ({"jsonData": {"images": ["%", ""]}}, "bad_pictures"),
}


@pytest.mark.parametrize("name", sorted(BAD_REQUESTS))
def test_bad_request_is_a_400_in_seldon_s_shape(classifier: PictureClassifier, name: str) -> None:
    """Nothing that a caller sends raises; the status says why."""
    message, reason = BAD_REQUESTS[name]
    answer = classifier.predict_raw(message)
    assert "jsonData" not in answer
    assert answer["status"]["code"] == 400
    assert answer["status"]["reason"] == reason
    assert len(answer["status"]["info"]) > 10


def test_requests_are_counted(classifier: PictureClassifier) -> None:
    """Good and bad pictures, abstentions and refusals are counters; the one timer is the latency."""

    def counts(message: Any) -> dict[str, float]:
        metrics = classifier.predict_raw(message)["meta"]["metrics"]
        (timer,) = (metric for metric in metrics if metric["type"] not in {"COUNTER", "GAUGE"})
        assert (timer["type"], timer["key"]) == ("TIMER", "shutterline_request_latency_seconds")
        return {metric["key"].removeprefix("shutterline_"): metric["value"] for metric in metrics}

    mixed = counts({"jsonData": {"images": [base64_of(PICTURE), base64_of(PICTURE), "%"]}})
    assert (mixed["requests"], mixed["requests_refused"]) == (1, 0)
    assert (mixed["predictions"], mixed["bad_pictures"], mixed["abstentions"]) == (2, 1, 0)
    refused = counts({"binData": "%"})
    assert (refused["requests"], refused["requests_refused"], refused["bad_pictures"]) == (1, 1, 1)


class Recorded:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.said: list[GivenFeedback] = []
        self.dropped = 0
        self.has_room = True
        self.closed = False

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    def feedback(self, feedback: GivenFeedback) -> bool:
        self.said.append(feedback)
        return self.has_room

    def newly_dropped(self) -> int:
        return self.dropped

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def recorded(exported: ExportedModel) -> tuple[PictureClassifier, Recorded]:
    """A service and who records what it answers."""
    made = PictureClassifier(
        model_directory=str(exported.directory),
        model_digest=exported.digest,
        model_version="7",
        model_name="p",
    )
    made.load()
    recorder = Recorded()
    made.record_with(recorder)
    return made, recorder


def test_an_exchange_is_recorded_with_scores_and_embeddings(
    recorded: tuple[PictureClassifier, Recorded], exported: ExportedModel
) -> None:
    """What was sent, what was answered, and what the network gave for it, of the good pictures alone."""
    service, recorder = recorded
    pictures = [encode(Image.fromarray(image)) for image in exported.images[:2]]
    images = [base64_of(pictures[0]), "%", base64_of(b"text"), base64_of(pictures[1])]
    before = time.time()
    answer = service.predict_raw({"jsonData": {"images": images}, "meta": {"puid": "order-17"}})
    (exchange,) = recorder.exchanges
    assert (exchange.request_id, exchange.status, exchange.reason) == ("order-17", 200, None)
    assert before <= exchange.at <= time.time()
    assert 0 < exchange.seconds < 60
    assert list(exchange.pictures) == [pictures[0], None, b"text", pictures[1]]
    labels = [getattr(one, "label", None) for one in exchange.answers]
    assert labels == [one.get("label") for one in answer["jsonData"]["predictions"]]
    np.testing.assert_allclose(exchange.logits, exported.logits[:2], atol=1e-4)
    np.testing.assert_allclose(exchange.embeddings, exported.embeddings[:2], atol=1e-4)


def test_a_refused_request_is_recorded_with_its_reason(recorded: tuple[PictureClassifier, Recorded]) -> None:
    """No usable picture: no scores; no picture at all: no pictures."""
    service, recorder = recorded
    service.predict_raw({"binData": base64_of(b"text")})
    service.predict_raw([])
    text, nothing = recorder.exchanges
    assert (text.status, text.reason, list(text.pictures)) == (400, "not_an_image", [b"text"])
    assert len(text.logits) == len(text.embeddings) == 0
    assert (nothing.status, nothing.reason, list(nothing.pictures)) == (400, "bad_request", [])
    service.close()
    assert recorder.closed


def test_a_request_that_fails_inside_is_a_500_without_a_trace(
    recorded: tuple[PictureClassifier, Recorded], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Seldon's shape, with the request's id; counted, recorded, and explained in the log alone."""
    _, recorder = recorded
    broken = PictureClassifier(
        model_directory=str(tmp_path), model_digest="0" * 64, model_version="7", model_name="p"
    )
    broken.record_with(recorder)
    answer = broken.predict_raw({"binData": base64_of(PICTURE), "meta": {"puid": "order-17"}})
    assert answer["status"] == {
        "status": 1,
        "code": 500,
        "reason": "internal_error",
        "info": "the request failed; the service's log says why",
    }
    assert answer["meta"]["puid"] == "order-17"
    counted = {metric["key"]: metric["value"] for metric in answer["meta"]["metrics"]}
    assert counted["shutterline_requests"] == counted["shutterline_requests_failed"] == 1
    assert counted["shutterline_requests_refused"] == 0
    assert (recorder.exchanges[-1].status, recorder.exchanges[-1].reason) == (500, "internal_error")
    assert "order-17" in caplog.text
    assert "the model is not loaded" in caplog.text


def test_what_a_caller_made_up_is_not_repeated_at_length(classifier: PictureClassifier) -> None:
    """A name of a megabyte does not come back, nor do a thousand names."""
    for message in ({"x" * 1_000_000: 1}, {f"key-{number}": 1 for number in range(1000)}):
        assert len(classifier.predict_raw(message)["status"]["info"]) < 500


def test_changed_model_is_never_ready(exported: ExportedModel, tmp_path: Path) -> None:
    """Another digest than the release's: load refuses, and health stays bad."""
    copied = shutil.copytree(exported.directory, tmp_path / "model")
    content = bytearray((copied / "model.onnx").read_bytes())
    content[-1] ^= 1
    (copied / "model.onnx").write_bytes(content)
    changed = PictureClassifier(
        model_directory=str(copied), model_digest=exported.digest, model_version="7", model_name="p"
    )
    with pytest.raises(ModelDirectoryError, match=exported.digest):
        changed.load()
    with pytest.raises(RuntimeError, match="not loaded"):
        changed.health_status()


def test_class_serves_under_seldon_s_own_application(exported: ExportedModel) -> None:
    """The stock application, without our launcher, answers and refuses alike."""
    (good, answer), (bad, refusal), (healthy, status) = in_serving_environment(
        UNDER_SELDON, str(exported.directory), exported.digest, base64_of(PICTURE), base64_of(b"text")
    )
    assert (good, bad, healthy) == (200, 400, 200)
    assert answer["jsonData"]["predictions"][0]["label"]
    assert refusal["status"]["reason"] == "not_an_image"
    assert status["jsonData"]["model_digest"] == exported.digest


def test_feedback_is_handed_over_with_its_id(recorded: tuple[PictureClassifier, Recorded]) -> None:
    """The id comes back; what cannot be meant is told the model's classes."""
    classifier, recorder = recorded
    message = {"response": {"meta": {"puid": "a"}}, "truth": {"strData": "tops"}}
    assert classifier.send_feedback(message) == {"meta": {"puid": "a"}}
    assert [(one.request_id, one.said) for one in recorder.said] == [("a", (Said(label="tops"),))]
    refused = classifier.send_feedback({**message, "truth": {"strData": "hats"}})["status"]
    assert (refused["code"], refused["reason"]) == (400, "unknown_label")
    assert refused["info"].endswith(", ".join(classifier.model.classes))
    assert len(recorder.said) == 1


def test_feedback_that_finds_no_room_may_come_again(recorded: tuple[PictureClassifier, Recorded]) -> None:
    """503: nothing was kept."""
    classifier, recorder = recorded
    recorder.has_room = False
    answer = classifier.send_feedback({"response": {"meta": {"puid": "a"}}, "reward": 1})
    assert (answer["status"]["code"], answer["meta"]["puid"]) == (503, "a")


def test_without_a_recorder_no_feedback_is_taken(classifier: PictureClassifier) -> None:
    """501: whoever posts it learns that it is for nothing."""
    assert classifier.send_feedback({"reward": 1})["status"]["code"] == 501


def test_a_refusal_before_the_model_is_recorded(recorded: tuple[PictureClassifier, Recorded]) -> None:
    """As what has neither picture nor answer, under an id of its own where it has none."""
    classifier, recorder = recorded
    arrived, at = time.monotonic() - 0.5, time.time() - 0.5
    for given in ("order-17", None):
        classifier.record_refusal(given, arrived=arrived, code=429, reason="overloaded")
    first, second = recorder.exchanges
    assert (first.request_id, first.status, first.reason) == ("order-17", 429, "overloaded")
    assert first.at == pytest.approx(at, abs=0.05)
    assert first.seconds >= 0.5
    assert second.request_id
    assert not first.pictures


def test_what_was_dropped_is_counted(recorded: tuple[PictureClassifier, Recorded]) -> None:
    """For Prometheus, with the next request."""
    classifier, recorder = recorded
    recorder.dropped = 3
    metrics = classifier.predict_raw({"binData": base64_of(PICTURE)})["meta"]["metrics"]
    assert {"type": "COUNTER", "key": "shutterline_captures_dropped", "value": 3} in metrics
