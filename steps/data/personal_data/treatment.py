"""Treat the personal data of a delivery as the policy says, before anything of it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pandas as pd

from materializers.data_report import Check
from materializers.image_dataset import INDEX_COLUMNS, ImageDataset, Picture, picture_digest
from materializers.image_index import MEASURES, TEXT, said_columns
from serving.strip_metadata import strip_metadata
from steps.data.checks.personal_data import check_columns, check_pictures
from steps.data.labels import Labels, Row
from steps.data.personal_data.columns import mask_columns, missing_packages, scan_columns
from steps.data.personal_data.pictures import (
    LEAST_SIDE,
    Box,
    PicturesFindings,
    examine_picture,
    examined,
    mask_picture,
    missing_detectors,
)
from steps.data.personal_data.settings import PersonalDataSettings
from steps.progress import progress

NOT_SCANNED = ("image_id", "captured_at")
"""Columns that are no text of a person's."""
BATCH = 64
KINDS = 2
"""Faces and texts: with both detectors missing nothing needs to be decoded."""


def treat_personal_data(
    delivery: ImageDataset, labels: Labels, stored: ImageDataset | None, settings: PersonalDataSettings
) -> tuple[ImageDataset, Labels, list[Check]]:
    """Look for personal data, and mask it where the policy says so.

    Args:
        delivery: the delivery's usable pictures; one that was examined when it came before says what was
            found, and is not examined again.
        labels: all its rows; those that correct stored pictures are looked at, too.
        stored: a version whose pictures are not packed again where masking makes them of others.
        settings: the policy.

    Returns:
        The delivery, whose index says how many ``faces`` and ``texts`` each examined picture has and how many
        parts of it are ``masked``; the rows, of which the corrections say what may be stored; and the checks.
    """
    delivery, labels, of_columns = _columns(delivery, labels, settings)
    delivery, of_pictures = _pictures(delivery, stored, settings)
    return delivery, labels, [of_columns, *of_pictures]


def check_stored(dataset: ImageDataset, settings: PersonalDataSettings) -> list[Check]:
    """The checks of a stored version, which stays exactly what it is: what would be masked refuses.

    Pictures were examined when they came; nobody looks at them again.

    Args:
        dataset: the version.
        settings: the policy.
    """
    strict = settings.model_copy(
        update={name: "refuse" for name in ("columns", "pictures") if getattr(settings, name) == "mask"}
    )
    findings = scan_columns(_scanned(dataset), settings=strict)
    of_columns = check_columns(findings, strict, missing_packages())
    return [of_columns, *check_pictures(_earlier(dataset.index), len(dataset), strict, {})]


def _columns(
    delivery: ImageDataset, labels: Labels, settings: PersonalDataSettings
) -> tuple[ImageDataset, Labels, Check]:
    corrected = pd.DataFrame([row.given() for row in labels.corrections])
    corrected = corrected.drop(columns=list(NOT_SCANNED), errors="ignore")
    rows = pd.concat([_scanned(delivery), corrected], ignore_index=True).astype(TEXT)
    findings = scan_columns(rows, settings=settings)
    check = check_columns(findings, settings, missing_packages())
    if settings.columns != "mask" or not findings:
        return delivery, labels, check
    columns = list(dict.fromkeys(finding.column for finding in findings))
    masked = mask_columns(rows, findings, settings)[columns]
    of_pictures, of_corrections = masked[: len(delivery)], masked[len(delivery) :]
    delivery = delivery.amend(of_pictures.assign(image_id=delivery.index["image_id"]))
    return delivery, _with_corrections(labels, of_corrections.to_dict("records")), check


def _scanned(dataset: ImageDataset) -> pd.DataFrame:
    """What the rows say in words."""
    return dataset.index[[name for name in said_columns(dataset.index.columns) if name not in NOT_SCANNED]]


def _with_corrections(labels: Labels, masked: Sequence[dict[Any, Any]]) -> Labels:
    """The rows, of which the corrections say what ``masked`` says, one after another."""
    waiting = iter(masked)
    rows = [
        _corrected(row, next(waiting)) if row.image_id is not None and not row.withdrawn else row
        for row in labels.rows
    ]
    return replace(labels, rows=rows)


def _corrected(row: Row, masked: dict[Any, Any]) -> Row:
    given = {name: value for name, value in masked.items() if name in row.given()}
    own = {name: value for name, value in given.items() if name in row.extra}
    return replace(
        row,
        label=given.get("label", row.label),
        group=given.get("group", row.group),
        extra={**row.extra, **own},
    )


def _pictures(
    delivery: ImageDataset, stored: ImageDataset | None, settings: PersonalDataSettings
) -> tuple[ImageDataset, list[Check]]:
    index = delivery.index
    unknown = index[index["faces"].isna() | index["texts"].isna() | _to_be_masked(index, settings)]
    large = unknown[["width", "height"]].min(axis=1) >= LEAST_SIDE
    chosen = examined(unknown.loc[large, "image_id"].tolist(), settings.examined_pictures, settings.pictures)
    # With none to look at, the detectors are not even imported.
    missing = missing_detectors() if chosen else {}
    found = dict.fromkeys(unknown.loc[~large, "image_id"], PicturesFindings(None, None, "too small"))
    found |= dict.fromkeys(chosen, PicturesFindings(None, None, "no detector"))
    if len(missing) < KINDS:
        found |= _examine(delivery, chosen, settings.threads)
    sources = dict(zip(index["image_id"], index["source"], strict=True))
    looked_at = [(str(sources[image_id]), findings) for image_id, findings in found.items()]
    earlier = _earlier(index[~index["image_id"].isin(list(found))])
    checks = check_pictures([*earlier, *looked_at], len(delivery), settings, missing)
    if found:
        counts = pd.DataFrame(
            {
                "image_id": list(found),
                "faces": pd.array([_count(each.faces) for each in found.values()], dtype="Int64"),
                "texts": pd.array([_count(each.texts) for each in found.values()], dtype="Int64"),
            }
        )
        delivery = delivery.with_measures(counts)
    if settings.pictures == "mask":
        delivery = _masked(delivery, found, stored)
    return delivery, checks


def _to_be_masked(index: pd.DataFrame, settings: PersonalDataSettings) -> pd.Series:
    """The pictures whose findings were only counted when they came before, under another policy."""
    any_found = (index["faces"].fillna(0) + index["texts"].fillna(0)) > 0
    return any_found & index["masked"].isna() & (settings.pictures == "mask")


def _earlier(index: pd.DataFrame) -> list[tuple[str, PicturesFindings]]:
    """What was found before, of which only the number is known; what was masked shows nothing any more."""
    known = index[index["faces"].notna() & index["texts"].notna() & index["masked"].isna()]
    return [
        (str(row.source), PicturesFindings(_boxes(row.faces), _boxes(row.texts)))
        for row in known[["source", "faces", "texts"]].itertuples(index=False)
    ]


def _boxes(count: Any) -> tuple[Box, ...]:
    return (Box(0, 0, 0, 0),) * int(count)


def _count(boxes: Sequence[Box] | None) -> int | None:
    return None if boxes is None else len(boxes)


def _examine(delivery: ImageDataset, image_ids: Sequence[str], threads: int) -> dict[str, PicturesFindings]:
    """What each of these pictures shows."""
    found: dict[str, PicturesFindings] = {}
    if not image_ids:
        return found
    with progress("personal data", len(image_ids)) as meter, ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(image_ids), BATCH):
            ids = image_ids[start : start + BATCH]
            looked = pool.map(examine_picture, delivery.pictures(ids), delivery.orientations(ids))
            found.update(zip(ids, looked, strict=True))
            meter.advance(len(ids))
    return found


def _masked(
    delivery: ImageDataset, found: dict[str, PicturesFindings], stored: ImageDataset | None
) -> ImageDataset:
    """The delivery in which the parts that were found are filled; such a picture is another picture."""
    with_any = [image_id for image_id, findings in found.items() if findings.boxes]
    if not with_any:
        return delivery
    rows = delivery.index.set_index("image_id").loc[with_any].to_dict("records")
    data = delivery.pictures(with_any)
    masked = (
        _mask(picture, {str(name): value for name, value in row.items()}, found[image_id].boxes)
        for image_id, row, picture in zip(with_any, rows, data, strict=True)
    )
    rest = delivery.without(with_any)
    # Shards are stored whole: those that hold an original are packed anew without it.
    holding = set(delivery.index.loc[delivery.index["image_id"].isin(with_any), "shard"]) & set(rest.shards)
    return rest.compacted(holding).join(ImageDataset.from_pictures(masked, stored=stored))


def _mask(data: bytes, row: dict[str, Any], boxes: Sequence[Box]) -> Picture:
    """A picture that says what the row says, and does not show what is in the boxes."""
    given: dict[str, Any] = {name: None if pd.isna(value) else value for name, value in row.items()}
    said = {name: value for name, value in given.items() if name not in INDEX_COLUMNS}
    measures = {name: given[name] for name in MEASURES if name != "cluster"}
    return Picture(
        data=strip_metadata(mask_picture(data, given["orientation"], boxes)).data,
        label=given["label"],
        width=given["width"],
        height=given["height"],
        orientation=given["orientation"],
        source=given["source"],
        group=given["group"],
        captured_at=given["captured_at"],
        extra=said,
        source_digest=given["source_digest"],
        # Delivered again with other metadata, it is known by this digest alone.
        measures={**measures, "masked": len(boxes), "unmasked_digest": picture_digest(data)},
    )
