"""docs/observability.md: its commands are run, its tables are the metrics, the alerts and the options."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.core import GaugeMetricFamily

from actions.request import Request, check_flags
from observability import reading
from observability.__main__ import up
from observability.exporter import KeptFigures
from observability.rendering import Times, rendered_rules
from pipelines.config import load_config
from run import main
from tests.materializers.examples import drift_report
from tests.observability.conftest import QUICK, free_ports_in_a_row
from tests.pages import commands_of, make_recipe, rows_of, text_of
from tests.serving.conftest import Service, StartService
from tests.serving.pictures import encode, gradient
from tests.shrunk.delivery import PROJECT

PATH = "docs/observability.md"
PAGE = text_of(PATH)


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def named(cells: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([\w-]+)`", cells)


def test_every_alert_is_explained() -> None:
    """Each once, with its severity and the limits of the configuration."""
    rules = yaml.safe_load(rendered_rules(load_config(None, ()), Times())["alerts.yml"])
    severities = {
        rule["alert"]: rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]
    }
    rows = rows_of(section("Alerts"))
    assert {name.strip("`"): severity for name, severity, _ in rows} == severities
    said = re.findall(r"`([\w.]+)` \(([\d.]+)\)", section("Alerts"))
    assert len(said) == 3
    for path, value in said:
        found: object = load_config(None, ())
        for part in path.split("."):
            found = getattr(found, part)
        assert float(value) == found, path


def test_every_option_is_explained() -> None:
    """Of ``up``, with the defaults of the times."""
    rows = rows_of(PAGE.partition("\n## ")[0])
    assert sorted(name for cells, _ in rows for name in re.findall(r"`(--[\w-]+)`", cells)) == sorted(
        parameter.opts[0] for parameter in up.params
    )
    times = Times()
    (said,) = (text for cells, text in rows if "--window" in cells)
    assert re.findall(r"\((\w+)\)", said) == [times.interval, times.window, times.patience, times.silence]


def test_every_metric_of_a_service_is_explained(start_service: StartService) -> None:
    """All that it has after one request, by the names that Prometheus has."""
    service: Service = start_service()
    service.wait_until_ready()
    picture = encode(gradient(28, 28))
    httpx.post(service.url, content=picture, headers={"content-type": "application/octet-stream"})
    found = set(re.findall(r"^(shutterline_\w+?)(?:_bucket|_count|_sum)?{", service.metrics(), re.M))
    table = section("What is measured").partition("The exporter reads")[0]
    assert sorted(name for cells, _ in rows_of(table) for name in named(cells)) == sorted(found)


def test_every_metric_of_the_exporter_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that its sources make."""

    def collected() -> Iterator[GaugeMetricFamily]:
        yield from KeptFigures("shop", {}).collect()
        yield from reading._of_reports([drift_report()], {})

    source = Path(reading.__file__).read_text(encoding="utf-8")
    made = {family.name for family in collected()}
    written = re.findall(r'gauge\(\s*"(\w+)"', source)
    made |= {f"shutterline_{name}" for name in written}
    table = section("What is measured").partition("The exporter reads")[2]
    assert sorted(name for cells, _ in rows_of(table) for name in named(cells)) == sorted(made)


@pytest.mark.debian("prometheus")
@pytest.mark.debian("prometheus-alertmanager")
@pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
    reason="apt-get install prometheus prometheus-alertmanager",
)
def test_the_commands_do_what_the_page_says(tmp_path: Path) -> None:
    """In the order of the page, in a folder of their own; the list of services is an empty one."""
    (tmp_path / "targets.json").write_text("[]")
    home = f"--home {tmp_path / 'site'}"
    up_too = f"--targets {tmp_path / 'targets.json'} --ports-from {free_ports_in_a_row()} {' '.join(QUICK)}"
    try:
        said = [
            run_in_shell(meant(command, tmp_path, home, up_too))
            for command in commands_of(PATH)
            if not command.startswith("python run.py")
        ]
    finally:
        run_in_shell(make_recipe("monitoring-down").replace("$(ARGS)", home))
    assert [lines.splitlines()[0].partition(";")[0] for lines in said] == [
        "started:",
        "ended",
        "started:",
        f"written to {tmp_path / 'rendered'}",
    ]
    written = {path.relative_to(tmp_path / "rendered") for path in (tmp_path / "rendered").rglob("*.*")}
    assert {str(path) for path in written} == {
        *("alerts.yml", "recording.yml", "dashboards/service.json", "dashboards/training.json"),
    }


def meant(command: str, folder: Path, home: str, up_too: str) -> str:
    """A command of the page as it is run here: this is all that differs."""
    target, _, given = command.partition(" ARGS=")
    if target.startswith("make "):
        arguments = f"{home} {up_too}" if target == "make monitoring-up" else home
        recipe = make_recipe(target.removeprefix("make "))
        return recipe.replace("$(ARGS)", f"{arguments} {shlex.split(given)[0] if given else ''}")
    return command.replace("--to rendered", f"--to {folder / 'rendered'}")


def run_in_shell(command: str) -> str:
    """What it prints; it has to end well."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=PROJECT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_the_command_of_a_report_is_taken() -> None:
    """What it does is tried in tests/whole/test_observability.py."""
    (command,) = (each for each in commands_of(PATH) if each.startswith("python run.py"))
    context = main.make_context("run.py", shlex.split(command)[2:])
    check_flags(Request(**context.params))
