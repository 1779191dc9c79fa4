"""``--why RUN`` tells a decision's story: on what it was made, what it came to, and who allowed it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from zenml.client import Client

from tests.whole.shop import Outcome, Shop, altered

MOST_LINES = 12


@pytest.fixture(scope="module")
def told(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 was trained, deployed to staging, and approved; then the same delivery came once more."""
    shop = open_shop("told")
    shop.deploy(shop.train())
    assert shop.run(approve=1, by="Ada", reason="looked at the report").exit_code == 0
    assert shop.run(continuous=True, source=str(shop.delivery)).exit_code == 0
    return shop


def run_of(shop: Shop, pipeline: str) -> str:
    """The newest run of a pipeline."""
    (run, *_) = Client().list_pipeline_runs(
        tags=f"model:{shop.model}", pipeline_name=pipeline, sort_by="desc:created"
    )
    return run.name


def why(shop: Shop, run: str) -> Outcome:
    """Its story, which is short and names no digest in full."""
    outcome = shop.run(why=run)
    assert outcome.exit_code == 0, outcome.said
    assert outcome.stderr == ""
    assert len(outcome.last["reasons"]) <= MOST_LINES
    assert re.search("[0-9a-f]{64}", outcome.said) is None
    return outcome


def test_a_decision_says_which_signals_fired_and_which_did_not(told: Shop) -> None:
    """And, as nothing was trained, of no version."""
    name = run_of(told, "continuous")
    outcome = why(told, name)
    data = told.versions()[1]["data_version"]
    assert outcome.last["reasons"][0].startswith(f"{name}: continuous, skipped, began 20")
    assert f"data {data[:12]}: " in outcome.said
    assert "fired: nothing" in outcome.said
    assert re.search(r"did not fire: .*new_data \(.*manual \(", outcome.said)
    assert "decided: do not retrain; " in outcome.said
    assert "learnt from exactly this data" in outcome.said
    details = outcome.last["details"]
    assert (details["run"], details["pipeline"], details["status"]) == (name, "continuous", "skipped")
    assert (details["version"], details["verdict"], details["history"]) == (None, None, [])
    assert details["decision"]["retrain"] is False


def test_a_training_says_what_became_of_its_version(told: Shop) -> None:
    """Its verdict, where it went, and who approved it, from the audit log."""
    outcome = why(told, run_that_made(told, 1))
    tags = told.versions()[1]
    assert "training, completed" in outcome.last["reasons"][0]
    assert re.search(r"verdict: passed, \d+ of \d+ rules held", outcome.said)
    assert "release of version 1 in staging by a pipeline: released on its verdict" in outcome.said
    assert "approve of version 1 by Ada: looked at the report" in outcome.said
    assert f"model {tags['model_digest'][:12]}, report {tags['report_digest'][:12]}" in outcome.said
    details = outcome.last["details"]
    assert [entry["act"] for entry in details["history"]] == ["gate", "release", "approve"]
    assert (details["version"], details["verdict"]) == (1, "passed")


def test_a_deployment_says_where_its_version_went(told: Shop) -> None:
    """By the first letters of its name, as no other run begins with them."""
    name = run_of(told, "deployment")
    outcome = why(told, name[:-3])
    assert outcome.last["details"]["run"] == name
    assert "in staging: version 1 live" in outcome.said


def test_a_look_at_traffic_says_of_each_signal_what_it_came_to(told: Shop) -> None:
    """Here of none enough; ``latest`` is the newest run."""
    assert told.run(monitor=True).exit_code == 0
    outcome = why(told, "latest")
    assert outcome.last["details"]["pipeline"] == "monitoring"
    assert "looked at version 1 in staging, " in outcome.said
    assert re.search(r"insufficient data: .*brightness.*class_shares", outcome.said)
    assert "no alarm" in outcome.said
    assert outcome.last["details"]["monitoring"]["drift"] == "insufficient data"


def test_a_run_that_failed_says_by_what(told: Shop) -> None:
    """The step and its fault, in one line."""
    failed = told.run(train=True, data="f" * 16)
    assert failed.exit_code != 0
    outcome = why(told, failed.last["run"])
    assert outcome.last["reasons"][0].startswith(f"{failed.last['run']}: training, failed, began ")
    assert failed.said in outcome.said


def test_a_report_that_was_damaged_since_is_named(told: Shop) -> None:
    """The rest of the story is told all the same."""
    name = run_of(told, "continuous")
    with altered(told.stored(1, "data_report"), b"{"):
        outcome = told.run(why=run_that_made(told, 1))
    assert outcome.exit_code == 0
    assert "its data report cannot be read any more" in outcome.said
    assert "verdict: passed" in outcome.said
    assert "cannot be read" not in told.run(why=name).said


def run_that_made(shop: Shop, version: int) -> str:
    """The name of the run that registered a version."""
    return Client().get_pipeline_run(shop.versions()[version]["zenml_run"]).name


def test_an_unknown_run_names_the_nearest(told: Shop) -> None:
    """And a beginning that several have names them; exit code 2."""
    name = run_of(told, "continuous")
    wrong = told.run(why=name.replace("continuous", "continous"))
    assert wrong.exit_code == 2
    assert "told has no run 'continous-" in wrong.said
    assert name in wrong.said
    ambiguous = told.run(why="")
    assert ambiguous.exit_code == 2
    assert "More than one run of told" in ambiguous.said
    other = Shop("never-told", told.delivery)
    assert "it has none" in other.run(why=name).said
