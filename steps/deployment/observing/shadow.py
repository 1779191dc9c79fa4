"""A shadow beside the champion: both answered the same requests, so that each is compared with itself.

A shadow is never promoted by itself. Nobody saw its answers, and none of its users could complain; that it
differs from the champion is no harm, for another model is meant to. So it is reported on, until as many
requests were answered by both as are planned, or until its deadline, and then taken out, or a person is
asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materializers.evaluation.metric import Metric
from materializers.observation import Observation
from materializers.report import counted, percent
from materializers.shadow_report import ChangedLabel, Latency, PairedAccuracy, PairedErrors, ShadowReport
from steps.deployment.observing.moments import MICRO, moment, moments, time_of
from steps.deployment.observing.outcomes import CAPTURED, FAILED, REJECTED
from steps.deployment.observing.planning import make_plan
from steps.deployment.observing.reasons import left_out
from steps.evaluation.comparison.paired import interval
from steps.evaluation.intervals import ALPHA, wilson
from steps.monitoring.traffic.labels import joined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

    from materializers.observation import Answer, Because
    from materializers.release import Release
    from steps.deployment.observing.settings import ObserveSettings

MOST_CHANGES = 50
"""Pairs of labels that a report lists."""


def observe_shadow(
    release: Release,
    champion: pd.DataFrame,
    shadow: pd.DataFrame,
    feedback: pd.DataFrame,
    settings: ObserveSettings,
    *,
    now: datetime,
    unreadable: Sequence[str] = (),
) -> tuple[Observation, ShadowReport]:
    """Compare a shadow's answers with the champion's to the same requests, and say whether that is over.

    Args:
        release: as it is rolling out, in mode ``shadow``.
        champion: what was captured of the champion since then, one row a picture; columns ``CAPTURED``.
        shadow: what was captured of the shadow.
        feedback: what was posted since then, columns ``POSTED`` of :mod:`steps.monitoring.traffic.labels`.
        settings: margins, times and policy.
        now: with a time zone.
        unreadable: the parts of captures and feedback that could not be read.

    Raises:
        ValueError: the release is no shadow that is rolling out.
    """
    if release.status != "rolling_out" or release.stage_since is None or release.mode != "shadow":
        raise ValueError(f"A {release.mode} release that is {release.status} is no shadow to compare.")
    begin, plan = moment(release.stage_since), make_plan(settings, mode="shadow", share=0.0)
    deadline = begin + round(settings.maximum_s * MICRO)
    settled = min(moment(now) - round(settings.settling_s * MICRO), deadline)
    ours, theirs = (_within(rows, begin, settled) for rows in (shadow, champion))
    pairs = paired_requests(theirs, ours)
    answer, because, at = _ended(pairs, settings, plan.planned_requests, begin, settled, deadline)
    until = settled if at is None else at
    if at is not None:
        ours, theirs = (_within(rows, begin, until) for rows in (ours, theirs))
        pairs = paired_requests(theirs, ours)
    pictures = paired_pictures(theirs, ours)
    agreement = agreement_of(pictures)
    missing = (*left_out(unreadable, release.environment), *_missing(ours, theirs, pairs))
    labelled = joined(theirs, feedback[moments(feedback["at"]) <= until]).rows
    versions = {
        "model_name": release.model_name,
        "environment": release.environment,
        "candidate": release.candidate.version if release.candidate else None,
        "champion": release.champion.version if release.champion else None,
        "begin": time_of(begin),
        "seen_until": time_of(until),
        "answer": answer,
        "because": because,
        "missing": missing,
    }
    report = ShadowReport(
        **versions,
        requests_champion=theirs["request_id"].nunique(),
        requests_shadow=ours["request_id"].nunique(),
        paired=len(pairs),
        agreement=agreement,
        changed=changed_labels(pictures),
        errors=paired_errors(pairs),
        latency=paired_latency(pairs),
        accuracy=paired_accuracy(pictures, labelled),
    )
    observation = Observation(
        **versions,
        mode="shadow",
        stage=release.stage,
        share=release.share,
        deadline=time_of(deadline),
        decided_at=None if at is None else time_of(at),
        requests_candidate=report.requests_shadow,
        requests_champion=report.requests_champion,
        reasons=(*_reasons(answer, because, plan.planned_requests), _agreement_in_words(agreement)),
        plan=plan,
    )
    return observation, report


def paired_requests(champion: pd.DataFrame, shadow: pd.DataFrame) -> pd.DataFrame:
    """The requests that both got, in the order in which the later of them had come.

    Returns:
        Columns ``request_id``, ``at`` (microseconds since 1970), and with the endings ``_champion`` and
        ``_shadow`` ``status`` and ``latency_ms``.
    """
    firsts = []
    for rows in (champion, shadow):
        first = rows.assign(moment=moments(rows["at"])).sort_values(["moment", "position"], kind="stable")
        firsts.append(
            first.drop_duplicates("request_id")[["request_id", "moment", "status", "latency_ms"]].astype(
                {"request_id": object}
            )
        )
    both = firsts[0].merge(firsts[1], on="request_id", suffixes=("_champion", "_shadow"))
    both["at"] = np.maximum(both["moment_champion"], both["moment_shadow"])
    return both.drop(columns=["moment_champion", "moment_shadow"]).sort_values(
        ["at", "request_id"], ignore_index=True
    )


def paired_pictures(champion: pd.DataFrame, shadow: pd.DataFrame) -> pd.DataFrame:
    """The pictures that both answered: ``request_id``, ``position``, ``label_champion``, ``label_shadow``."""
    answered = []
    for rows in (champion, shadow):
        given = rows[rows["label"].notna() & (rows["status"] < REJECTED)]
        given = given.assign(moment=moments(given["at"])).sort_values("moment", kind="stable")
        answered.append(
            given.drop_duplicates(["request_id", "position"])[["request_id", "position", "label"]].astype(
                {"request_id": object, "label": object}
            )
        )
    return answered[0].merge(answered[1], on=["request_id", "position"], suffixes=("_champion", "_shadow"))


def agreement_of(pictures: pd.DataFrame) -> Metric:
    """The share of the pictures that both put in one class, with Wilson's interval."""
    return wilson(int((pictures["label_champion"] == pictures["label_shadow"]).sum()), len(pictures))


def changed_labels(pictures: pd.DataFrame) -> tuple[ChangedLabel, ...]:
    """Which classes became which, most pictures first."""
    changed = pictures[pictures["label_champion"] != pictures["label_shadow"]]
    counts = changed.groupby(["label_champion", "label_shadow"]).size()
    found = [
        ChangedLabel(champion=str(before), shadow=str(after), pictures=int(count))
        for before, after, count in counts.reset_index().itertuples(index=False)
    ]
    return tuple(sorted(found, key=lambda each: (-each.pictures, each.champion, each.shadow))[:MOST_CHANGES])


def paired_errors(pairs: pd.DataFrame) -> PairedErrors:
    """How many of the requests that both got failed in one alone."""
    from statsmodels.stats.contingency_tables import mcnemar

    ours, theirs = (pairs[f"status_{whose}"] >= FAILED for whose in ("shadow", "champion"))
    only_ours, only_theirs, both = (
        int(each.sum()) for each in (ours & ~theirs, theirs & ~ours, ours & theirs)
    )
    p = None
    if only_ours + only_theirs:
        neither = len(pairs) - only_ours - only_theirs - both
        p = float(mcnemar([[both, only_ours], [only_theirs, neither]], exact=True).pvalue)
    return PairedErrors(requests=len(pairs), only_shadow=only_ours, only_champion=only_theirs, both=both, p=p)


def paired_latency(pairs: pd.DataFrame) -> Latency | None:
    """How much longer the shadow took for the requests that both answered.

    The median of the differences has the interval that the sign test leaves, of two order statistics.
    """
    from scipy.stats import binom

    answered = pairs[(pairs["status_champion"] < REJECTED) & (pairs["status_shadow"] < REJECTED)]
    n = len(answered)
    if not n:
        return None
    ours, theirs = (answered[f"latency_ms_{whose}"].to_numpy(dtype=float) for whose in ("shadow", "champion"))
    differences = np.sort(ours - theirs)
    rank = int(binom.ppf(ALPHA / 2, n, 0.5))  # so many from either end are outside in less than 5 %
    low, high = (None, None) if rank < 1 else (differences[rank - 1], differences[n - rank])
    return Latency(
        champion_median=float(np.median(theirs)),
        shadow_median=float(np.median(ours)),
        champion_p95=float(np.quantile(theirs, 0.95)),
        shadow_p95=float(np.quantile(ours, 0.95)),
        difference=Metric(
            value=float(np.median(differences)),
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            n=n,
        ),
    )


def paired_accuracy(pictures: pd.DataFrame, labelled: pd.DataFrame) -> PairedAccuracy | None:
    """Both accuracies on the pictures whose labels came, and their difference with Tango's interval.

    Args:
        pictures: of :func:`paired_pictures`.
        labelled: what the champion answered, with the column ``truth`` of :func:`joined`.
    """
    truths = labelled.loc[labelled["truth"].notna(), ["request_id", "position", "truth"]]
    found = pictures.merge(truths.drop_duplicates(["request_id", "position"]), on=["request_id", "position"])
    n = len(found)
    if not n:
        return None
    ours, theirs = (found[f"label_{whose}"] == found["truth"] for whose in ("shadow", "champion"))
    lost, won = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    low, high = interval(n, lost, won, ALPHA / 2)
    return PairedAccuracy(
        n=n,
        champion=float(theirs.mean()),
        shadow=float(ours.mean()),
        difference=Metric(value=(won - lost) / n, low=float(low), high=float(high), n=n),
    )


def _ended(
    pairs: pd.DataFrame,
    settings: ObserveSettings,
    planned: int,
    begin: int,
    settled: int,
    deadline: int,
) -> tuple[Answer, Because, int | None]:
    """Whether a shadow has had its requests or its time, and what then; a promotion is not among it."""
    answer: Answer = "ask" if settings.undecided == "ask" else "roll back"
    if len(pairs) >= planned:
        enough = max(int(pairs["at"].iloc[planned - 1]), begin + round(settings.minimum_s * MICRO))
        if enough <= settled:
            return answer, "undecided", enough
    if settled < deadline:
        return "continue", "not decided yet", None
    return answer, "insufficient data" if len(pairs) < settings.minimum_requests else "undecided", deadline


def _reasons(answer: Answer, because: Because, planned: int) -> tuple[str, ...]:
    if because == "not decided yet":
        return (
            f"A shadow is compared until both answered {counted(planned, 'request')}, or until its deadline.",
        )
    what = "a person decides now (undecided: ask)" if answer == "ask" else "it is taken out"
    why = "its time is over" if because == "insufficient data" else "it was compared as planned"
    return (f"A shadow is never promoted by itself; {why}, and {what}.",)


def _agreement_in_words(agreement: Metric) -> str:
    if agreement.value is None or agreement.low is None or agreement.high is None:
        return "No picture was answered by both yet."
    bounds = f"95 %: {percent(agreement.low)} to {percent(agreement.high)}"
    return f"Both agree on {percent(agreement.value)} of {counted(agreement.n, 'picture')} ({bounds})."


def _missing(ours: pd.DataFrame, theirs: pd.DataFrame, pairs: pd.DataFrame) -> tuple[str, ...]:
    sent, copied = theirs["request_id"].nunique(), ours["request_id"].nunique()
    if not sent:
        return ("No request came.",)
    if len(pairs) < sent:
        return (
            f"{sent - len(pairs):,} of {counted(sent, 'request')} have no copy that the shadow recorded.",
        )
    return () if copied else ("The shadow recorded no request.",)


def _within(rows: pd.DataFrame, begin: int, until: int) -> pd.DataFrame:
    times = moments(rows["at"])
    return rows.loc[(times >= begin) & (times <= until), list(CAPTURED)]
