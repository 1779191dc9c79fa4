"""A really started gRPC predictor beside the REST service: the same answers, every bad input, its end."""

import base64
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from serving.capture_options import CaptureSettings, capture_arguments
from serving.synthetic import SYNTHETIC
from tests.serving.certificates import Authority
from tests.serving.conftest import (
    CLASSES,
    ROOT,
    SERVING_PYTHON,
    ExportedModel,
    Service,
    StartService,
    kept,
    serving_environment,
)
from tests.serving.pictures import base64_of, bomb, encode, gradient
from tests.serving.test_launcher import BAD_BODIES

MODULE = "serving.grpc_launcher"
SELDON, MODEL = "/seldon.protos.Seldon/Predict", "/seldon.protos.Model/Predict"
FEEDBACK = "/seldon.protos.Seldon/SendFeedback"
HEALTH = "/grpc.health.v1.Health/Check"
PICTURES = [encode(gradient(90, 60, seed), kind) for seed, kind in enumerate(("PNG", "JPEG", "WEBP"))]
MESSAGE = {"binData": base64_of(PICTURES[0])}
SLOW = {"jsonData": {"images": [base64_of(encode(Image.new("RGB", (5000, 4000), "teal")))] * 8}}
LIMITS = {"max_bytes": 200_000, "max_pixels": 1_000_000, "max_batch": 3}


class Client:
    """A client process of one server."""

    def __init__(self, port: int, *certificates: Path) -> None:
        self._process = subprocess.Popen(
            [SERVING_PYTHON, ROOT / "tests/serving/grpc_client.py", f"127.0.0.1:{port}", *certificates],
            cwd=ROOT,
            env=serving_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, method: str, **order: Any) -> dict[str, Any]:
        """Call, and return code, and message or details."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"method": method, **order}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def predictor(start_service: StartService) -> Iterator[Service]:
    """One gRPC predictor for every test that only asks it questions."""
    running = start_service("--max-body-bytes", "1000000", module=MODULE, **LIMITS)
    running.wait_until_ready()
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def client(predictor: Service) -> Iterator[Client]:
    """A client of it."""
    made = Client(predictor.port)
    yield made
    made.close()


def numbers(answer: dict[str, Any]) -> list[dict[str, float]]:
    """The probabilities of an answer, a picture each."""
    return [prediction["probabilities"] for prediction in answer["jsonData"]["predictions"]]


@pytest.mark.parametrize("method", [SELDON, MODEL])
def test_answers_are_rest_s(service: Service, client: Client, method: str) -> None:
    """One picture as bytes, and several as base64: REST's labels, and its numbers to 1e-6."""
    several = {"jsonData": {"images": [base64_of(picture) for picture in PICTURES]}}
    for message in ({"binData": base64_of(picture)} for picture in PICTURES):
        compare(client.call(method, message=message), httpx.post(service.url, json=message).json())
    compare(client.call(method, message=several), httpx.post(service.url, json=several).json())


def compare(answer: dict[str, Any], rest: dict[str, Any]) -> None:
    """Hold an answer of gRPC to REST's."""
    assert answer["code"] == "OK"
    ours, theirs = answer["message"]["jsonData"], rest["jsonData"]
    assert set(ours) == set(theirs)
    assert ours["model_version"] == theirs["model_version"]
    for mine, other in zip(ours["predictions"], theirs["predictions"], strict=True):
        assert {**mine, "probability": 0, "probabilities": 0} == {
            **other,
            "probability": 0,
            "probabilities": 0,
        }
    for mine, other in zip(numbers(answer["message"]), numbers(rest), strict=True):
        assert mine == pytest.approx(other, abs=1e-6)


def test_one_bad_picture_spoils_no_other(client: Client) -> None:
    """Its error stands in its place."""
    answer = client.call(
        SELDON, message={"jsonData": {"images": [base64_of(b"text"), base64_of(PICTURES[0])]}}
    )
    bad, good = answer["message"]["jsonData"]["predictions"]
    assert bad["error"]["reason"] == "not_an_image"
    assert good["label"]


def test_request_id_is_the_caller_s(client: Client) -> None:
    """Seldon's puid comes back; so does the metadata x-request-id, where there is no puid."""
    header = {"metadata": [["x-request-id", "from-metadata"]]}
    by_header = client.call(SELDON, message=MESSAGE, **header)["message"]
    by_both = client.call(SELDON, message=MESSAGE | {"meta": {"puid": "from-puid"}}, **header)["message"]
    assert by_header["jsonData"]["request_id"] == by_header["meta"]["puid"] == "from-metadata"
    assert by_both["jsonData"]["request_id"] == by_both["meta"]["puid"] == "from-puid"


AS_JSON = {
    name: (request["json"], reason)
    for name, (request, reason) in BAD_BODIES.items()
    if isinstance(request.get("json"), dict) and reason not in {"unknown_keys", "not_base64"}
}
BAD_MESSAGES: dict[str, tuple[dict[str, Any], str]] = AS_JSON | {
    "text as a picture": ({"binData": base64_of(b"text")}, "not_an_image"),
    "half a picture": ({"binData": base64_of(PICTURES[0][:300])}, "truncated"),
    "a bomb": ({"binData": base64_of(bomb())}, "too_many_pixels"),
    "many bytes": ({"binData": base64_of(b"x" * 200_001)}, "too_many_bytes"),
    "a dot": ({"binData": base64_of(encode(gradient(4, 4)))}, "too_small"),
    "no base64": ({"jsonData": {"images": ["%%%"]}}, "not_base64"),
    "a tensor": ({"data": {"tensor": {"shape": [1, 1], "values": [1.0]}}}, "unknown_keys"),
    "a text": ({"strData": "bag"}, "unknown_keys"),
    "a status": ({"status": {"code": 200}, **MESSAGE}, "unknown_keys"),
    "nothing": ({}, "bad_request"),
    "null": ({"jsonData": None}, "bad_request"),
}


@pytest.mark.parametrize("name", sorted(BAD_MESSAGES))
def test_bad_input_has_seldon_s_status_and_the_worker_lives_on(
    predictor: Service, client: Client, name: str
) -> None:
    """Code 400 and REST's reason, no stack trace, and the next request is answered by the same worker."""
    worker = psutil.Process(predictor.process.pid).children()
    message, reason = BAD_MESSAGES[name]
    answer = client.call(SELDON, message=message)
    assert answer["code"] == "OK"
    status = answer["message"]["status"]
    assert (status["code"], status["status"], status["reason"]) == (400, "FAILURE", reason)
    assert status["info"]
    assert "jsonData" not in answer["message"]
    assert "Traceback" not in predictor.log.read_text()
    assert client.call(SELDON, message=MESSAGE)["message"]["jsonData"]
    assert psutil.Process(predictor.process.pid).children() == worker


def varint(number: int) -> bytes:
    """Write a length as protobuf does."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def deep(levels: int) -> bytes:
    """Write a message whose ``jsonData`` is a list in a list, so many times."""
    value = b""
    for _ in range(levels):
        listed = b"\x0a" + varint(len(value)) + value
        value = b"\x32" + varint(len(listed)) + listed
    return b"\x32" + varint(len(value)) + value


def listing(count: int) -> bytes:
    """Write a message whose ``jsonData`` is a list of so many values, each of which is nothing."""
    listed = b"\x0a\x00" * count
    value = b"\x32" + varint(len(listed)) + listed
    return b"\x32" + varint(len(value)) + value


UNDECODABLE = {
    "no message": b"\xff\xff\xff",
    "cut off": b"\x22\x7f123",
    "no UTF-8": b"\x2a\x02\xff\xfe",
    "a deep list": deep(5000),
    "a list of a hundred thousand nothings": listing(100_000),
    "a list that reaches over the end": listing(100)[:-1],
}


@pytest.mark.parametrize("name", sorted(UNDECODABLE))
def test_bytes_that_are_no_message_are_an_invalid_argument(
    predictor: Service, client: Client, name: str
) -> None:
    """A status of gRPC, no stack trace, and the service goes on."""
    answer = client.call(SELDON, raw=base64.b64encode(UNDECODABLE[name]).decode())
    assert answer["code"] == "INVALID_ARGUMENT"
    assert "SeldonMessage" in answer["details"]
    assert "Traceback" not in answer["details"] + predictor.log.read_text()
    assert client.call(SELDON, message=MESSAGE)["code"] == "OK"


def test_large_message_is_refused(client: Client) -> None:
    """Nobody fills the memory: RESOURCE_EXHAUSTED above the limit."""
    answer = client.call(SELDON, message={"binData": base64_of(b"x" * 1_100_000)})
    assert answer["code"] == "RESOURCE_EXHAUSTED"
    assert client.call(SELDON, message=MESSAGE)["code"] == "OK"


def test_feedback_is_kept_as_rest_keeps_it(start_service: StartService, tmp_path: Path) -> None:
    """By each service that has the call, beside the captures, in which synthetic requests are not."""
    settings = CaptureSettings(tmp_path / "spool", "staging", pictures=0.0, flush_s=0.05)
    running = start_service(*capture_arguments(settings), module=MODULE, **LIMITS)
    running.wait_until_ready()
    caller = Client(running.port)
    caller.call(MODEL, message=MESSAGE | {"meta": {"puid": "asked"}})
    caller.call(MODEL, raw=base64.b64encode(b"\xff").decode(), metadata=[["x-request-id", "no message"]])
    ours = [list(pair) for pair in SYNTHETIC.items()]
    assert caller.call(MODEL, message=MESSAGE, metadata=ours)["code"] == "OK"
    assert caller.call(MODEL, raw=base64.b64encode(b"\xff").decode(), metadata=ours)["code"] != "OK"
    about = {"response": {"meta": {"puid": "asked"}}}
    said = {
        "Seldon": about | {"truth": {"strData": CLASSES[0]}, "reward": 0.1},
        "Model": about | {"truth": {"jsonData": {"labels": [None, CLASSES[1]]}}},
        "Generic": about | {"truth": {"jsonData": {"value": 12.5}}},
    }
    for name, message in said.items():
        answer = caller.call(f"/seldon.protos.{name}/SendFeedback", message=message)
        assert answer == {"code": "OK", "message": {"meta": {"puid": "asked"}}}
    for message, reason in (
        (about, "bad_feedback"),
        ({"reward": 1.0}, "no_request_id"),
        (about | {"truth": {"strData": "hats"}}, "unknown_label"),
        (about | {"reward": "NaN"}, "bad_reward"),
    ):
        refused = caller.call(FEEDBACK, message=message)
        assert refused["code"] == "OK"
        assert (refused["message"]["status"]["code"], refused["message"]["status"]["reason"]) == (400, reason)
    assert caller.call(FEEDBACK, raw=base64.b64encode(b"\xff").decode())["code"] == "INVALID_ARGUMENT"
    large = caller.call(FEEDBACK, raw=base64.b64encode(bytes(100_000)).decode())
    assert (large["code"], "65,536" in large["details"]) == ("RESOURCE_EXHAUSTED", True)
    caller.close()
    assert running.stop() == 0
    told = [
        (row["position"], row["label"], row["reward"], row["value"]) for row in kept(settings, "feedback")
    ]
    assert told == [
        (None, CLASSES[0], None, None),
        (None, None, 0.1, None),
        (1, CLASSES[1], None, None),
        (None, None, None, 12.5),
    ]
    asked = [(row["request_id"], row["status"], row["reason"]) for row in kept(settings, "captures")]
    assert asked == [("asked", 200, None), ("no message", 400, "bad_request")]


def test_feedback_that_nobody_keeps_is_told_so(client: Client) -> None:
    """Without capture, as by REST a 501."""
    answer = client.call(FEEDBACK, message={"reward": 1.0})
    assert (answer["code"], answer["details"]) == ("UNIMPLEMENTED", "this service keeps no feedback")


@pytest.mark.parametrize("method", ["/seldon.protos.Router/Route", "/seldon.protos.Model/Nothing"])
def test_other_methods_of_seldon_are_closed(client: Client, method: str) -> None:
    """What the contract does not name is not there."""
    assert client.call(method, message=MESSAGE)["code"] == "UNIMPLEMENTED"


def test_health_by_grpc_and_by_http(predictor: Service, client: Client, exported: ExportedModel) -> None:
    """Both of gRPC's names and HTTP say that it serves; status and metadata name the model and its memory."""
    for name in ("", "seldon.protos.Seldon", "seldon.protos.Model"):
        assert client.call(HEALTH, message={"service": name})["message"] == {"status": "SERVING"}
    assert client.call(HEALTH, message={"service": "another"})["code"] == "NOT_FOUND"
    url = f"http://127.0.0.1:{predictor.metrics_port}/health"
    assert httpx.get(f"{url}/ping").text == "pong"
    status = httpx.get(f"{url}/status").json()["jsonData"]
    assert (status["model_version"], status["model_digest"]) == ("7", exported.digest)
    assert 50_000_000 < status["resident_bytes"] < 2_000_000_000
    served = client.call("/seldon.protos.Seldon/ModelMetadata", message={})["message"]
    assert (served["name"], served["versions"]) == ("product-classifier", ["7"])
    assert served["custom"]["model_digest"] == exported.digest
    assert int(served["custom"]["resident_bytes"]) > 50_000_000
    assert httpx.get(f"http://127.0.0.1:{predictor.metrics_port}/api/v1.0/predictions").status_code == 404


def test_metrics_count_requests_by_model_version(predictor: Service, client: Client) -> None:
    """Prometheus sees what came by gRPC as it sees what came by REST."""

    def counts() -> dict[str, float]:
        lines = [line for line in predictor.metrics().splitlines() if line.startswith("shutterline_")]
        assert all('model_version="7"' in line for line in lines)
        return {line.partition("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    client.call(SELDON, message=MESSAGE)
    client.call(SELDON, message={"binData": ""})
    before = counts()
    client.call(SELDON, message=MESSAGE)
    client.call(SELDON, message={"binData": ""})
    after = counts()
    grown = {
        name: after[f"shutterline_{name}_total"] - before[f"shutterline_{name}_total"]
        for name in ("requests", "predictions", "requests_refused", "bad_pictures")
    }
    assert grown == {"requests": 2, "predictions": 1, "requests_refused": 1, "bad_pictures": 1}


def test_other_addresses_cannot_connect(predictor: Service) -> None:
    """Both ports listen on the address that was given alone."""
    for port in (predictor.port, predictor.metrics_port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_changed_model_ends_the_process(
    start_service: StartService, exported: ExportedModel, tmp_path: Path
) -> None:
    """One changed byte: never ready, exit code 4 at once, both digests in the last line of the log."""
    copied = shutil.copytree(exported.directory, tmp_path / "model")
    content = bytearray((copied / "model.onnx").read_bytes())
    content[-1] ^= 1
    (copied / "model.onnx").write_bytes(content)
    changed = start_service(module=MODULE, model_directory=str(copied))
    assert changed.process.wait(timeout=60) == 4
    last = changed.log.read_text().splitlines()[-1]
    assert exported.digest in last
    assert "not started" in last
    assert "Traceback" not in changed.log.read_text()


def test_port_in_use_is_said_in_one_line(start_service: StartService, predictor: Service) -> None:
    """The second predictor on a port ends at once: requests are never shared among two models."""
    second = start_service(port=predictor.port, module=MODULE)
    assert second.process.wait(timeout=30) == 1
    assert f"port {predictor.port}" in second.log.read_text().splitlines()[-1]


def test_unknown_parameter_is_wrong_use(start_service: StartService) -> None:
    """A typo in the parameters is exit code 2, and is named."""
    wrong = start_service(module=MODULE, max_bites=5)
    assert wrong.process.wait(timeout=30) == 2
    assert "max_bites" in wrong.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("option", [("--workers", "0"), ("--queue-wait-s", "61")])
def test_numbers_out_of_range_are_wrong_use(start_service: StartService, option: tuple[str, str]) -> None:
    """The limits are those of the REST service, and the option is named."""
    wrong = start_service(*option, module=MODULE)
    assert wrong.process.wait(timeout=30) == 2
    assert option[0] in wrong.log.read_text().splitlines()[-1]


def test_sigterm_finishes_what_is_in_flight_and_leaves_nothing(start_service: StartService) -> None:
    """A request that was accepted before SIGTERM gets its answer; then no process is left."""
    stopping = start_service("--workers", "1", module=MODULE)
    stopping.wait_until_ready()
    family = [psutil.Process(stopping.process.pid), *psutil.Process(stopping.process.pid).children()]
    client = Client(stopping.port)
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(client.call(SELDON, message=SLOW)))
    asking.start()
    until = time.monotonic() + 30
    while "in flight" not in busy(family) and time.monotonic() < until:
        time.sleep(0.02)
    stopping.process.send_signal(signal.SIGTERM)
    asking.join(timeout=40)
    assert answers[0]["code"] == "OK", answers[0]
    assert len(answers[0]["message"]["jsonData"]["predictions"]) == 8
    client.close()
    assert stopping.process.wait(timeout=40) == 0
    assert not any(process.is_running() for process in family)


def test_silent_connections_stop_no_probe(predictor: Service) -> None:
    """More than the HTTP side has threads, with a byte each: liveness, readiness and metrics are answered."""
    with ExitStack() as opened:
        for _ in range(40):
            address = ("127.0.0.1", predictor.metrics_port)
            opened.enter_context(socket.create_connection(address, timeout=30)).sendall(b"G")
        for path in ("health/ping", "health/status", "metrics"):
            answer = httpx.get(f"http://127.0.0.1:{predictor.metrics_port}/{path}", timeout=5)
            assert answer.status_code == 200


def test_a_half_sent_request_by_http_takes_no_time_from_grpc(start_service: StartService) -> None:
    """After SIGTERM gRPC accepts nothing more at once, and the process ends in its time."""
    stopping = start_service("--request-within-s", "4", module=MODULE)
    stopping.wait_until_ready()
    client = Client(stopping.port)
    assert client.call(SELDON, message=MESSAGE)["code"] == "OK"
    with socket.create_connection(("127.0.0.1", stopping.metrics_port), timeout=30) as connection:
        connection.sendall(b"GET /health/ping HTTP/1.1\r\n")
        time.sleep(0.3)  # until it is being read
        stopping.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        assert client.call(SELDON, message=MESSAGE)["code"] == "UNAVAILABLE"
        assert stopping.process.poll() is None
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
    assert stopping.process.wait(timeout=40) == 0
    client.close()


def busy(family: list[psutil.Process]) -> str:
    """Say whether the worker computes: eight large pictures take it a second or more."""
    before = sum(process.cpu_times().user for process in family)
    time.sleep(0.1)
    return "in flight" if sum(process.cpu_times().user for process in family) - before > 0.04 else "idle"


def test_it_ends_with_whoever_started_it(start_service: StartService) -> None:
    """The other end of its standard input closes, as when a process is killed: master and worker end."""
    orphan = start_service("--end-with-stdin", stdin=subprocess.PIPE, module=MODULE)
    orphan.wait_until_ready()
    family = [psutil.Process(orphan.process.pid), *psutil.Process(orphan.process.pid).children()]
    assert len(family) == 2
    assert orphan.process.stdin
    orphan.process.stdin.close()
    assert orphan.process.wait(timeout=40) == 0
    psutil.wait_procs(family, timeout=10)
    assert not any(process.is_running() for process in family)


def test_one_request_too_many_at_a_time_is_refused(start_service: StartService) -> None:
    """No queue without end: RESOURCE_EXHAUSTED at once, and the accepted ones are answered."""
    narrow = start_service("--workers", "1", "--queue", "0", module=MODULE)
    narrow.wait_until_ready()
    family = [psutil.Process(narrow.process.pid), *psutil.Process(narrow.process.pid).children()]
    first, second = Client(narrow.port), Client(narrow.port)
    assert second.call(SELDON, message=MESSAGE)["code"] == "OK"
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(first.call(SELDON, message=SLOW)))
    asking.start()
    until = time.monotonic() + 30
    while "in flight" not in busy(family) and time.monotonic() < until:
        time.sleep(0.02)
    assert second.call(SELDON, message=MESSAGE)["code"] == "RESOURCE_EXHAUSTED"
    assert second.call(HEALTH, message={"service": ""})["code"] == "OK"
    overloaded = "shutterline_requests_overloaded_total{"
    assert any(
        line.startswith(overloaded) and line.endswith(" 1.0") for line in narrow.metrics().splitlines()
    )
    asking.join(timeout=40)
    assert answers[0]["code"] == "OK"
    for client in (first, second):
        client.close()
    assert narrow.stop() == 0


def test_an_address_off_loopback_needs_a_token_or_certificates(start_service: StartService) -> None:
    """Without one it ends at once with exit code 2 and names the options."""
    open_to_all = start_service("--host", "0.0.0.0", module=MODULE)  # noqa: S104
    assert open_to_all.process.wait(timeout=30) == 2
    said = open_to_all.log.read_text().splitlines()[-1]
    assert all(option in said for option in ("--token-file", "--tls-certificate", "--client-ca"))


def test_a_token_lets_predict_and_nothing_else_does(start_service: StartService, tmp_path: Path) -> None:
    """In the metadata, as REST has it in a header; health needs none."""
    file = tmp_path / "tokens"
    file.write_text("a-token-of-some-length\n")
    guarded = start_service("--token-file", str(file), module=MODULE)
    guarded.wait_until_ready()
    client = Client(guarded.port)
    for header, code in (
        ([], "UNAUTHENTICATED"),
        ([["authorization", "Bearer another-token-of-length"]], "UNAUTHENTICATED"),
        ([["authorization", "Bearer a-token-of-some-length"]], "OK"),
    ):
        assert client.call(MODEL, message=MESSAGE, metadata=header)["code"] == code
        told = client.call(FEEDBACK, message={"reward": 1.0}, metadata=header)["code"]
        assert told == (code if code != "OK" else "UNIMPLEMENTED")
    assert client.call(HEALTH, message={"service": ""})["code"] == "OK"
    client.close()
    assert guarded.stop() == 0


def test_only_a_client_with_a_certificate_connects(start_service: StartService, tmp_path: Path) -> None:
    """TLS with certificates on both sides: one of another authority, and none, are turned away."""
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir()
    authority, other = Authority(ours), Authority(others)
    certificate, key = authority.issue("service")
    options = ["--tls-certificate", certificate, "--tls-key", key, "--client-ca", authority.certificate]
    guarded = start_service(*map(str, options), module=MODULE)
    guarded.wait_until_ready()
    codes = []
    for certificates in (authority.issue("client"), other.issue("client"), ()):
        trusted = (authority.certificate, *certificates)
        client = Client(guarded.port, *trusted)
        codes.append(client.call(SELDON, message=MESSAGE)["code"])
        client.close()
    assert codes == ["OK", "UNAVAILABLE", "UNAVAILABLE"]
    assert guarded.stop() == 0
