"""Decide whether to retrain, with the reasons for it and what held it back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Annotated

from zenml import get_step_context, step

from materializers.alert import Alert
from materializers.image_dataset import ImageDataset
from materializers.trigger_decision import HoldName, Signal, Signals, TriggerDecision
from steps.monitoring.alerts.alert import clear_alert, raise_alert
from steps.monitoring.triggers.settings import TriggerSettings
from steps.registry.audit import PIPELINE, record

BRAKED, EXHAUSTED = "retraining_braked", "budget_exhausted"
"""What people have to hear of, where it holds a retraining back; a cooldown passes by itself."""


def decide_retraining(found: Signals, *, data: str, settings: TriggerSettings) -> TriggerDecision:
    """Retrain when enough signals fired, unless the data was learnt from already or something holds it back.

    The first version asks neither for signals nor for a policy, but is held back like any other: a training
    that crashes every time goes past no budget.

    A version that an interrupted ``--continuous`` trained on exactly this data, and that passed but never
    reached staging, is named in ``finish_version`` instead of being trained again; one that a person rolled
    back or rejected is not.

    Args:
        found: the signals, what holds, and the last registered version.
        data: version of the dataset that a retraining would use.
        settings: the policy, and whether a person asked.
    """
    fired, last = asked_for(found.signals, settings), found.last

    def decision(
        retrain: bool,
        reasons: Iterable[str],
        *,
        held_by: Iterable[HoldName] = (),
        finish_version: int | None = None,
    ) -> TriggerDecision:
        return TriggerDecision(
            retrain=retrain,
            signals=found.signals,
            holds=found.holds,
            held_by=tuple(held_by),
            reasons=tuple(reasons),
            data=data,
            finish_version=finish_version,
        )

    if last is not None and last.data == data and not settings.manual:
        passed = last.origin == "continuous" and last.verdict == "passed"
        unfinished = passed and not last.released and not last.rejected
        reason = f"version {last.version} learnt from exactly this data"
        if unfinished:
            reason += "; it passed and was not staged yet, so it is staged now"
        return decision(False, (reason,), finish_version=last.version if unfinished else None)
    lacking = None if last is None else lacking_for_policy(found.signals, settings)
    if lacking is not None:
        shown = [signal.reason for signal in found.signals if signal.fired]
        said = shown or [signal.reason for signal in found.signals if signal.name in settings.signals]
        return decision(False, (lacking, *said))
    holding = [hold for hold in found.holds if hold.holds]
    reasons = (*(hold.reason for hold in holding), *fired)
    return decision(not holding, reasons, held_by=[hold.name for hold in holding])


def lacking_for_policy(signals: Sequence[Signal], settings: TriggerSettings) -> str | None:
    """What of the signals is lacking for a retraining; None where they are enough.

    A person's wish is enough, whatever the policy.
    """
    names = [signal.name for signal in signals if signal.fired]
    if "manual" in names:
        return None
    counted = [name for name in settings.signals if name in names]
    if settings.policy == "weighted":
        weight = sum(settings.weight(name) for name in counted)
        enough = weight >= settings.weight_needed
        return None if enough else f"what fired weighs {weight:g}, {settings.weight_needed:g} is needed"
    if settings.policy == "all":
        silent = [name for name in settings.signals if name not in names]
        return f"the policy asks for all of them; silent: {', '.join(silent)}" if silent else None
    if counted:
        return None
    return "no signal that counts fired (trigger.signals)" if names else "no signal fired"


def asked_for(signals: Sequence[Signal], settings: TriggerSettings) -> list[str]:
    """The reasons of the signals that fired and count; a person's wish always does."""
    counted = {*settings.signals, "manual"}
    return [signal.reason for signal in signals if signal.fired and signal.name in counted]


def tell_held(decision: TriggerDecision, model_name: str, settings: TriggerSettings) -> None:
    """Tell people that a retraining was asked for and does not begin before one of them acts; or that it may.

    That the brake holds is logged once for the newest version of its row: after a release the next row is
    another one.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the audit log cannot be written.
    """
    holding = {hold.name: hold for hold in decision.holds if hold.holds}
    asked = [f"asked for: {reason}" for reason in asked_for(decision.signals, settings)]
    brake, spent = holding.get("brake"), [each for name, each in holding.items() if name.startswith("budget")]
    if "brake" in decision.held_by and brake is not None:
        about = {
            "model": model_name,
            "version": str(brake.version),
            "row": f"{brake.value:g}",
            "limit": f"{brake.limit:g}",
        }
        record("brake", about, by=PIPELINE, reason=brake.reason, once=True)
        said = (brake.reason, *asked)
        raise_alert(Alert(name=BRAKED, severity="critical", model_name=model_name, reasons=said))
    elif brake is None:
        clear_alert(BRAKED, model_name, reason="The brake does not hold any more.")
    if decision.held_by and spent:
        said = (*(hold.reason for hold in spent), *asked)
        raise_alert(Alert(name=EXHAUSTED, severity="warning", model_name=model_name, reasons=said))
    elif not spent:
        clear_alert(EXHAUSTED, model_name, reason="This month's budget has room.")


@step(enable_cache=False)
def decide(
    dataset: ImageDataset | None, found: Signals | None, settings: TriggerSettings, model_name: str
) -> tuple[
    Annotated[TriggerDecision | None, "decision"],
    Annotated[ImageDataset | None, "training_dataset"],
]:
    """Decide, write that to the audit log, and hand the dataset on only where the answer is yes.

    Where only the brake or the budget keeps a retraining from beginning, people are told.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be written.
    """
    if dataset is None or found is None:
        return None, None
    decision = decide_retraining(found, data=dataset.version, settings=settings)
    run = get_step_context().pipeline_run
    about = {
        "model": model_name,
        "run": run.name,
        "data_version": dataset.version,
        "after": str(found.last.version if found.last is not None else 0),
        "retrain": "yes" if decision.retrain else "no",
        "decision_digest": decision.digest,
    }
    # Of each run one entry, also where it is like another's; a retry's is the same.
    begun = run.created.replace(tzinfo=UTC)
    record("decide", about, by=PIPELINE, reason="; ".join(decision.reasons), once=True, since=begun)
    tell_held(decision, model_name, settings)
    return decision, dataset if decision.retrain else None
