"""Print results for a person: tables of numbers beside their limits, and the commands that follow."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import singledispatch
from typing import Any

from rich.console import Console
from rich.text import Text

from actions.result import COMMAND, ActionResult, in_full
from actions.schedules import cron_in_zone, shown, state
from actions.status import Status
from actions.tables import packed, plain_console, print_rows
from materializers.redaction import visible
from materializers.report import Record
from materializers.verdict import RuleResult, Verdict
from pipelines.config import Config
from pipelines.results import PipelineResult
from pipelines.session import dashboard

SHOWN_DIGITS = 12
"""Of a data version, as ``--data`` and ``--data-diff`` take it."""
DIGEST = re.compile("[0-9a-f]{64}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
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
    console = plain_console(sys.__stdout__)
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
    console = plain_console(sys.__stdout__)
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


@singledispatch
def _show(result: Any, console: Console, command: str) -> None:
    raise TypeError(f"There is no way to show a {type(result).__name__}")


@_show.register
def _(result: PipelineResult, console: Console, command: str) -> None:
    if result.full_verdict is not None:
        if result.metrics is not None:
            console.print(f"measured on {result.metrics['n']:,} test pictures that the model never saw")
        _show_rules(result.full_verdict, console)
        for rule in result.full_verdict.rules:
            if rule.outcome == "passed" and rule.reason:
                console.print(f"{rule.name}: {in_full(rule.reason, command)}")
    rolling = result.release is not None and result.release["status"] == "rolling_out"
    ended = "rolling out" if rolling and result.status == "completed" else result.status
    line = Text(f"{result.pipeline}: {ended}")
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
        console.print(f"  {_where(result.release)}: {result.release['url']}")


@_show.register
def _(result: ActionResult, console: Console, command: str) -> None:
    console.print(f"{result.action}: {result.status}")
    for reason in result.reasons:
        console.print(f"  {in_full(reason, command)}")
    _show_schedules(result.details.get("schedules", ()), console)
    _show_data_act(result, console)
    _show_entries(result.details.get("entries", ()), console)
    if result.action == "lineage":
        print_rows(console, ("digest of", ""), result.details["digests"].items())
        _show_entries(result.details["history"], console)
    predictions = [entry for entry in result.details.get("predictions", ()) if "error" not in entry]
    if predictions:
        columns = ("photograph", "label", "probability", "latency", "version")
        print_rows(console, columns, map(_prediction, predictions))


@_show.register
def _(result: Status, console: Console, command: str) -> None:
    console.print(f"stack: {result.stack}, model: {result.model}")
    if not result.models:
        console.print("no versions yet")
    columns = ("version", "aliases", "verdict", "accuracy", "data", "decision")
    print_rows(console, columns, [_version(model, result) for model in result.models], prose=True)
    if result.last_data is not None:
        console.print(f"last accepted data: {result.last_data[:SHOWN_DIGITS]}")
    _show_live(result, console, command)
    if not result.runs:
        console.print("no runs yet")
    runs = [(run["name"], run["status"], (run["started"] or "–")[:19]) for run in result.runs]
    print_rows(console, ("latest run", "status", "started (UTC)"), runs)
    _show_schedules(result.schedules, console)
    if result.next_run is not None:
        console.print(f"next run: {result.next_run['schedule']} at {shown(result.next_run['at'])} UTC")
    if result.budget is not None:
        left = result.budget
        console.print(f"left this month: {left['runs']:g} retrainings, {left['gpu_hours']:.1f} GPU-hours")
    for alert in result.alerts:
        said = f"{alert['name']} ({alert['severity']}): {alert['about']}"
        console.print(f"alert since {shown(alert['since'])} UTC: {said}")
    for each in result.waiting:
        console.print(f"waits for a person ({each.kind}): {in_full(each.reason, command)}")
    for other in result.others:
        console.print(f"beside it, {other}")
    for difference in result.differences:
        console.print(f"! {in_full(difference, command)}")


def _show_live(result: Status, console: Console, command: str) -> None:
    """What serves, since when, on what data, what monitoring said of it, and what rolls out beside it."""
    for live in result.deployments:
        health = "healthy" if live["healthy"] else "NOT healthy"
        console.print(f"{live['environment']}: version {live['version']}, {health}, {live['url']}")
        learnt = (live["data"] or "unknown")[:SHOWN_DIGITS]
        console.print(f"  since {shown(live['since'])} UTC, learnt from data {learnt}")
    for looked in result.monitoring:
        console.print(f"{looked['environment']}: {_looked(looked)}")
    for rolling in result.rollouts:
        health = "healthy" if rolling["healthy"] else "NOT healthy"
        console.print(
            f"{rolling['environment']}: version {rolling['version']} is rolling out beside version "
            f"{rolling['champion']}, {rolling['mode']} at {rolling['share']:.0%}, "
            f"stage {rolling['stage'] + 1}, since {shown(rolling['since'])} UTC, {health}"
        )
        for line in _observed(rolling["observed"], since=rolling["since"]):
            console.print(f"  {in_full(line, command)}")
        console.print(f"  {in_full(rolling['looked_at_by'], command)}")
    if not result.deployments:
        console.print("nothing is live")


def _observed(last: dict[str, Any] | None, *, since: str) -> list[str]:
    """What the last look at a rollout came to that began at ``since``."""
    if last is None:
        return ["nobody has looked at it yet"]
    counted = (
        f"{last['requests']:,} requests of it and {last['champion_requests']:,} of the champion until "
        f"{shown(last['until'])} UTC, what is younger counts later"
    )
    if datetime.fromisoformat(last["until"]) <= datetime.fromisoformat(since):
        counted = "what it answered was too young to count at the last look"
    return [
        f"{counted}: {last['answer']}",
        *last["reasons"],
        f"decided at {shown(last['deadline'])} UTC at the latest",
    ]


def _looked(last: dict[str, Any]) -> str:
    """What the last look at an environment's traffic came to."""
    drifting = f" ({', '.join(last['drifting'])})" if last["drifting"] else ""
    accuracy = "" if last["current_accuracy"] is None else f", accuracy {last['current_accuracy']:.3f}"
    return (
        f"monitored until {shown(last['until'])} UTC, {last['age_hours']:,.0f} h ago, version "
        f"{last['version']}, {last['num_predictions']:,} pictures: {last['drift']}{drifting}; "
        f"performance: {last['performance']}{accuracy}"
    )


def _where(release: dict[str, Any]) -> str:
    """Where a release is, and how."""
    if release["status"] != "rolling_out":
        return f"live in {release['environment']}"
    return f"rolling out in {release['environment']}, {release['mode']} at {release['share']:.0%}"


def _prediction(entry: dict[str, Any]) -> tuple[str, ...]:
    """The row of a photograph that was asked about."""
    return (
        entry["photo"],
        "abstained" if entry["abstained"] else entry["label"],
        f"{entry['probability']:.3f}",
        f"{entry['latency_ms']:.1f} ms",
        str(entry["model_version"]),
    )


def _version(model: dict[str, Any], status: Status) -> tuple[str, ...]:
    """The row of a registered version."""
    accuracy = model["metrics"]["accuracy"]
    return (
        str(model["version"]),
        ", ".join(model["aliases"]) or "–",
        model["verdict"],
        "–" if accuracy is None else f"{accuracy:.4f}",
        status.data.get(model["version"], "–")[:SHOWN_DIGITS],
        status.decisions.get(model["version"], "–"),
    )


def _show_data_act(result: ActionResult, console: Console) -> None:
    """The table of an act on data."""
    details = result.details
    if result.action == "data-diff" and details.get("classes"):
        counts = ("before", "added", "withdrawn", "relabelled_from", "relabelled_to", "after")
        rows = [(row["name"], *(f"{row[name]:,}" for name in counts)) for row in details["classes"]]
        print_rows(console, ("class", *(name.replace("_", " ") for name in counts)), rows)
        for name, count in details["columns"].items():
            console.print(f"  column {name}: {count:,} pictures say something else")
    if result.action == "collect" and details.get("found"):
        rows = [
            (row["kind"], row["name"], f"{row['bytes']:,}", f"{row['age_hours']:,.0f} h", row["why"])
            for row in details["found"]
        ]
        print_rows(console, ("what", "name", "bytes", "age", "why"), rows, prose=True)
    if result.action == "compact" and details.get("datasets"):
        numbers = ("shards_before", "shards_after", "bytes_written")
        rows = [
            (row["version"][:SHOWN_DIGITS], *(f"{row[name]:,}" for name in numbers))
            for row in details["datasets"]
        ]
        print_rows(console, ("data", "shards before", "after", "bytes written"), rows)
    if result.action == "forget" and details.get("models"):
        rows = [
            (
                row["model"],
                str(row["version"]),
                row["data"][:SHOWN_DIGITS],
                ", ".join(row["aliases"]) or "–",
            )
            for row in details["models"]
        ]
        print_rows(console, ("model", "version", "data", "aliases"), rows)


def _show_entries(entries: Sequence[dict[str, Any]], console: Console) -> None:
    """The audit log, the newest entry last: who did what and when, to what, and why."""
    digits = max((len(str(entry["number"])) for entry in entries), default=0)
    margin = " " * (digits + 2)
    for entry in entries:
        moment = entry["at"][:19].replace("T", " ")
        who = entry["actor"] if entry["by"] == entry["actor"] else f"{entry['by']} ({entry['actor']})"
        console.print(f"{entry['number']:>{digits}}  {moment} UTC  {entry['act']} by {who}")
        parts = _subject(entry["subject"])
        if entry["reason"]:
            parts.append(Text(f"reason: {entry['reason']}"))
        for line in packed(parts, console.width, between=", ", first=margin, then=margin):
            console.print(line)


def _subject(subject: dict[str, str]) -> list[Text]:
    """To what something was done, in as few words as say it."""
    plain = {name: name.removesuffix("_digest") for name in subject}
    return [
        Text(f"{name if plain[name] in subject else plain[name]} {_short(value)}")
        for name, value in subject.items()
    ]


def _short(value: str) -> str:
    """A digest by its first digits, a time to the second, anything else as it is."""
    if DIGEST.fullmatch(value):
        return value[:SHOWN_DIGITS]
    moment = MOMENT.match(value)
    return moment[0] if moment else value


def _show_schedules(schedules: Sequence[dict[str, Any]], console: Console) -> None:
    columns = ("schedule", "pipeline", "cron", "state", "last fire (UTC)", "next fire (UTC)")
    rows = [
        (
            schedule["name"],
            schedule["pipeline"],
            cron_in_zone(schedule),
            state(schedule),
            shown(schedule["last_fire"]),
            shown(schedule["next_fire"]),
        )
        for schedule in schedules
    ]
    print_rows(console, columns, rows)


def _show_rules(verdict: Verdict, console: Console) -> None:
    """Every rule of a verdict: what was measured beside its limit."""
    rows = [
        (
            rule.name,
            "–" if rule.measured is None else f"{rule.measured:.4g}",
            _interval(rule),
            rule.required_of_it,
            rule.requirement,
            Text(rule.outcome, COLOURS[rule.outcome]),
        )
        for rule in verdict.rules
    ]
    print_rows(console, ("rule", "measured", "95 % interval", "limit", "", "outcome"), rows)


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
    if result.release["status"] == "rolling_out":
        return _after_rollout(result.release["environment"])
    if result.release["environment"] == "production":
        return [
            (
                "classify a folder",
                f"{COMMAND} --infer --environment production --input FOLDER --output predictions.parquet",
            ),
            *_LOOK_AND_STOP,
        ]
    approve = ("approve it for production", f'{COMMAND} --approve {version} --by "YOUR NAME" --reason "…"')
    return [
        ("see data, reports and verdict", dashboard()),
        *([] if result.approved else [approve]),
        *_to_production(version),
        *_further_delivery(result, version, config),
        *_LOOK_AND_STOP,
    ]


def _after_rollout(environment: str) -> list[tuple[str, str]]:
    """What one may do while a version is rolling out."""
    where = f"--environment {environment}"
    return [
        ("look at it now", f"{COMMAND} --observe {where}"),
        ("wait for its end", f"{COMMAND} --observe {where} --wait"),
        ("end it", f"{COMMAND} --rollback {where}"),
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


def _further_delivery(result: PipelineResult, version: int, config: Config) -> list[tuple[str, str]]:
    """The configured one after the first version, which lacks it, else any; none after ``--continuous``."""
    if result.pipeline == "continuous":
        return []
    source = (config.product.source.next_delivery if version == 1 else None) or "PATH"
    return [("send another delivery", f"{COMMAND} --continuous --source {source}")]
