"""Latency and errors of the live model's service, from Prometheus where it is configured.

The captures say how long each request took once it had a place; Prometheus also has what was refused before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from materializers.alert import Alert, Severity
from materializers.drift_report import Captured, ServiceFigures
from materializers.redaction import one_line
from materializers.release import Environment
from materializers.report import percent
from serving.latency import LATENCY
from steps.monitoring.settings import PrometheusSettings

ANSWERS_WITHIN_S = 10.0
LONGEST_WHY = 200
SLOW, FAILING = "high_inference_latency", "high_error_rate"
SEVERITY: dict[str, Severity] = {SLOW: "warning", FAILING: "critical"}
"""As observability/rules has them: who is slow answers, who fails does not."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class NoFigures(Exception):
    """Prometheus gave no answer that can be used; the message says why."""


def queries(labels: str, range_s: int) -> dict[str, str]:
    """The questions about a window that ends at the time of the query.

    Args:
        labels: matchers of the service.
        range_s: the window's length.
    """

    def grown(name: str) -> str:
        return f"sum(increase({name}{{{labels}}}[{range_s}s]))"

    overloaded = grown("shutterline_requests_overloaded_total")
    asked = f"({grown('shutterline_requests_total')} + ({overloaded} or vector(0)))"
    failed = f"({grown('shutterline_requests_failed_total')} + ({overloaded} or vector(0)))"
    buckets = f"sum by (le) (increase({LATENCY}_bucket{{{labels}}}[{range_s}s]))"
    return {
        "requests": asked,
        "error_rate": f"{failed} / {asked}",
        "latency_p99_s": f"histogram_quantile(0.99, {buckets})",
    }


def ask_prometheus(
    settings: PrometheusSettings,
    model_name: str,
    environment: Environment,
    version: int,
    *,
    since: datetime,
    until: datetime,
) -> ServiceFigures | None:
    """What Prometheus has of one version in a window; None where it is not to be asked.

    Nothing is raised: where it does not answer, the figures say so.

    Args:
        settings: where, and the limits.
        model_name: the registered model.
        environment: where it serves.
        version: that answered.
        since: the first moment of the window, with its time zone.
        until: the moment that ends it.
    """
    if settings.url is None:
        return None
    matched = {"model_name": model_name, "environment": environment, "model_version": str(version)}
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in matched.items())
    asked = queries(labels, max(1, round((until - since).total_seconds())))
    limits = {
        "url": settings.url,
        "latency_limit_ms": settings.latency_p99_ms,
        "error_limit": settings.error_rate,
    }
    try:
        found = _answers(settings.url, asked, until)
    except NoFigures as error:
        return ServiceFigures(**limits, unreachable=str(error))
    p99 = found["latency_p99_s"]
    return ServiceFigures(
        **limits,
        requests=found["requests"],
        error_rate=found["error_rate"],
        latency_p99_ms=None if p99 is None else p99 * 1_000,
    )


def service_alarms(captured: Captured) -> dict[str, bool | None]:
    """Which alerts a window's latency and errors raise and which they end; None where nobody knows.

    Nothing where no Prometheus was asked.
    """
    figures = captured.service
    if figures is None:
        return {}
    return {
        SLOW: None if figures.latency_p99_ms is None else figures.slow,
        FAILING: None if figures.error_rate is None else figures.failing,
    }


def service_alerts(captured: Captured) -> list[Alert]:
    """What people are told of a window's latency and errors."""
    figures = captured.service
    if figures is None:
        return []
    where = f"version {captured.version}, {captured.since:%Y-%m-%d %H:%M} to {captured.until:%H:%M} UTC"
    reasons = {}
    if figures.slow and figures.latency_p99_ms is not None:
        reasons[SLOW] = (
            f"p99 {figures.latency_p99_ms:,.0f} ms, above {figures.latency_limit_ms:,.0f} ms ({where})"
        )
    if figures.failing:
        reasons[FAILING] = (
            f"{percent(figures.error_rate)} of the requests failed or found no room, above "
            f"{percent(figures.error_limit)} ({where})"
        )
    return [
        Alert(
            name=name,
            severity=SEVERITY[name],
            model_name=captured.model_name,
            environment=captured.environment,
            reasons=(reason,),
        )
        for name, reason in reasons.items()
    ]


def service_figures(captured: Captured) -> Mapping[str, float | None]:
    """What the experiment tracker keeps of them, by name."""
    figures = captured.service
    if figures is None:
        return {}
    return {"service_latency_p99_ms": figures.latency_p99_ms, "service_error_rate": figures.error_rate}


def _answers(url: str, asked: Mapping[str, str], at: datetime) -> dict[str, float | None]:
    """One number a query; None where Prometheus has nothing.

    Raises:
        NoFigures: it does not answer, or refuses a query.
    """
    import httpx

    try:
        # No proxy stands before this machine's own servers.
        away = httpx.URL(url).host not in LOOPBACK
        with httpx.Client(timeout=ANSWERS_WITHIN_S, trust_env=away) as client:
            return {name: _number(client, url, query, at) for name, query in asked.items()}
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NoFigures(f"Prometheus at {url} does not answer ({type(error).__name__})") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise NoFigures(f"what answers at {url} is no Prometheus") from error


def _number(client: Any, url: str, query: str, at: datetime) -> float | None:
    answer = client.get(f"{url.rstrip('/')}/api/v1/query", params={"query": query, "time": at.timestamp()})
    content = answer.json()
    if content["status"] != "success":
        why = one_line(str(content.get("error", "no reason given")))[:LONGEST_WHY]
        raise NoFigures(f"Prometheus at {url} refused the query: {why}")
    result = content["data"]["result"]
    value = float(result[0]["value"][1]) if result else math.nan
    return value if math.isfinite(value) else None


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
