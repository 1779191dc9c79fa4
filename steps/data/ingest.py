"""Read a delivery, or fetch a stored version: every picture is checked, none is changed.

A picture that cannot be used is set aside with a reason; only what makes the whole delivery unusable raises.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from pydantic import Field, field_validator
from zenml import step

from materializers.data_report import Screening, SetAside
from materializers.errors import UsageError
from materializers.image_dataset import (
    DERIVED_COLUMNS,
    ImageDataset,
    Picture,
    picture_digest,
    thumbnail_sheet,
)
from materializers.report import Record
from materializers.splits import Splits
from serving.preprocess import BadPicture, Limits, PictureInfo, inspect
from steps.data.files import DEFAULT_LIMITS, Source, SourceLimits, Unreadable
from steps.data.labels import Row, read_labels
from steps.data.parent import find_dataset, last_dataset, last_splits
from steps.data.sources import CONNECTIONS, open_source
from steps.progress import Meter, progress

Item = TypeVar("Item")
Result = TypeVar("Result")

SHOWN_REASONS = ("missing_label", "too_small")
"""Reasons for which a picture that was set aside decodes all the same, so that it can be shown."""
SHOWN = 12
SERVED_LIMITS = Limits()
"""What evaluation, batch inference and the service take: they know no other limits."""
AHEAD = 4  # pictures in memory per thread, besides the finished ones


class IngestSettings(Record):
    """How a delivery is read."""

    limits: Limits = Limits()
    max_labels_bytes: int = Field(default=DEFAULT_LIMITS.labels_bytes, ge=1)
    threads: int = Field(default=2, ge=1)
    connections: int = Field(default=CONNECTIONS, ge=1)
    """Requests to a bucket at the same time: there, waiting costs more than decoding."""

    @field_validator("limits")
    @classmethod
    def _within_served(cls, limits: Limits) -> Limits:
        """Refuse limits wider than the served ones: a model would learn from pictures that it never gets."""
        for name, value in limits:
            served: int = getattr(SERVED_LIMITS, name)
            least = name.startswith("min_")
            if value < served if least else value > served:
                raise ValueError(
                    f"{name} is {value}, and may be {'no less' if least else 'no more'} than {served}: "
                    "evaluation and the service refuse the pictures in between, so none is trained on; "
                    f"--set ingest.limits.{name}={served}"
                )
        return limits


@dataclass
class Findings:
    """What screening finds on its way through the rows."""

    set_aside: list[SetAside] = field(default_factory=list)
    shown: list[Picture] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    """Digest → label of each usable picture so far."""
    duplicate_rows: int = 0
    conflicts: list[str] = field(default_factory=list)

    def add_set_aside(self, found: SetAside, data: bytes) -> None:
        """Note a picture that nobody trains on; the first dozen that decode are shown."""
        self.set_aside.append(found)
        if found.reason in SHOWN_REASONS and len(self.shown) < SHOWN:
            self.shown.append(
                Picture(data, found.reason, width=0, height=0, orientation=1, source=found.path)
            )

    def add_usable(self, picture: Picture, path: str) -> None:
        """Note a picture's label, and whether an earlier row had the same picture."""
        image_id = picture_digest(picture.data)
        known = self.labels.get(image_id)
        if known == picture.label:
            self.duplicate_rows += 1
        elif known is not None:
            self.conflicts.append(path)
        self.labels[image_id] = picture.label


def screen_delivery(
    source: Source, source_name: str, settings: IngestSettings
) -> tuple[ImageDataset, Screening]:
    """Read every picture that ``labels.csv`` names.

    Args:
        source: where the delivery lies.
        source_name: the configured name of who delivers; a picture's ``source`` begins with it.
        settings: limits and threads.

    Returns:
        The usable pictures, encoded as they came, and what was found.

    Raises:
        UsageError: ``labels.csv`` cannot be used, or a path leads out of the source.
        ServiceUnreachable: the bucket does not answer.
    """
    labels = read_labels(source.labels())
    findings = Findings()
    with progress("ingest", len(labels.rows)) as meter:
        usable = _usable(labels.rows, source, source_name, settings, findings, meter)
        dataset = ImageDataset.from_pictures(usable)
        meter.note(f"{len(dataset):,} pictures, {len(findings.set_aside):,} set aside")
    screening = Screening(
        source_name=source_name,
        rows=len(labels.rows),
        duplicate_rows=findings.duplicate_rows,
        conflicts=tuple(findings.conflicts),
        missing_values=labels.missing_values(),
        set_aside=tuple(findings.set_aside),
    )
    if findings.shown:
        sheet = thumbnail_sheet(ImageDataset.from_pictures(findings.shown))
        screening = screening.with_pictures({"set aside": sheet})
    return dataset, screening


def screen_stored(dataset: ImageDataset, source_name: str) -> Screening:
    """What there is to say about a stored version: its pictures were screened when they came."""
    columns = [name for name in dataset.index.columns if name not in ("image_id", *DERIVED_COLUMNS)]
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
    rows: list[Row],
    source: Source,
    source_name: str,
    settings: IngestSettings,
    findings: Findings,
    meter: Meter,
) -> Iterator[Picture]:
    """The usable pictures in the order of their rows; ``findings`` takes the rest."""
    threads = settings.connections if source.waits_for_network else settings.threads
    for row, (data, found) in in_order(lambda row: _examine(row, source, settings.limits), rows, threads):
        meter.advance()
        if isinstance(found, SetAside):
            findings.add_set_aside(found, data)
            continue
        picture = Picture(
            data=data,
            label=row.label or "",
            width=found.width,
            height=found.height,
            orientation=found.orientation,
            source=f"{source_name}/{row.image_path}",
            group=row.group,
            captured_at=row.captured_at,
            extra=row.extra,
        )
        findings.add_usable(picture, row.image_path or "")
        yield picture


def _examine(row: Row, source: Source, limits: Limits) -> tuple[bytes, PictureInfo | SetAside]:
    """Read and decode one row's picture; a ``SetAside`` says why it cannot be used."""

    def set_aside(reason: str, detail: object) -> SetAside:
        return SetAside(path=row.image_path or "", label=row.label, reason=reason, detail=str(detail))

    if row.image_path is None:
        return b"", set_aside("missing_path", "the row has no image_path")
    data = b""
    try:
        data = source.read(row.image_path)
        info = inspect(data, limits)
    except Unreadable as error:
        return b"", set_aside(error.reason, error)
    except BadPicture as error:
        return data, set_aside(error.reason, error.message)
    if row.label is None:
        return data, set_aside("missing_label", "the row has no label")
    return data, info


@step(enable_cache=False)
def ingest(
    model_name: str,
    source_name: str,
    settings: IngestSettings,
    source: str | None = None,
    data_version: str | None = None,
    join_parent: bool = False,
) -> tuple[
    Annotated[ImageDataset, "delivery"],
    Annotated[Screening, "screening"],
    Annotated[Splits | None, "previous_splits"],
]:
    """Read ``source`` or fetch ``data_version``; join it to the model's last accepted dataset if asked.

    Raises:
        UsageError: not exactly one of the two is given, or it cannot be used.
        ServiceUnreachable: the bucket does not answer.
    """
    if (source is None) == (data_version is None):
        raise UsageError("Give either a source or a stored version: --source PATH, or --data VERSION.")
    if source is not None:
        limits = SourceLimits(picture_bytes=settings.limits.max_bytes, labels_bytes=settings.max_labels_bytes)
        with open_source(source, limits, connections=settings.connections) as opened:
            dataset, screening = screen_delivery(opened, source_name, settings)
    else:
        dataset = find_dataset(str(data_version))
        screening = screen_stored(dataset, source_name)
    parent = last_dataset(model_name) if join_parent else None
    if parent is not None:
        dataset = parent.join(dataset)
    return dataset, screening, last_splits(model_name)
