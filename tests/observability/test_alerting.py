"""Real Prometheus and Alertmanager: a model that is slow for a while is told of, and that it is over."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.observability import slow_service
from tests.observability.conftest import QUICK, hook, observability, wait_until, watching
from tests.observability.slow_service import SLOW_WHILE
from tests.serving.conftest import SERVING_PYTHON, Service, StartService
from tests.serving.pictures import encode, gradient

pytestmark = [
    pytest.mark.debian("prometheus"),
    pytest.mark.debian("prometheus-alertmanager"),
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
        reason="apt-get install prometheus prometheus-alertmanager",
    ),
]
ALERT = "high_inference_latency"
PICTURE = encode(gradient(28, 28))
ABOUT = {"environment": "staging", "model_name": "product-classifier", "model_version": "7"}


@contextmanager
def traffic(service: Service) -> Iterator[None]:
    """Two clients that ask one picture after another, five a second at most."""
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not over.wait(0.2):
                with suppress(httpx.HTTPError):
                    client.post(
                        service.url, content=PICTURE, headers={"content-type": "application/octet-stream"}
                    )

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        over.set()
        for client in clients:
            client.join()


def test_a_slow_model_fires_into_a_webhook_and_recovers(
    start_service: StartService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert names the version, comes once it has been slow for a while, and its end is told, too.

    The service is found by the list that a deployer keeps: Prometheus follows when it changes.
    """
    slow, targets = tmp_path / "slow", tmp_path / "targets.json"
    monkeypatch.setenv(SLOW_WHILE, str(slow))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift 2\nexec "{SERVING_PYTHON}" "{slow_service.__file__}" "$@"\n')
    python.chmod(0o755)
    service = start_service(python=python)
    service.wait_until_ready()
    targets.write_text("[]")
    with (
        hook() as told,
        watching(tmp_path / "site", "--targets", str(targets), "--webhook", told.url) as site,
        traffic(service),
    ):
        listed = {"targets": [f"127.0.0.1:{service.metrics_port}"], "labels": {**ABOUT, "role": "live"}}
        (tmp_path / "new.json").write_text(json.dumps([listed]))
        (tmp_path / "new.json").replace(targets)
        wait_until(lambda: site.ask("shutterline:requests:rate > 0"))
        (up,) = site.ask('up{job="shutterline-service"}')
        assert (up["metric"]["model_version"], up["value"][1]) == ("7", "1")
        quick = site.ask("shutterline:request_latency_seconds:p99")
        assert float(quick[0]["value"][1]) < 1

        slow.touch()
        wait_until(lambda: (ALERT, "firing") in told.said)
        labels = next(one for one in told.labels if one["alertname"] == ALERT)
        assert {**ABOUT, "severity": "warning"}.items() <= labels.items()

        slow.unlink()
        wait_until(lambda: (ALERT, "resolved") in told.said)
        assert site.ask(f'ALERTS{{alertname="{ALERT}",alertstate="firing"}}') == []


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for whoever started it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_up_twice_is_up_once_and_down_ends_it(tmp_path: Path) -> None:
    """The addresses are printed; other settings start anew what they concern; nothing is left running."""
    targets = tmp_path / "targets.json"
    targets.write_text("[]")
    with watching(tmp_path / "site", "--targets", str(targets)) as site:
        servers = ("prometheus", "alertmanager", "exporter")

        def pids() -> dict[str, int]:
            records = {name: site.home / name / "process.json" for name in servers}
            return {name: json.loads(path.read_text())["pid"] for name, path in records.items()}

        first = pids()
        for port in range(site.first_port, site.first_port + 3):
            assert f"http://127.0.0.1:{port}" in site.said
        prometheus, alertmanager = (f"http://127.0.0.1:{site.first_port + each}" for each in (0, 1))
        for page in ("alerts", "targets"):
            assert f"{prometheus}/classic/{page}" in site.said
            assert httpx.get(f"{prometheus}/classic/{page}", trust_env=False).status_code == httpx.codes.OK
        shown = f"amtool alert --alertmanager.url={alertmanager}"
        assert shown in site.said
        subprocess.run(shown.split(), check=True, timeout=60)
        for process in map(psutil.Process, first.values()):
            listening = [each.laddr.ip for each in process.net_connections() if each.status == "LISTEN"]
            assert set(listening) == {"127.0.0.1"}

        up = ("up", "--home", str(site.home), "--targets", str(targets))
        again = observability(*up, *QUICK)
        assert (again.exit_code, "runs already" in again.stdout, pids()) == (0, True, first)
        other = observability(*up, *QUICK, "--set", "monitor.prometheus.latency_p99_ms=700")
        assert other.exit_code == 0, other.stderr
        assert "p99 > 0.7" in (site.home / "configuration" / "alerts.yml").read_text()
        assert pids()["prometheus"] != first["prometheus"]
        (rule,) = [
            rule
            for group in httpx.get(
                f"http://127.0.0.1:{site.first_port}/api/v1/rules", trust_env=False
            ).json()["data"]["groups"]
            for rule in group["rules"]
            if rule["name"] == ALERT
        ]
        assert rule["query"].endswith("> 0.7")

        last = pids()
        down = observability("down", "--home", str(site.home))
        assert (down.exit_code, down.stdout.startswith("ended")) == (0, True)
        assert not any(map(runs, last.values()))
        idle = observability("down", "--home", str(site.home))
        assert (idle.exit_code, idle.stdout.startswith("nothing ran")) == (0, True)
