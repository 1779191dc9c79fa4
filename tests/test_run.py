"""The examples of ``run.py --help`` are commands that can be typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from actions.request import Request, check_flags
from pipelines.config import load_config
from run import EXAMPLES, main
from tests.conftest import PROJECT

COMMANDS = re.findall(r"^ *(python run\.py .*)$", EXAMPLES, re.M)


def test_there_are_examples() -> None:
    """Else the test below would run on nothing."""
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_works_as_it_is_printed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its flags are known and belong together, its configuration loads, its files are in the repository."""
    monkeypatch.chdir(PROJECT)
    with main.make_context("run.py", shlex.split(command)[2:]) as context:
        request = Request(**context.params)
    check_flags(request)
    config = load_config(request.config, request.assignments)
    of_the_demo = config.product.model == "product-classifier-demo"
    assert of_the_demo or request.schedules, "the sample is learnt from as the demo"
    assert request.source is None or Path(request.source).is_file()


@pytest.mark.parametrize(
    ("twice", "said"),
    [
        (
            "--config configs/demo --config shop.yaml",
            "--config was given 2 times and takes one file or folder",
        ),
        ("--version 1 --version 2", "--version was given 2 times and takes one value"),
        ("--approve=1 --approve 99", "--approve was given 2 times and takes one value"),
        ("--source a.zip --source b.zip --source c.zip", "--source was given 3 times and takes one value"),
        ("--environment production --environment staging", "--environment was given 2 times"),
        ("--data-diff a b --data-diff c d", "--data-diff was given 2 times"),
    ],
)
def test_an_option_that_is_given_twice_is_refused(twice: str, said: str) -> None:
    """Click would take the last one and say nothing of the first."""
    told = CliRunner().invoke(main, [*shlex.split(twice), "--status"])
    assert told.exit_code == 2
    assert said in told.output


def test_what_may_be_given_often_may() -> None:
    """Settings, pictures, and a flag that says yes twice."""
    words = shlex.split("--set train.epochs=1 --set train.seed=2 --predict --predict a.png b.png")
    with main.make_context("run.py", words) as context:
        assert context.params["assignments"] == ("train.epochs=1", "train.seed=2")
        assert (context.params["predict"], context.params["photos"]) == (True, ("a.png", "b.png"))


def test_a_python_without_the_projects_packages_is_told_how_to_get_them() -> None:
    """The environment was not activated: exit code 2 and the commands, no traceback."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROJECT / "run.py"), "--status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "make setup && source .venv/bin/activate" in line
