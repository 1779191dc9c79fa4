"""Wait for the end of a rollout: look at it again and again, and show what is observed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from actions.schedules import scheduler_missing
from actions.tables import plain_console
from materializers.errors import ShutterlineError
from materializers.redaction import visible
from materializers.release import Environment
from steps.deployment.schedule import find_look
from steps.orchestrator import find_orchestrator

if TYPE_CHECKING:
    from pipelines.results import PipelineResult

POLL_S = 0.2


def is_rolling_out(result: PipelineResult) -> bool:
    """Whether a deployment left its candidate beside the champion."""
    return result.release is not None and result.release["status"] == "rolling_out"


def wait_for_end(
    result: PipelineResult,
    look: Callable[[], PipelineResult],
    *,
    model: str,
    seconds: float,
    say: Callable[[str], None],
    console: Console | None = None,
) -> PipelineResult:
    """Look at a rollout until it has ended, and return what the last look came to.

    A look that came to a fault ends the waiting; the rollout goes on.

    Args:
        result: of the deployment that began it, or of a look at it.
        look: looks once.
        model: the registered model.
        seconds: between two looks.
        say: takes one line for a person.
        console: shows what is observed; standard error, where it is a terminal a line that is replaced.

    Raises:
        KeyboardInterrupt: after it was said what goes on.
    """
    shown = console or plain_console(sys.stderr)
    environment: Environment = result.release["environment"] if result.release else "staging"
    try:
        while is_rolling_out(result):
            _print(result, shown)
            _sleep(seconds, shown)
            result = look()
    except KeyboardInterrupt:
        say(_goes_on(result, model, environment))
        raise
    return result


def _print(result: PipelineResult, console: Console) -> None:
    release = result.release or {}
    moment = f"{datetime.now(UTC):%H:%M:%S} UTC"
    where = f"version {release.get('version')}, {release.get('mode')} at {release.get('share', 0):.0%}"
    said = " ".join(result.reasons) or "nothing was observed yet"
    console.print(visible(f"{moment}  {where}: {said}"))


def _sleep(seconds: float, console: Console) -> None:
    """Wait, and show for how long still where a person watches."""
    ends = time.monotonic() + seconds
    with console.status("") as status:
        while (left := ends - time.monotonic()) > 0:
            status.update(f"the next look in {left:.0f} s; Ctrl-C stops waiting, and nothing else")
            time.sleep(min(POLL_S, left))


def _goes_on(result: PipelineResult, model: str, environment: Environment) -> str:
    """What becomes of a rollout that nobody waits for any more."""
    version = result.release["version"] if result.release else None
    said = f"Version {version} goes on rolling out in {environment}: {looked_at_by(model, environment)}"
    return f"{said}. End it: python run.py --rollback --environment {environment}"


def looked_at_by(model: str, environment: Environment) -> str:
    """What looks at a rollout, or that nothing does, with the command that does."""
    by_hand = f"python run.py --observe --environment {environment}"
    try:
        orchestrator, schedule = find_orchestrator(), find_look(model, environment)
        if orchestrator is None or schedule is None:
            return f"no schedule looks at it; by hand: {by_hand}"
        if schedule.paused:
            return f"its schedule {schedule.name} is paused: python run.py --pause {schedule.name}"
        missing = scheduler_missing(orchestrator, [schedule])
    except ShutterlineError as error:
        return f"what looks at it cannot be read ({error}); by hand: {by_hand}"
    if missing:
        return f"its schedule {schedule.name} is there. {missing}; by hand: {by_hand}"
    due = f", next at {schedule.next_fire:%H:%M} UTC" if schedule.next_fire else ""
    return f"the schedule {schedule.name} looks at it{due}"
