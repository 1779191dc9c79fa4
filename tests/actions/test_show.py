"""What is printed for a person: the commands that follow, and messages in the caller's own words."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from actions.result import ActionResult, in_full
from actions.show import next_commands, show
from actions.status import Status, Waiting
from materializers.verdict import Verdict
from pipelines.config import CONFIGS, Config, load_config
from pipelines.results import PipelineResult
from steps.registry.register import LEARNT
from tests.materializers.examples import data_diff, erasure, rule, verdict


@pytest.fixture(scope="module")
def config() -> Config:
    """The product's configuration."""
    return load_config(None, ())


def result(pipeline: str, **values: Any) -> PipelineResult:
    """A pipeline's result that completed, but for ``values``."""
    return PipelineResult(**{"pipeline": pipeline, "run": "r", "status": "completed", "version": 3, **values})


def live(environment: str) -> dict[str, Any]:
    """The release of a version that is live."""
    return {"environment": environment, "status": "live", "version": 3, "url": "http://127.0.0.1/"}


def commands(found: list[tuple[str, str]]) -> str:
    """The commands alone, one a line."""
    return "\n".join(command for _, command in found)


def test_a_message_names_the_command_with_the_callers_own_flags() -> None:
    """Advice can be copied: it carries --config, --set and --stack of the call that failed."""
    said = in_full("Approve it: python run.py --approve 3", "python run.py --config shop.yaml")
    assert said == "Approve it: python run.py --config shop.yaml --approve 3"


def test_a_command_that_is_whole_stays_as_it_is() -> None:
    """A schedule's names its configuration itself, and none may be given twice."""
    fired = "monitoring-shop: python run.py --monitor --environment production --config shop.yaml"
    assert in_full(fired, "python run.py --config other.yaml") == fired
    both = in_full(f"python run.py --status, or: {fired}", "python run.py --config other.yaml")
    assert both == f"python run.py --config other.yaml --status, or: {fired}"


def test_the_status_shows_what_a_person_decided(capsys: pytest.CaptureFixture[str]) -> None:
    """A version that is live and was rejected since says both, and what it learnt from."""
    metrics = {"accuracy": 0.96, "f1_macro": 0.96, "latency_p99_ms": 4.0}
    versions = [
        {"version": number, "aliases": list(aliases), "verdict": "passed", "metrics": metrics}
        for number, aliases in ((2, ()), (1, ("champion",)))
    ]
    status = Status(
        stack="local",
        model="m",
        models=tuple(versions),
        deployments=(),
        runs=(),
        schedules=(),
        decisions={1: "rejected by Ada: trousers are missed"},
        data={1: "ab" * 32},
        last_data="cd" * 32,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "__stdout__", sys.stdout)
        show(status, command="python run.py")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("1 ") and "champion" in line and "rejected by Ada" in line for line in lines)
    assert any(line.startswith("2 ") and line.rstrip().endswith("–") for line in lines)
    assert any(line.startswith("1 ") and " abababababab " in line for line in lines)
    assert "last accepted data: cdcdcdcdcdcd" in lines
    assert "decisions" not in status.model_dump(mode="json")  # what --json prints is the design's


def test_the_status_shows_since_when_what_was_looked_at_and_what_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line each, digests short, commands as the caller would type them."""
    due = "2026-12-01T02:00:00Z"
    status = Status(
        stack="local",
        model="m",
        models=(),
        deployments=(
            {
                **{"environment": "production", "version": 2, "url": "http://127.0.0.1/", "healthy": True},
                **{"since": "2026-11-28T09:30:00+00:00", "data": "ab" * 32},
            },
        ),
        runs=(),
        schedules=(),
        next_run={"schedule": "daily-check-m", "pipeline": "monitoring", "at": due},
        monitoring=(
            {
                **{"environment": "production", "version": 2, "until": "2026-11-30T02:00:00+00:00"},
                **{"age_hours": 10.2, "alarm": True, "drift": "drift", "drifting": ["embeddings"]},
                **{"performance": "no drop", "current_accuracy": 0.9312, "num_predictions": 10400},
            },
        ),
        waiting=(Waiting(kind="approval", reason="Version 3 passed: python run.py --approve 3"),),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "__stdout__", sys.stdout)
        show(status, command="python run.py --config shop.yaml")
    printed = capsys.readouterr().out
    assert "production: version 2, healthy, http://127.0.0.1/\n" in printed
    assert "  since 2026-11-28 09:30 UTC, learnt from data abababababab\n" in printed
    assert (
        "production: monitored until 2026-11-30 02:00 UTC, 10 h ago, version 2, 10,400 pictures: "
        "drift (embeddings); performance: no drop, accuracy 0.931\n"
    ) in printed
    assert "next run: daily-check-m at 2026-12-01 02:00 UTC\n" in printed
    said = "Version 3 passed: python run.py --config shop.yaml --approve 3"
    assert f"waits for a person (approval): {said}\n" in printed


def test_a_passed_version_may_go_to_staging(config: Config) -> None:
    """After training, the version that was just made is proposed for release."""
    found = next_commands(result("training", verdict="passed"), config)
    assert commands(found) == "python run.py --deploy --version 3"


def test_a_version_that_was_not_made_is_not_proposed_for_release(config: Config) -> None:
    """A run that made none proposes nothing."""
    assert next_commands(result("training", verdict="passed", version=None), config) == []


@pytest.mark.parametrize("pipeline", ["training", "continuous", "deployment"])
@pytest.mark.parametrize(("status", "exit_code"), [("refused", 3), ("failed", 1)])
def test_after_a_refusal_or_a_fault_the_reports_of_the_run_are_next(
    config: Config, pipeline: str, status: str, exit_code: int
) -> None:
    """And no release; where no run began, the reason alone says what mends it."""
    found = result(pipeline, status=status, exit_code=exit_code, verdict="refused", run="training-1")
    assert next_commands(found, config) == [("see the reports of training-1", "make dashboard")]
    assert next_commands(found.model_copy(update={"run": None}), config) == []


def test_staging_proposes_an_approval_before_production(config: Config) -> None:
    """The approval comes first, and the service can be stopped."""
    text = commands(next_commands(result("deployment", release=live("staging")), config))
    assert text.index("--approve 3") < text.index("--deploy --version 3 --environment production")
    assert text.startswith("make dashboard")
    assert text.endswith("--stop")
    assert "--continuous --source PATH" in text


def test_what_is_approved_already_is_proposed_for_production_alone(config: Config) -> None:
    """Nobody is asked again for what he gave."""
    text = commands(next_commands(result("deployment", release=live("staging"), approved=True), config))
    assert "--approve" not in text
    assert "--deploy --version 3 --environment production" in text


def test_the_demo_proposes_its_second_delivery() -> None:
    """After the first version, so the command can be copied; a later one may have learnt from it."""
    sample = load_config(CONFIGS / "demo", ())
    first, later = (
        commands(next_commands(result("deployment", version=number, release=live("staging")), sample))
        for number in (1, 2)
    )
    taken = commands(next_commands(result("continuous", release=live("staging")), sample))
    assert "--continuous --source data/second-delivery.zip" in first
    assert "--continuous --source PATH" in later
    assert "--continuous" not in taken


def test_production_is_not_proposed_once_it_is_live(config: Config) -> None:
    """What was just done is not advised again."""
    text = commands(next_commands(result("deployment", release=live("production")), config))
    assert "--approve" not in text
    assert "--deploy" not in text


ROLLING = {"status": "rolling_out", "version": 3, "mode": "canary", "share": 0.1, "url": "http://127.0.0.1/"}


def test_what_is_rolling_out_proposes_to_look_wait_or_end_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its environment; and the result says what it answers, and first that it has not ended."""
    found = result("deployment", release={**ROLLING, "environment": "production"}, reasons=("12 of 500",))
    text = commands(next_commands(found, config))
    assert "--observe --environment production --wait" in text
    assert "--rollback --environment production" in text
    told = shown(found, monkeypatch)
    assert told.startswith("deployment: rolling out, version 3\n")
    assert "rolling out in production, canary at 10%: http://127.0.0.1/" in told
    assert "12 of 500" in told


def status_of_a_rollout(until: str) -> Status:
    """Of one that began at 08:30 and was looked at by what it answered until then."""
    rolling = {
        **ROLLING,
        "environment": "production",
        "champion": 2,
        "stage": 0,
        "since": "2026-11-29T08:30:11+00:00",
        "healthy": True,
        "observed": {
            "answer": "continue",
            "reasons": ["accuracy: 3 labels so far"],
            "requests": 1234,
            "champion_requests": 11000,
            "until": until,
            "deadline": "2026-12-06T08:30:11+00:00",
        },
        "looked_at_by": "no schedule looks at it; by hand: python run.py --observe",
    }
    return Status(
        stack="local", model="m", models=(), deployments=(), rollouts=(rolling,), runs=(), schedules=()
    )


def test_the_status_shows_what_is_rolling_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside which version, how far, since when, and what looks at it."""
    told = shown(status_of_a_rollout("2026-11-29T08:35:11+00:00"), monkeypatch)
    assert (
        "production: version 3 is rolling out beside version 2, canary at 10%, stage 1, since "
        "2026-11-29 08:30 UTC, healthy"
    ) in told
    assert (
        "1,234 requests of it and 11,000 of the champion until 2026-11-29 08:35 UTC, what is younger counts "
        "later: continue" in told
    )
    assert "accuracy: 3 labels so far" in told
    assert "decided at 2026-12-06 08:30 UTC at the latest" in told
    assert "by hand: python run.py --observe" in told


def test_a_look_before_anything_counts_names_no_time_before_the_rollout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was answered counts some minutes later: until then nothing of this rollout does."""
    told = shown(status_of_a_rollout("2026-11-29T08:28:11+00:00"), monkeypatch)
    assert "what it answered was too young to count at the last look: continue" in told
    assert "08:28" not in told


def test_an_approval_proposes_the_release(config: Config) -> None:
    """An approval moves nothing, so the command that does is next."""
    approved = ActionResult(action="approve", status="done", details={"version": 3})
    assert commands(next_commands(approved, config)).endswith("--deploy --version 3 --environment production")


def shown(found: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is printed of a result."""
    printed = io.StringIO()
    monkeypatch.setattr(sys, "__stdout__", printed)
    show(found, command="python run.py")
    return printed.getvalue()


NAME = "a[/b] :bag: [red].png"
"""The path of a photograph, or a class, that a printer with markup would choke on or alter."""


def test_the_names_of_photographs_are_printed_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the table and in the reasons."""
    prediction = {
        "photo": NAME,
        "label": NAME,
        "abstained": False,
        "probability": 0.9,
        "latency_ms": 3.0,
        "model_version": "3",
    }
    act = ActionResult(
        action="predict", status="done", reasons=(NAME,), details={"predictions": [prediction]}
    )
    assert shown(act, monkeypatch).count(NAME) == 3


def test_the_names_of_classes_are_printed_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the table of rules; the outcome stands beside them without markup around it."""
    full: Verdict = verdict(rule(0.9, rule="recall", subject=NAME))
    found = result("training", verdict="passed", full_verdict=full, reasons=(NAME,))
    text = shown(found, monkeypatch)
    assert f"recall of {NAME}" in text
    assert "training: completed, version 3, verdict passed" in text
    assert text.count(NAME) == 2


def test_a_run_tells_the_version_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many digits as ``--data`` and ``--data-diff`` take; nothing where it accepted none."""
    assert "  data: abababababab\n" in shown(result("training", data="ab" * 32), monkeypatch)
    assert "data:" not in shown(result("deployment"), monkeypatch)


OBEYED = "bag\x1b[2J\r\x07\u202egnp"
"""The name of a class that would clear a terminal's screen."""


def test_what_a_terminal_would_obey_is_printed_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """In reasons, in the cells of a table, and in the command that is proposed; nothing of it is dropped."""
    full: Verdict = verdict(rule(0.9, rule="recall", subject=OBEYED))
    rows = [{"name": OBEYED, **dict.fromkeys(("before", "added", "withdrawn", "after"), 1)}]
    rows[0] |= dict.fromkeys(("relabelled_from", "relabelled_to"), 0)
    act = ActionResult(
        action="data-diff",
        status="done",
        details={"classes": rows, "columns": {OBEYED: 3}},
        reasons=(OBEYED,),
    )
    text = shown(result("training", verdict="passed", full_verdict=full, reasons=(OBEYED,)), monkeypatch)
    for found, times in ((text, 2), (shown(act, monkeypatch), 3)):
        assert found.count(r"bag\x1b[2J\r\x07\u202egnp") == times
        assert not {"\x1b", "\r", "\x07", "\u202e"} & set(found)


def printed(done: ActionResult, capsys: pytest.CaptureFixture[str]) -> str:
    """What a person reads of an act."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "__stdout__", sys.stdout)
        show(done, command="python run.py")
    return " ".join(capsys.readouterr().out.split())


def test_a_difference_is_a_table_of_classes(capsys: pytest.CaptureFixture[str]) -> None:
    """Before, what changed, after, per class; other columns below."""
    details = data_diff().model_dump(mode="json")
    said = printed(ActionResult(action="data-diff", status="done", details=details), capsys)
    assert "class before added withdrawn relabelled from relabelled to after" in said
    assert "tops 1,600 2 1 1 0 1,600" in said
    assert "column price: 4 pictures say something else" in said


def test_what_nothing_refers_to_is_listed_with_its_size_age_and_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A person sees what --apply would remove."""
    found = [
        {"kind": "shard", "name": "a.arrow", "bytes": 1234, "age_hours": 50.2, "why": "no dataset names it"}
    ]
    said = printed(ActionResult(action="collect", status="done", details={"found": found}), capsys)
    assert "shard a.arrow 1,234 50 h no dataset names it" in said


def test_a_compaction_shows_shards_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a dataset."""
    row = {"version": "ab" * 32, "shards_before": 31, "shards_after": 2, "bytes_written": 5000}
    said = printed(ActionResult(action="compact", status="done", details={"datasets": [row]}), capsys)
    assert "abababababab 31 2 5,000" in said


def test_an_erasure_lists_the_models_that_learnt_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Version, data and aliases of each."""
    details = erasure().model_dump(mode="json")
    said = printed(ActionResult(action="forget", status="done", details=details), capsys)
    assert "product-classifier 3 d4d4d4d4d4d4 champion" in said


def test_after_a_readmission_one_may_train_on_it(config: Config) -> None:
    """The version that was made is in the command."""
    done = ActionResult(action="readmit", status="done", details={"data": "ab" * 32})
    assert commands(next_commands(done, config)) == "python run.py --train --data abababababababab"


def at_80_columns(found: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return shown(found, monkeypatch).splitlines()


def test_a_narrow_terminal_shows_every_rule_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest names of the product's policy, with number, interval, limit and outcome, on few lines."""
    names = [*load_config(None, ()).policy.rules]
    rules = [rule(0.0133, rule=name, interval=(-0.00461, 0.03128), compare="lower") for name in names]
    found = result("training", verdict="refused", full_verdict=verdict(*rules, outcome="refused"))
    *lines, last = at_80_columns(found, monkeypatch)
    assert last == "training: completed, version 3, verdict refused"
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 3 * len(names)
    for name in names:
        assert any(line.startswith(f"rule: {name} | measured: 0.0133") for line in lines), name
    for said in (
        "95 % interval: -0.00461 – 0.03128",
        "limit: lower bound >= 0.8",
        "required",
        "outcome: refused",
    ):
        assert " ".join(lines).count(said) == len(names)


def test_an_entry_of_the_log_takes_at_most_four_lines_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With all that a training and a release log: to what it was done, by whom, why."""
    about = {"model": "product-classifier-demo", "version": "12"}
    learnt = dict.fromkeys(LEARNT, "5d" * 32)
    released = {
        **about,
        "environment": "production",
        **dict.fromkeys(("model_digest", "verdict_digest", "approval_digest"), "5d" * 32),
        "from_version": "11",
        "since": "2026-11-29T08:30:10.654321+00:00",
    }
    entry = {"at": "2026-11-29T08:30:11.123456+00:00", "actor": "default", "by": "a pipeline"}
    logged = (
        {**entry, "number": 7, "act": "train", "subject": {**about, **learnt}, "reason": "continuous"},
        {**entry, "number": 107, "act": "release", "subject": released, "reason": "released on its verdict"},
    )
    act = ActionResult(action="audit", status="done", details={"entries": logged})
    assert at_80_columns(act, monkeypatch) == [
        "audit: done",
        "  7  2026-11-29 08:30:11 UTC  train by a pipeline (default)",
        "     model product-classifier-demo, version 12, model_digest 5d5d5d5d5d5d",
        "     data_version 5d5d5d5d5d5d, splits 5d5d5d5d5d5d, configuration 5d5d5d5d5d5d",
        "     code 5d5d5d5d5d5d, reason: continuous",
        "107  2026-11-29 08:30:11 UTC  release by a pipeline (default)",
        "     model product-classifier-demo, version 12, environment production",
        "     model_digest 5d5d5d5d5d5d, verdict 5d5d5d5d5d5d, approval 5d5d5d5d5d5d",
        "     from_version 11, since 2026-11-29T08:30:10, reason: released on its verdict",
    ]


def test_the_digests_of_a_version_are_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An auditor compares them to the last digit."""
    digests = {name: f"{number:064x}" for number, name in enumerate(("data", "evaluation report"))}
    act = ActionResult(action="lineage", status="done", details={"digests": digests, "history": []})
    lines = at_80_columns(act, monkeypatch)
    assert lines[1:] == ["digest of: data", "  " + "0" * 64, "digest of: evaluation report", f"  {1:064x}"]


def test_a_status_names_runs_and_schedules_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--pause and the dashboard take the whole name."""
    name = "training-product-classifier-2026-11-29-08-30-11-123456-a-long-name"
    schedule = {
        "name": name,
        "pipeline": "continuous",
        "cron": "0 2 * * 1",
        "paused": False,
        "time_zone": "UTC",
    }
    schedule |= {"time_zone": "UTC", "last_fire": None, "next_fire": "2026-11-30T02:00:00+00:00"}
    run = {"name": name, "status": "completed", "started": "2026-11-29T08:30:11+00:00"}
    status = Status(stack="local", model="m", models=(), deployments=(), runs=(run,), schedules=(schedule,))
    lines = at_80_columns(status, monkeypatch)
    assert max(map(len, lines)) <= 80
    assert f"latest run: {name}" in lines[3]
    assert lines[4] == "  status: completed | started (UTC): 2026-11-29T08:30:11"
    assert f"schedule: {name}" in lines[5]
    assert "next fire (UTC): 2026-11-30 02:00" in lines[-1]


def test_a_cron_expression_in_a_time_zone_stands_below_no_other_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The column says no zone: each expression that is not in UTC says its own."""
    common = {"pipeline": "monitoring", "paused": False, "last_fire": None, "next_fire": None}
    rows = [
        {"name": "a", "cron": "0 2 * * 1", "time_zone": "UTC", **common},
        {"name": "b", "cron": "30 5 * * 1-5", "time_zone": "Europe/Berlin", **common},
    ]
    act = ActionResult(action="schedules", status="done", details={"schedules": rows, "differences": []})
    said = shown(act, monkeypatch)
    assert "cron (UTC)" not in said
    assert "30 5 * * 1-5 in Europe/Berlin" in said


def test_an_entry_names_the_account_where_the_name_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, where they are the same; without a reason none is said."""
    entry = {"number": 1, "at": "2026-11-29T08:30:11+00:00", "act": "stop", "subject": {"model": "m"}}
    told = [
        {**entry, "actor": "ada", "by": "ada", "reason": ""},
        {**entry, "actor": "ada", "by": "Ada L", "reason": "late"},
    ]
    act = ActionResult(action="audit", status="done", details={"entries": told})
    assert shown(act, monkeypatch).splitlines()[1:] == [
        "1  2026-11-29 08:30:11 UTC  stop by ada",
        "   model m",
        "1  2026-11-29 08:30:11 UTC  stop by Ada L (ada)",
        "   model m, reason: late",
    ]
