"""The one address: what it binds, limits and answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psutil
import pytest
from scipy.stats import binom

from benchmarks.main.home import free_port
from materializers.errors import UsageError
from materializers.release import Arm, Mode
from serving.launching import FEEDBACK_PATHS, PREDICTIONS
from stacks.local_deployer import processes
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from stacks.local_deployer.envoy_files import CANDIDATE_PATIENCE_MS, WEIGHTS
from stacks.local_deployer.ingress import ENVOY, Ingress
from stacks.local_deployer.state import Route
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    answering_version,
    end,
    make_deployer,
    release_of,
    serving,
)
from tests.stacks.local_deployer.upstreams import Upstream, serving_upstreams, wait_until


def test_a_port_in_use_is_said_before_anything_starts(zenml_stack: Path, tmp_path: Path, first: Arm) -> None:
    """The error names the port and the setting, and nothing runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        deployer = make_deployer(tmp_path / "site", port=port)
        with pytest.raises(UsageError, match=rf"Port {port} .*SHUTTERLINE_PORT"):
            deployer.apply(release_of(first))
        assert serving(deployer) == {}
        assert deployer.live() == []


def test_only_loopback_is_bound(deployer: SeldonLocalModelDeployer, first: Arm) -> None:
    """Neither ingress nor microservice answers on another address of the machine."""
    deployer.apply(release_of(first))
    pids = {pid for found in serving(deployer).values() for pid in found}
    listening = [
        one
        for pid in pids
        for one in psutil.Process(pid).net_connections(kind="inet")
        if one.status == psutil.CONN_LISTEN
    ]
    ports = {one.laddr.port for one in listening}
    assert deployer.config.port in ports
    assert len(ports) == 3
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    others = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    for other in others:
        for port in ports:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((other, port), timeout=2)
    with pytest.raises(ValueError, match="loopback only"):
        make_deployer(deployer.config.site, host="0.0.0.0")  # noqa: S104


def test_the_ingress_answers_in_json_and_limits_bodies(zenml_stack: Path, tmp_path: Path, first: Arm) -> None:
    """Another path is a 404, a body above the limit a 413, a bad picture the microservice's own 400."""
    deployer = make_deployer(tmp_path / "site", max_body_bytes=100_000)
    try:
        live = deployer.apply(release_of(first))
        assert live.url
        raw = {"content-type": "application/octet-stream"}
        base = f"http://127.0.0.1:{deployer.config.port}"
        for path in ("/", "/seldon/production/x/api/v1.0/predictions", f"/seldon/staging/{MODEL_NAME}/../x"):
            missing = httpx.get(base + path)
            assert missing.status_code == 404
            assert "no model is served at this path" in missing.json()["status"]["info"]
        for size in (100_001, 2_000_000):
            assert httpx.post(live.url, content=b"x" * size, headers=raw).status_code == 413
        bad = httpx.post(live.url, content=b"not a picture", headers=raw)
        assert bad.status_code == 400
        assert bad.json()["status"]["reason"]
    finally:
        end(deployer)


def test_another_port_is_taken_once_the_ingress_was_stopped(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """A changed setting does not move a running ingress unnoticed, and `stop` still finds it."""
    live = deployer.apply(release_of(first))
    moved = make_deployer(deployer.config.site, port=free_port())
    with pytest.raises(UsageError, match=r"other settings.*--stop"):
        moved.apply(release_of(second))
    assert deployer.healthy(live)
    assert len(moved.stop()) == 2
    assert serving(moved) == {}
    assert answering_version(moved.apply(release_of(second))) == str(second.version)


KEY = "staging/m"
QUEUE = 16


@dataclass(frozen=True)
class Divided:
    """An ingress before two tiny servers, and a client of it."""

    ingress: Ingress
    champion: Upstream
    candidate: Upstream
    client: httpx.Client
    connections: threading.local = field(default_factory=threading.local)

    @property
    def url(self) -> str:
        """Where predictions are asked."""
        return f"{self.ingress.url}/seldon/{KEY}{PREDICTIONS}"

    def publish(self, mode: Mode = "full", share: float = 1.0) -> None:
        """Divide the traffic so; in mode ``full`` the candidate gets none."""
        candidate = None if mode == "full" else self.candidate.replica
        route = Route(replica=self.champion.replica, candidate=candidate, mode=mode, share=share)
        self.ingress.publish({KEY: route}, timeout_s=20)

    def ask(self, content: bytes = b"x", **headers: str) -> str:
        """Who answers a prediction; on this thread's own connection, for thousands are asked here."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = getattr(self.connections, "one", None)
        if connection is None:
            connection = self.connections.one = HTTPConnection(
                self.ingress.host, self.ingress.port, timeout=30
            )
        connection.request("POST", f"/seldon/{KEY}{PREDICTIONS}", content, named)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return str(json.loads(body)["served_by"])

    def ask_at_once(self, count: int, pool: ThreadPoolExecutor) -> list[httpx.Response]:
        """Ask so often without waiting for any answer."""
        return list(pool.map(lambda _: self.client.post(self.url, content=b"x"), range(count)))


@pytest.fixture(scope="module")
def ingress_before_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Divided]:
    """The ingress, a champion and a candidate, in whatever division the test before left it."""
    site = tmp_path_factory.mktemp("ingress")
    ingress = Ingress(site, host="127.0.0.1", port=free_port(), max_body_bytes=32_000_000, queue=QUEUE)
    limits = httpx.Limits(max_connections=200)
    with (
        serving_upstreams("champion", "candidate") as (champion, candidate),
        httpx.Client(trust_env=False, timeout=30, limits=limits) as client,
    ):
        try:
            ingress.ensure({KEY: Route(replica=champion.replica)}, timeout_s=30)
            yield Divided(ingress, champion, candidate, client)
        finally:
            processes.stop([ENVOY], site=site, patience_s=3)


@pytest.fixture
def divided(ingress_before_two: Divided) -> Divided:
    """All of it to the champion; both answer at once, and have seen nothing."""
    ingress_before_two.publish()
    for upstream in (ingress_before_two.champion, ingress_before_two.candidate):
        upstream.takes_s, upstream.status = 0.0, 200
        upstream.seen.clear()
        upstream.sizes.clear()
    return ingress_before_two


def in_binomial_interval(count: int, n: int, share: float, *, level: float) -> bool:
    """Whether a count is within the interval that ``n`` draws fall into with this probability."""
    low, high = binom.interval(level, n, share)
    return bool(low <= count <= high)


# Keys fall where they fall; requests are drawn anew in each run, which must not fail once in a hundred.
OF_KEYS, OF_REQUESTS = 0.99, 1 - 1e-6


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_canary_gets_its_share_of_the_predictions_and_nothing_else(divided: Divided, share: float) -> None:
    """Health, feedback and what else there is, the champion answers; the URL does not change."""
    divided.publish("canary", share)
    asked = Counter(divided.ask() for _ in range(1000))
    assert in_binomial_interval(asked["candidate"], 1000, share, level=OF_REQUESTS)
    base = divided.url.removesuffix(PREDICTIONS)
    for path in ("/health/status", "/health/ping", "/api/v1.0/feedback", "/metadata"):
        said = {divided.client.get(f"{base}{path}").json()["served_by"] for _ in range(20)}
        assert said == {"champion"}
    assert divided.client.get(f"{base}/health/status").json()["path"] == "/health/status"
    assert {path for _, path, _ in divided.candidate.seen} == {PREDICTIONS}
    divided.publish()
    assert Counter(divided.ask() for _ in range(100)) == {"champion": 100}


@pytest.mark.parametrize("path", ["/predict", "/api/v0.1/predictions"])
def test_predictions_on_seldons_other_paths_are_divided_too(divided: Divided, path: str) -> None:
    """A canary gets its share of them, on the path that was asked; a key answers as on the first one."""
    url = f"{divided.url.removesuffix(PREDICTIONS)}{path}"
    divided.publish("canary", 0.5)
    asked = Counter(divided.client.post(url, content=b"x").json()["served_by"] for _ in range(200))
    assert in_binomial_interval(asked["candidate"], 200, 0.5, level=OF_REQUESTS)
    assert {seen for _, seen, _ in divided.candidate.seen} == {path}
    divided.publish("ab", 0.5)
    for key in map(str, range(50)):
        answer = divided.client.post(url, content=b"x", headers={"x-request-key": key})
        assert answer.json()["served_by"] == divided.ask(x_request_key=key)


def test_a_request_key_stays_with_its_version(divided: Divided) -> None:
    """1,000 keys, three times: none moves, their share is met, and where the share grows none goes back."""
    divided.publish("ab", 0.2)
    first, *others = ({key: divided.ask(x_request_key=f"key-{key}") for key in range(1000)} for _ in range(3))
    assert others == [first, first]
    on_candidate = {key for key, name in first.items() if name == "candidate"}
    assert in_binomial_interval(len(on_candidate), 1000, 0.2, level=OF_KEYS)
    divided.publish("ab", 0.5)
    then = {key: divided.ask(x_request_key=f"key-{key}") for key in range(1000)}
    now_on_candidate = {key for key, name in then.items() if name == "candidate"}
    assert on_candidate < now_on_candidate
    assert in_binomial_interval(len(now_on_candidate), 1000, 0.5, level=OF_KEYS)


def test_without_a_request_key_the_request_id_decides(divided: Divided) -> None:
    """The same id stays, a key goes before it; requests without both are divided by the ids they get."""
    divided.publish("ab", 0.5)
    for number in range(20):
        assert len({divided.ask(x_request_id=f"id-{number}") for _ in range(5)}) == 1
        keyed = {divided.ask(x_request_key="one", x_request_id=f"id-{other}") for other in range(5)}
        assert len(keyed) == 1
    asked = Counter(divided.ask() for _ in range(1000))
    assert in_binomial_interval(asked["candidate"], 1000, 0.5, level=OF_REQUESTS)


def test_a_key_in_the_body_is_not_read(divided: Divided) -> None:
    """As docs/serving.md says: on a cluster it would keep this customer with one version."""
    divided.publish("ab", 0.5)
    body = b'{"binData": "", "meta": {"puid": "one", "tags": {"request_key": "one"}}}'
    assert {divided.ask(body) for _ in range(60)} == {"champion", "candidate"}


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_a_shadow_gets_every_prediction_and_its_answers_nobody(divided: Divided, size: int) -> None:
    """Copies have the request's id and all of its bytes; no answer is the shadow's, however fast it is."""
    divided.publish("shadow", 0)
    divided.champion.takes_s = 0.01
    asked = Counter(divided.ask(b"x" * size) for _ in range(20))
    assert asked == {"champion": 20}
    base = divided.url.removesuffix(PREDICTIONS)
    assert divided.client.post(f"{base}/api/v1.0/feedback").json()["served_by"] == "champion"
    wait_until(lambda: len(divided.candidate.seen) >= 20)
    ids = [
        [headers["x-request-id"] for _, path, headers in upstream.seen if path == PREDICTIONS]
        for upstream in (divided.champion, divided.candidate)
    ]
    assert sorted(ids[0]) == sorted(ids[1])
    assert len(set(ids[0])) == 20
    assert divided.candidate.sizes == [size] * 20


def test_a_shadow_that_hangs_keeps_nobody_waiting(divided: Divided) -> None:
    """Beyond its queue copies are dropped; all requests are answered, and at once."""
    divided.publish("shadow", 0)
    divided.candidate.hangs.set()
    try:
        begun = time.monotonic()
        assert Counter(divided.ask() for _ in range(5 * QUEUE)) == {"champion": 5 * QUEUE}
        assert time.monotonic() - begun < 5
        assert len(divided.candidate.seen) <= QUEUE
    finally:
        divided.candidate.hangs.clear()


@pytest.mark.parametrize("mine", ["an-id", "5b0ad5a4-6b7e-4d1c-9b0f-0a8a7d0a2f11"])
def test_a_request_has_an_id_and_a_callers_is_kept(divided: Divided, mine: str) -> None:
    """Where there is none the ingress makes one; a caller's arrives as it was, a UUID too."""
    divided.ask()
    divided.ask()
    divided.ask(x_request_id=mine)
    first, second, kept = (headers["x-request-id"] for _, _, headers in divided.champion.seen)
    assert len({first, second, ""}) == 3
    assert kept == mine


def test_a_candidate_that_hangs_costs_nobody_an_answer(divided: Divided) -> None:
    """What it had is answered by the champion within seconds; soon it is not asked, until it is back."""
    divided.publish("canary", 0.1)
    with ThreadPoolExecutor(100) as pool:
        divided.candidate.hangs.set()
        try:
            took: list[float] = []

            def ask() -> str:
                begun = time.monotonic()
                name = divided.ask()
                took.append(time.monotonic() - begun)
                return name

            asked = []
            for _ in range(150):
                asked.append(pool.submit(ask))
                time.sleep(0.05)
            assert {future.result() for future in asked} == {"champion"}
            assert max(took) < 6
            before = len(divided.candidate.seen)
            assert {divided.ask() for _ in range(50)} == {"champion"}
            assert len(divided.candidate.seen) == before
        finally:
            divided.candidate.hangs.clear()
    wait_until(lambda: divided.ask() == "candidate")


@pytest.mark.parametrize("mode", ["canary", "ab"])
def test_a_prediction_that_takes_its_time_is_asked_of_the_champion_once(divided: Divided, mode: Mode) -> None:
    """Whatever rolls out beside it: asked twice, it would have twice the load, and twice the captures."""
    divided.publish(mode, 1 / WEIGHTS)
    divided.champion.takes_s = CANDIDATE_PATIENCE_MS / 1000 + 1
    assert divided.ask(x_request_key="one") == "champion"
    assert (len(divided.champion.seen), divided.candidate.seen) == (1, [])


@pytest.mark.parametrize("mode", ["canary", "ab"])
def test_a_prediction_that_the_candidate_takes_too_long_for_is_asked_of_both(
    divided: Divided, mode: Mode
) -> None:
    """Once each, and the first answer counts."""
    divided.publish(mode, 1 - 1 / WEIGHTS)
    divided.candidate.takes_s = CANDIDATE_PATIENCE_MS / 1000 + 2
    assert divided.ask(x_request_key="one") == "champion"
    assert (len(divided.champion.seen), len(divided.candidate.seen)) == (1, 1)


@pytest.mark.parametrize("mode", ["canary", "ab", "shadow"])
@pytest.mark.parametrize("path", FEEDBACK_PATHS)
def test_feedback_that_the_champion_refuses_is_asked_of_the_candidate(
    divided: Divided, mode: Mode, path: str
) -> None:
    """It may know a class that the champion does not; what the champion takes never reaches it."""
    url = f"{divided.url.removesuffix(PREDICTIONS)}{path}"
    divided.publish(mode, 0.0 if mode == "shadow" else 0.1)

    def posted() -> tuple[int, str, str]:
        answer = divided.client.post(url, content=b"x")
        return answer.status_code, answer.json()["served_by"], answer.json()["path"]

    assert posted() == (200, "champion", path)
    divided.champion.status = 400
    wait_until(lambda: posted() == (200, "candidate", path))  # once Envoy has found the candidate well
    divided.candidate.status = 400
    assert posted()[0] == 400


def test_beyond_the_queue_requests_are_turned_away_at_once(divided: Divided) -> None:
    """429 in Seldon's shape with Retry-After; what was accepted is answered, and health is told meanwhile."""
    divided.champion.takes_s = 1.0
    with ThreadPoolExecutor(3 * QUEUE) as pool:
        divided.ask_at_once(QUEUE // 2, pool)  # connections are there
        divided.champion.seen.clear()
        answers = pool.submit(divided.ask_at_once, 2 * QUEUE, ThreadPoolExecutor(2 * QUEUE))
        wait_until(lambda: len(divided.champion.seen) >= QUEUE)
        begun = time.monotonic()
        turned_away = divided.client.post(divided.url, content=b"x")
        base = divided.url.removesuffix(PREDICTIONS)
        assert divided.client.get(f"{base}/health/status").status_code == 200
        assert time.monotonic() - begun < 0.9
        said = answers.result()
    assert turned_away.status_code == 429
    assert turned_away.headers["retry-after"] == "1"
    status = turned_away.json()["status"]
    assert (status["status"], status["code"], status["reason"]) == (1, 429, "overloaded")
    assert Counter(answer.status_code for answer in said) == {200: QUEUE, 429: QUEUE}
    divided.champion.takes_s = 0.0
    assert divided.ask() == "champion"


def test_a_copy_that_is_answered_late_hides_no_request_that_is_on_its_way(divided: Divided) -> None:
    """A picture that is still being sent keeps a replica in place, whatever the shadow is doing."""
    divided.publish("shadow", 0)
    divided.candidate.takes_s = 2.0
    divided.ask()
    sent, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"x"
        sent.set()
        go_on.wait(20)
        yield b"x"

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(divided.client.post, divided.url, content=slowly())
        sent.wait()
        time.sleep(0.2)
        assert not divided.ingress.wait_idle(["nobody"], timeout_s=0.5)
        go_on.set()
        assert answer.result().status_code == 200
    assert divided.ingress.wait_idle([divided.candidate.name], timeout_s=10)
