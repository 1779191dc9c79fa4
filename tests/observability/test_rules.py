"""The rules as they are rendered: taken by promtool, each alert tried, limits and routes as configured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.rendering import (
    DASHBOARDS,
    Addresses,
    Times,
    copy_dashboards,
    rendered_rules,
    rendered_servers,
    write_rendered,
)
from pipelines.config import load_config
from steps.monitoring import react, tell
from steps.monitoring.traffic import prometheus

UNIT_TESTS = Path(__file__).parent / "rules_test.yml"
ADDRESSES = Addresses(
    alertmanager="127.0.0.1:9093",
    exporter="127.0.0.1:9105",
    targets="targets.json",
    webhook="http://127.0.0.1:1/all",
    critical_webhook="http://127.0.0.1:1/critical",
)
tools = [
    pytest.mark.debian("prometheus"),
    pytest.mark.debian("prometheus-alertmanager"),
    pytest.mark.skipif(
        shutil.which("promtool") is None or shutil.which("amtool") is None,
        reason="apt-get install prometheus prometheus-alertmanager",
    ),
]


def rendered(folder: Path, *assignments: str, addresses: Addresses = ADDRESSES) -> Path:
    """The files of a site."""
    files = rendered_rules(load_config(None, assignments), Times())
    write_rendered(folder, {**files, **rendered_servers(Times(), addresses)})
    return folder


def tool(folder: Path, *command: str) -> str:
    """What a tool of Prometheus says in a folder; it has to be content."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules(folder: Path) -> list[dict[str, Any]]:
    """All of them."""
    return [
        rule
        for name in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((folder / name).read_text())["groups"]
        for rule in group["rules"]
    ]


class TestTools:
    """What Prometheus' own tools say."""

    pytestmark = tools

    def test_promtool_and_amtool_take_what_is_rendered(self, tmp_path: Path) -> None:
        """Rules, Prometheus' configuration and Alertmanager's."""
        folder = rendered(tmp_path)
        assert "SUCCESS" in tool(folder, "promtool", "check", "rules", "recording.yml", "alerts.yml")
        (folder / "targets.json").write_text("[]")
        assert "SUCCESS" in tool(folder, "promtool", "check", "config", "prometheus.yml")
        assert "SUCCESS" in tool(folder, "amtool", "check-config", "alertmanager.yml")

    def test_the_unit_tests_of_the_rules_pass(self, tmp_path: Path) -> None:
        """Each fires on what it is there for, after a while, and leaves the rest alone."""
        folder = rendered(tmp_path, "trigger.max_age_days=2")
        shutil.copy(UNIT_TESTS, folder)
        assert "SUCCESS" in tool(folder, "promtool", "test", "rules", UNIT_TESTS.name)

    @pytest.mark.parametrize(
        ("severity", "receiver"), [("critical", "critical"), ("warning", "warning"), ("info", "info")]
    )
    def test_the_severity_decides_who_is_told(self, tmp_path: Path, severity: str, receiver: str) -> None:
        """By Alertmanager's own reading of its routes."""
        folder = rendered(tmp_path)
        route = ("amtool", "config", "routes", "test", "--config.file=alertmanager.yml")
        assert tool(folder, *route, f"severity={severity}", "alertname=stale_model").strip() == receiver


def test_every_alert_is_tried(tmp_path: Path) -> None:
    """Each fires in one of the unit tests; one that waits is in another one still quiet."""
    alerts = {rule["alert"]: rule for rule in rules(rendered(tmp_path)) if "alert" in rule}
    tried = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {name for name, fires in tried if fires} == set(alerts)
    assert {name for name, fires in tried if not fires} >= {
        name for name, rule in alerts.items() if "for" in rule
    }


def test_the_limits_are_those_of_the_configuration(tmp_path: Path) -> None:
    """The product's 1,000 ms and 30 days, and whatever is set in their place."""
    for assignments, p99, days, errors in (
        ((), "1", "30", "0.05"),
        (
            (
                "monitor.prometheus.latency_p99_ms=250",
                "trigger.max_age_days=7",
                "monitor.prometheus.error_rate=0.01",
            ),
            "0.25",
            "7",
            "0.01",
        ),
    ):
        by_name = {rule.get("alert"): rule["expr"] for rule in rules(rendered(tmp_path, *assignments))}
        assert by_name["high_inference_latency"].endswith(f"p99 > {p99}")
        assert by_name["stale_model"].endswith(f"> {days} * 86400")
        assert by_name["high_error_rate"].endswith(f"ratio > {errors}")


def test_an_alert_of_the_same_name_has_the_severity_that_monitoring_tells_it_with(tmp_path: Path) -> None:
    """Whoever reads both channels is not told that the same thing is critical and is not."""
    ours = tell.SEVERITY | prometheus.SEVERITY | react.SEVERITY
    found = (rule for rule in rules(rendered(tmp_path)) if "alert" in rule)
    theirs = {rule["alert"]: rule["labels"]["severity"] for rule in found}
    both = ours.keys() & theirs.keys()
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}
    assert both >= {"high_error_rate", "high_inference_latency", "data_drift_detected", "model_accuracy_drop"}


def test_without_a_webhook_alerts_are_only_shown(tmp_path: Path) -> None:
    """No receiver has anybody; with one webhook, the critical ones go there, too."""

    def hooks(**urls: str | None) -> dict[str, list[str]]:
        folder = rendered(tmp_path, addresses=ADDRESSES.model_copy(update=urls))
        receivers = yaml.safe_load((folder / "alertmanager.yml").read_text())["receivers"]
        return {one["name"]: [hook["url"] for hook in one["webhook_configs"]] for one in receivers}

    assert hooks(webhook=None, critical_webhook=None) == {"critical": [], "warning": [], "info": []}
    url = "http://127.0.0.1:1/all"
    assert hooks(critical_webhook=None) == {"critical": [url], "warning": [url], "info": [url]}
    assert hooks()["critical"] == ["http://127.0.0.1:1/critical"]


def test_dashboards_ask_for_what_there_is(tmp_path: Path) -> None:
    """Every recorded name in a query is one that the rules record; panels and ids are of one board each."""
    copy_dashboards(tmp_path)
    recorded = {rule["record"] for rule in rules(rendered(tmp_path)) if "record" in rule}
    boards = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert len({board["uid"] for board in boards}) == len(boards) == len(list(DASHBOARDS.iterdir()))
    for board in boards:
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
        assert set(re.findall(r"shutterline:[a-z_]+:[a-z0-9]+", " ".join(queries))) <= recorded
