"""Pictures as they were encoded, with an index: labels are readable without touching a picture.

Pictures lie in shards named by their digest, under the artifact store's root and shared by all versions; an
artifact of its own is only its index and, last, ``manifest.json``. A version is named by the digest of its
sorted rows, so the same pictures and labels have the same version however they came and wherever they lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import write_blob
from materializers.image_index import (
    DERIVED_COLUMNS,
    INDEX_COLUMNS,
    MEASURES,
    OF_THE_BYTES,
    PLACE_COLUMNS,
    TEXT,
    Lookup,
    arrow,
    complete,
    in_order,
    is_among,
    row_digests,
    said_columns,
    stacked,
    text_of,
    tombstone_rows,
    typed,
    version_of,
)
from materializers.image_manifest import Manifest, read_manifest, read_version, write_version
from materializers.shards import (
    MEND,
    Packer,
    Place,
    Shard,
    Spool,
    Wanted,
    picture_digest,
    read_pictures,
    stored_shard,
)
from materializers.store_files import remove_file
from materializers.thumbnails import THUMBNAIL, THUMBNAILS_PER_CLASS, thumbnail, thumbnail_sheet

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

__all__ = [
    "DERIVED_COLUMNS",
    "INDEX_COLUMNS",
    "MEND",
    "THUMBNAIL",
    "THUMBNAILS_PER_CLASS",
    "Difference",
    "ImageDataset",
    "ImageDatasetMaterializer",
    "Picture",
    "Shard",
    "picture_digest",
    "thumbnail",
    "thumbnail_sheet",
]

GATHERED = (
    "label",
    "group",
    "captured_at",
    "source_digest",
    "width",
    "height",
    "orientation",
    "source",
)
COMPACT_SHARE = 0.5
"""A shard whose named pictures fill less than this of a full one is packed anew."""


@dataclass(frozen=True)
class Picture:
    """One labelled picture on its way into a dataset.

    Args:
        data: the encoded bytes that are stored.
        label: its class.
        width: in pixels, as encoded.
        height: in pixels, as encoded.
        orientation: 1 to 8, as EXIF numbers them; applied when the picture is decoded.
        source: the source's name and the path within.
        group: what must not span two splits, such as one product.
        captured_at: when it was taken, as the delivery says.
        extra: the delivery's other columns.
        source_digest: blake3 (hex) of the bytes as delivered; without it, of ``data``.
        measures: what was computed from it, by the names of ``MEASURES``.
    """

    data: bytes
    label: str
    width: int
    height: int
    orientation: int
    source: str
    group: str | None = None
    captured_at: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    source_digest: str | None = None
    measures: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def image_id(self) -> str:
        """The digest of the stored bytes."""
        return picture_digest(self.data)


@dataclass(frozen=True)
class Difference:
    """What a later version changed.

    Args:
        added: the later version's rows of pictures that the earlier one lacks.
        withdrawn: the earlier version's rows of pictures that the later one lacks.
        relabelled: ``image_id``, ``old_label``, ``new_label``.
        changed: any other column that says something else: ``image_id``, ``column``, ``old``, ``new``; a
            missing value is NA.
        forgotten: the earlier version's rows of pictures that were erased since; they count in the version.
    """

    added: pd.DataFrame = field(repr=False)
    withdrawn: pd.DataFrame = field(repr=False)
    relabelled: pd.DataFrame = field(repr=False)
    changed: pd.DataFrame = field(repr=False)
    forgotten: pd.DataFrame = field(repr=False)

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return any(map(len, (self.added, self.withdrawn, self.relabelled, self.changed, self.forgotten)))


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled pictures of one version.

    Args:
        index: one row a picture; the columns of ``INDEX_COLUMNS`` and any other that the deliveries brought,
            as text. Columns that are not given are missing values.
        shards: every shard that the index names, by digest.
        tombstones: ``image_id`` and ``row_digest`` of pictures that were erased. They are part of the
            version, which stays what it was before.
        as_it_is: the index is complete, sorted, and has the right row digests; else it is made so.
    """

    index: pd.DataFrame = field(repr=False)
    shards: Mapping[str, Shard] = field(repr=False)
    tombstones: pd.DataFrame = field(default_factory=tombstone_rows, repr=False)
    as_it_is: InitVar[bool] = False

    def __post_init__(self, as_it_is: bool) -> None:
        """Complete the index where it is not complete yet."""
        if not as_it_is:
            object.__setattr__(self, "index", complete(self.index))

    @classmethod
    def from_pictures(
        cls, pictures: Iterable[Picture], *, stored: ImageDataset | None = None
    ) -> ImageDataset:
        """Pack pictures into shards; of two with the same bytes the later one's labels stand.

        At most two shards are in memory; what is more waits in a temporary folder.

        Args:
            pictures: what comes, one by one.
            stored: a version whose pictures are not packed again: they lie where it has them, with the
                measures that it has, and say what they say now.

        Raises:
            ValueError: a measure has no column.
        """
        packer, packed, placed = Packer(), _Gathered(), _Gathered()
        for picture in pictures:
            if unknown := picture.measures.keys() - MEASURES.keys():
                raise ValueError(f"{min(unknown)} is no measure; there are {', '.join(MEASURES)}.")
            if stored is not None and picture.image_id in stored:
                placed.add(picture)
            elif packed.add(picture):
                packer.add(picture.image_id, picture.data)
        packer.finish()
        fresh = cls(packed.frame(packer.places), packer.shards)
        return fresh if stored is None else fresh.join(stored._places_of(placed.frame()))

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.index)

    def __contains__(self, image_id: str) -> bool:
        """Whether this version has the picture."""
        return bool(self._lookup.find([image_id])[0] >= 0)

    @cached_property
    def version(self) -> str:
        """The sha256 of the sorted row digests, those of erased pictures among them."""
        return version_of(self.index["row_digest"], self.tombstones["row_digest"])

    # --- Reading ------------------------------------------------------------------------------------------

    def pictures(self, image_ids: Sequence[str]) -> list[bytes]:
        """The encoded bytes of these pictures, in this order, each verified.

        Raises:
            KeyError: a picture is not in this dataset.
            DamagedArtifact: a shard is missing or damaged.
            ServiceUnreachable: the store does not answer.
        """
        rows = self._lookup.rows(image_ids)
        order = np.argsort(self._places.shard[rows], kind="stable")
        groups = list(self._by_shard(rows[order]))
        found: list[bytes] = [b""] * len(rows)
        read = (data for group in read_pictures(groups) for data in group)
        for at, data in zip(order.tolist(), read, strict=True):
            found[at] = data
        return found

    def scan(
        self, *, shards: Sequence[str] | None = None, verify: bool = True
    ) -> Iterator[tuple[str, bytes]]:
        """Yield every picture's ``image_id`` and encoded bytes, shard by shard.

        Args:
            shards: which, in this order; without it all, in the order of their digests.
            verify: compare each picture with its digest.

        Raises:
            DamagedArtifact: a shard is missing or damaged.
            ServiceUnreachable: the store does not answer.
        """
        for shard, wanted in self._by_shard(self._in_shards(shards)):
            pictures = shard.pictures(wanted, verify=verify)
            yield from zip((each.image_id for each in wanted), pictures, strict=True)

    def labels(self, image_ids: Sequence[str]) -> list[str]:
        """The labels of these pictures, in this order.

        Raises:
            KeyError: a picture is not in this dataset.
        """
        labels: list[str] = self.index["label"].iloc[self._lookup.rows(image_ids)].tolist()
        return labels

    def orientations(self, image_ids: Sequence[str]) -> list[int]:
        """The orientations of these pictures, 1 to 8 as EXIF numbers them, in this order.

        Raises:
            KeyError: a picture is not in this dataset.
        """
        orientations: list[int] = self.index["orientation"].to_numpy()[self._lookup.rows(image_ids)].tolist()
        return orientations

    # --- Other versions; no picture is copied -------------------------------------------------------------

    def select(self, image_ids: Iterable[str]) -> ImageDataset:
        """The dataset of these pictures alone; ids that it does not know are ignored, tombstones stay."""
        return self._of(self.index[self._among(image_ids)])

    def without(self, image_ids: Iterable[str]) -> ImageDataset:
        """The dataset without these pictures, which were withdrawn; ids that it does not know are ignored."""
        return self._of(self.index[~self._among(image_ids)])

    def join(self, later: ImageDataset) -> ImageDataset:
        """Add a later delivery: its rows stand where both know a picture.

        What either has erased stays erased, though the other brings it.
        """
        earlier = self.index[~self._among(later.index["image_id"])]
        tombstones = pd.concat([self.tombstones, later.tombstones]).drop_duplicates("image_id", keep="last")
        index = stacked([earlier, later.index])
        if len(tombstones):
            index = index[~is_among(index["image_id"], tombstones["image_id"])]
        return ImageDataset._made(index, {**self.shards, **later.shards}, tombstone_rows(tombstones))

    def amend(self, corrections: pd.DataFrame) -> ImageDataset:
        """Correct what rows say.

        Args:
            corrections: ``image_id``, and the columns that are corrected or new; a missing value leaves what
                the row said, and of two corrections of one picture the later one stands.

        Raises:
            KeyError: a picture is not in this dataset.
            ValueError: a column is derived, so that no delivery can correct it.
        """
        refused = [name for name in corrections.columns if name in DERIVED_COLUMNS]
        if refused:
            raise ValueError(f"{refused[0]} follows from the picture or its storage: it cannot be corrected.")
        return self._changed(corrections)

    def rename_labels(self, names: Mapping[str, str]) -> ImageDataset:
        """Give classes other names; two that get one name become one class."""
        old = self.index[self.index["label"].isin(list(names))]
        return self._changed(old[["image_id"]].assign(label=old["label"].map(dict(names)).astype(TEXT)))

    def with_measures(self, measures: pd.DataFrame) -> ImageDataset:
        """Set what was computed from pictures: the version stays.

        Args:
            measures: ``image_id`` and columns of ``MEASURES``; a missing value is set too.

        Raises:
            KeyError: a picture is not in this dataset.
            ValueError: a column is none of ``MEASURES``.
        """
        unknown = [name for name in measures.columns if name not in ("image_id", *MEASURES)]
        if unknown:
            raise ValueError(f"{unknown[0]} is no measure; there are {', '.join(MEASURES)}.")
        rows = self._lookup.rows(measures["image_id"].tolist())
        names = measures.columns.drop("image_id")
        columns = {name: _replaced(self.index[name], rows, measures[name]) for name in names}
        return self._of(self.index.assign(**columns))

    def diff(self, later: ImageDataset) -> Difference:
        """What ``later`` added, withdrew, relabelled and changed, and what was erased in between."""
        gone = ~self._among(later.index["image_id"])
        erased = self._among(later.tombstones["image_id"])
        added = later.index[~later._among(self.index["image_id"])]
        old = self.index[~gone].reset_index(drop=True)
        new = later.index[later._among(self.index["image_id"])].reset_index(drop=True)
        differs = (old["row_digest"] != new["row_digest"]).to_numpy(dtype=bool)
        changes = _changes(old[differs], new[differs])
        labels = changes["column"] == "label"
        relabelled = changes[labels].rename(columns={"old": "old_label", "new": "new_label"})
        return Difference(
            added=added.reset_index(drop=True),
            withdrawn=self.index[gone & ~erased].reset_index(drop=True),
            relabelled=relabelled.drop(columns="column").reset_index(drop=True),
            changed=changes[~labels].reset_index(drop=True),
            forgotten=self.index[gone & erased].reset_index(drop=True),
        )

    # --- Other shards; the version stays ------------------------------------------------------------------

    def compacted(
        self, shards: Iterable[str] | None = None, *, packed: ImageDataset | None = None
    ) -> ImageDataset:
        """The same version with fewer shards: their pictures are packed anew, in their order.

        Args:
            shards: which; without it those of which this version needs less than half a full one.
            packed: another version, which was packed before: pictures that it has are found where it has
                them, so that versions go on sharing shards.
        """
        chosen = set(self._sparse() if shards is None else shards)
        start = self if packed is None else self.found_in(packed, chosen)
        if packed is not None:
            chosen -= set(packed.shards)
        moved = start.index["shard"].isin(chosen).to_numpy(dtype=bool)
        if shards is None and start.index["shard"][moved].nunique() < 2:  # noqa: PLR2004 (one stays one)
            return start
        packer, image_ids = Packer(), []
        for image_id, data in start._of(start.index[moved]).scan():
            packer.add(image_id, data)
            image_ids.append(image_id)
        packer.finish()
        return start._moved(image_ids, packer)

    def found_in(self, other: ImageDataset, shards: Collection[str]) -> ImageDataset:
        """The same version, whose pictures of these shards lie where another version has them, if it does.

        Args:
            other: a version of the same store.
            shards: digests; the pictures are looked for in the other's index, and none is read.
        """
        here = self.index["shard"].isin(shards).to_numpy(dtype=bool) & self._among(other.index["image_id"])
        rows = np.flatnonzero(here)
        theirs = other.index.iloc[other._lookup.rows(self.index["image_id"].iloc[rows].tolist())]
        columns = {name: _replaced(self.index[name], rows, theirs[name].tolist()) for name in PLACE_COLUMNS}
        return self._made(self.index.assign(**columns), {**self.shards, **other.shards}, self.tombstones)

    def forget(
        self,
        image_ids: Iterable[str],
        holding: Iterable[str] = (),
        repacked: dict[str, Repacked] | None = None,
        lost: Collection[str] = (),
    ) -> ImageDataset:
        """Erase pictures: their rows become tombstones, and shards that held them are written without them.

        Such a shard keeps its other pictures, whether this version names them or not: all versions that share
        it come to share the new one.

        Args:
            image_ids: the pictures; those that this version does not have only leave its shards.
            holding: digests of shards that hold them, besides those that this version's rows name.
            repacked: by their digests, shards that were written without these pictures for other versions
                already; those of this one are added.
            lost: digests of shards that are nowhere any more: they hold nothing, and their rows stay.
        """
        gone = set(image_ids)
        erased = self._among(gone)
        holders = {*self.index["shard"][erased], *holding} & set(self.shards) - set(lost)
        rest = self._made(self.index[~erased], self.shards, self.tombstones)
        repacked = {} if repacked is None else repacked
        for digest in sorted(holders):
            if digest not in repacked:
                repacked[digest] = _without(self.shards[digest], gone)
            here = set(rest.index["image_id"][rest.index["shard"] == digest])
            rest = rest._moved(repacked[digest].image_ids, repacked[digest].packer, only=here)
        buried = pd.concat([self.tombstones, self.index.loc[erased, list(self.tombstones.columns)]])
        return self._made(rest.index, rest.shards, tombstone_rows(buried))

    def _places_of(self, frame: pd.DataFrame) -> ImageDataset:
        """The dataset of rows about pictures that this one has, whose places and measures stay.

        Turned another way a picture measures otherwise: then the row's own measures stand, but for those of
        the bytes.
        """
        rows = complete(frame)
        theirs = self.index[self._among(rows["image_id"])].reset_index(drop=True)
        columns = {name: theirs[name] for name in PLACE_COLUMNS}
        alike = rows["orientation"] == theirs["orientation"]
        for name in MEASURES:
            stays = theirs[name].notna() & (alike | (name in OF_THE_BYTES))
            columns[name] = rows[name].mask(stays, theirs[name])
        return self._made(rows.assign(**columns), self.shards, tombstone_rows())

    def _moved(self, image_ids: Sequence[str], packer: Packer, only: set[str] | None = None) -> ImageDataset:
        """The dataset with these pictures where a packer put them, in the order of ``image_ids``."""
        pairs = zip(image_ids, packer.places, strict=True)
        moved = {image_id: place for image_id, place in pairs if only is None or image_id in only}
        rows = self._lookup.rows(list(moved))
        values = zip(*moved.values(), strict=True) if moved else ([] for _ in PLACE_COLUMNS)
        columns = {
            name: _replaced(self.index[name], rows, list(places))
            for name, places in zip(PLACE_COLUMNS, values, strict=True)
        }
        return self._made(self.index.assign(**columns), {**self.shards, **packer.shards}, self.tombstones)

    def _sparse(self) -> list[str]:
        """Shards of which this version needs little, or that only say in which row a picture is."""
        from materializers import shards

        sizes = self.index.groupby("shard")["byte_count"].agg(["sum", "min"])
        sparse = (sizes["sum"] < COMPACT_SHARE * shards.SHARD_BYTES) | (sizes["min"] < 0)
        return [str(digest) for digest in sizes.index[sparse]]

    # --- Within -------------------------------------------------------------------------------------------

    @classmethod
    def _made(
        cls, index: pd.DataFrame, shards: Mapping[str, Shard], tombstones: pd.DataFrame
    ) -> ImageDataset:
        """A dataset of rows that have their digests, with the shards that they name."""
        index = index.reset_index(drop=True)
        used = {digest: shards[digest] for digest in sorted(index["shard"].unique())}
        return cls(index, used, tombstones, as_it_is=True)

    def _of(self, rows: pd.DataFrame) -> ImageDataset:
        return self._made(rows, self.shards, self.tombstones)

    def _changed(self, changes: pd.DataFrame) -> ImageDataset:
        """The dataset whose rows say what the given values say; missing ones change nothing."""
        rows = self._lookup.rows(changes["image_id"].tolist())
        index = self.index.copy(deep=False)
        for name in changes.columns.drop("image_id"):
            said = [(row, text_of(value)) for row, value in zip(rows.tolist(), changes[name], strict=True)]
            values = {row: value for row, value in said if value is not None}
            index[name] = _replaced(_column_of(index, name), list(values), list(values.values()))
        touched = np.unique(rows)
        index["row_digest"] = _replaced(index["row_digest"], touched, row_digests(index.iloc[touched]))
        return self._of(in_order(index))

    def _among(self, image_ids: Iterable[str]) -> NDArray[np.bool_]:
        """Which rows are of these pictures."""
        known = image_ids if isinstance(image_ids, pd.Series) else pd.Series(list(image_ids))
        return is_among(self.index["image_id"], known.astype(TEXT))

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self.index["image_id"])

    @cached_property
    def _places(self) -> _Places:
        codes, digests = pd.factorize(self.index["shard"], sort=True)
        columns = (self.index[name].to_numpy() for name in PLACE_COLUMNS[1:])
        return _Places([str(digest) for digest in digests], codes, *columns)

    @cached_property
    def _shard_order(self) -> NDArray[np.int64]:
        """The rows as their pictures lie in the shards."""
        return np.lexsort((self._places.row, self._places.shard))

    def _in_shards(self, shards: Sequence[str] | None) -> NDArray[np.int64]:
        """The rows of all pictures, or of those in some shards, as they lie there."""
        if shards is None:
            return self._shard_order
        numbers = {digest: number for number, digest in enumerate(self._places.digests)}
        ordered = self._places.shard[self._shard_order]
        chosen = [np.empty(0, dtype=np.int64)]
        for number in (numbers[digest] for digest in shards if digest in numbers):
            first, last = np.searchsorted(ordered, [number, number + 1])
            chosen.append(self._shard_order[first:last])
        return np.concatenate(chosen)

    def _by_shard(self, rows: NDArray[np.int64]) -> Iterator[tuple[Shard, list[Wanted]]]:
        """Each shard once with what is wanted of it, in the order of ``rows``, which are sorted by shard."""
        places = self._places
        image_ids = arrow(self.index["image_id"]).take(rows).to_pylist()
        shard = places.shard[rows]
        bounds = [*np.flatnonzero(np.diff(shard, prepend=-1)).tolist(), len(rows)]
        for first, last in pairwise(bounds):
            found = self.shards[places.digests[shard[first]]]
            some = rows[first:last]
            known = zip(places.offset[some].tolist(), places.size[some].tolist(), strict=True)
            yield (
                found,
                [
                    Wanted(image_id, *place) if place[0] >= 0 else found.rows[row]
                    for image_id, place, row in zip(
                        image_ids[first:last], known, places.row[some].tolist(), strict=True
                    )
                ],
            )


def _changes(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """What rows of the same pictures say differently: ``image_id``, ``column``, ``old``, ``new``."""
    changes = []
    for name in sorted({*said_columns(old.columns), *said_columns(new.columns)} - {"image_id"}):
        before, after = (_column_of(frame, name).reset_index(drop=True) for frame in (old, new))
        same = (before == after).fillna(False) | (before.isna() & after.isna())
        found = old["image_id"].reset_index(drop=True)
        rows = pd.DataFrame({"image_id": found, "column": name, "old": before, "new": after})
        changes.append(rows[~same.to_numpy(dtype=bool)])
    return pd.concat(changes, ignore_index=True).astype(TEXT)


def _column_of(index: pd.DataFrame, name: str) -> pd.Series:
    """A column that deliveries brought; of missing values where none brought it."""
    if name in index:
        return index[name]
    return pd.Series(pd.array([pd.NA] * len(index), dtype=TEXT), index=index.index)


def _replaced(column: pd.Series, rows: Any, values: Any) -> pd.Series:
    """A copy of a column with other values in some rows."""
    new = column.copy()
    new.iloc[rows] = pd.Series(values, dtype=column.dtype).array
    return new


class Repacked(NamedTuple):
    """A shard that was written without some of its pictures: which stayed, and where they lie now."""

    image_ids: list[str]
    packer: Packer


def _without(shard: Shard, gone: Collection[str]) -> Repacked:
    """The pictures of a shard that are none of these, packed anew; they wait on disk."""
    staying = [each for each in shard.rows if each.image_id not in gone]
    packer = Packer(Spool())
    for each, data in zip(staying, shard.pictures(staying), strict=True):
        packer.add(each.image_id, data)
    packer.finish()
    return Repacked([each.image_id for each in staying], packer)


class _Places(NamedTuple):
    """Where each row's picture lies, as arrays; ``shard`` counts in ``digests``."""

    digests: list[str]
    shard: NDArray[np.int64]
    row: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]


class _Gathered:
    """What the rows of pictures that come one by one say."""

    def __init__(self) -> None:
        # A later row takes the place of an earlier one of the same picture.
        self._rows: dict[str, tuple[Any, ...]] = {}

    def add(self, picture: Picture) -> bool:
        """Note what a picture's row says; whether no row had the picture before."""
        before = len(self._rows)
        self._rows[picture.image_id] = (
            picture.label,
            picture.group,
            picture.captured_at,
            picture.source_digest or picture.image_id,
            picture.width,
            picture.height,
            picture.orientation,
            picture.source,
            picture.extra,
            picture.measures,
        )
        return len(self._rows) > before

    def frame(self, places: Sequence[Place] = ()) -> pd.DataFrame:
        """The rows, with where their pictures lie where that is given."""
        rows = list(self._rows.values())
        *known, extra, measures = zip(*rows, strict=True) if rows else ((),) * (len(GATHERED) + 2)
        columns = dict(zip(GATHERED, known, strict=True))
        columns |= dict(zip(PLACE_COLUMNS, zip(*places, strict=True), strict=True)) if places else {}
        columns |= {"image_id": list(self._rows)} | _by_column(extra) | _by_column(measures)
        return pd.DataFrame({name: typed(values, name) for name, values in columns.items()}, copy=False)


def _by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Values of rows by column; None where a row has none."""
    names = {name for row in rows if row for name in row}
    return {name: [row.get(name) for row in rows] for name in sorted(names)}


class ImageDatasetMaterializer(BaseMaterializer):
    """Stores an :class:`ImageDataset`: shards it shares with other versions, its index, its manifest."""

    ASSOCIATED_TYPES = (ImageDataset,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, dataset: ImageDataset) -> None:
        """Write the shards that the store lacks, then the index, then the manifest."""
        self._write(dataset)

    def load(self, data_type: type[Any]) -> ImageDataset:
        """Read the index; shards are read when a picture is asked for.

        Raises:
            DamagedArtifact: manifest or index are missing or unreadable, or do not belong together.
            ServiceUnreachable: the store does not answer.
        """
        manifest, index = read_version(self.artifact_store, self.uri)
        shards = {digest: stored_shard(self.artifact_store, digest) for digest in manifest.shards}
        return ImageDataset(index, shards, manifest.tombstone_rows(), as_it_is=True)

    def rewrite(self, dataset: ImageDataset, *, lost: Collection[str] = ()) -> None:
        """Store the same version anew in the same place: other shards, fewer pictures, other measures.

        Until the manifest is replaced, readers see what was there before; the old index goes last.

        Args:
            dataset: the version as it is to be.
            lost: digests of its shards that are nowhere any more, so that they cannot be written.

        Raises:
            ValueError: it is another version than the one that is stored.
            DamagedArtifact: what is stored cannot be read.
            ServiceUnreachable: the store does not answer.
        """
        stored = self.load(ImageDataset).version
        if dataset.version != stored:
            raise ValueError(
                f"{self.uri} holds version {stored[:12]}; {dataset.version[:12]} cannot take its place."
            )
        before = read_manifest(self.artifact_store, self.uri)
        after = self._write(dataset, lost)
        if before.index_file != after.index_file:
            remove_file(self.artifact_store, f"{self.uri}/{before.index_file}")

    def save_visualizations(self, dataset: ImageDataset) -> dict[str, VisualizationType]:
        """Write a sheet of thumbnails, a row a class."""
        uri = f"{self.uri}/thumbnails.png"
        write_blob(self.artifact_store, uri, thumbnail_sheet(dataset))
        return {uri: VisualizationType.IMAGE}

    def extract_metadata(self, dataset: ImageDataset) -> dict[str, MetadataType]:
        """The version and the counts."""
        counts = dataset.index["label"].value_counts()
        return {
            "digest": dataset.version,
            "pictures": len(dataset),
            "per_class": {str(label): int(count) for label, count in sorted(counts.items())},
            "shards": len(dataset.shards),
            "tombstones": len(dataset.tombstones),
        }

    def compute_content_hash(self, dataset: ImageDataset) -> str | None:
        """The dataset's version; after an erasure, which leaves the version, that of what is left too.

        Nothing that was learnt from an erased picture may be taken from the cache; nor what was learnt from
        a version that never had it, and says another version than this.
        """
        if not len(dataset.tombstones):
            return dataset.version
        left = version_of(dataset.index["row_digest"])
        return hashlib.sha256(f"{dataset.version} {left}".encode()).hexdigest()

    def _write(self, dataset: ImageDataset, lost: Collection[str] = ()) -> Manifest:
        index, tombstones = dataset.index, dataset.tombstones
        return write_version(self.artifact_store, self.uri, index, tombstones, dataset.shards, lost=lost)
