"""Clients that nobody wrote for this service: Seldon's own, and one made from ``/seldon.json``."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.conftest import ROOT, SERVING_PYTHON, Service, in_serving_environment, serving_environment
from tests.serving.pictures import base64_of, encode, gradient

PICTURE = encode(gradient(28, 28))
GENERATED = "generated_client"
TESTER = SERVING_PYTHON.with_name("seldon-core-microservice-tester")
NUMBERS = {"name": "pixel", "dtype": "FLOAT", "ftype": "continuous", "range": [0, 1], "repeat": 4}
SELDON_CLIENT = """
import base64, json, sys
from google.protobuf.json_format import MessageToDict
from seldon_core.seldon_client import SeldonClient
client = SeldonClient(microservice_endpoint=sys.argv[1])
answered = client.microservice(bin_data=base64.b64decode(sys.argv[2]), method="predict", transport="rest")
judged = client.microservice_feedback(
    prediction_request=None, prediction_response=answered.response, reward=0.5, transport="rest"
)
print(json.dumps([MessageToDict(one.response) for one in (answered, judged)]))
"""


def labels(answer: dict[str, Any]) -> list[str]:
    """What the pictures of an answer are."""
    return [prediction["label"] for prediction in answer["jsonData"]["predictions"]]


@pytest.fixture(scope="module")
def label(service: Service) -> str:
    """What the picture is, asked plainly."""
    (found,) = labels(httpx.post(service.url, json={"binData": base64_of(PICTURE)}).json())
    return found


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    """What the service says of itself."""
    found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{service.port}/seldon.json").json()
    return found


@pytest.fixture(scope="module")
def generated(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The package that ``openapi-python-client`` makes of the document."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "seldon.json").write_text(json.dumps(document))
    (folder / "config.yaml").write_text("post_hooks: []\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    command += ["--path", "seldon.json", "--config", "config.yaml", "--output-path", GENERATED]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"{GENERATED}.{name}")
    sys.path.remove(str(folder))


@pytest.fixture
def ask(service: Service, document: dict[str, Any], generated: Any) -> Any:
    """A generated client of the running service, at the server that the document names."""
    (server,) = document["servers"]
    base_url = httpx.URL(f"http://127.0.0.1:{service.port}/seldon.json").join(server["url"])
    return generated("client").Client(base_url=str(base_url).rstrip("/"))


def test_a_generated_client_sends_a_picture_and_reads_the_answer(
    generated: Any, ask: Any, label: str
) -> None:
    """Seldon's message comes back as the class that the document describes."""
    message = generated("models").SeldonMessage
    sent = message.from_dict({"binData": base64_of(PICTURE)})
    answer = generated("api.external.predict").sync(client=ask, body=sent)
    assert isinstance(answer, message)
    assert labels(answer.to_dict()) == [label]


def test_a_generated_client_reads_why_there_is_no_answer(generated: Any, ask: Any) -> None:
    """The reason of a 400 stands where the document says."""
    message = generated("models").SeldonMessage.from_dict({"binData": base64_of(b"text")})
    answer = generated("api.external.predict").sync_detailed(client=ask, body=message)
    assert answer.status_code == 400
    assert (answer.parsed.status.code, answer.parsed.status.reason) == (400, "not_an_image")


def test_the_document_names_what_is_answered_and_nothing_else(
    service: Service, document: dict[str, Any]
) -> None:
    """Each of its paths says what is wrong with nothing; the units of a graph are not among them."""
    for path, operations in document["paths"].items():
        assert list(operations) == ["post"]
        assert httpx.post(f"http://127.0.0.1:{service.port}{path}", content=b"").status_code in (400, 501)
    assert httpx.post(f"http://127.0.0.1:{service.port}/transform-input").status_code == 404
    assert "/transform-input" not in document["paths"]


def test_seldon_s_client_is_answered(service: Service, label: str) -> None:
    """It sends a form; feedback, which this service does not keep, is told so in the same way."""
    address = f"127.0.0.1:{service.port}"
    answer, judged = in_serving_environment(SELDON_CLIENT, address, base64_of(PICTURE))
    assert labels(answer) == [label]
    assert (judged["status"]["code"], judged["status"]["reason"]) == (501, "feedback_off")


@pytest.mark.parametrize(("arguments", "reason"), [([], "unknown_keys"), (["-t"], "unknown_keys")])
def test_seldon_s_tester_is_told_that_pictures_are_asked_for(
    service: Service, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    """It can send numbers only, as a list or a tensor: a 400 with the reason."""
    contract = tmp_path / "contract.json"
    contract.write_text(json.dumps({"features": [NUMBERS], "targets": []}))
    command = [str(TESTER), str(contract), "127.0.0.1", str(service.port), "-p", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=serving_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split("RECEIVED RESPONSE:")[1]
    assert "code: 400" in said
    assert f'reason: "{reason}"' in said
    assert "known are binData, jsonData and meta" in said


@pytest.mark.parametrize(
    "form",
    [b"json=", b"json=text", b"json=%7B%7D&json=%7B%7D", b"json=\xff", b"json=" + b"%20" * 1_000_001],
)
def test_a_form_that_cannot_be_meant_is_refused(service: Service, form: bytes) -> None:
    """As JSON that is none."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = httpx.post(f"http://127.0.0.1:{service.port}/predict", content=form, headers=headers)
    assert (answer.status_code, answer.json()["status"]["reason"]) == (400, "bad_request")


def test_json_under_the_content_type_of_a_form_is_json(service: Service, label: str) -> None:
    """What ``curl -d`` sends where nobody names a content type."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    content = json.dumps({"binData": base64_of(PICTURE)}).encode()
    assert labels(httpx.post(service.url, content=content, headers=headers).json()) == [label]
