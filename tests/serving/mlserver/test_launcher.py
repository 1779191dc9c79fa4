"""A really started MLServer beside the REST service: the same answers by v2, every bad input, its end."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from benchmarks.main.home import free_port
from serving.latency import BOUNDS_S, LATENCY
from tests.serving.conftest import (
    CLASSES,
    ROOT,
    STARTS_WITHIN_S,
    ExportedModel,
    Service,
    StartService,
    serving_environment,
)
from tests.serving.pictures import base64_of, bomb, encode, gradient
from tests.serving.test_application import SLOW_SIDE

PYTHON = ROOT / ".venv-mlserver" / "bin" / "python"
MODULE = "serving.mlserver.launcher"
PICTURES = [encode(gradient(90, 60, seed), kind) for seed, kind in enumerate(("PNG", "JPEG", "WEBP"))]
LIMITS = {"max_bytes": 200_000, "max_pixels": 1_000_000, "max_batch": 3}
MODEL = "/v2/models/product-classifier"
INFER = f"{MODEL}/infer"
BY_GRPC = """
import json, sys
import grpc
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
port, model, *files = sys.argv[1:]
pictures = [open(file, "rb").read() for file in files]
tensor = pb.ModelInferRequest.InferInputTensor(name="images", datatype="BYTES", shape=[len(pictures)])
tensor.contents.bytes_contents.extend(pictures)
request = pb.ModelInferRequest(model_name=model, inputs=[tensor])
with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
    stub = GRPCInferenceServiceStub(channel)
    try:
        answer = stub.ModelInfer(request, timeout=30)
        outputs = {one.name: one.contents for one in answer.outputs}
        found = {
            "label": [text.decode() for text in outputs["label"].bytes_contents],
            "probabilities": list(outputs["probabilities"].fp64_contents),
        }
    except grpc.RpcError as error:
        found = {"code": error.code().name, "details": error.details()}
    try:
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=model), timeout=30)
    except grpc.RpcError as error:
        found["unload"] = error.code().name
print(json.dumps(found))
"""


def wait_until_ready(service: Service) -> None:
    """Wait for ``/v2/health/ready``."""
    started = time.monotonic()
    while time.monotonic() - started < STARTS_WITHIN_S:
        assert service.process.poll() is None, service.log.read_text()
        try:
            httpx.get(f"http://127.0.0.1:{service.port}/v2/health/ready", timeout=10).raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(service.log.read_text())


@pytest.fixture(scope="module")
def grpc_port() -> int:
    """Where it answers gRPC."""
    return free_port()


@pytest.fixture(scope="module")
def mlserver(start_service: StartService, grpc_port: int) -> Iterator[Service]:
    """One MLServer for every test that only asks it questions."""
    options = ("--grpc-port", str(grpc_port), "--max-body-bytes", "1000000")
    running = start_service(*options, module=MODULE, python=PYTHON, **LIMITS)
    wait_until_ready(running)
    yield running
    assert running.stop() == 0


Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def ask(mlserver: Service) -> Ask:
    """Ask it over HTTP."""

    def post(path: str = INFER, method: str = "POST", **request: Any) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{mlserver.port}{path}", timeout=60, **request)

    return post


def tensor(*pictures: Any, **changes: Any) -> dict[str, Any]:
    """A request with these elements."""
    one = {"name": "images", "datatype": "BYTES", "shape": [len(pictures)], "data": list(pictures)}
    return {"inputs": [one | changes]}


def outputs(answer: httpx.Response) -> dict[str, Any]:
    """The data of an answer, by the tensor's name."""
    assert answer.status_code == 200, answer.text
    return {one["name"]: one["data"] for one in answer.json()["outputs"]}


def rest_answers(service: Service) -> list[dict[str, Any]]:
    """What the REST service answers for the pictures."""
    message = {"jsonData": {"images": [base64_of(picture) for picture in PICTURES]}}
    predictions: list[dict[str, Any]] = httpx.post(service.url, json=message).json()["jsonData"][
        "predictions"
    ]
    return predictions


def test_answers_are_rest_s(service: Service, ask: Ask) -> None:
    """Several pictures as BYTES, in base64: REST's labels, and its numbers to 1e-6."""
    expected = rest_answers(service)
    answer = ask(json=tensor(*map(base64_of, PICTURES)) | {"id": "order-17"})
    found = outputs(answer)
    assert found["label"] == [one["label"] for one in expected]
    assert found["abstained"] == [one["abstained"] for one in expected]
    assert found["probability"] == pytest.approx([one["probability"] for one in expected], abs=1e-6)
    table = [one["probabilities"][name] for one in expected for name in CLASSES]
    assert found["probabilities"] == pytest.approx(table, abs=1e-6)
    assert found["error"] == ["", "", ""]
    said = answer.json()
    assert (said["model_name"], said["model_version"], said["id"]) == ("product-classifier", "7", "order-17")
    assert found["classes"] == list(CLASSES)


def test_answers_over_grpc_are_rest_s(
    service: Service, mlserver: Service, grpc_port: int, tmp_path: Path
) -> None:
    """The bytes themselves; nobody unloads the model from outside."""
    expected = rest_answers(service)
    files = []
    for number, picture in enumerate(PICTURES):
        files.append(tmp_path / str(number))
        files[-1].write_bytes(picture)
    found = by_grpc(grpc_port, *files)
    assert found["label"] == [one["label"] for one in expected]
    table = [one["probabilities"][name] for one in expected for name in CLASSES]
    assert found["probabilities"] == pytest.approx(table, abs=1e-6)
    assert found["unload"] == "NOT_FOUND"
    (tmp_path / "text").write_bytes(b"text")
    bad = by_grpc(grpc_port, tmp_path / "text")
    assert (bad["code"], bad["details"].partition(":")[0]) == ("INVALID_ARGUMENT", "not_an_image")


def by_grpc(port: int, *files: Path) -> dict[str, Any]:
    """Ask over gRPC, in its environment."""
    done = subprocess.run(
        [PYTHON, "-c", BY_GRPC, str(port), "product-classifier", *files],
        cwd=ROOT,
        env=serving_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_one_bad_picture_spoils_no_other(ask: Ask) -> None:
    """Its error stands in its place, and its label is empty."""
    found = outputs(ask(json=tensor(base64_of(b"text"), base64_of(PICTURES[0]))))
    assert found["error"][0].startswith("not_an_image: ")
    assert (found["error"][1], found["label"][0]) == ("", "")
    assert found["label"][1] in CLASSES


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "text as a picture": ({"json": tensor(base64_of(b"text"))}, "not_an_image"),
    "a bomb": ({"json": tensor(base64_of(bomb()))}, "too_many_pixels"),
    "many bytes": ({"json": tensor(base64_of(b"x" * 200_001))}, "too_many_bytes"),
    "half a picture": ({"json": tensor(base64_of(PICTURES[0][:300]))}, "truncated"),
    "no base64": ({"json": tensor("%%%")}, "not_base64"),
    "numbers": ({"json": tensor(1, 2)}, "not_base64"),
    "nothing": ({"json": tensor()}, "empty"),
    "too many pictures": ({"json": tensor(*["x"] * 4)}, "too_many_pictures"),
    "pixels": ({"json": tensor(1, 2, datatype="UINT8")}, "bad_request"),
    "another name": ({"json": tensor("x", name="picture")}, "bad_request"),
    "another shape": ({"json": tensor("x", shape=[2])}, "bad_request"),
    "no list": ({"json": tensor("x", data="x")}, "bad_request"),
    "no input": ({"json": {"inputs": []}}, "bad_request"),
    "no v2": ({"json": {"binData": base64_of(PICTURES[0])}}, "bad_request"),
    "a kind that is none": ({"json": tensor("x", datatype="PICTURE")}, "bad_request"),
    "half a JSON object": ({"content": b'{"inputs": '}, "bad_request"),
    "a deep JSON list": ({"content": b"[" * 100_000}, "bad_request"),
    "no body": ({}, "bad_request"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_is_a_400_and_the_process_lives_on(mlserver: Service, ask: Ask, name: str) -> None:
    """REST's reason in v2's shape, no stack trace, and the next request is answered."""
    request, reason = BAD[name]
    answer = ask(**request)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].partition(":")[0] == reason
    assert "Traceback" not in answer.text
    assert outputs(ask(json=tensor(base64_of(PICTURES[0]))))["label"]
    assert mlserver.process.poll() is None


def test_a_large_or_compressed_body_is_refused(ask: Ask) -> None:
    """Nobody fills the memory, declared, chunked or inflated."""
    assert ask(content=b"x" * 1_000_001).status_code == 413
    assert ask(content=(b"x" * 100_000 for _ in range(11))).status_code == 413
    assert ask(content=b"x", headers={"content-encoding": "gzip"}).status_code == 415


def test_a_body_of_many_parts_is_refused_before_it_is_parsed(ask: Ask) -> None:
    """Or the process would answer nobody meanwhile: everything in it waits for its one parser."""
    answer = ask(content=b'{"inputs":[' + b"{}," * 300_000 + b"{}]}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("bad_request: the request has more than 10,000")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/product-classifier/unload"),
        ("GET", "/v2/docs"),
        ("POST", f"{MODEL}/infer_stream"),
        ("GET", "/metrics"),
        ("GET", "/"),
    ],
)
def test_other_routes_of_mlserver_are_closed(ask: Ask, method: str, path: str) -> None:
    """What the contract does not name is not there."""
    assert ask(path, method, json={} if method == "POST" else None).status_code == 404
    assert ask(f"{MODEL}/ready", "GET").status_code == 200


def test_it_says_what_it_serves(mlserver: Service, ask: Ask, exported: ExportedModel) -> None:
    """Live, ready, and by name: version, digest, tensors and its memory."""
    assert ask("/v2/health/live", "GET").status_code == ask("/v2/health/ready", "GET").status_code == 200
    said = ask(MODEL, "GET").json()
    assert (said["name"], said["versions"]) == ("product-classifier", ["7"])
    assert said["parameters"]["model_digest"] == exported.digest
    resident = psutil.Process(mlserver.process.pid).memory_info().rss
    assert said["parameters"]["resident_bytes"] == pytest.approx(resident, rel=0.1)
    assert [one["name"] for one in said["inputs"]] == ["images"]
    assert {one["name"] for one in said["outputs"]} == {
        "label",
        "probability",
        "probabilities",
        "classes",
        "abstained",
        "error",
    }
    assert ask("/v2/models/another/infer", json=tensor("x")).status_code == 404


def test_metrics_count_as_rest_s(mlserver: Service, ask: Ask) -> None:
    """The same names and labels."""

    def counts() -> dict[str, float]:
        text = httpx.get(f"http://127.0.0.1:{mlserver.metrics_port}/metrics").raise_for_status().text
        lines = [line for line in text.splitlines() if line.startswith("shutterline_") and "_total{" in line]
        assert all('model_version="7"' in line for line in lines)
        return {line.partition("_total{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    def asked() -> None:
        ask(json=tensor(base64_of(PICTURES[0])))
        ask(json=tensor(base64_of(b"text")))

    asked()
    before = counts()
    asked()
    after = counts()
    names = ("requests", "predictions", "requests_refused", "bad_pictures")
    grown = {name: after[f"shutterline_{name}"] - before[f"shutterline_{name}"] for name in names}
    assert grown == {"requests": 2, "predictions": 1, "requests_refused": 1, "bad_pictures": 1}
    text = httpx.get(f"http://127.0.0.1:{mlserver.metrics_port}/metrics").text
    bounds = re.findall(rf'^{LATENCY}_bucket{{[^}}]*le="([^"]+)"', text, re.M)
    assert bounds == [*map(str, BOUNDS_S), "+Inf"]


def test_other_addresses_cannot_connect(mlserver: Service, grpc_port: int) -> None:
    """All three ports listen on the address that was given alone."""
    for port in (mlserver.port, grpc_port, mlserver.metrics_port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def start(start_service: StartService, *options: str, **changes: Any) -> Service:
    """Start another one."""
    return start_service("--grpc-port", str(free_port()), *options, module=MODULE, python=PYTHON, **changes)


def test_changed_model_is_never_ready(
    start_service: StartService, exported: ExportedModel, tmp_path: Path
) -> None:
    """One changed byte: no port ever answers, exit code 4, both digests in the last line of the log."""
    copied = shutil.copytree(exported.directory, tmp_path / "model")
    content = bytearray((copied / "model.onnx").read_bytes())
    content[-1] ^= 1
    (copied / "model.onnx").write_bytes(content)
    changed = start(start_service, model_directory=str(copied))
    while changed.process.poll() is None:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{changed.port}/v2/health/ready", timeout=10)
        time.sleep(0.05)
    assert changed.process.returncode == 4
    last = changed.log.read_text().splitlines()[-1]
    assert exported.digest in last
    assert "not started" in last
    assert "Traceback" not in changed.log.read_text()


def test_a_port_in_use_a_typo_and_an_open_address_are_said_in_one_line(
    start_service: StartService, mlserver: Service
) -> None:
    """Each ends at once, with its exit code."""
    taken = start(start_service, port=mlserver.port)
    typo = start(start_service, max_bites=5)
    open_to_all = start(start_service, "--host", "0.0.0.0")  # noqa: S104
    for ended, code, said in (
        (taken, 1, str(mlserver.port)),
        (typo, 2, "max_bites"),
        (open_to_all, 2, "--token-file"),
    ):
        assert ended.process.wait(timeout=60) == code
        assert said in ended.log.read_text().splitlines()[-1]


def test_more_than_may_wait_are_refused_and_told_when_to_ask_again(start_service: StartService) -> None:
    """429 with Retry-After, as REST's; health is told all the same, and what was accepted is answered."""
    narrow = start(start_service, "--workers", "1", "--queue", "1", "--queue-wait-s", "30")
    wait_until_ready(narrow)
    slow = base64_of(encode(Image.new("RGB", (SLOW_SIDE, SLOW_SIDE), "grey")))
    url = f"http://127.0.0.1:{narrow.port}"

    def ask(*pictures: str) -> httpx.Response:
        return httpx.post(f"{url}{INFER}", json=tensor(*pictures), timeout=60)

    with ThreadPoolExecutor(2) as pool:
        accepted = [pool.submit(ask, *[slow] * 8)]
        time.sleep(0.5)  # until it is being decoded
        accepted.append(pool.submit(ask, base64_of(PICTURES[0])))
        time.sleep(0.3)  # until it waits
        refused = [ask(base64_of(PICTURES[0])) for _ in range(5)]
        assert httpx.get(f"{url}/v2/health/ready").status_code == 200
        assert not any(one.done() for one in accepted)
    assert {answer.status_code for answer in refused} == {429}
    assert {answer.headers.get("retry-after") for answer in refused} == {"1"}
    assert refused[0].json()["error"].startswith("overloaded: ")
    assert [one.result().status_code for one in accepted] == [200, 200]
    assert "retry-after" not in accepted[0].result().headers
    metrics = httpx.get(f"http://127.0.0.1:{narrow.metrics_port}/metrics").text
    assert "shutterline_requests_overloaded_total{" in metrics
    assert narrow.stop() == 0


def test_a_token_lets_infer_and_nothing_else_does(start_service: StartService, tmp_path: Path) -> None:
    """On any address; health needs none, and gRPC, which asks for none, stays on loopback."""
    file = tmp_path / "tokens"
    file.write_text("a-token-of-some-length\n")
    grpc = free_port()
    guarded = start_service(
        *("--grpc-port", str(grpc), "--host", "0.0.0.0", "--token-file", str(file)),  # noqa: S104
        module=MODULE,
        python=PYTHON,
    )
    wait_until_ready(guarded)
    for header, code in (
        ({}, 401),
        ({"authorization": "Bearer another-token-of-length"}, 401),
        ({"authorization": "Bearer a-token-of-some-length"}, 200),
    ):
        url = f"http://127.0.0.1:{guarded.port}{INFER}"
        answer = httpx.post(url, json=tensor(base64_of(PICTURES[0])), headers=header)
        assert answer.status_code == code
    socket.create_connection(("127.0.0.2", guarded.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", grpc), timeout=5)
    assert guarded.stop() == 0


def test_it_ends_with_whoever_started_it(start_service: StartService) -> None:
    """The other end of its standard input closes: it ends, and leaves no process and no settings behind."""
    orphan = start(start_service, "--end-with-stdin", stdin=subprocess.PIPE)
    wait_until_ready(orphan)
    family = [psutil.Process(orphan.process.pid), *psutil.Process(orphan.process.pid).children()]
    assert orphan.process.stdin
    orphan.process.stdin.close()
    assert orphan.process.wait(timeout=40) == 0
    psutil.wait_procs(family, timeout=10)
    assert not any(process.is_running() for process in family)
