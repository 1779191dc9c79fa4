"""Screen a delivery picture by picture: what cannot be used is set aside with a reason, the rest is measured.

A picture is decoded once, on its way in: that proves that it can be, and gives the measures that every later
check reads from the index. Its metadata are cut out; its pixels stay as they were encoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from materializers.data_report import Screening, SetAside
from materializers.image_dataset import ImageDataset, Picture, picture_digest
from materializers.image_index import said_columns
from materializers.quarantine import Quarantine, QuarantineBuilder
from serving.bad_picture import BadPicture
from serving.preprocess import Limits, open_checked
from steps.data.files import Source, Unreadable, inner_path
from steps.data.labels import Labels, Row
from steps.data.picture_measures import measure
from steps.progress import Meter, progress

Item = TypeVar("Item")
Result = TypeVar("Result")

FORGOTTEN, UNKNOWN_LABEL = "forgotten", "unknown_label"
AHEAD = 4  # pictures in memory per thread, besides the finished ones


def screen(data: bytes, row: Row, *, source_name: str, limits: Limits) -> Picture:
    """Decode one delivered picture, measure it, and cut its metadata out.

    Args:
        data: the bytes as delivered.
        row: what the delivery says of it.
        source_name: the configured name of who delivers; the picture's ``source`` begins with it, and goes on
            with the path, without ``./``.
        limits: what it may weigh and measure.

    Raises:
        BadPicture: it cannot be used.
    """
    stripped, image = open_checked(data, limits)
    return Picture(
        data=stripped.data,
        label=row.label or "",
        width=stripped.width,
        height=stripped.height,
        orientation=stripped.orientation,
        source=f"{source_name}/{inner_path(str(row.image_path), source_name)}",
        group=row.group,
        captured_at=row.captured_at,
        extra=dict(row.extra),
        source_digest=None if stripped.data is data else picture_digest(data),
        measures={"image_format": stripped.format, **asdict(measure(image, stripped.orientation))},
    )


@dataclass
class Screened:
    """What screening finds on its way through the rows."""

    quarantine: QuarantineBuilder
    classes: Collection[str] | None = None
    """The labels that validation knows; None where it is not asked."""
    set_aside: list[SetAside] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    """Digest → label of each usable picture so far."""
    duplicate_rows: int = 0
    conflicts: list[str] = field(default_factory=list)

    def add_set_aside(self, row: Row, found: SetAside, data: bytes) -> None:
        """Note a picture that nobody trains on, and keep the bytes that there are."""
        self.set_aside.append(found)
        self._keep(row, data, found.reason, found.detail)

    def add_usable(self, row: Row, picture: Picture, data: bytes) -> None:
        """Note a picture's label, and whether an earlier row had the same picture.

        One whose label validation will set aside is kept, so that it can come back with its class.
        """
        if self.classes is not None and picture.label not in self.classes:
            self._keep(row, data, UNKNOWN_LABEL, f"the label is none of {', '.join(self.classes)}")
        path = row.image_path or ""
        image_id = picture_digest(picture.data)
        known = self.labels.get(image_id)
        if known == picture.label:
            self.duplicate_rows += 1
        elif known is not None:
            self.conflicts.append(path)
        self.labels[image_id] = picture.label

    def _keep(self, row: Row, data: bytes, reason: str, detail: str) -> None:
        self.quarantine.add(
            data,
            path=row.image_path,
            label=row.label,
            reason=reason,
            detail=detail,
            group=row.group,
            captured_at=row.captured_at,
            extra=row.extra,
        )


@dataclass(frozen=True)
class Delivery:
    """One delivery as it was read.

    Attributes:
        dataset: its usable pictures.
        labels: its rows, corrections and withdrawals among them.
        screening: what was found, picture by picture.
        quarantine: what was set aside.
    """

    dataset: ImageDataset
    labels: Labels
    screening: Screening
    quarantine: Quarantine


def screen_delivery(
    source: Source,
    source_name: str,
    *,
    limits: Limits,
    threads: int,
    kept_days: int,
    classes: Collection[str] | None = None,
    forgotten: Collection[str] = frozenset(),
) -> Delivery:
    """Read every picture that the delivery names.

    Args:
        source: where the delivery lies.
        source_name: the configured name of who delivers.
        limits: what a picture may weigh and measure.
        threads: pictures that are worked on at the same time.
        kept_days: how long the quarantine keeps what is set aside.
        classes: the labels that validation knows; pictures of others go to the quarantine, too. None: all.
        forgotten: digests of pictures that were erased, as delivered and as stored; they stay out.

    Raises:
        UsageError: the delivery cannot be used, a path leads out of it, or it changed while it was read.
        ServiceUnreachable: the bucket does not answer.
    """
    labels = source.rows()
    quarantine = QuarantineBuilder(source_name, kept_days=kept_days, max_bytes=limits.max_bytes)
    findings = Screened(quarantine, classes)

    def examine(row: Row) -> tuple[bytes, Picture | SetAside]:
        return _examine(row, source, source_name, limits, forgotten)

    with progress("ingest", len(labels.pictures)) as meter:
        usable = _usable(in_order(examine, labels.pictures, threads), findings, meter)
        dataset = ImageDataset.from_pictures(usable)
        source.check_unchanged()
        meter.note(f"{len(dataset):,} pictures, {len(findings.set_aside):,} set aside")
    screening = Screening(
        source_name=source_name,
        rows=len(labels.rows),
        duplicate_rows=findings.duplicate_rows,
        conflicts=tuple(findings.conflicts),
        missing_values=labels.missing_values(),
        set_aside=tuple(findings.set_aside),
    )
    kept = quarantine.build()
    screening = screening.with_pictures(
        {f"set aside {digest[:16]}": png for digest, png in kept.thumbnails().items()}
    )
    return Delivery(dataset, labels, screening, kept)


def screen_stored(dataset: ImageDataset, source_name: str) -> Screening:
    """What there is to say about a stored version: its pictures were screened when they came."""
    columns = [name for name in said_columns(dataset.index.columns) if name != "image_id"]
    missing = dataset.index[columns].isna().sum()
    return Screening(
        source_name=source_name,
        rows=len(dataset),
        duplicate_rows=0,
        conflicts=(),
        missing_values={str(name): int(count) for name, count in missing.items()},
        set_aside=(),
    )


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[tuple[Item, Result]]:
    """Map in threads; yield each item with its result, in order, at most ``AHEAD`` a thread in memory."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Item, Future[Result]]] = deque()
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) >= AHEAD * threads:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _usable(
    examined: Iterable[tuple[Row, tuple[bytes, Picture | SetAside]]], findings: Screened, meter: Meter
) -> Iterator[Picture]:
    """The usable pictures in the order of their rows; ``findings`` takes the rest."""
    for row, (data, found) in examined:
        meter.advance()
        if isinstance(found, SetAside):
            findings.add_set_aside(row, found, data)
            continue
        findings.add_usable(row, found, data)
        yield found


def _examine(
    row: Row, source: Source, source_name: str, limits: Limits, forgotten: Collection[str]
) -> tuple[bytes, Picture | SetAside]:
    """Read and screen one row's picture; a ``SetAside`` says why it cannot be used."""

    def set_aside(reason: str, detail: object) -> SetAside:
        return SetAside(path=row.image_path or "", label=row.label, reason=reason, detail=str(detail))

    if row.image_path is None:
        return b"", set_aside("missing_path", "the row has no image_path")
    data = b""
    try:
        data = source.read(row.image_path)
        picture = screen(data, row, source_name=source_name, limits=limits)
        found: Picture | SetAside = picture
        digests = {picture.source_digest, picture_digest(picture.data)} if forgotten else set()
        if row.label is None:
            found = set_aside("missing_label", "the row has no label")
    except Unreadable as error:
        return b"", set_aside(error.reason, error)
    except BadPicture as error:
        found = set_aside(error.reason, error.message)
        digests = {picture_digest(data)} if forgotten else set()
    if not digests.isdisjoint(forgotten):
        return b"", set_aside(FORGOTTEN, "a person asked for its erasure")
    return data, found
