"""Prometheus beside a live model: it is found, every panel has data, and reports have its latency."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator

import httpx
import pytest

from observability.rendering import DASHBOARDS
from serving.capture_layout import CAPTURES, FEEDBACK, folder_of
from tests.observability.conftest import Watching, wait_until, watching
from tests.serving.pictures import encode, gradient
from tests.shrunk.delivery import SHRUNK_CONFIG
from tests.whole.captured import store_folder
from tests.whole.shop import Shop
from tests.whole.test_monitoring import captured, monitor, reference_of, rows_like

pytestmark = [
    pytest.mark.debian("prometheus"),
    pytest.mark.debian("prometheus-alertmanager"),
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
        reason="apt-get install prometheus prometheus-alertmanager",
    ),
]
PICTURE = encode(gradient(28, 28))


@pytest.fixture(scope="module")
def observed(serving: Shop) -> Iterator[Shop]:
    """Version 1 is live in staging; its traffic has drifted, with labels, and was looked at once."""
    rows = rows_like(reference_of(serving), serving, 80)
    for row in rows:
        row["embedding"] = [value + 1 for value in row["embedding"]]
    captured(serving, rows)
    outcome = monitor(serving)
    assert outcome.last["monitoring"]["drift"] == "drift", outcome.said
    yield serving
    for kind in (CAPTURES, FEEDBACK):
        for path in (store_folder() / folder_of(kind, "staging", serving.model)).rglob("*.parquet"):
            path.unlink()


@pytest.fixture(scope="module")
def site(observed: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watching]:
    """Prometheus, as a user of this model starts it, after some requests."""
    # However long the tests take, what was asked meanwhile is within the window of the rates.
    asked = ("--config", str(SHRUNK_CONFIG), "--set", f"product.model={observed.model}", "--window", "10m")
    with watching(tmp_path_factory.mktemp("watching"), *asked) as started:
        wait_until(lambda: started.ask('up{job="shutterline-service",model_name="serving"} == 1'))
        ends = time.monotonic() + 4
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < ends:
                answer = client.post(
                    f"{observed.url()}/api/v1.0/predictions",
                    content=PICTURE,
                    headers={"content-type": "application/octet-stream"},
                )
                assert answer.status_code == 200
                time.sleep(0.05)
        wait_until(lambda: started.ask("min(shutterline_source_up) == 1"))
        wait_until(lambda: len(started.ask("shutterline_source_up")) == 5)
        yield started


def dashboard_queries() -> list[tuple[str, str]]:
    """Board and query of every panel, as Grafana asks them when everything is chosen."""
    found = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m")
                query = re.sub(r"\$(environment|model)\b", ".*", query)
                assert "$" not in query
                found.append((path.stem, query))
    return found


@pytest.mark.parametrize(("board", "query"), dashboard_queries())
def test_every_query_of_every_dashboard_returns_data(site: Watching, board: str, query: str) -> None:
    """No panel is empty: each names metrics and labels that there are."""
    wait_until(lambda: site.ask(query), seconds=10)


def test_the_exporter_has_the_figures_of_the_last_report(site: Watching, observed: Shop) -> None:
    """Of exactly the live version: outcome, signals with thresholds, accuracy; runs, age, who waits."""
    where = 'environment="staging",model_name="serving",model_version="1"'
    assert site.ask(f'shutterline_monitoring_outcome{{{where},outcome="drift"}} == 1')
    assert site.ask(f'shutterline_drift_signal_outcome{{{where},signal="embeddings",outcome="drift"}} == 1')
    assert site.ask(
        f'shutterline_drift_signal_value{{{where},signal="embeddings"}}'
        f' > shutterline_drift_signal_threshold{{{where},signal="embeddings"}}'
    )
    (accuracy,) = site.ask(f"shutterline_monitoring_accuracy{{{where}}}")
    assert 0.5 < float(accuracy["value"][1]) <= 1
    runs = {
        one["metric"]["pipeline"]: one["metric"]["status"]
        for one in site.ask('shutterline_last_run_info{model_name="serving"}')
    }
    assert runs["monitoring"] == "completed"
    assert {"training", "deployment"} <= set(runs)
    (age,) = site.ask(f"time() - shutterline_live_version_registered_timestamp_seconds{{{where}}}")
    assert 0 < float(age["value"][1]) < 3600
    (waiting,) = site.ask('shutterline_versions_waiting_for_approval{model_name="serving"}')
    assert waiting["value"][1] == "1"  # version 2, the newest that passed
    wait_until(lambda: site.ask('ALERTS{alertname="data_drift_detected",alertstate="firing"}'))


def test_a_report_has_latency_and_errors_from_prometheus(site: Watching, observed: Shop) -> None:
    """The window that has just ended: how many requests, how fast, how many failed; slow ones are told."""
    url = f"monitor.prometheus.url=http://127.0.0.1:{site.first_port}"
    now = ("monitor.window.settling_minutes=0",)
    outcome = monitor(observed, url, *now, "monitor.prometheus.latency_p99_ms=0.001")
    assert outcome.exit_code == 0, outcome.stderr
    from zenml.client import Client

    run = Client().get_pipeline_run(outcome.last["run"])
    report = run.steps["assess"].outputs["drift_report"][0].load()
    figures = report.captured.service
    assert figures.unreachable is None
    assert figures.requests > 10
    assert figures.error_rate == 0
    assert 0 < figures.latency_p99_ms < 10_000
    assert "high_inference_latency (warning): serving in staging" in outcome.stderr


def test_a_report_without_its_prometheus_says_so(observed: Shop) -> None:
    """What cannot be asked fails nothing: the report is there, with the sentence."""
    outcome = monitor(observed, "monitor.prometheus.url=http://127.0.0.1:9")
    assert (outcome.exit_code, outcome.last["monitoring"]["drift"]) == (0, "drift")
    assert "latency and errors are not known: Prometheus at http://127.0.0.1:9" in outcome.said
