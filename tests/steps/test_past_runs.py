"""Of runs of one pipeline for one model that are going at once, the earliest joins data and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from zenml import pipeline, step

from materializers.errors import Refused
from steps.past_runs import refuse_beside_earlier
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
def join(model: str, later: str) -> str:
    """Why it may not join, perhaps after another run began; empty where it may."""
    if later:
        leave_open(later, model)
    try:
        refuse_beside_earlier(model)
    except Refused as refusal:
        return str(refusal)
    return ""


@pipeline(name="killed")
def joining(model: str, later: str = "") -> None:
    """One step."""
    join(model, later)


def refusal(model: str, later: str = "") -> str:
    """What a run of the same pipeline that begins now is told."""
    run = joining.with_options(tags=[f"model:{model}"])(model, later)
    assert run is not None
    said: str = run.steps["join"].output.load()
    return said


@pytest.mark.usefixtures("own_stack")
def test_an_earlier_run_that_may_be_going_is_not_joined_beside(zenml_client: Client) -> None:
    """It is named, with its pipeline and model; another model's runs, and an ended one, keep nothing back."""
    from pipelines.session import close_run

    name, model = f"earlier-{os.getpid()}", f"bags-{os.getpid()}"
    leave_open(name, model)
    assert f"Run {name} of pipeline killed for {model} began on " in refusal(model)
    assert refusal(f"another-{model}") == ""
    close_run(zenml_client.get_pipeline_run(name))
    assert refusal(model) == ""


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
    refuse_beside_earlier("bags")
