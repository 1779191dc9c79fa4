"""Say whether a window of traffic has drifted or its accuracy has dropped, and what decided that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from zenml import step

from materializers.captured_window import CapturedWindow
from materializers.drift_report import (
    BusinessFigure,
    DriftOutcome,
    DriftReport,
    DriftSignal,
    Performance,
)
from materializers.report import percent, short, words
from steps.monitoring.drift.settings import DriftSettings
from steps.monitoring.drift.signals import drift_signals


def assess_window(captured: CapturedWindow, settings: DriftSettings) -> DriftReport:
    """Compare a window with the reference, and put beside it how often the answers were right.

    Nothing but what is given decides: the same window comes to the same report.
    """
    signals = drift_signals(
        captured.reference, captured.window, threshold=captured.abstention_threshold, settings=settings
    )
    outcomes = {signal.outcome for signal in signals}
    outcome: DriftOutcome = (
        "drift" if "drift" in outcomes else "no drift" if "no drift" in outcomes else "insufficient data"
    )
    return DriftReport(
        captured=captured.captured,
        signals=signals,
        performance=captured.performance,
        business=captured.business,
        decided_by=settings.decided_by,
        false_alarms=settings.false_alarms,
        permutations=settings.permutations,
        outcome=outcome,
        reasons=(*_reasons(signals, captured.performance, settings), *_worth(captured.business)),
    )


def _reasons(signals: Sequence[DriftSignal], performance: Performance, settings: DriftSettings) -> list[str]:
    drifting = [signal for signal in signals if signal.outcome == "drift"]
    lacking = dict.fromkeys(signal.lacking for signal in signals if signal.lacking is not None)
    reasons = [_sentence(signal, settings) for signal in drifting]
    if not drifting and len(signals) > sum(signal.lacking is not None for signal in signals):
        by = "its fixed threshold" if settings.decided_by == "fixed" else "what chance makes of it"
        reasons.append(f"no signal exceeds {by}")
    named = {
        sentence: ", ".join(words(signal.name) for signal in signals if signal.lacking == sentence)
        for sentence in lacking
    }
    reasons += [f"insufficient data for {names}: {sentence}" for sentence, names in named.items()]
    return [*reasons, *performance.reasons]


def _worth(business: BusinessFigure | None) -> tuple[str, ...]:
    """What is said of the business figure: nothing where nobody ever posted one."""
    return business.reasons if business is not None and business.mean.n else ()


def _sentence(signal: DriftSignal, settings: DriftSettings) -> str:
    if settings.decided_by == "fixed" and signal.fixed is not None:
        fixed = signal.fixed
        return (
            f"{words(signal.name)}: {fixed.measure} {short(fixed.value)}, above the fixed threshold of "
            f"{short(fixed.threshold)}"
        )
    return (
        f"{words(signal.name)}: {short(signal.value)}, above {short(signal.threshold)}, which chance exceeds "
        f"in any signal in {percent(settings.false_alarms)} of such windows (n = {signal.n_window:,})"
    )


@step
def assess(captured: CapturedWindow, settings: DriftSettings) -> Annotated[DriftReport, "drift_report"]:
    """Compare the window with the reference; the thresholds are calibrated for just these pictures."""
    return assess_window(captured, settings)
