"""Print results for a person: tables of numbers beside their limits, and the commands that follow."""

from __future__ import annotations

import sys
from functools import singledispatch
from typing import Any

from rich.console import Console
from rich.table import Table

from actions.result import ActionResult
from actions.status import Status
from materializers.verdict import RuleResult, Verdict
from pipelines.config import Config
from pipelines.results import PipelineResult

COLOURS = {"passed": "green", "refused": "red", "not_assessed": "yellow"}


def show(result: Any, *, config: Config, command: str) -> None:
    """Print one result to standard output, whatever it was redirected to."""
    console = Console(file=sys.__stdout__, highlight=False, soft_wrap=True)
    _show(result, console)
    if isinstance(result, PipelineResult) and result.exit_code == 0:
        for line in next_commands(result, config, command):
            console.print(line, markup=False)


@singledispatch
def _show(result: Any, console: Console) -> None:
    raise TypeError(f"There is no way to show a {type(result).__name__}")


@_show.register
def _(result: PipelineResult, console: Console) -> None:
    if result.full_verdict is not None:
        console.print(metrics_table(result.full_verdict))
    line = f"{result.pipeline}: {result.status}"
    if result.version is not None:
        line += f", version {result.version}"
    if result.verdict is not None:
        line += f", verdict [{COLOURS[result.verdict]}]{result.verdict}[/]"
    console.print(line)
    for reason in result.reasons:
        console.print(f"  {reason}", markup=False)
    if result.release is not None and result.release["url"] and result.status == "completed":
        console.print(f"  live in {result.release['environment']}: {result.release['url']}", markup=False)


@_show.register
def _(result: ActionResult, console: Console) -> None:
    console.print(f"{result.action}: {result.status}")
    for reason in result.reasons:
        console.print(f"  {reason}", markup=False)
    predictions = result.details.get("predictions")
    if predictions:
        table = Table("photograph", "label", "probability", "latency", "version", box=None, pad_edge=False)
        for entry in predictions:
            if "error" not in entry:
                label = "abstained" if entry["abstained"] else entry["label"]
                table.add_row(
                    entry["photo"],
                    label,
                    f"{entry['probability']:.3f}",
                    f"{entry['latency_ms']:.1f} ms",
                    str(entry["model_version"]),
                )
        console.print(table)


@_show.register
def _(result: Status, console: Console) -> None:
    console.print(f"stack: {result.stack}")
    versions = Table("version", "aliases", "verdict", "accuracy", box=None, pad_edge=False)
    for model in result.models:
        aliases = ", ".join(model["aliases"]) or "–"
        versions.add_row(
            str(model["version"]), aliases, model["verdict"], f"{model['metrics']['accuracy']:.4f}"
        )
    console.print(versions if result.models else "no versions yet")
    for live in result.deployments:
        health = "healthy" if live["healthy"] else "NOT healthy"
        console.print(f"{live['environment']}: version {live['version']}, {health}, {live['url']}")
    if not result.deployments:
        console.print("nothing is live")
    runs = Table("run", "status", "started (UTC)", box=None, pad_edge=False)
    for run in result.runs:
        runs.add_row(run["name"], run["status"], (run["started"] or "–")[:19])
    console.print(runs if result.runs else "no runs yet")
    for schedule in result.schedules:
        console.print(f"schedule {schedule['name']}: {schedule['cron']}")
    for difference in result.differences:
        console.print(f"! {difference}", markup=False)


def metrics_table(verdict: Verdict) -> Table:
    """Every rule of a verdict: what was measured beside its limit."""
    table = Table("rule", "measured", "95 % interval", "limit", "", "outcome", box=None, pad_edge=False)
    for rule in verdict.rules:
        colour = COLOURS[rule.outcome]
        table.add_row(
            rule.name,
            "–" if rule.measured is None else f"{rule.measured:.4g}",
            _interval(rule),
            f"{rule.direction} {rule.limit:g}",
            rule.requirement,
            f"[{colour}]{rule.outcome}[/]",
        )
    return table


def _interval(rule: RuleResult) -> str:
    return f"{rule.interval[0]:.4g} – {rule.interval[1]:.4g}" if rule.interval else ""


def next_commands(result: PipelineResult, config: Config, command: str) -> list[str]:
    """What one would type next."""
    follow: dict[str, list[str]] = {
        "training": [f"{command} --deploy" + " " * 6 + "# to staging"],
        "deployment": [],
    }
    if result.pipeline == "deployment" and result.release is not None:
        follow["deployment"] = [
            "make dashboard",
            f'{command} --approve {result.version} --by "YOUR NAME" --reason "…"',
            f"{command} --deploy --version {result.version} --environment production",
            f"{command} --status",
            f"{command} --stop",
        ]
        if config.product.source.name == "sample-deliveries":
            follow["deployment"].insert(3, f"{command} --continuous --source data/second-delivery.zip")
    commands = follow.get(result.pipeline, [])
    return ["next:", *(f"  {line}" for line in commands)] if commands else []
