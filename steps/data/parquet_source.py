"""Deliveries as tables: Parquet files with a column of encoded pictures and one of labels.

Pictures are read forward, batch by batch, whatever the size of the row groups: memory stays flat.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from materializers.errors import NoRoom, UsageError
from steps.data.files import PARQUET_SUFFIX, PictureFiles, Source, SourceLimits, Unreadable, inner_path
from steps.data.labels import DESCRIBING, NEEDED, Labels, Row
from steps.data.parquet_columns import BYTES, Columns

BUFFER = 8 * 2**20
"""Bytes that are read at once."""
BATCH_BYTES, WINDOW_BYTES = 16 * 2**20, 64 * 2**20
"""Of pictures read at a time, and kept for the threads that are a little behind."""
MOST_PICTURES, MOST_ROWS = 1024, 65_536
"""Read at a time: of pictures, and of what stands beside them."""
LEAST_KEPT = 2
"""Batches: two threads are often at both sides of a seam."""
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises on files that are none, or were changed on their way."""

Batches = Generator[tuple[int, pa.Array], None, None]
"""Pictures, some at a time, each time with the number of the first."""


@dataclass(frozen=True)
class RowGroup:
    """Rows that lie together in a file: how many, and how many are read at a time."""

    rows: int
    batch: int


@dataclass(frozen=True)
class Table:
    """One file: its name below the source, its row groups, and the column that holds the pictures."""

    name: str
    groups: tuple[RowGroup, ...]
    column: str

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(group.rows for group in self.groups)


class ParquetSource(Source):
    """One or more Parquet files, whose rows together are the delivery.

    Args:
        address: what the user calls it.
        files: the folder, the prefix or the archive that holds them.
        names: of the files in it.
        limits: what a picture may weigh.
    """

    def __init__(self, address: str, files: PictureFiles, names: Sequence[str], limits: SourceLimits) -> None:
        super().__init__(address, limits)
        self.files, self.names = files, names
        self._lock = threading.Lock()
        self._window: Window | None = None

    def rows(self) -> Labels:
        """A row a picture; the pictures themselves are not read for it."""
        return self._contents.labels

    def pictures(self) -> list[str]:
        """The paths of all pictures, in the order of their rows, in which they are read fastest."""
        return list(self._contents.places)

    def read(self, path: str) -> bytes:
        """The bytes of one picture; in the order of the rows, each is read from the file once."""
        place = self._contents.places.get(path)
        if place is None:
            raise Unreadable("missing", "no row has this path")
        with self._lock:
            value = self._picture(place)
        if not value.is_valid:
            raise Unreadable("missing", "the row holds no bytes of a picture")
        size, limit = value.as_buffer().size, self.limits.picture_bytes
        if size > limit:
            raise Unreadable("too_many_bytes", f"the picture has {size:,} bytes; the limit is {limit:,}")
        data: bytes = value.as_py()
        return data

    def check_unchanged(self) -> None:
        """Compare the files with those that were read."""
        self.files.check_unchanged()

    def close(self) -> None:
        """Close what is open."""
        self._drop_window()
        self.files.close()

    def _picture(self, place: int) -> pa.Scalar:
        try:
            if self._window is None or place < self._window.first:
                self._drop_window()
                self._window = Window(self._batches(place), place)
            return self._window.picture(place)
        except BaseException:
            self._drop_window()  # what broke off cannot go on
            raise

    def _drop_window(self) -> None:
        if self._window is not None:
            self._window.batches.close()
            self._window = None

    @cached_property
    def _contents(self) -> Contents:
        contents = Contents(self.address)
        for name in self.names:
            with self._opened(name) as file:
                contents.add(name, file)
        contents.finish()
        return contents

    @contextmanager
    def _opened(self, name: str) -> Iterator[pq.ParquetFile]:
        options = {"buffer_size": BUFFER, "pre_buffer": False, "page_checksum_verification": True}
        try:
            with self.files.open(name) as file, pq.ParquetFile(file, **options) as parquet:
                yield parquet
        except Unreadable as error:
            raise UsageError(f"{self.address}: {name}: {error}. Send it anew.") from error
        except NoRoom:
            raise
        except DAMAGE as error:
            raise UsageError(
                f"{self.address} is refused as a whole: {name} is no Parquet file, cut short or damaged: "
                f"{' '.join(str(error).split())}. Send it anew."
            ) from error

    def _batches(self, place: int) -> Batches:
        """The pictures from the row group on that holds the row ``place``."""
        first = 0
        for table in self._contents.tables:
            if first + table.rows <= place:
                first += table.rows
                continue
            with self._opened(table.name) as file:
                for number, group in enumerate(table.groups):
                    if first + group.rows > place:
                        batches = file.iter_batches(group.batch, row_groups=[number], columns=[table.column])
                        yield from _numbered(batches, first)
                    first += group.rows


def _numbered(batches: Iterable[pa.RecordBatch], first: int) -> Iterator[tuple[int, pa.Array]]:
    for batch in batches:
        pictures = batch.column(0)
        yield first, pc.struct_field(pictures, BYTES) if pa.types.is_struct(pictures.type) else pictures
        first += len(pictures)


class Window:
    """The pictures that were read last, and how to go on; what lies before it has to be read again.

    Args:
        batches: the pictures, from ``first`` on or from somewhat before it.
        first: the row from which on pictures are kept.
    """

    def __init__(self, batches: Batches, first: int) -> None:
        self.batches, self.first = batches, first
        self.kept: deque[tuple[int, pa.Array]] = deque()

    def picture(self, place: int) -> pa.Scalar:
        """The picture of a row that is not before the window."""
        while not self.kept or place >= self.kept[-1][0] + len(self.kept[-1][1]):
            start, pictures = next(self.batches)
            if start + len(pictures) > self.first:
                self._keep(start, pictures)
        start, pictures = self.kept[bisect_right(self.kept, place, key=lambda batch: batch[0]) - 1]
        return pictures[place - start]

    def _keep(self, start: int, pictures: pa.Array) -> None:
        self.kept.append((start, pictures))
        while len(self.kept) > LEAST_KEPT and sum(each.nbytes for _, each in self.kept) > WINDOW_BYTES:
            self.kept.popleft()
            self.first = self.kept[0][0]


@dataclass
class Contents:
    """What all files say of their pictures, taken from one after the other."""

    address: str
    tables: list[Table] = field(default_factory=list)
    values: dict[str, list[str | None]] = field(default_factory=lambda: {name: [] for name in DESCRIBING})
    """By column, of every row so far."""
    labels: Labels = field(default_factory=lambda: Labels(NEEDED, []))
    places: dict[str, int] = field(default_factory=dict)
    """Path → number of its row, counted through all files."""

    def add(self, name: str, file: pq.ParquetFile) -> None:
        """Take the rows of one file.

        Raises:
            UsageError: a column is missing, cannot be used, or shares its name.
        """
        columns = Columns(f"{self.address}: {name}", file.schema_arrow)
        before = sum(table.rows for table in self.tables)
        self.tables.append(_table(name, file, columns.pictures))
        for batch in file.iter_batches(MOST_ROWS, columns=columns.described_by):
            for column, texts in columns.texts(batch).items():
                known = self.values.setdefault(column, [])
                known.extend([None] * (before - len(known)))  # what came so far does not have it
                known.extend(texts)
            before += batch.num_rows
        for known in self.values.values():
            known.extend([None] * (before - len(known)))

    def finish(self) -> None:
        """Name each picture: by its path if it has one of its own, else by its file and row.

        Raises:
            UsageError: there is no row, or a path leads out.
        """
        paths = self._paths()
        if not paths:
            raise UsageError(f"{self.address} is empty: its Parquet files have 0 rows; 1 is needed at least.")
        labels, groups, times = (self.values.pop(name) for name in DESCRIBING[1:])
        own = list(self.values)
        rows = [
            Row(path, label, group, captured_at, dict(zip(own, extra, strict=True)))
            for path, label, group, captured_at, *extra in zip(
                paths, labels, groups, times, *self.values.values(), strict=True
            )
        ]
        given = [name for name, values in (("group", groups), ("captured_at", times)) if any(values)]
        self.labels = Labels((*NEEDED, *given, *own), rows)
        self.places = {path: number for number, path in enumerate(paths)}
        self.values.clear()

    def _paths(self) -> list[str]:
        delivered = self.values.pop("image_path")
        times = Counter(delivered)
        for path in times:
            if path is not None:
                inner_path(path, self.address)
        by_row = (f"{table.name}#{number}" for table in self.tables for number in range(table.rows))
        return [
            path if path and times[path] == 1 and f"{PARQUET_SUFFIX}#" not in path.lower() else name
            for path, name in zip(delivered, by_row, strict=True)
        ]


def _table(name: str, file: pq.ParquetFile, column: str) -> Table:
    groups = []
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        parts = [group.column(at) for at in range(group.num_columns)]
        size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema == column)
        weight = max(1, size // max(1, group.num_rows))
        groups.append(RowGroup(group.num_rows, min(MOST_PICTURES, max(1, BATCH_BYTES // weight))))
    return Table(name, tuple(groups), column)
