"""Bring up again what is live and does not answer: no rollout goes on, or ends, beside an outage unseen."""

from __future__ import annotations

from contextlib import suppress

from materializers.errors import ServiceBusy, ServiceFailed, ShutterlineError
from materializers.release import Environment, Release
from steps.deployment.deployer import active_deployer
from steps.deployment.observe import judge_service


def bring_up(model_name: str, environment: Environment, *, done: str) -> str | None:
    """Have what is live answer a picture at its URL; nothing starts where it does.

    Args:
        model_name: the registered model.
        environment: where.
        done: what the command did until now, in sentences; a failure says that, too.

    Returns:
        That it did not answer and was brought up again; None where it answers, or nothing is live.

    Raises:
        ServiceFailed: it does not answer, and could not be brought up.
        ServiceUnreachable: what runs cannot be known.
    """
    said = ""
    try:
        live = active_deployer().current(model_name, environment)
        if live is None or live.candidate is None or _answers(live):
            return None
        version = live.candidate.version
        said = f"Version {version} is live in {environment}, and {live.url} did not answer as that version"
        mend = f"python run.py --deploy --environment {environment} --version {version}"
        try:
            up = _answers(active_deployer().restore(live))
        except ShutterlineError as error:
            raise ServiceFailed(f"{said}; it was not brought up again: {error} Try again: {mend}") from error
        if not up:
            raise ServiceFailed(f"{said}, nor does it since it was brought up again. Try again: {mend}")
    except ShutterlineError as error:
        raise type(error)(f"{done} {error}".strip()) from error
    return f"{said}; it was brought up again."


def _answers(live: Release) -> bool:
    """Whether a release answers as its version; one that only has no time is up."""
    with suppress(ServiceBusy):
        return judge_service(live) == "promote"
    return True
