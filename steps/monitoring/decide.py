"""Decide whether to retrain, with the reasons for it and what held it back."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from materializers.image_dataset import ImageDataset
from materializers.trigger_decision import Signals, TriggerDecision
from steps.monitoring.signals import TriggerSettings
from steps.registry.audit import PIPELINE, record


def decide_retraining(found: Signals, *, data: str, settings: TriggerSettings) -> TriggerDecision:
    """Retrain when a signal fired, unless the data was learnt from already or the cooldown still runs.

    A version that an interrupted ``--continuous`` trained on exactly this data, and that passed but never
    reached staging, is named in ``finish_version`` instead of being trained again; one that a person rolled
    back or rejected is not.

    Args:
        found: the signals and the last registered version.
        data: version of the dataset that a retraining would use.
        settings: the cooldown, and whether a person asked.
    """
    fired = [signal.reason for signal in found.signals if signal.fired]
    last = found.last
    if last is None:
        return TriggerDecision(retrain=True, signals=found.signals, reasons=tuple(fired), data=data)
    if last.data == data and not settings.manual:
        passed = last.origin == "continuous" and last.verdict == "passed"
        unfinished = passed and not last.released and not last.rejected
        reason = f"version {last.version} learnt from exactly this data"
        if unfinished:
            reason += "; it passed and was not staged yet, so it is staged now"
        return TriggerDecision(
            retrain=False,
            signals=found.signals,
            reasons=(reason,),
            data=data,
            finish_version=last.version if unfinished else None,
        )
    if not fired:
        held = tuple(signal.reason for signal in found.signals)
        return TriggerDecision(retrain=False, signals=found.signals, reasons=held, data=data)
    if last.age_hours < settings.cooldown_hours and not settings.manual:
        reason = (
            f"the last version is {last.age_hours:.1f} hours old and the cooldown is "
            f"{settings.cooldown_hours:g}: python run.py --continuous --set trigger.manual=true"
        )
        return TriggerDecision(retrain=False, signals=found.signals, reasons=(reason, *fired), data=data)
    return TriggerDecision(retrain=True, signals=found.signals, reasons=tuple(fired), data=data)


@step(enable_cache=False)
def decide(
    dataset: ImageDataset | None, found: Signals | None, settings: TriggerSettings, model_name: str
) -> tuple[
    Annotated[TriggerDecision | None, "decision"],
    Annotated[ImageDataset | None, "training_dataset"],
]:
    """Decide, write that to the audit log, and hand the dataset on only where the answer is yes.

    Raises:
        UsageError: the account has no key here.
        ServiceUnreachable: the log cannot be written.
    """
    if dataset is None or found is None:
        return None, None
    decision = decide_retraining(found, data=dataset.version, settings=settings)
    about = {
        "model": model_name,
        "data_version": dataset.version,
        "retrain": "yes" if decision.retrain else "no",
        "decision_digest": decision.digest,
    }
    record("decide", about, by=PIPELINE, reason="; ".join(decision.reasons), once=True)
    return decision, dataset if decision.retrain else None
