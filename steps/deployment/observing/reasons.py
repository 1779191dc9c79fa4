"""An observation in words: what was measured, beside what is tolerated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materializers.report import counted, number, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from materializers.observation import Compared
    from materializers.release import Environment
    from steps.deployment.observing.replay import Replayed, Stage

NAMES = {
    ("errors", "share"): "requests that failed",
    ("rejections", "share"): "requests that were refused",
    ("latency", "median"): "median latency",
    ("latency", "95th percentile"): "95th percentile of the latency",
    ("abstention", "share"): "answers that abstain",
    ("scores", "top probability"): "distribution of the top probability",
    ("scores", "class shares"): "shares of the classes",
    ("accuracy", "share"): "accuracy",
    ("value", "mean"): "business figure",
}

LISTED = 5
"""Parts that are named."""


def name_of(compared: Compared) -> str:
    """What a figure is, in words."""
    return NAMES[compared.signal, compared.figure]


def in_words(compared: Compared) -> str:
    """A figure of both, and what is tolerated, as part of a sentence."""
    n = f"n = {compared.n_candidate:,} and {compared.n_champion:,}"
    if compared.lacking or compared.worse is None:
        return f"{name_of(compared)}: {compared.lacking}"
    if compared.unit == "distance":
        measured = f"{percent(compared.worse)} apart from the champion's"
        return f"{name_of(compared)}: {measured}, tolerated {percent(compared.margin)} ({n})"
    if compared.signal == "latency":
        both = f"{number(compared.candidate)} ms beside the champion's {number(compared.champion)} ms"
        return f"{name_of(compared)}: {both}, tolerated {percent(compared.margin)} more ({n})"
    if compared.unit == "mean":
        both = f"{number(compared.candidate)} beside the champion's {number(compared.champion)}"
        return f"{name_of(compared)}: {both}, tolerated {percent(compared.margin)} worse ({n})"
    both = f"{percent(compared.candidate)} beside the champion's {percent(compared.champion)}"
    return f"{name_of(compared)}: {both}, tolerated {number(100 * compared.margin)} points worse ({n})"


def reasons_for(stage: Stage, replayed: Replayed, latest: Iterable[Compared]) -> Iterator[str]:
    """Why a stage is decided so, or why it goes on, one sentence each."""
    latest = tuple(latest)
    plan = stage.plan
    if replayed.because == "harm":
        for compared in replayed.looks[-1].compared:
            if compared.harmful:
                yield f"Worse by more than is tolerated, beyond doubt: {in_words(compared)}."
        return
    if replayed.because == "shown":
        wrongly = f"wrongly in at most {percent(plan.alpha)} of cases"
        yield f"Every figure is shown to be no worse than is tolerated ({wrongly})."
        return
    if replayed.because == "undecided":
        planned, days = counted(plan.planned_requests, "request"), stage.settings.maximum_s / 86_400
        yield (
            f"Neither harm nor its absence was shown within {planned} of the candidate and {number(days)} "
            f"days; {_policy(stage)}."
        )
    elif replayed.because == "insufficient data":
        yield (
            f"There is too little to compare: it takes {counted(plan.minimum_requests, 'request')} of the "
            f"candidate at least, and answers of both; what nobody measured is not promoted."
        )
    for compared in latest:
        if not compared.shown and not compared.lacking:
            yield f"Not shown to be no worse yet: {in_words(compared)}."


def missing_in(stage: Stage, replayed: Replayed, latest: Iterable[Compared], until: int) -> Iterator[str]:
    """What there is too little of, one sentence each."""
    champion, candidate = stage.arms
    requests = stage.count(candidate, "requests", until)
    minimum = stage.plan.minimum_requests
    if requests < minimum:
        yield f"The candidate has {counted(requests, 'request')}; before {minimum:,} nothing is promoted."
    if not stage.count(champion, "requests", until):
        yield "The champion has no requests to compare with."
    labels = stage.count(candidate, "labels", until)
    if stage.settings.labels == "harm only":
        yield f"Labels can roll back and hold nothing up (labels: harm only); {labels:,} came."
    elif labels < stage.settings.minimum_labels:
        wanted = (
            "a promotion waits for them (labels: required)"
            if stage.settings.labels == "required"
            else f"accuracy is asked for from {stage.settings.minimum_labels:,} on"
        )
        yield f"{counted(labels, 'label')} came to what the candidate answered; {wanted}."
    if stage.mode == "ab":
        values = stage.count(candidate, "values", until)
        if values < stage.settings.minimum_labels:
            yield (
                f"{counted(values, 'business figure')} came to what the candidate answered; it is asked for "
                f"from {stage.settings.minimum_labels:,} on."
            )
    yield from (f"Not compared: {in_words(each)}." for each in latest if each.lacking and requests)
    if not replayed.looks and requests:
        yield f"The first look is at {counted(stage.plan.looks[0], 'request')} of the candidate."


def left_out(unreadable: Sequence[str], environment: Environment) -> Iterator[str]:
    """Which parts of captures and feedback could not be read, and what to do; nothing where all could."""
    if unreadable:
        more = f" and {len(unreadable) - LISTED} more" if len(unreadable) > LISTED else ""
        yield (
            f"{counted(len(unreadable), 'part')} of captures and feedback cannot be read and nothing is "
            f"promoted without: {', '.join(unreadable[:LISTED])}{more}. Restore them, remove them to decide "
            "on what is left, or end the rollout: python run.py --rollback "
            f"--environment {environment}"
        )


def _policy(stage: Stage) -> str:
    return {
        "roll back": "what is not shown to be as good is taken out (undecided: roll back)",
        "promote": "the policy promotes then (undecided: promote)",
        "ask": "the policy asks a person then (undecided: ask)",
    }[stage.settings.undecided]
