"""Of runs of one pipeline for one model that are going at once, the earliest joins data and no other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from zenml import pipeline, step

from materializers.errors import Refused
from steps.past_runs import wait_for_earlier
from tests.stacks.local_orchestrator.stack import make_stack

if TYPE_CHECKING:
    from zenml.client import Client

OPEN_RUN = Path(__file__).resolve().parents[1] / "pipelines" / "killed_run.py"
"""A run that stays open in ZenML: its process is gone."""


def leave_open(name: str, model: str) -> None:
    """Begin a run of the pipeline ``killed`` for a model that no word of its end ever comes from."""
    ended = subprocess.run(
        [sys.executable, str(OPEN_RUN), name, "0", f"model:{model}"], check=False, timeout=120
    )
    assert ended.returncode == -9


@step(enable_cache=False)
def join(model: str, later: str, ends: str) -> str:
    """Why it may not join, perhaps after another run began, or while one ends; empty where it may."""
    if later:
        leave_open(later, model)
    if ends:
        threading.Timer(1.0, end, [ends]).start()
    try:
        wait_for_earlier(model, patience_s=60 if ends else 0)
    except Refused as refusal:
        return str(refusal)
    return ""


def end(name: str) -> None:
    """Close a run that is open."""
    from zenml.client import Client

    from pipelines.session import close_run

    close_run(Client().get_pipeline_run(name))


@pipeline(name="killed")
def joining(model: str, later: str = "", ends: str = "") -> None:
    """One step."""
    join(model, later, ends)


def refusal(model: str, later: str = "", ends: str = "") -> str:
    """What a run of the same pipeline that begins now is told."""
    run = joining.with_options(tags=[f"model:{model}"])(model, later, ends)
    assert run is not None
    said: str = run.steps["join"].output.load()
    return said


@pytest.mark.usefixtures("own_stack")
def test_an_earlier_run_that_may_be_going_is_not_joined_beside() -> None:
    """It is named, with its model; another model's runs, and an ended one, keep nothing back."""
    name, model = f"earlier-{os.getpid()}", f"bags-{os.getpid()}"
    leave_open(name, model)
    said = refusal(model)
    assert f"Run {name} for {model} began on " in said
    assert "took nothing in" in said
    assert refusal(f"another-{model}") == ""
    end(name)
    assert refusal(model) == ""


@pytest.mark.usefixtures("own_stack")
def test_an_earlier_run_is_waited_for() -> None:
    """Two schedules of a cluster that overlap lose no run by it."""
    name, model = f"ending-{os.getpid()}", f"coats-{os.getpid()}"
    leave_open(name, model)
    assert refusal(model, ends=name) == ""


@pytest.mark.usefixtures("own_stack")
def test_a_run_that_began_later_keeps_no_earlier_one_back() -> None:
    """Of two, one goes on: not neither of them."""
    assert refusal(f"hats-{os.getpid()}", later=f"later-{os.getpid()}") == ""


def test_a_run_whose_process_is_gone_keeps_nothing_back(
    zenml_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The orchestrator that carried it says so: whoever was killed can begin anew at once."""
    stack = make_stack(zenml_client, f"turns-{os.getpid()}", tmp_path)
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", str(stack))
    model = f"shoes-{os.getpid()}"
    leave_open(f"gone-{os.getpid()}", model)
    assert refusal(model) == ""


def test_outside_of_a_run_nothing_is_kept_back() -> None:
    """A step that is called as a function joins what it is given."""
    wait_for_earlier("bags", patience_s=60)
