"""Read a window of what the live model was asked and answered, and measure the pictures that were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
import pandas as pd
from zenml import step

from materializers.blobs import read_blob
from materializers.captured_window import CapturedWindow
from materializers.drift_reference import MEASURED, REFERENCE_FILE, DriftReference, read_reference
from materializers.drift_report import Captured
from materializers.errors import UsageError
from materializers.evidence import RegisteredVersion, read_versions
from materializers.release import Arm, Environment
from serving.bad_picture import BadPicture
from serving.model_directory import ModelMetadata, parse_metadata
from serving.preprocess import UNLIMITED, open_checked
from steps.data.picture_measures import measure
from steps.data.stored import active_store, store_errors
from steps.evaluation.comparison.opponents import find_anchor
from steps.inference.champion import live_release
from steps.monitoring.captures import UNREADABLE, read_captures, read_feedback
from steps.monitoring.labels import joined
from steps.monitoring.performance import measure_performance
from steps.monitoring.prometheus import ask_prometheus
from steps.monitoring.settings import MonitorSettings

COLUMNS = (
    *("request_id", "position", "at", "latency_ms", "model_version", "model_digest", "status", "reason"),
    *("image_id", "input_digest", "label", "scores", "classes", "embedding", "picture", "orientation"),
)
OF_LABELS = ("request_id", "position", "at", "model_version", "model_digest", "label")
SERVER_ERROR = 500
WINDOW_ROWS = "window"


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
        DamagedArtifact: its reference cannot be read.
        ServiceUnreachable: the store or the registry does not answer.
    """
    until = now - timedelta(minutes=settings.window.settling_minutes)
    since = until - timedelta(hours=settings.window.hours)
    reference, metadata = _reference(arm)
    rows = read_captures(model_name, environment, since=since, until=until, columns=COLUMNS)
    ours = rows[rows["model_digest"] == arm.model_digest]
    others = rows.loc[rows["model_digest"] != arm.model_digest, "model_version"].value_counts()
    registered = read_versions(model_name)
    known = {str(entry.version) for entry in registered}
    answered = ours[ours["label"].notna()]
    labels_since = until - timedelta(days=settings.window.label_days)
    of_labels = read_captures(model_name, environment, since=labels_since, until=until, columns=OF_LABELS)
    feedback = read_feedback(model_name, environment, since=labels_since, until=now)
    answers = joined(of_labels, feedback)
    judged = answers.rows[(answers.rows["model_digest"] == arm.model_digest) & answers.rows["label"].notna()]
    truth = judged.set_index(["request_id", "position"])["truth"]
    keys = pd.MultiIndex.from_frame(answered[["request_id", "position"]])
    unreadable = sorted({*rows.attrs[UNREADABLE], *of_labels.attrs[UNREADABLE], *feedback.attrs[UNREADABLE]})
    sample = window_sample(
        answered.assign(truth=truth[~truth.index.duplicated()].reindex(keys).to_numpy()),
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
            pictures=len(sample),
            measured=int(sample.rows["brightness"].notna().sum()),
            refused=int((ours["label"].isna() & (ours["status"] < SERVER_ERROR)).sum()),
            failed=int(ours.loc[ours["status"] >= SERVER_ERROR, "request_id"].nunique()),
            latency_p99_ms=_p99(ours),
            other_versions={str(name): int(count) for name, count in others.items() if name in known},
            unknown_versions={str(name): int(count) for name, count in others.items() if name not in known},
            unreadable=tuple(unreadable),
            unmatched_labels=answers.unmatched,
            conflicting_labels=answers.conflicts,
            service=ask_prometheus(
                settings.prometheus, model_name, environment, arm.version, since=since, until=until
            ),
        ),
        performance=measure_performance(judged, baseline_of(model_name, registered), settings.performance),
        abstention_threshold=metadata.abstention_threshold,
        window=sample,
        reference=reference,
    )


def baseline_of(model_name: str, registered: Sequence[RegisteredVersion]) -> float | None:
    """The accuracy that later ones are compared with: that of the first version that went to production.

    It does not move with each promotion, so that a slow decline adds up.

    Raises:
        Refused: an entry of the audit log cannot be read.
        ServiceUnreachable: the log cannot be read.
    """
    first = find_anchor(model_name, registered, "first")
    return None if first is None else float(first.tag("accuracy"))


def _reference(arm: Arm) -> tuple[DriftReference, ModelMetadata]:
    store, folder = active_store(), arm.model_uri.rpartition("/")[0]
    with store_errors(f"read the reference of version {arm.version}"):
        metadata = parse_metadata(read_blob(store, f"{arm.model_uri}/metadata.json"))
        try:
            return read_reference(store, f"{folder}/{REFERENCE_FILE}"), metadata
        except FileNotFoundError as error:
            raise UsageError(
                f"Version {arm.version} has no reference that traffic could be compared with: it was trained "
                "before there were any. Train again: python run.py --train"
            ) from error


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
        ServiceUnreachable: the store or the registry does not answer.
    """
    live = live_release(model_name, environment).candidate
    if live is None:
        raise UsageError(f"Nothing is live in {environment}: python run.py --deploy")
    return look_at(model_name, environment, live, settings=settings, now=datetime.now(UTC))
