"""Latency and errors of a window: asked of Prometheus (a real one in tests/whole), or said to be unknown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from benchmarks.main.home import free_port
from materializers.drift_report import Captured, ServiceFigures
from steps.monitoring.settings import PrometheusSettings
from steps.monitoring.traffic.prometheus import ask_prometheus, service_alerts, service_figures

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ANSWERS = {"histogram_quantile": "1.3", "failed": "0.002"}


class Asked:
    """An API that answers each query with one number, or with what a test plants."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.queries: list[dict[str, list[str]]] = []
        self.planted: bytes | None = None
        self.status = 200

    def answer(self, query: str) -> bytes:
        """One sample."""
        if self.planted is not None:
            return self.planted
        value = next((number for part, number in ANSWERS.items() if part in query), "5000")
        return said([{"metric": {}, "value": [NOON.timestamp(), value]}])


def said(result: list[Any]) -> bytes:
    """An answer as Prometheus words it."""
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@contextmanager
def api() -> Iterator[Asked]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.queries.append(parse_qs(urlsplit(self.path).query))
            body = asked.answer(asked.queries[-1]["query"][0])
            self.send_response(asked.status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    asked = Asked(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked_of(url: str | None) -> ServiceFigures | None:
    """The figures of a day of version 3."""
    return ask_prometheus(PrometheusSettings(url=url), "shop", "production", 3, since=NOON - DAY, until=NOON)


def captured(service: ServiceFigures | None) -> Captured:
    """A window with these figures."""
    return Captured(
        **{"model_name": "shop", "environment": "production", "version": 3, "model_digest": "a" * 64},
        **{"since": NOON - DAY, "until": NOON, "pictures": 10, "measured": 0, "refused": 0, "failed": 0},
        latency_p99_ms=4.0,
        service=service,
    )


def test_nothing_is_asked_where_no_prometheus_is_named() -> None:
    """The report has no figures, and nobody is told."""
    assert asked_of(None) is None
    assert service_alerts(captured(None)) == []
    assert service_figures(captured(None)) == {}


def test_the_window_of_exactly_one_version_is_asked_for() -> None:
    """Its length and end, its labels."""
    with api() as asked:
        figures = asked_of(asked.url)
    assert figures is not None
    assert (figures.requests, figures.error_rate, figures.latency_p99_ms) == (5000, 0.002, 1300)
    assert figures.url == asked.url
    assert len(asked.queries) == 3
    for query in asked.queries:
        assert float(query["time"][0]) == NOON.timestamp()
        assert 'model_name="shop",environment="production",model_version="3"}[86400s]' in query["query"][0]


def test_a_slow_service_is_a_warning_and_one_that_fails_is_critical() -> None:
    """By the product's names of them; what is within limits is not told."""
    limits = {"url": "http://a", "latency_limit_ms": 1000.0, "error_limit": 0.05}
    slow = captured(ServiceFigures(**limits, requests=10, latency_p99_ms=1300, error_rate=0.05))
    (alert,) = service_alerts(slow)
    assert (alert.name, alert.severity) == ("high_inference_latency", "warning")
    assert "p99 1,300 ms, above 1,000 ms (version 3" in alert.text
    failing = captured(ServiceFigures(**limits, requests=10, latency_p99_ms=1000, error_rate=0.06))
    told = [(alert.name, alert.severity) for alert in service_alerts(failing)]
    assert told == [("high_error_rate", "critical")]
    assert service_figures(slow) == {"service_latency_p99_ms": 1300, "service_error_rate": 0.05}


def test_no_traffic_is_no_figure() -> None:
    """Neither an empty answer nor NaN, which 0 / 0 is, is a number; nobody is told."""
    with api() as asked:
        for result in ([], [{"metric": {}, "value": [NOON.timestamp(), "NaN"]}]):
            asked.planted = said(result)
            figures = asked_of(asked.url)
            assert figures is not None
            assert (figures.latency_p99_ms, figures.error_rate, figures.unreachable) == (None, None, None)
            assert service_alerts(captured(figures)) == []


@pytest.mark.parametrize(
    ("planted", "status", "why"),
    [
        (b"<html>a proxy</html>", 502, "is no Prometheus"),
        (b"[]", 200, "is no Prometheus"),
        (said([{"value": ["x"]}]), 200, "is no Prometheus"),
        (b'{"status": "error", "error": "query timed out"}', 503, "refused the query: query timed out"),
    ],
)
def test_what_is_no_answer_is_said_in_the_report(planted: bytes, status: int, why: str) -> None:
    """The window has no figures, its notes say why, and nothing is raised."""
    with api() as asked:
        asked.planted, asked.status = planted, status
        figures = asked_of(asked.url)
    assert figures is not None
    assert why in str(figures.unreachable)
    assert any(why in note for note in captured(figures).notes)


def test_a_prometheus_that_is_down_is_said_in_the_report() -> None:
    """With its address, and nothing is raised."""
    figures = asked_of(f"http://127.0.0.1:{free_port()}")
    assert figures is not None
    assert "does not answer (ConnectError)" in str(figures.unreachable)
    assert "s3cret" not in figures.model_dump_json()


@pytest.mark.parametrize(
    "wrong", [{"url": "127.0.0.1:9090"}, {"latency_p99_ms": 0}, {"error_rate": 2}, {"uri": "http://a"}]
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    """An address without a scheme, a limit of nothing, a share above one, a key nobody knows."""
    with pytest.raises(ValidationError):
        PrometheusSettings(**wrong)
