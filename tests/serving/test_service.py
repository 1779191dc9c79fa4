"""The Seldon class: requests, answers and refusals, without Seldon and under Seldon's own application."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from serving.model_directory import ModelDirectoryError
from serving.service import PictureClassifier
from tests.serving.conftest import ExportedModel, in_serving_environment
from tests.serving.pictures import base64_of, encode, gradient

PICTURE = encode(gradient(28, 28))

UNDER_SELDON = """
import json, sys
from seldon_core.metrics import SeldonMetrics
from seldon_core.wrapper import get_rest_microservice
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
    """Good and bad pictures, abstentions and refusals are counters; no metric is a timer."""

    def counts(message: Any) -> dict[str, float]:
        metrics = classifier.predict_raw(message)["meta"]["metrics"]
        assert {metric["type"] for metric in metrics} <= {"COUNTER", "GAUGE"}
        return {metric["key"].removeprefix("shutterline_"): metric["value"] for metric in metrics}

    mixed = counts({"jsonData": {"images": [base64_of(PICTURE), base64_of(PICTURE), "%"]}})
    assert (mixed["requests"], mixed["requests_refused"]) == (1, 0)
    assert (mixed["predictions"], mixed["bad_pictures"], mixed["abstentions"]) == (2, 1, 0)
    refused = counts({"binData": "%"})
    assert (refused["requests"], refused["requests_refused"], refused["bad_pictures"]) == (1, 1, 1)


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
