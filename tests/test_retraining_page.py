"""docs/retraining.md says of signals, settings and commands what the code does."""

from __future__ import annotations

import re
import shlex
from typing import get_args

import pytest

from actions.request import Request, check_flags
from materializers.trigger_decision import SignalName
from pipelines.config import load_config
from run import main
from tests.pages import commands_of, rows_of, text_of

PATH = "docs/retraining.md"
PAGE = text_of(PATH)


def test_every_signal_is_explained() -> None:
    """The table has them in the order in which they are asked."""
    named = [name for row in rows_of(PAGE) for name in re.findall(r"`(\w+)`", row[0])]
    assert tuple(named) == get_args(SignalName)


def test_the_settings_are_the_configured_values() -> None:
    """Each that is named with its value has that value; each that is said not to be set is not."""
    config = load_config(None, ())

    def at(path: str) -> object:
        found: object = config
        for part in path.split("."):
            found = getattr(found, part)
        return found

    named = re.findall(r"`((?:trigger|monitor)\.[\w.]+)` \(([\d.]+)\)", PAGE)
    assert len(named) == 11
    for path, value in named:
        assert at(path) == float(value), path
    unset = re.findall(r"`(trigger\.\w+)`, not set", PAGE)
    assert {path: at(path) for path in unset} == {"trigger.new_share": None, "trigger.newer_days": None}


@pytest.mark.parametrize("command", [each for each in commands_of(PATH) if each.startswith("python run.py")])
def test_the_commands_are_taken(command: str) -> None:
    """What they do is tried in tests/whole/test_continuous.py and test_brake.py, and with schedules."""
    context = main.make_context("run.py", shlex.split(command)[2:])
    check_flags(Request(**context.params))
