"""Read a window of what the live model was asked and answered, and measure the pictures that were kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
import pandas as pd
from zenml import step

from materializers.captured_window import CapturedWindow
from materializers.drift_reference import MEASURED, DriftReference
from materializers.drift_report import BusinessFigure, Captured
from materializers.errors import UsageError
from materializers.evidence import RegisteredVersion, read_versions
from materializers.release import Arm, Environment
from serving.bad_picture import BadPicture
from serving.preprocess import UNLIMITED, open_checked
from steps.data.picture_measures import measure
from steps.inference.champion import live_release
from steps.monitoring.baseline import Baseline, baseline_of
from steps.monitoring.business import fixed_figure, mean_figure, measure_business
from steps.monitoring.history import AHEAD, SETTLED, past_reports
from steps.monitoring.performance import measure_performance
from steps.monitoring.settings import BusinessSettings, MonitorSettings
from steps.monitoring.traffic.captures import UNREADABLE, read_captures, read_feedback
from steps.monitoring.traffic.labels import joined
from steps.monitoring.traffic.prometheus import ask_prometheus
from steps.monitoring.traffic.reference import (
    drawn,
    metadata_of,
    own_reference,
    reference_of,
    registered_since,
)

COLUMNS = (
    *("request_id", "position", "at", "latency_ms", "model_version", "model_digest", "status", "reason"),
    *("image_id", "input_digest", "label", "scores", "classes", "embedding", "picture", "orientation"),
)
OF_LABELS = ("request_id", "position", "at", "model_version", "model_digest", "label")
SERVER_ERROR = 500
FAR = timedelta(days=365 * 100)
LATELY = timedelta(days=31)
"""How far back is looked first."""
TOUCHING = 24
"""A window that overlaps an earlier one by less than this part of it begins where that one ended."""
WINDOW_ROWS = "window"


def begin_of(until: datetime, length: timedelta, ended: Iterable[datetime]) -> datetime:
    """When a window begins: so long before its end, or where an earlier one ended shortly after that.

    What is due daily looks some seconds sooner or later each day. Windows that overlap by these seconds would
    never confirm each other.

    Args:
        until: its end.
        length: how long it is.
        ended: the ends of earlier windows.
    """
    begin = until - length
    return min((each for each in ended if begin < each <= begin + length / TOUCHING), default=begin)


def first_of_each(answered: pd.DataFrame) -> pd.DataFrame:
    """Each picture once, however often it was asked about: copies are no evidence of their own.

    The permutations by which drift is judged suppose that any two pictures are as unlike as others are. Of
    several answers the first stays whose picture was kept, or the first.

    Args:
        answered: captured pictures with an answer, ``COLUMNS``, in the order of their requests.
    """
    name = answered["image_id"].fillna(answered["input_digest"])
    kept_first = answered.assign(name=name).sort_values("picture", key=pd.isna, kind="stable")
    again = kept_first["name"].notna() & kept_first["name"].duplicated()
    return answered.loc[kept_first.index[~again]].sort_index()


def window_sample(rows: pd.DataFrame, classes: Sequence[str], model: str, dimensions: int) -> DriftReference:
    """The answers of a window in the form of a reference.

    Args:
        rows: captured pictures with an answer, ``COLUMNS`` and ``truth``.
        classes: of the model that answered; what was captured with others is left out.
        model: its digest.
        dimensions: of its embeddings.
    """
    same = [tuple(each) == tuple(classes) for each in rows["classes"]]
    rows = rows[np.array(same, dtype=bool)].reset_index(drop=True)
    embedded = rows["embedding"].notna().to_numpy()
    measured = pd.DataFrame([_measures(row) for row in rows.to_dict("records")], columns=list(MEASURED))
    return DriftReference(
        rows=pd.DataFrame(
            {
                "image_id": rows["image_id"].fillna(rows["input_digest"]).fillna(""),
                "split": WINDOW_ROWS,
                "label": rows["truth"].fillna(""),
                "embedded": embedded,
            }
        ).join(measured.astype(np.float64)),
        scores=_matrix(rows["scores"], len(classes)),
        embeddings=_matrix(rows.loc[embedded, "embedding"], dimensions),
        classes=tuple(classes),
        model=model,
    )


def _measures(row: Mapping[Any, Any]) -> dict[str, float]:
    """What a captured picture looks like; nothing where it was not kept or cannot be read any more."""
    if row["picture"] is None:
        return {}
    data = bytes(row["picture"])
    try:
        stripped, image = open_checked(data, UNLIMITED)
    except BadPicture:
        return {}
    found = measure(image, int(row["orientation"]))
    sizes = {"width": stripped.width, "height": stripped.height, "byte_count": len(data)}
    return {**{name: float(getattr(found, name)) for name in MEASURED if hasattr(found, name)}, **sizes}


def _matrix(vectors: pd.Series[Any], width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows of vectors; ``width`` where there are none."""
    rows = [np.asarray(each, dtype=np.float32) for each in vectors]
    return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)


def look_at(
    model_name: str, environment: Environment, arm: Arm, *, settings: MonitorSettings, now: datetime
) -> CapturedWindow:
    """The window that ends now, of what one version answered, with the labels that came by now.

    Raises:
        UsageError: the version has no reference.
        Refused: accepted traffic took its place and was altered since.
        DamagedArtifact: its reference cannot be read.
        ServiceUnreachable: the store or the registry does not answer.
    """
    until = now - timedelta(minutes=settings.window.settling_minutes)
    since, labels_since = (
        _begin(model_name, environment, until, length)
        for length in (timedelta(hours=settings.window.hours), timedelta(days=settings.window.label_days))
    )
    registered, metadata = read_versions(model_name), metadata_of(arm)
    reference, compared_with = reference_of(
        model_name, environment, arm, registered, rebased=settings.reference.use == "newest"
    )
    rows = read_captures(model_name, environment, since=since, until=until, columns=COLUMNS)
    ours = rows[rows["model_digest"] == arm.model_digest]
    others, unknown = _other_versions(rows, arm, registered)
    answered = ours[ours["label"].notna()]
    distinct = first_of_each(answered)
    of_labels = read_captures(model_name, environment, since=labels_since, until=until, columns=OF_LABELS)
    feedback = read_feedback(model_name, environment, since=labels_since, until=now)
    answers = joined(of_labels, feedback)
    of_model = answers.rows[answers.rows["model_digest"] == arm.model_digest]
    judged = of_model[of_model["label"].notna()]
    baseline, began = baseline_of(model_name, registered), registered_since(arm, registered)
    ahead = read_captures(
        model_name, environment, since=now + AHEAD, until=now + FAR, columns=("model_digest",)
    )
    unreadable = sorted({*rows.attrs[UNREADABLE], *of_labels.attrs[UNREADABLE], *feedback.attrs[UNREADABLE]})
    sample = window_sample(
        distinct.assign(truth=_truths(judged, distinct)),
        metadata.classes,
        arm.model_digest,
        reference.embeddings.shape[1],
    )
    return CapturedWindow(
        captured=Captured(
            model_name=model_name,
            environment=environment,
            version=arm.version,
            model_digest=arm.model_digest,
            since=since,
            until=until,
            pictures=len(sample) + len(answered) - len(distinct),
            repeated=len(answered) - len(distinct),
            measured=int(sample.rows["brightness"].notna().sum()),
            refused=int((ours["label"].isna() & (ours["status"] < SERVER_ERROR)).sum()),
            failed=int(ours.loc[ours["status"] >= SERVER_ERROR, "request_id"].nunique()),
            latency_p99_ms=_p99(ours),
            other_versions=others,
            unknown_versions=unknown,
            unreadable=tuple(unreadable),
            unmatched_labels=answers.unmatched,
            conflicting_labels=answers.conflicts,
            dated_ahead=int((ahead["model_digest"] == arm.model_digest).sum()),
            dated_before=0 if began is None else int((ours["at"] < began).sum()),
            reference=compared_with,
            service=ask_prometheus(
                settings.prometheus, model_name, environment, arm.version, since=since, until=until
            ),
        ),
        performance=measure_performance(
            judged,
            baseline.accuracy if baseline is not None else None,
            settings.performance,
            since=labels_since,
        ),
        business=_business(model_name, environment, of_model, baseline, settings.business, until=until),
        abstention_threshold=metadata.abstention_threshold,
        window=sample,
        reference=reference,
    )


def _other_versions(
    rows: pd.DataFrame, arm: Arm, registered: Iterable[RegisteredVersion]
) -> tuple[dict[str, int], dict[str, int]]:
    """The captured pictures that others answered: of registered versions, and of versions nobody knows."""
    counts = rows.loc[rows["model_digest"] != arm.model_digest, "model_version"].value_counts()
    known = {str(entry.version) for entry in registered}
    others = {str(name): int(count) for name, count in counts.items()}
    return (
        {name: count for name, count in others.items() if name in known},
        {name: count for name, count in others.items() if name not in known},
    )


def _truths(judged: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.object_]]:
    """The label that came for each of these rows; NaN where none did."""
    truth = judged.set_index(["request_id", "position"])["truth"]
    keys = pd.MultiIndex.from_frame(rows[["request_id", "position"]])
    return truth[~truth.index.duplicated()].reindex(keys).to_numpy()


def accepted_traffic(
    model_name: str, environment: Environment, *, settings: MonitorSettings, now: datetime
) -> tuple[Arm, int, DriftReference]:
    """What the live version of an environment answered lately, in the form of a reference.

    Returns:
        The version, how many pictures it answered, and those of them that were taken.

    Raises:
        UsageError: nothing is live there.
        ServiceUnreachable: the store does not answer.
    """
    arm = live_arm(model_name, environment)
    until = now - timedelta(minutes=settings.window.settling_minutes)
    since = until - timedelta(hours=settings.reference.hours)
    metadata = metadata_of(arm)
    rows = read_captures(model_name, environment, since=since, until=until, columns=COLUMNS)
    answered = rows[(rows["model_digest"] == arm.model_digest) & rows["label"].notna()]
    taken = drawn(first_of_each(answered), settings.reference.most_pictures).assign(truth=None)
    dimensions = own_reference(arm).embeddings.shape[1]
    return arm, len(answered), window_sample(taken, metadata.classes, arm.model_digest, dimensions)


def live_arm(model_name: str, environment: Environment) -> Arm:
    """The version that is live in an environment.

    Raises:
        UsageError: nothing is.
    """
    live = live_release(model_name, environment).candidate
    if live is None:
        raise UsageError(f"Nothing is live in {environment}: python run.py --deploy")
    return live


def _begin(model_name: str, environment: Environment, until: datetime, length: timedelta) -> datetime:
    """When a window begins that touches the earlier ones."""
    begin = until - length
    earlier = past_reports(model_name, environment, since=begin, before=begin + length / TOUCHING)
    return begin_of(until, length, [report.captured.until for report in earlier])


def _business(
    model_name: str,
    environment: Environment,
    rows: pd.DataFrame,
    baseline: Baseline | None,
    settings: BusinessSettings,
    *,
    until: datetime,
) -> BusinessFigure | None:
    """What answers were worth, beside the baseline that an earlier report has; None where nobody wants it."""
    if not settings.enabled:
        return None
    mean, since = mean_figure(rows, settings), baseline.since if baseline is not None else None
    before = None
    if mean.n >= settings.minimum_values:  # with fewer nothing is compared, and no report has to be read
        begin = since - SETTLED if since is not None else until - FAR
        for first in dict.fromkeys((max(begin, until - LATELY), begin)):
            before = fixed_figure(past_reports(model_name, environment, since=first), settings, since=since)
            if before is not None:
                break
    # A baseline that is set now is one since then, although the window ended some minutes before.
    at = until if since is None else max(until, since)
    return measure_business(mean, before, settings, at=at)


def _p99(rows: pd.DataFrame) -> float | None:
    """Of requests: each has one latency, in all its rows."""
    latencies = rows.drop_duplicates("request_id")["latency_ms"]
    return float(latencies.quantile(0.99)) if len(latencies) else None


@step(enable_cache=False)
def window(
    model_name: str, environment: Environment, settings: MonitorSettings
) -> Annotated[CapturedWindow, "window"]:
    """Read what the live version of an environment was asked, and what was said of its answers since.

    Raises:
        UsageError: nothing is live there, or it has no reference.
        Refused: accepted traffic took its place and was altered since.
        ServiceUnreachable: the store or the registry does not answer.
    """
    arm = live_arm(model_name, environment)
    return look_at(model_name, environment, arm, settings=settings, now=datetime.now(UTC))
