"""docs/monitoring.md says of signals and settings what the code does."""

from __future__ import annotations

import re
import shlex

import pytest

from actions.request import Request, check_flags
from pipelines.config import load_config
from run import main
from tests.pages import commands_of, rows_of, text_of
from tests.steps.monitoring.drift.test_drift_signals import REFERENCE, compared

PATH = "docs/monitoring.md"
PAGE = text_of(PATH)


def test_every_signal_is_explained() -> None:
    """The table has the signals of a report, each once."""
    named = [name for row in rows_of(PAGE) for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(compared(REFERENCE))


def test_the_settings_are_the_configured_values() -> None:
    """Each that is named with its value has that value."""
    config = load_config(None, ())
    named = re.findall(r"`monitor\.([\w.]+)` \(([\d.]+)\)", PAGE)
    assert len(named) == 15
    for path, value in named:
        found: object = config.monitor
        for part in path.split("."):
            found = getattr(found, part)
        assert float(value) == found, path


@pytest.mark.parametrize("command", [each for each in commands_of(PATH) if each.startswith("python run.py")])
def test_the_commands_are_taken(command: str) -> None:
    """What they do is tried in tests/whole/test_monitoring.py and by the tests of schedules."""
    context = main.make_context("run.py", shlex.split(command)[2:])
    check_flags(Request(**context.params))
