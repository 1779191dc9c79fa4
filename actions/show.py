"""Print results for a person: tables of numbers beside their limits, and the commands that follow."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actions.result import COMMAND, ActionResult, in_full
from actions.schedules import shown, state
from actions.status import Status
from materializers.redaction import visible
from materializers.report import Record
from materializers.verdict import RuleResult, Verdict
from pipelines.config import Config
from pipelines.results import PipelineResult
from pipelines.session import dashboard

SHOWN_DIGITS = 12
"""Of a data version, as ``--data`` and ``--data-diff`` take it."""
DIGEST = re.compile("[0-9a-f]{64}")
COLOURS = {"passed": "green", "refused": "red", "not_assessed": "yellow"}


_LOOK_AND_STOP = [
    ("see what is live", f"{COMMAND} --status"),
    ("stop the services", f"{COMMAND} --stop"),
]


def show(result: Any, *, command: str, output: str | None = None) -> None:
    """Print one result to standard output, whatever it was redirected to.

    Args:
        result: a pipeline's, an act's or a status.
        command: ``python run.py`` with the caller's ``--config``, ``--set`` and ``--stack``.
        output: where ``--infer`` wrote the predictions.
    """
    console = _console()
    _show(_visible(result), console, visible(command))
    if isinstance(result, PipelineResult) and result.pipeline == "inference" and not result.exit_code:
        console.print(f"  predictions written to {visible(output or '')}")


def show_next(results: list[Any], *, config: Config, command: str) -> None:
    """Print what one would type next after all results of a call, aligned behind what each command is for."""
    following: list[tuple[str, str]] = []
    for result in results:
        following = next_commands(result, config) or following
    if not following:
        return
    following = [*_activation(), *following]
    console = _console()
    console.print("next:")
    width = max(len(purpose) for purpose, _ in following)
    for purpose, line in following:
        console.print(f"  {purpose:{width}}  {visible(in_full(line, command))}")


def _visible(value: Any) -> Any:
    """A result, or a part of it, whose every text shows what a terminal would obey."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Record):
        return value.model_copy(update={name: _visible(part) for name, part in value})
    if isinstance(value, dict):
        return {_visible(name): _visible(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_visible, value))
    return value


def _activation() -> list[tuple[str, str]]:
    """How the caller's shell gets this Python as its ``python``; nothing where it has it."""
    if sys.prefix == sys.base_prefix or os.environ.get("VIRTUAL_ENV") == sys.prefix:
        return []
    return [("use this Python, once a shell", f"source {os.path.relpath(sys.prefix)}/bin/activate")]


def _console() -> Console:
    # No markup and no emoji codes: names of files and classes are printed as they are.
    return Console(file=sys.__stdout__, highlight=False, soft_wrap=True, markup=False, emoji=False)


@singledispatch
def _show(result: Any, console: Console, command: str) -> None:
    raise TypeError(f"There is no way to show a {type(result).__name__}")


@_show.register
def _(result: PipelineResult, console: Console, command: str) -> None:
    if result.full_verdict is not None:
        if result.metrics is not None:
            console.print(f"measured on {result.metrics['n']:,} test pictures that the model never saw")
        console.print(metrics_table(result.full_verdict))
        for rule in result.full_verdict.rules:
            if rule.outcome == "passed" and rule.reason:
                console.print(f"{rule.name}: {in_full(rule.reason, command)}")
    line = Text(f"{result.pipeline}: {result.status}")
    if result.version is not None:
        line.append(f", version {result.version}")
    if result.verdict is not None:
        line.append(", verdict ").append(result.verdict, COLOURS[result.verdict])
    console.print(line)
    for reason in result.reasons:
        console.print(f"  {in_full(reason, command)}")
    if result.data is not None:
        console.print(f"  data: {result.data[:SHOWN_DIGITS]}")
    if result.release is not None and result.release["url"] and result.status == "completed":
        console.print(f"  live in {result.release['environment']}: {result.release['url']}")


@_show.register
def _(result: ActionResult, console: Console, command: str) -> None:
    console.print(f"{result.action}: {result.status}")
    for reason in result.reasons:
        console.print(f"  {in_full(reason, command)}")
    _show_schedules(result.details.get("schedules", ()), console)
    _show_data_act(result, console)
    _show_entries(result.details.get("entries", ()), console)
    if result.action == "lineage":
        _show_digests(result.details["digests"], console)
        _show_entries(result.details["history"], console)
    predictions = [entry for entry in result.details.get("predictions", ()) if "error" not in entry]
    if predictions:
        table = Table("photograph", "label", "probability", "latency", "version", box=None, pad_edge=False)
        for entry in predictions:
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
def _(result: Status, console: Console, command: str) -> None:
    console.print(f"stack: {result.stack}, model: {result.model}")
    columns = ("version", "aliases", "verdict", "accuracy", "data", "decision")
    versions = Table(*columns, box=None, pad_edge=False)
    for model in result.models:
        aliases = ", ".join(model["aliases"]) or "–"
        versions.add_row(
            str(model["version"]),
            aliases,
            model["verdict"],
            "–" if model["metrics"]["accuracy"] is None else f"{model['metrics']['accuracy']:.4f}",
            result.data.get(model["version"], "–")[:SHOWN_DIGITS],
            result.decisions.get(model["version"], "–"),
        )
    console.print(versions if result.models else "no versions yet")
    if result.last_data is not None:
        console.print(f"last accepted data: {result.last_data[:SHOWN_DIGITS]}")
    for live in result.deployments:
        health = "healthy" if live["healthy"] else "NOT healthy"
        console.print(f"{live['environment']}: version {live['version']}, {health}, {live['url']}")
    if not result.deployments:
        console.print("nothing is live")
    runs = Table("latest runs", "status", "started (UTC)", box=None, pad_edge=False)
    for run in result.runs:
        runs.add_row(run["name"], run["status"], (run["started"] or "–")[:19])
    console.print(runs if result.runs else "no runs yet")
    _show_schedules(result.schedules, console)
    for other in result.others:
        console.print(f"beside it, {other}")
    for difference in result.differences:
        console.print(f"! {in_full(difference, command)}")


def _show_data_act(result: ActionResult, console: Console) -> None:
    """The table of an act on data."""
    details = result.details
    if result.action == "data-diff" and details.get("classes"):
        counts = ("before", "added", "withdrawn", "relabelled_from", "relabelled_to", "after")
        table = Table("class", *(name.replace("_", " ") for name in counts), box=None, pad_edge=False)
        for row in details["classes"]:
            table.add_row(row["name"], *(f"{row[name]:,}" for name in counts))
        console.print(table)
        for name, count in details["columns"].items():
            console.print(f"  column {name}: {count:,} pictures say something else")
    if result.action == "collect" and details.get("found"):
        table = Table("what", "name", "bytes", "age", "why", box=None, pad_edge=False)
        for row in details["found"]:
            age = f"{row['age_hours']:,.0f} h"
            table.add_row(row["kind"], row["name"], f"{row['bytes']:,}", age, row["why"])
        console.print(table)
    if result.action == "compact" and details.get("datasets"):
        table = Table("data", "shards before", "after", "bytes written", box=None, pad_edge=False)
        for row in details["datasets"]:
            numbers = (row["shards_before"], row["shards_after"], row["bytes_written"])
            table.add_row(row["version"][:SHOWN_DIGITS], *(f"{number:,}" for number in numbers))
        console.print(table)
    if result.action == "forget" and details.get("models"):
        table = Table("model", "version", "data", "aliases", box=None, pad_edge=False)
        for row in details["models"]:
            aliases = ", ".join(row["aliases"]) or "–"
            table.add_row(row["model"], str(row["version"]), row["data"][:SHOWN_DIGITS], aliases)
        console.print(table)


def _show_entries(entries: Sequence[dict[str, Any]], console: Console) -> None:
    """The audit log, the newest entry last."""
    if not entries:
        return
    columns = ("number", "time (UTC)", "act", "subject", "actor", "by", "reason")
    table = Table(*columns, box=None, pad_edge=False)
    for entry in entries:
        subject = ", ".join(f"{name} {_short(value)}" for name, value in entry["subject"].items())
        moment = entry["at"][:19].replace("T", " ")
        who = (entry["actor"], entry["by"], entry["reason"])
        table.add_row(str(entry["number"]), moment, entry["act"], subject, *who)
    console.print(table)


def _show_digests(digests: dict[str, str], console: Console) -> None:
    """What a version was made of, whole: an auditor compares them."""
    table = Table("of", "digest", box=None, pad_edge=False)
    for name, digest in digests.items():
        table.add_row(name, digest)
    console.print(table)


def _short(value: str) -> str:
    """A digest by its first digits, anything else as it is."""
    return value[:SHOWN_DIGITS] if DIGEST.fullmatch(value) else value


def _show_schedules(schedules: Sequence[dict[str, Any]], console: Console) -> None:
    if not schedules:
        return
    columns = ("schedule", "pipeline", "cron (UTC)", "state", "last fire (UTC)", "next fire (UTC)")
    table = Table(*columns, box=None, pad_edge=False)
    table.columns[0].no_wrap = True  # --pause and --unschedule take the whole name
    table.columns[0].min_width = max(len(schedule["name"]) for schedule in schedules)
    for schedule in schedules:
        last, coming = shown(schedule["last_fire"]), shown(schedule["next_fire"])
        table.add_row(schedule["name"], schedule["pipeline"], schedule["cron"], state(schedule), last, coming)
    console.print(table)


def metrics_table(verdict: Verdict) -> Table:
    """Every rule of a verdict: what was measured beside its limit."""
    table = Table("rule", "measured", "95 % interval", "limit", "", "outcome", box=None, pad_edge=False)
    for rule in verdict.rules:
        table.add_row(
            rule.name,
            "–" if rule.measured is None else f"{rule.measured:.4g}",
            _interval(rule),
            rule.required_of_it,
            rule.requirement,
            Text(rule.outcome, COLOURS[rule.outcome]),
        )
    return table


def _interval(rule: RuleResult) -> str:
    return f"{rule.interval[0]:.4g} – {rule.interval[1]:.4g}" if rule.interval else ""


def next_commands(result: Any, config: Config) -> list[tuple[str, str]]:
    """What one would type after this result: what it is for, and the command; empty where nothing follows."""
    if isinstance(result, ActionResult):
        return _after_act(result)
    if not isinstance(result, PipelineResult):
        return []
    if result.exit_code:
        return [(f"see the reports of {result.run}", dashboard())] if result.run is not None else []
    return [] if result.version is None else _after_version(result, result.version, config)


def _after_version(result: PipelineResult, version: int, config: Config) -> list[tuple[str, str]]:
    """What follows on a version that was made or released."""
    if result.pipeline == "training" and result.verdict == "passed":
        return [("release it to staging", f"{COMMAND} --deploy --version {version}")]
    if result.release is None or result.release["url"] is None:
        return []
    if result.release["environment"] == "production":
        return [
            (
                "classify a folder",
                f"{COMMAND} --infer --environment production --input FOLDER --output predictions.parquet",
            ),
            *_LOOK_AND_STOP,
        ]
    return [
        ("see data, reports and verdict", dashboard()),
        (
            "approve it for production",
            f'{COMMAND} --approve {version} --by "YOUR NAME" --reason "…"',
        ),
        *_to_production(version),
        *_further_delivery(result, config),
        *_LOOK_AND_STOP,
    ]


def _after_act(result: ActionResult) -> list[tuple[str, str]]:
    if result.action == "approve":
        return _to_production(result.details["version"])
    if result.action == "readmit" and not result.exit_code:
        return [("train on it", f"{COMMAND} --train --data {result.details['data'][:16]}")]
    return []


def _to_production(version: int) -> list[tuple[str, str]]:
    return [("release it to production", f"{COMMAND} --deploy --version {version} --environment production")]


def _further_delivery(result: PipelineResult, config: Config) -> list[tuple[str, str]]:
    """The delivery that the configuration names, or any; nothing after ``--continuous``, which took one."""
    if result.pipeline == "continuous":
        return []
    source = config.product.source.next_delivery or "PATH"
    return [("send another delivery", f"{COMMAND} --continuous --source {source}")]
