"""Screen a delivery picture by picture: what cannot be used is set aside with a reason, the rest is measured.

A picture is decoded once, on its way in: that proves that it can be, and gives the measures that every later
check reads from the index. Its metadata are cut out; its pixels stay as they were encoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from materializers.data_report import Screening, SetAside
from materializers.image_dataset import ImageDataset, Picture, picture_digest
from materializers.image_index import said_columns
from materializers.quarantine import MENDABLE, Quarantine, QuarantineBuilder
from materializers.report import counted
from serving.bad_picture import BadPicture
from serving.preprocess import DEFAULT_LIMITS, Limits
from steps.data.examining import Examined, Examiner, examine, examiner, processes_for
from steps.data.files import Source, Unreadable, inner_path
from steps.data.labels import Labels, Row
from steps.data.searching import known_as
from steps.progress import Meter, progress

Item = TypeVar("Item")
Result = TypeVar("Result")

FORGOTTEN, UNKNOWN_LABEL = "forgotten", "unknown_label"
LIMITED_BY = {"too_small": "min_side", "too_many_pixels": "max_pixels", "odd_shape": "max_aspect_ratio"}
"""Reasons that a wider limit mends, where it is narrower than what is served."""
AT_ONCE = 4
"""Pictures that a thread reads before it has them examined: so many are in memory, and as many finished."""


def screen(data: bytes, row: Row, *, source_name: str, limits: Limits) -> Picture:
    """Examine one picture and say of it what its delivery says; see :func:`described`.

    Raises:
        BadPicture: it cannot be used.
    """
    (found,) = examine([data], limits)
    if isinstance(found, BadPicture):
        raise found
    return described(found, data, row, source_name)


def described(examined: Examined, data: bytes, row: Row, source_name: str) -> Picture:
    """A usable picture with what its delivery says of it.

    Args:
        examined: what was found in it.
        data: the bytes as delivered.
        row: what the delivery says of it.
        source_name: the configured name of who delivers; the picture's ``source`` begins with it, and goes on
            with the path, without ``./``.
    """
    stripped = examined.stripped
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
        measures={"image_format": stripped.format, **asdict(examined.measures)},
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
        known = self.labels.get(picture.image_id)
        if known == picture.label:
            self.duplicate_rows += 1
        elif known is not None:
            self.conflicts.append(path)
        self.labels[picture.image_id] = picture.label

    @property
    def said(self) -> str:
        """How many pictures can be used and how many are set aside, as the report counts them."""
        known = self.labels.values()
        unknown = 0 if self.classes is None else sum(label not in self.classes for label in known)
        for_label = f" ({unknown:,} for a label that is not configured)" if unknown else ""
        usable = counted(len(known) - unknown, "picture")
        return f"{usable}, {len(self.set_aside) + unknown:,} set aside{for_label}"

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
    processes: int = 0,
    kept_days: float,
    classes: Collection[str] | None = None,
    forgotten: Collection[str] = frozenset(),
    stored: ImageDataset | None = None,
) -> Delivery:
    """Read every picture that the delivery names.

    Args:
        source: where the delivery lies.
        source_name: the configured name of who delivers.
        limits: what a picture may weigh and measure.
        threads: that read pictures, ``AT_ONCE`` each.
        processes: that examine them; 1: this one alone; 0: this one, or one a core where they are many.
        kept_days: how long the quarantine keeps what is set aside.
        classes: the labels that validation knows; pictures of others go to the quarantine, too. None: all.
        forgotten: digests of pictures that were erased, as delivered and as stored; they stay out.
        stored: a version whose pictures are not packed again where they are delivered again.

    Raises:
        UsageError: the delivery cannot be used, a path leads out of it, or it changed while it was read.
        ServiceUnreachable: the bucket does not answer.
    """
    labels = source.rows()
    quarantine = QuarantineBuilder(
        source_name, kept_days=kept_days, max_bytes=limits.max_bytes, mendable=mendable_under(limits)
    )
    findings = Screened(quarantine, classes)

    pictures = labels.pictures
    processes = processes or processes_for(len(pictures))
    if processes > 1:
        threads = max(threads, 2 * processes)  # one has its next ones ready while others are examined
    with progress("ingest", len(pictures)) as meter, examiner(processes) as examine_some:
        screen_some = _Screen(source, source_name, limits, forgotten, examine_some)
        usable = _usable(in_order(screen_some.rows, pictures, threads), findings, meter)
        dataset = ImageDataset.from_pictures(usable, stored=stored)
        source.check_unchanged()
        meter.note(findings.said)
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


def mendable_under(limits: Limits) -> frozenset[str]:
    """The reasons for which a changed configuration takes the same bytes after all."""
    narrower = (
        reason
        for reason, name in LIMITED_BY.items()
        if getattr(limits, name) != getattr(DEFAULT_LIMITS, name)
    )
    return MENDABLE.union(narrower)


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
    function: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item], threads: int
) -> Iterator[tuple[Item, Result]]:
    """Map some items at a time in threads; yield each with its result, in order.

    At most ``AT_ONCE`` a thread, and as many again, are in memory.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Sequence[Item], Future[Sequence[Result]]]] = deque()
        try:
            for start in range(0, len(items), AT_ONCE):
                some = items[start : start + AT_ONCE]
                waiting.append((some, pool.submit(function, some)))
                if len(waiting) > threads:
                    first, future = waiting.popleft()
                    yield from zip(first, future.result(), strict=True)
            while waiting:
                first, future = waiting.popleft()
                yield from zip(first, future.result(), strict=True)
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


@dataclass(frozen=True)
class _Screen:
    """Reads and examines the pictures of some rows."""

    source: Source
    source_name: str
    limits: Limits
    forgotten: Collection[str]
    examine: Examiner

    def rows(self, rows: Sequence[Row]) -> list[tuple[bytes, Picture | SetAside]]:
        """The bytes of each row's picture, and what it is; a ``SetAside`` says why it cannot be used."""
        read = [self._read(row) for row in rows]
        examined = iter(self.examine([data for data in read if isinstance(data, bytes)], self.limits))
        return [
            (b"", data) if isinstance(data, SetAside) else self._judged(row, data, next(examined))
            for row, data in zip(rows, read, strict=True)
        ]

    def _read(self, row: Row) -> bytes | SetAside:
        if row.image_path is None:
            return _set_aside(row, "missing_path", "the row has no image_path")
        try:
            return self.source.read(row.image_path)
        except Unreadable as error:
            return _set_aside(row, error.reason, error)

    def _judged(
        self, row: Row, data: bytes, examined: Examined | BadPicture
    ) -> tuple[bytes, Picture | SetAside]:
        found: Picture | SetAside
        if isinstance(examined, BadPicture):
            digests = known_as(data)
            found = _set_aside(row, examined.reason, examined.message)
        else:
            found = picture = described(examined, data, row, self.source_name)
            digests = {picture.source_digest or picture.image_id, picture.image_id}
            if row.label is None:
                found = _set_aside(row, "missing_label", "the row has no label")
        if not digests.isdisjoint(self.forgotten):
            return b"", _set_aside(row, FORGOTTEN, "a person asked for its erasure")
        return data, found


def _set_aside(row: Row, reason: str, detail: object) -> SetAside:
    return SetAside(path=row.image_path or "", label=row.label, reason=reason, detail=str(detail))
