"""``--predict`` against a server that answers as the ingress and the service do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from actions.predict import predict_photos
from actions.result import ActionResult
from materializers.errors import ServiceUnreachable
from pipelines.config import load_config
from serving.launching import PREDICTIONS
from tests.materializers.examples import release
from tests.stacks.local_deployer.conftest import make_deployer

if TYPE_CHECKING:
    from zenml.client import Client

GOOD = {
    "jsonData": {
        "model_version": "3",
        "predictions": [{"label": "bags", "probability": 0.9, "abstained": False}],
    }
}


class Service(ThreadingHTTPServer):
    """Answers every picture with ``code`` and ``body``, and says that it is the model ``running``."""

    code = 200
    body = json.dumps(GOOD)
    running: dict[str, str]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Service)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"jsonData": self.server.running}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Service)
        self.send_response(self.server.code)
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service(zenml_client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    """A server that is taken for the live release of a local deployer."""
    deployer = make_deployer(tmp_path / "site")
    monkeypatch.setattr("actions.predict.active_deployer", lambda: deployer)
    with Service(("127.0.0.1", 0), Answer) as server:
        live = release(url=f"http://127.0.0.1:{server.server_port}/seldon/staging/m{PREDICTIONS}")
        assert live.candidate is not None
        server.running = {
            "model_version": str(live.candidate.version),
            "model_digest": live.candidate.model_digest,
        }
        monkeypatch.setattr("actions.predict.live_release", lambda *_: live)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """Ten bytes."""
    (tmp_path / "a.png").write_bytes(b"0123456789")
    return str(tmp_path / "a.png")


def ask(photo: str) -> ActionResult:
    return predict_photos(load_config(None, ()), (photo,), "staging")


def test_the_loopback_is_asked_without_a_proxy(
    service: Service, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment, which could not reach this machine's loopback, is not used."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    answer = ask(photo)
    assert (answer.exit_code, answer.details["predictions"][0]["label"]) == (0, "bags")


def test_a_refused_photograph_has_the_reason_and_the_message(service: Service, photo: str) -> None:
    """The code that a program reads, and the sentence that a person reads."""
    service.code = 400
    service.body = json.dumps({"status": {"reason": "not_an_image", "info": "the bytes are no picture"}})
    answer = ask(photo)
    assert answer.exit_code == 2
    assert answer.reasons == (f"{photo}: not_an_image: the bytes are no picture",)


def test_a_photograph_that_cannot_be_read_is_wrong_input(service: Service) -> None:
    """A file as which the system shows something that it does not let anyone read."""
    answer = ask("/proc/self/mem")
    assert answer.exit_code == 2
    assert answer.reasons == ("/proc/self/mem: it cannot be read: Input/output error",)


def test_a_photograph_that_is_too_large_is_wrong_input(service: Service, photo: str) -> None:
    """A 413 of the ingress says nothing of the photograph, so the answer does."""
    service.code, service.body = 413, "Payload Too Large"
    answer = ask(photo)
    assert answer.exit_code == 2
    assert answer.reasons == (f"{photo}: its 10 bytes are larger than the service takes",)


@pytest.mark.parametrize("code", [404, 405, 503])
def test_a_service_that_is_not_there_is_no_wrong_input(service: Service, photo: str, code: int) -> None:
    """What the ingress says in place of the service is shown, with exit code 4."""
    service.code = code
    service.body = json.dumps({"status": {"reason": "ingress", "info": "no model is served at this path"}})
    with pytest.raises(ServiceUnreachable, match=rf"{code} \(ingress: no model is served at this path\)"):
        ask(photo)


@pytest.mark.parametrize(
    "running", [{"model_version": "4"}, {"model_digest": "0" * 64}], ids=["another version", "other bytes"]
)
def test_answers_of_what_was_not_released_are_not_shown(
    service: Service, photo: str, running: dict[str, str]
) -> None:
    """Whatever it says of the photograph, with the command that puts the release back."""
    service.running = {**service.running, **running}
    with pytest.raises(ServiceUnreachable, match=r"not version 3 as it was released.*run\.py --deploy"):
        ask(photo)


@pytest.mark.parametrize("body", ["<html>log in</html>", "{}", json.dumps({"jsonData": {"predictions": []}})])
def test_an_answer_that_is_no_prediction_is_no_wrong_input(service: Service, photo: str, body: str) -> None:
    """A page of somebody who stands in between, with exit code 4."""
    service.body = body
    with pytest.raises(ServiceUnreachable, match="does not answer with a prediction"):
        ask(photo)
