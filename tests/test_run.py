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


def test_a_second_configuration_is_refused() -> None:
    """Click would take the last one and say nothing of the first."""
    told = CliRunner().invoke(main, ["--config", "configs/demo", "--config", "shop.yaml", "--status"])
    assert told.exit_code == 2
    assert "--config was given 2 times and takes one file or folder" in told.output


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
