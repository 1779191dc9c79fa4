"""Explain a window of traffic by a page of Evidently, with the pictures that differ most.

What counts was decided before (``assess.py``). The page decides nothing, and where it cannot be made the log
says so: no run fails for it.
"""

from __future__ import annotations

import base64
import html
import io
import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from zenml import step
from zenml.types import HTMLString

from materializers.captured_window import CapturedWindow
from materializers.drift_reference import DriftReference
from materializers.drift_report import Captured, DriftReport
from materializers.picture_sheet import Box, encode_sheet
from materializers.redaction import one_line
from materializers.report import words
from materializers.thumbnails import THUMBNAIL, thumbnail
from steps.monitoring.drift.distances import Floats, membership_scores
from steps.monitoring.drift.signals import (
    EMBEDDINGS,
    SCORES,
    SHARES,
    SHARES_STABILITY,
    STATISTICS,
    TOP_PROBABILITY,
)
from steps.monitoring.settings import MonitorSettings
from steps.monitoring.traffic.captures import read_captures

DRIFT_PAGE = "drift_page"
"""The artifact's name."""
SIGNALS, PICTURES = 4, 12
"""Strips of pictures on a page, and pictures in each."""
SHOWN_AT = 84
"""Pixels of a picture's side on the page; a thumbnail has fewer, those by which ``--forget`` searches."""
MOST_ROWS = 10_000
"""Of either side that Evidently gets, drawn; histograms of more look the same."""
NO_TRACKING = "DO_NOT_TRACK"
"""The environment variable that Evidently asks before it reports its use to its makers."""
PREDICTED = "predicted_class"
HARMLESS = str.maketrans({"<": "‹", ">": "›"})
"""Evidently writes names of classes into a script as they are, and they are what a delivery called them."""
PICTURE_COLUMNS = ("image_id", "input_digest", "picture", "orientation")
HEAD = """
<section style="font-family: system-ui, sans-serif; padding: 1.5rem; max-width: 76rem">
<h1>{title}</h1>
<p>{decided} Evidently's own thresholds, below, decide nothing:
they do not know how many pictures there are.</p>
<ul>{reasons}</ul>
{strips}
<h2>What Evidently says</h2>
<table style="border-spacing: 1.5rem 0; margin-left: -1.5rem">
<tr style="text-align: left"><th>of</th><th>method</th><th>value</th><th>its threshold</th></tr>
{rows}
</table>
<p>Its charts, below, need scripts, which ZenML's dashboard does not run: there, <em>Download</em> this page
and open the file.</p>
</section>
"""
STRIP = (
    '<h2>{name}</h2>\n<p><img alt="{alt}" style="max-width: 100%; height: auto" width="{width}"'
    ' src="data:image/png;base64,{png}"></p>'
)
ROW = "<tr><td>{column}</td><td>{method}</td><td>{value:.3g}</td><td>{threshold:g}</td></tr>"

logger = logging.getLogger("shutterline.monitoring")


class Found(NamedTuple):
    """What Evidently says of one column."""

    column: str
    method: str
    value: float
    threshold: float


@dataclass(frozen=True)
class Shown:
    """A captured picture that a page shows.

    Args:
        digests: by which it is known.
        thumbnail: RGB, ``THUMBNAIL`` × ``THUMBNAIL``.
    """

    digests: tuple[str, ...]
    thumbnail: Image.Image


def explained_signals(report: DriftReport) -> list[str]:
    """The signals whose pictures are shown: those that drift, else the one that comes nearest to it."""
    compared = [signal for signal in report.signals if signal.p is not None]
    compared.sort(key=lambda signal: signal.p or 0.0)
    drifting = [signal.name for signal in compared if signal.outcome == "drift"]
    # Both measures of the class shares have the same pictures.
    kept = [name for name in drifting if name != SHARES_STABILITY or SHARES not in drifting]
    return kept[:SIGNALS] or [signal.name for signal in compared[:1]]


def different_most(name: str, captured: CapturedWindow) -> list[str]:
    """The window's pictures by how far a signal's drift moved them, the furthest first.

    Args:
        name: of a signal.
        captured: with pictures on both sides.

    Returns:
        The ids of those that were kept, each once.
    """
    window = captured.window
    scores = _moved(name, captured)
    shown = window.rows["brightness"].notna().to_numpy() & np.isfinite(scores)
    order = np.argsort(-np.where(shown, scores, -np.inf), kind="stable")[: int(shown.sum())]
    return list(dict.fromkeys(window.rows["image_id"].iloc[order]))


def _moved(name: str, captured: CapturedWindow) -> Floats:
    """How far each of the window's n rows lies in the direction of the drift; NaN where it says nothing."""
    reference, window = captured.reference, captured.window
    if name == EMBEDDINGS:
        of_window = np.arange(len(reference.embeddings) + len(window.embeddings)) >= len(reference.embeddings)
        both = np.concatenate([reference.embeddings, window.embeddings])
        scores = np.full(len(window), np.nan)
        scores[window.rows["embedded"].to_numpy()] = membership_scores(both, of_window, 0)[of_window]
        return scores
    if name in (SHARES, SHARES_STABILITY):
        predicted, share = window.scores.argmax(axis=1), _shares(window) - _shares(reference)
        more = int(share.argmax())
        sure: Floats = np.where(predicted == more, window.scores[:, more].astype(np.float64), np.nan)
        return sure
    before, after = (_values(name, side, captured) for side in (reference, window))
    direction = 1.0 if np.nanmean(after) >= np.nanmean(before) else -1.0
    moved: Floats = direction * after
    return moved


def _values(name: str, side: DriftReference, captured: CapturedWindow) -> Floats:
    """What a signal looks at: a statistic, or of the answers the probability that moved most."""
    if name in STATISTICS:
        return side.statistics[name].to_numpy(np.float64)
    if name == SCORES:
        apart = np.abs(captured.window.scores.mean(axis=0) - captured.reference.scores.mean(axis=0))
        return side.scores[:, int(apart.argmax())].astype(np.float64)
    top: Floats = side.scores.max(axis=1).astype(np.float64)
    return top


def _shares(side: DriftReference) -> Floats:
    counts = np.bincount(side.scores.argmax(axis=1), minlength=len(side.classes))
    shares: Floats = counts / counts.sum()
    return shares


def read_pictures(about: Captured, image_ids: Iterable[str]) -> dict[str, Shown]:
    """Thumbnails of captured pictures, by their ids; of those that are still there and can be read.

    Raises:
        ServiceUnreachable: the store does not answer.
    """
    rows = read_captures(
        about.model_name,
        about.environment,
        since=about.since,
        until=about.until,
        columns=PICTURE_COLUMNS,
        only_parts_with_pictures=True,
    )
    names = rows["image_id"].fillna(rows["input_digest"])
    rows = rows[rows["picture"].notna() & names.isin(list(image_ids))]
    shown = {}
    for row in rows.assign(name=names).drop_duplicates("name").to_dict("records"):
        digests = tuple(str(row[name]) for name in ("image_id", "input_digest") if row[name] is not None)
        try:
            small = thumbnail(bytes(row["picture"]), int(row["orientation"]))
        except (OSError, ValueError, SyntaxError):
            continue
        shown[str(row["name"])] = Shown(digests, small)
    return shown


def strip_of(pictures: Sequence[Shown]) -> bytes:
    """A PNG with the pictures side by side; it says which they are, so that ``--forget`` finds them."""
    sheet = Image.new("RGB", (len(pictures) * THUMBNAIL, THUMBNAIL), "white")
    places: dict[str, list[Box]] = {}
    for number, each in enumerate(pictures):
        box = (number * THUMBNAIL, 0, (number + 1) * THUMBNAIL, THUMBNAIL)
        sheet.paste(each.thumbnail, box[:2])
        for digest in set(each.digests):
            places.setdefault(digest, []).append(box)
    return encode_sheet(sheet, places)


def _head(report: DriftReport, strips: dict[str, bytes], found: Sequence[Found]) -> str:
    """What stands above Evidently's part, and is seen where no script runs."""
    about = report.captured
    return HEAD.format(
        title=html.escape(f"{about.model_name} version {about.version} in {about.environment}"),
        decided=html.escape(f"{report.outcome.capitalize()}; of the accuracy: {report.performance.outcome}."),
        reasons="".join(f"<li>{html.escape(reason)}</li>" for reason in report.reasons),
        strips="\n".join(
            STRIP.format(
                name=html.escape(f"Moved most by {words(name)}"),
                alt=html.escape(f"pictures of the window that {words(name)} moved most"),
                width=_width(png) * SHOWN_AT // THUMBNAIL,
                png=base64.b64encode(png).decode(),
            )
            for name, png in strips.items()
        ),
        rows="\n".join(
            ROW.format(
                column=html.escape(words(each.column)),
                method=html.escape(each.method),
                value=each.value,
                threshold=each.threshold,
            )
            for each in found
        ),
    )


def _width(png: bytes) -> int:
    with Image.open(io.BytesIO(png)) as image:
        return image.width


def _compared(side: DriftReference, rows: NDArray[np.int64]) -> pd.DataFrame:
    """What Evidently compares: how the pictures look, and what was answered."""
    predicted = pd.Series(side.classes).str.translate(HARMLESS).to_numpy()[side.scores.argmax(axis=1)]
    compared = side.statistics.assign(**{TOP_PROBABILITY: side.scores.max(axis=1), PREDICTED: predicted})
    return compared.iloc[rows]


def evidently_page(captured: CapturedWindow) -> tuple[str, list[Found]]:
    """Evidently's comparison of window and reference.

    Returns:
        One HTML document that loads nothing, and what it says of each column.
    """
    os.environ[NO_TRACKING] = "1"  # before the import, which reads it
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    draw = np.random.default_rng(0)
    reference, window = (
        _compared(side, np.sort(draw.permutation(len(side))[:MOST_ROWS]))
        for side in (captured.reference, captured.window)
    )
    # Where no picture was kept nothing is known of how they look.
    known = [name for name in reference if reference[name].notna().any() and window[name].notna().any()]
    numbers = [name for name in known if name != PREDICTED]
    about = DataDefinition(numerical_columns=numbers, categorical_columns=[PREDICTED])
    before, now = (Dataset.from_pandas(side[known], data_definition=about) for side in (reference, window))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides by the deviation of what is constant
        made = Report([DataDriftPreset()]).run(now, before)
        page: str = made.get_html_str(as_iframe=False)
    said = ((each["config"], each["value"]) for each in made.dict()["metrics"])
    found = [
        Found(about["column"], about["method"], float(value), float(about["threshold"]))
        for about, value in said
        if "column" in about
    ]
    return page, found


def page_of(captured: CapturedWindow, report: DriftReport) -> str:
    """Evidently's page, below what was decided and the pictures that differ most.

    Raises:
        ServiceUnreachable: the store, which has the pictures, does not answer.
    """
    chosen = {name: different_most(name, captured)[:PICTURES] for name in explained_signals(report)}
    shown = read_pictures(captured.captured, {each for some in chosen.values() for each in some})
    strips = {
        name: strip_of(there)
        for name, some in chosen.items()
        if (there := [shown[each] for each in some if each in shown])
    }
    page, found = evidently_page(captured)
    start, body, rest = page.partition("<body>")
    return f"{start}{body}{_head(report, strips, found)}{rest}"


def explain_window(
    captured: CapturedWindow, report: DriftReport, settings: MonitorSettings
) -> HTMLString | None:
    """The page, where one is wanted and can be made.

    Nothing of Evidently is imported where it is not wanted.
    """
    wanted = settings.explain == "always" or (settings.explain == "on alarm" and report.alarm)
    if not wanted or not len(captured.window) or not len(captured.reference):
        return None
    try:
        return HTMLString(page_of(captured, report))
    except Exception as error:  # noqa: BLE001 - another's page, which decides nothing, may fail in any way
        why = one_line(f"{type(error).__name__}: {error}")
        logger.warning("There is no page that explains this window, for it could not be made: %s", why)
        return None


@step(enable_cache=False)
def explain(
    captured: CapturedWindow, report: DriftReport, settings: MonitorSettings
) -> Annotated[HTMLString | None, DRIFT_PAGE]:
    """Make the page that explains the window, with pictures as the store has them now."""
    return explain_window(captured, report, settings)
