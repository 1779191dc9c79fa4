"""A really started service: every bad input over HTTP, its addresses, its start, its end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from serving.latency import BOUNDS_S, LATENCY
from tests.serving.certificates import Authority
from tests.serving.conftest import ExportedModel, Service, StartService
from tests.serving.pictures import base64_of, bomb, encode, exif, gradient

RAW = {"content-type": "application/octet-stream"}
PICTURE = encode(gradient(28, 28))


def label(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["jsonData"]["predictions"]
    return str(prediction["label"])


def test_raw_base64_and_list_give_the_same_answer(service: Service) -> None:
    """A picture is answered alike, however it is sent."""
    answers = [
        httpx.post(service.url, content=PICTURE, headers=RAW),
        httpx.post(service.url, json={"binData": base64_of(PICTURE)}),
        httpx.post(service.url, json={"jsonData": {"images": [base64_of(PICTURE)]}}),
    ]
    predictions = [answer.json()["jsonData"]["predictions"] for answer in answers]
    assert predictions[0] == predictions[1] == predictions[2]
    assert {answer.json()["jsonData"]["model_version"] for answer in answers} == {"7"}


def test_request_id_header_comes_back(service: Service) -> None:
    """The caller's x-request-id is the answer's request_id, for a raw picture and for JSON."""
    header = {"x-request-id": "order-17"}
    raw = httpx.post(service.url, content=PICTURE, headers=RAW | header)
    as_json = httpx.post(service.url, json={"binData": base64_of(PICTURE)}, headers=header)
    assert {answer.json()["jsonData"]["request_id"] for answer in (raw, as_json)} == {"order-17"}


@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_lying_photograph_is_answered_like_the_upright_one(service: Service, format_: str) -> None:
    """The EXIF orientation is applied before the network looks."""
    upright = gradient(64, 64)
    lying = encode(upright.transpose(Image.Transpose.ROTATE_90), format_, exif=exif(6), quality=100)
    answers = [
        httpx.post(service.url, content=data, headers=RAW).json()["jsonData"]["predictions"][0]["probability"]
        for data in (lying, encode(upright, format_, quality=100))
    ]
    assert answers[0] == pytest.approx(answers[1], abs=0.02)


def test_cmyk_is_accepted(service: Service) -> None:
    """A print shop's JPEG is a picture."""
    assert label(
        httpx.post(service.url, content=encode(gradient(60, 60).convert("CMYK"), "JPEG"), headers=RAW)
    )


BAD_BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "text as a picture": ({"content": b"text", "headers": RAW}, "not_an_image"),
    "an empty body": ({"content": b"", "headers": RAW}, "empty"),
    "half a picture": ({"content": encode(gradient(90, 90))[:900], "headers": RAW}, "truncated"),
    "a bomb": ({"content": bomb(), "headers": RAW}, "too_many_pixels"),
    "many pixels": (
        {"content": encode(gradient(1100, 1000), "WEBP", quality=1), "headers": RAW},
        "too_many_pixels",
    ),
    "many bytes": ({"content": b"x" * 200_001, "headers": RAW}, "too_many_bytes"),
    "a dot": ({"content": encode(gradient(4, 4)), "headers": RAW}, "too_small"),
    "no base64": ({"json": {"binData": "%%%"}}, "not_base64"),
    "an empty string": ({"json": {"binData": ""}}, "empty"),
    "an unknown key": ({"json": {"binData": "", "colour": "red"}}, "unknown_keys"),
    "another of Seldon's keys": ({"json": {"data": {"ndarray": [[1]]}}}, "unknown_keys"),
    "a JSON list": ({"json": ["x"]}, "bad_request"),
    "too many pictures": ({"json": {"jsonData": {"images": ["x"] * 4}}}, "too_many_pictures"),
    "only bad pictures": ({"json": {"jsonData": {"images": ["%", base64_of(b"text")]}}}, "bad_pictures"),
    "half a JSON object": ({"content": b'{"binData": "'}, "bad_request"),
    "no UTF-8": ({"content": b'{"binData": "\xff"}'}, "bad_request"),
    "a deep JSON list": ({"content": b"[" * 100_000}, "bad_request"),
    "a form": ({"data": {"json": "{"}}, "bad_request"),
    "no body": ({}, "bad_request"),
}


@pytest.mark.parametrize("name", sorted(BAD_BODIES))
def test_bad_input_is_a_400_and_the_worker_lives_on(service: Service, name: str) -> None:
    """Never a 500, never a stack trace, and the next request is answered by the same worker."""
    worker = psutil.Process(service.process.pid).children()
    request, reason = BAD_BODIES[name]
    answer = httpx.post(service.url, **request)
    assert answer.status_code == 400
    assert answer.json()["status"]["reason"] == reason
    assert answer.json()["status"]["info"]
    assert "Traceback" not in answer.text + service.log.read_text()
    assert label(httpx.post(service.url, content=PICTURE, headers=RAW))
    assert psutil.Process(service.process.pid).children() == worker


def test_large_body_is_refused_with_and_without_a_length(service: Service) -> None:
    """Nobody fills the memory: 413 above the body limit, chunked or not."""
    whole = httpx.post(service.url, content=b"x" * 33_000_000, headers=RAW)
    chunked = httpx.post(service.url, content=(b"x" * 1_000_000 for _ in range(33)), headers=RAW)
    for answer in (whole, chunked):
        assert answer.status_code == 413
        assert "32,000,000" in answer.json()["status"]["info"]


def test_several_pictures_some_bad(service: Service) -> None:
    """Good ones are answered, bad ones have their error in their place."""
    images = [base64_of(b"text"), base64_of(PICTURE)]
    answer = httpx.post(service.url, json={"jsonData": {"images": images}})
    bad, good = answer.json()["jsonData"]["predictions"]
    assert answer.status_code == 200
    assert bad["error"]["reason"] == "not_an_image"
    assert good["label"] == label(httpx.post(service.url, content=PICTURE, headers=RAW))


@pytest.mark.parametrize("path", ["/transform-input", "/aggregate", "/nowhere"])
def test_other_routes_of_seldon_are_closed(service: Service, path: str) -> None:
    """What the contract does not name is not there."""
    answer = httpx.post(f"http://127.0.0.1:{service.port}{path}", json={})
    assert (answer.status_code, answer.json()["status"]["code"]) == (404, 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_path_that_is_served_names_the_methods_that_it_takes(service: Service, method: str) -> None:
    """Seldon's own routes would say that the URL is not there."""
    answer = httpx.request(method, service.url)
    assert (answer.status_code, answer.json()["status"]["reason"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_liveness_and_readiness(service: Service, exported: ExportedModel) -> None:
    """/health/ping is liveness; /health/status names the model that is served, and its memory."""
    url = f"http://127.0.0.1:{service.port}/health"
    assert httpx.get(f"{url}/ping").text == "pong"
    status = httpx.get(f"{url}/status").json()["jsonData"]
    assert 50_000_000 < status.pop("resident_bytes") < 2_000_000_000
    assert status == {
        "model_name": "product-classifier",
        "model_version": "7",
        "model_digest": exported.digest,
    }


def test_metrics_count_requests_by_model_version(service: Service) -> None:
    """Prometheus sees predictions, bad pictures and refusals, none lost among four threads."""

    def counter(name: str) -> float:
        lines = [
            line for line in service.metrics().splitlines() if line.startswith(f"shutterline_{name}_total{{")
        ]
        assert all(
            'model_version="7"' in line and 'model_name="product-classifier"' in line for line in lines
        )
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    names = ("requests", "predictions", "bad_pictures", "requests_refused")
    label(httpx.post(service.url, content=PICTURE, headers=RAW))
    before = {name: counter(name) for name in names}
    with ThreadPoolExecutor(8) as pool, httpx.Client() as client:
        bodies = [PICTURE, b"text"] * 100
        list(pool.map(lambda body: client.post(service.url, content=body, headers=RAW), bodies))
    assert {name: counter(name) - before[name] for name in names} == {
        "requests": 200,
        "predictions": 100,
        "bad_pictures": 100,
        "requests_refused": 100,
    }
    assert httpx.get(f"http://127.0.0.1:{service.port}/metrics").status_code == 404


def test_latencies_are_counted_by_bounds(service: Service) -> None:
    """Each request is in the bucket of every bound that it keeps, and the sum grows by its seconds."""

    def figures() -> dict[str, float]:
        lines = re.findall(rf"^{LATENCY}_(\w+){{([^}}]*)}} (\S+)$", service.metrics(), re.M)
        return {"".join([name, *re.findall(r'le="([^"]+)"', labels)]): float(n) for name, labels, n in lines}

    label(httpx.post(service.url, content=PICTURE, headers=RAW))
    before = figures()
    for _ in range(3):
        label(httpx.post(service.url, content=PICTURE, headers=RAW))
    grown = {name: value - before[name] for name, value in figures().items()}
    assert len(grown) == len(BOUNDS_S) + 3
    assert grown["count"] == grown["bucket+Inf"] == grown["bucket10.0"] == 3
    assert 0 < grown["sum"] < 30
    in_order = [grown[f"bucket{bound}"] for bound in BOUNDS_S]
    assert in_order == sorted(in_order)


def test_what_never_happened_is_counted_as_none(service: Service) -> None:
    """A rate of refusals is 0 where nothing was refused, and not missing, from the first request on."""
    label(httpx.post(service.url, content=PICTURE, headers=RAW))
    names = ("requests_overloaded", "requests_timed_out", "requests_failed", "captures_dropped", "feedback")
    assert [name for name in names if f"shutterline_{name}_total{{" not in service.metrics()] == []


def other_addresses() -> list[str]:
    """List addresses of this machine that are not the one that the service is given."""
    found = {
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family == socket.AF_INET and not one.address.startswith("127.")
    }
    return ["127.0.0.2", *sorted(found)]


@pytest.mark.parametrize("address", other_addresses())
def test_other_addresses_cannot_connect(service: Service, address: str) -> None:
    """REST and metrics listen on the address that was given, and on no other of this machine."""
    for port in (service.port, service.metrics_port):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, port), timeout=5)


def test_changed_model_ends_the_process(
    start_service: StartService, exported: ExportedModel, tmp_path: Path
) -> None:
    """One changed byte: never ready, exit code 4 at once, both digests in the last line of the log."""
    copied = shutil.copytree(exported.directory, tmp_path / "model")
    content = bytearray((copied / "model.onnx").read_bytes())
    content[-1] ^= 1
    (copied / "model.onnx").write_bytes(content)
    changed = start_service(model_directory=str(copied))
    with pytest.raises(httpx.TransportError):
        while True:
            httpx.get(f"http://127.0.0.1:{changed.port}/health/status", timeout=30).raise_for_status()
            pytest.fail("a changed model became ready")
    assert changed.process.wait(timeout=60) == 4
    log = changed.log.read_text()
    assert "Traceback" not in log
    assert exported.digest in log.splitlines()[-1]
    assert "not started" in log.splitlines()[-1]


def test_port_in_use_is_said_in_one_line(start_service: StartService, service: Service) -> None:
    """The second service on a port ends at once, and the first goes on."""
    second = start_service(port=service.port)
    assert second.process.wait(timeout=30) == 1
    assert str(service.port) in second.log.read_text().splitlines()[-1]
    assert "in use" in second.log.read_text().splitlines()[-1]
    assert label(httpx.post(service.url, content=PICTURE, headers=RAW))


def test_unknown_parameter_is_wrong_use(start_service: StartService) -> None:
    """A typo in the parameters is exit code 2, and is named."""
    wrong = start_service(max_bites=5)
    assert wrong.process.wait(timeout=30) == 2
    assert "max_bites" in wrong.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - that is refused
def test_an_address_off_loopback_needs_a_token_or_certificates(
    start_service: StartService, host: str
) -> None:
    """Whoever reaches it could ask: exit code 2, and one line that says what to give."""
    open_to_all = start_service("--host", host)
    assert open_to_all.process.wait(timeout=30) == 2
    said = open_to_all.log.read_text().splitlines()[-1]
    assert f"{host} is not loopback" in said
    assert all(option in said for option in ("--token-file", "--tls-certificate", "--tls-key", "--client-ca"))


def test_half_of_the_certificates_is_wrong_use(start_service: StartService, tmp_path: Path) -> None:
    """What is missing is named."""
    half = start_service("--tls-certificate", str(tmp_path / "none"))
    assert half.process.wait(timeout=30) == 2
    assert "--tls-key and --client-ca missing" in half.log.read_text().splitlines()[-1]


def test_files_that_are_no_certificates_are_wrong_use(start_service: StartService, tmp_path: Path) -> None:
    """Before anything listens."""
    none = str(tmp_path / "none")
    wrong = start_service("--tls-certificate", none, "--tls-key", none, "--client-ca", none)
    assert wrong.process.wait(timeout=30) == 2
    assert none in wrong.log.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "option", [("--workers", "0"), ("--queue", "-1"), ("--queue-wait-s", "61"), ("--max-body-bytes", "0")]
)
def test_numbers_out_of_range_are_wrong_use(start_service: StartService, option: tuple[str, str]) -> None:
    """Named with the option."""
    wrong = start_service(*option)
    assert wrong.process.wait(timeout=30) == 2
    assert option[0] in wrong.log.read_text().splitlines()[-1]


def test_with_certificates_a_client_needs_one(start_service: StartService, tmp_path: Path) -> None:
    """One that the authority signed is answered; none, another authority's, and no TLS are not."""
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "another authority")
    certificate, key = authority.issue("service")
    files = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    mutual = start_service(*files, "--client-ca", str(authority.certificate))
    url = mutual.url.replace("http:", "https:")
    mutual.wait_until_listening()
    welcome = httpx.Client(verify=authority.client("shop"))
    assert label(welcome.post(url, content=PICTURE, headers=RAW))
    foreign = authority.client(None)
    foreign.load_cert_chain(*stranger.issue("shop"))
    for client in (httpx.Client(verify=authority.client(None)), httpx.Client(verify=foreign), httpx.Client()):
        with client, pytest.raises(httpx.TransportError):
            client.post(url if client is not None else mutual.url, content=PICTURE, headers=RAW)
    assert label(welcome.post(url, content=PICTURE, headers=RAW))
    assert mutual.stop() == 0


def test_sigterm_finishes_what_is_in_flight_and_leaves_nothing(start_service: StartService) -> None:
    """A request that was accepted before SIGTERM gets its answer; then no process and no port is left."""
    stopping = start_service()
    stopping.wait_until_ready()
    family = [psutil.Process(stopping.process.pid)]
    family += family[0].children(recursive=True)
    with socket.create_connection(("127.0.0.1", stopping.port), timeout=30) as connection:
        head = f"POST /api/v1.0/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PICTURE)}\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + PICTURE[:100])
        time.sleep(0.3)  # until a thread has it
        stopping.process.terminate()
        time.sleep(1.5)  # longer than the worker's loop needs to see the signal
        connection.sendall(PICTURE[100:])
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 200")
    assert b'"label"' in received
    assert stopping.process.wait(timeout=40) == 0
    assert not any(process.is_running() for process in family)
    for port in (stopping.port, stopping.metrics_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def test_killed_worker_is_replaced_and_a_killed_group_is_gone(start_service: StartService) -> None:
    """A worker that crashed comes back, with the digest checked again; the group's end is everyone's end."""
    crashing = start_service()
    crashing.wait_until_ready()
    (worker,) = psutil.Process(crashing.process.pid).children()
    worker.kill()
    worker.wait(timeout=10)
    assert label(httpx.post(crashing.url, content=PICTURE, headers=RAW, timeout=30))
    family = [psutil.Process(crashing.process.pid), *psutil.Process(crashing.process.pid).children()]
    assert len(family) == 2
    os.killpg(crashing.process.pid, signal.SIGKILL)
    crashing.process.wait(timeout=10)
    psutil.wait_procs(family, timeout=10)
    assert not any(process.is_running() for process in family)


def test_it_ends_with_whoever_started_it(start_service: StartService) -> None:
    """The other end of its standard input closes, as when a process is killed: master and worker end."""
    orphan = start_service("--end-with-stdin", stdin=subprocess.PIPE)
    orphan.wait_until_ready()
    family = [psutil.Process(orphan.process.pid), *psutil.Process(orphan.process.pid).children()]
    assert len(family) == 2
    assert orphan.process.stdin
    orphan.process.stdin.close()
    assert orphan.process.wait(timeout=30) == 0
    psutil.wait_procs(family, timeout=10)
    assert not any(process.is_running() for process in family)
