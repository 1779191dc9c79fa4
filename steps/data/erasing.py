"""Take pictures out of everything in an artifact store that holds or shows them, one kind of file a function.

Each function does what is left to do: after an interruption it is called again, with the same notes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from materializers.blobs import PART, read_blob, write_blob
from materializers.drift_reference import REFERENCE_FILE, read_reference
from materializers.erasure import ErasedDataset, Forgotten
from materializers.errors import DamagedArtifact
from materializers.feature_cache import FeatureCache
from materializers.image_dataset import ImageDataset, ImageDatasetMaterializer, Repacked, thumbnail_sheet
from materializers.image_manifest import MANIFEST, lost_shards, read_manifest
from materializers.picture_sheet import erase_from_sheet, may_show, places_of
from materializers.quarantine import blobs_folder, page_uri, read_rows, write_rows
from materializers.report import Report, ReportMaterializer
from materializers.shard_cache import ShardCache
from materializers.shards import SHARDS_FOLDER, layout, shard_uri
from materializers.store_files import DELIVERIES, relative, remove_file, stored_file, walk_files
from materializers.traces import INLINE, finds, says, shows
from serving.capture_layout import CAPTURES, PERSONAL, has_pictures, schema_of, table_to_parquet
from steps.data.searching import is_one_of, shard_at
from steps.monitoring.traffic.captures import capture_parts, known_pictures, read_part

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

PNG, PAGE = ".png", ".html"
INSIDE = re.compile(INLINE.pattern + rb"=*")
"""A picture inside a page, with what pads it."""
THUMBNAILS_FILE = "thumbnails.png"
"""Beside a dataset's manifest."""


def digests_of(notes: Iterable[Forgotten]) -> frozenset[str]:
    """Everything that these pictures are known by."""
    return frozenset().union(*(note.digests for note in notes))


def marks_of(notes: Iterable[Forgotten]) -> frozenset[int]:
    """The fingerprints of these pictures."""
    return frozenset(int(mark, 16) for note in notes for mark in note.marks)


def shards_of(notes: Iterable[Forgotten]) -> frozenset[str]:
    """The shards that hold, or held, these pictures."""
    return frozenset(shard for note in notes for shard in note.shards)


def dataset_folders(store: BaseArtifactStore, known: Iterable[str]) -> list[str]:
    """The folders of all datasets: those that ZenML knows, and what runs left that were killed."""
    folders = set(known)
    for file in walk_files(store, str(store.path)):
        folder, _, name = file.uri.rpartition("/")
        if name == MANIFEST and folder not in folders and _is_dataset(store, folder):
            folders.add(folder)
    return sorted(folders)


def erase_from_dataset(
    store: BaseArtifactStore, uri: str, notes: Sequence[Forgotten], repacked: dict[str, Repacked]
) -> ErasedDataset | None:
    """Write a dataset anew without these pictures, in its place and under its version.

    A shard that the store lacks holds nothing; what other rows say of it stays.

    Args:
        store: where it lies.
        uri: its folder.
        notes: of the pictures.
        repacked: shards that were written without them for other datasets already; its own are added.

    Returns:
        What it was, also where an earlier call did it already; None where it never held one of them.

    Raises:
        DamagedArtifact: it, or a shard, cannot be read: it is as it was.
    """
    digests, holding = digests_of(notes), shards_of(notes)
    materializer = ImageDatasetMaterializer(uri, store)
    dataset = materializer.load(ImageDataset)
    if dataset.index["image_id"].isin(digests).any() or holding & set(dataset.shards):
        lost = lost_shards(store, dataset.shards)
        dataset = dataset.forget(digests, holding=holding, repacked=repacked, lost=lost)
        materializer.rewrite(dataset, lost=lost)
    erased = int(dataset.tombstones["image_id"].isin(digests).sum())
    if not erased:
        return None
    _remove_old_indices(store, uri)
    sheet = f"{uri}/{THUMBNAILS_FILE}"
    if stored_file(store, sheet) is not None and may_show(read_blob(store, sheet), digests):
        write_blob(store, sheet, thumbnail_sheet(_readable(store, dataset)))
    return ErasedDataset(uri=uri, version=dataset.version, pictures=erased)


def remove_shards(store: BaseArtifactStore, folders: Iterable[str], notes: Sequence[Forgotten]) -> int:
    """Remove the shards that hold these pictures and are named by no dataset, and their copies here.

    Raises:
        DamagedArtifact: a manifest cannot be read, so that nobody knows which shards it needs.
    """
    holding = shards_of(notes)
    named = {shard for folder in folders for shard in read_manifest(store, folder).shards}
    ShardCache.of_this_machine().remove(holding)
    return sum(remove_file(store, shard_uri(store, digest)) for digest in sorted(holding - named))


def set_aside_copies(store: BaseArtifactStore, notes: Sequence[Forgotten]) -> list[str]:
    """The digests of the quarantine's pictures that are one of these, however they were delivered."""
    digests, marks = digests_of(notes), marks_of(notes)
    return [
        name
        for file in walk_files(store, blobs_folder(store))
        if (name := file.uri.rpartition("/")[2]) in digests
        or is_one_of(read_blob(store, file.uri), marks, digests)
    ]


def erase_from_quarantine(
    store: BaseArtifactStore, uris: Iterable[str], blobs: Iterable[str], notes: Sequence[Forgotten]
) -> tuple[int, int]:
    """Remove pictures that were set aside, and draw the pages anew that may show them.

    Args:
        store: where they lie.
        uris: the folders of all quarantines.
        blobs: what :func:`set_aside_copies` found.
        notes: of the pictures; they know the digests of ``blobs``.

    Returns:
        The number of pictures that were removed, and of pages that were drawn.

    Raises:
        DamagedArtifact: the rows of a quarantine cannot be read.
    """
    removed = sum(remove_file(store, f"{blobs_folder(store)}/{name}") for name in blobs)
    digests, pages = digests_of(notes), 0
    for uri in uris:
        before = read_rows(store, uri)
        if not before.index["source_digest"].isin(digests).any():
            continue
        after = before.without_bytes(digests)
        write_rows(store, uri, after)
        write_blob(store, page_uri(uri), after.page().encode())
        pages += 1
    return removed, pages


def erase_from_features(store: BaseArtifactStore, notes: Sequence[Forgotten]) -> int:
    """Write the cached features anew without those of these pictures, and count what went.

    Raises:
        OSError: the store cannot be read or written.
    """
    return FeatureCache(store).erase(digests_of(notes))


def erase_from_report(
    store: BaseArtifactStore,
    uri: str,
    kind: type[Report],
    notes: Sequence[Forgotten],
    *,
    versions: Collection[str] = (),
    related: bool = False,
) -> int:
    """Draw a report's pictures and its page anew without these pictures; its JSON stays as it is.

    Args:
        store: where it lies.
        uri: its folder.
        kind: its class.
        notes: of the pictures.
        versions: of the datasets that held them. Of a report that names one of these, a picture that does
            not say what it shows is removed.
        related: whether it is of a run that had such a dataset: then, too.

    Returns:
        How many pictures of the report were drawn anew or removed.

    Raises:
        DamagedArtifact: it cannot be read.
    """
    digests = digests_of(notes)
    report: Report = ReportMaterializer(uri, store).load(kind)
    touched = {
        name: erase_from_sheet(png, digests)
        for name, png in report.pictures.items()
        if may_show(png, digests)
    }
    if not (related or any(version in report.model_dump_json() for version in versions)):
        touched = {name: png for name, png in touched.items() if png is not None}
    if not touched:
        return 0
    kept = {name: touched.get(name, png) for name, png in report.pictures.items()}
    redrawn = report.model_copy()
    redrawn._pictures = {name: png for name, png in kept.items() if png is not None}
    # The page first: a picture that is still there has this done again after an interruption.
    write_blob(store, f"{uri}/page.html", redrawn.page().encode())
    for name, png in touched.items():
        place = f"{uri}/pictures/{name}.png"
        if png is None:
            remove_file(store, place)
        else:
            write_blob(store, place, png)
    return len(touched)


def erase_from_sheets(store: BaseArtifactStore, notes: Sequence[Forgotten]) -> int:
    """Take these pictures out of every other sheet that says that it shows them, inside pages too.

    Such as those of an evaluation that an experiment tracker has whose artifacts lie below the store's root,
    and those of the pages that explain drift. Deliveries are left as they were brought.

    Args:
        store: where they lie.
        notes: of the pictures.

    Returns:
        How many sheets and pages were drawn anew.
    """
    digests, marks, drawn = digests_of(notes), marks_of(notes), 0
    for file in walk_files(store, str(store.path)):
        place = relative(store, file.uri)
        if not place.endswith((PNG, PAGE)) or place.startswith(f"{DELIVERIES}/"):
            continue
        before = read_blob(store, file.uri)
        if place.endswith(PAGE):
            after = INSIDE.sub(lambda match: _inside(match, digests, marks), before)
        else:
            after = _redrawn(before, digests, marks)
        if after != before:
            write_blob(store, file.uri, after)
            drawn += 1
    return drawn


def _redrawn(sheet: bytes, digests: Collection[str], marks: Collection[int]) -> bytes:
    """A sheet without these pictures; without any where it shows one of them under another digest."""
    if says(sheet, digests):
        sheet = erase_from_sheet(sheet, digests) or sheet
    if shows(sheet, marks):
        with suppress(DamagedArtifact):
            sheet = erase_from_sheet(sheet, places_of(sheet) or ()) or sheet
    return sheet


def _inside(match: re.Match[bytes], digests: Collection[str], marks: Collection[int]) -> bytes:
    """A picture inside a page, as :func:`_redrawn` has it."""
    text = match[1][: len(match[1]) - (len(match[1]) % 4 == 1)]  # as a browser reads it
    before = base64.b64decode(text + b"=" * (-len(text) % 4))
    after = _redrawn(before, digests, marks)
    return match[0] if after == before else b"data:image/png;base64," + base64.b64encode(after)


def erase_from_references(store: BaseArtifactStore, notes: Sequence[Forgotten]) -> int:
    """Take these pictures' rows out of every model's drift reference, also of those that runs left.

    A reference lies beside its model and outside every digest: the models stay what they are.

    Args:
        store: where they lie.
        notes: of the pictures.

    Returns:
        How many references were written anew.

    Raises:
        DamagedArtifact: one cannot be read.
    """
    digests, written = digests_of(notes), 0
    for file in walk_files(store, str(store.path)):
        if file.uri.rpartition("/")[2] != REFERENCE_FILE:
            continue
        before = read_reference(store, file.uri)
        after = before.without(digests)
        if len(after) < len(before):
            write_blob(store, file.uri, after.to_bytes())
            written += 1
    return written


def erase_from_captures(store: BaseArtifactStore, notes: Sequence[Forgotten]) -> int:
    """Take these pictures, what a model made of them and their digests out of what services captured.

    What a model answered, when and how fast stays. A part is written anew in its place, at once whole: who
    reads it meanwhile, or a shipper that was killed and comes again, finds no row twice. One that is damaged
    is left to the search, which names it.

    Args:
        store: where they lie.
        notes: of the pictures.

    Returns:
        How many rows were changed.

    Raises:
        OSError: the store cannot be read or written.
    """
    import pyarrow as pa

    digests, marks, erased = digests_of(notes), marks_of(notes), 0
    for uri in capture_parts(store):
        try:
            known = known_pictures(store, uri)
            if digests.isdisjoint(chain.from_iterable(known)) and not has_pictures(uri):
                continue
            rows = read_part(store, uri, CAPTURES).to_pylist()
        except (DamagedArtifact, FileNotFoundError):
            continue
        gone = [row for row in rows if _is_captured(row, digests, marks)]
        for row in gone:
            row.update(dict.fromkeys(PERSONAL))
        if gone:
            table = pa.Table.from_pylist(rows, schema=schema_of(CAPTURES))
            write_blob(store, uri, table_to_parquet(table))
            erased += len(gone)
    return erased


def _is_captured(row: Mapping[str, Any], digests: Collection[str], marks: Collection[int]) -> bool:
    """Whether a captured row is of one of these pictures."""
    if row["image_id"] in digests or row["input_digest"] in digests:
        return True
    return row["picture"] is not None and is_one_of(row["picture"], marks, digests)


def remove_parts(store: BaseArtifactStore, places: Iterable[str]) -> int:
    """Remove those of the files that were found that a killed save left unfinished, and count them."""
    parts = [place for place in places if place.endswith(PART) and place.rpartition("/")[2].startswith(".")]
    return sum(remove_file(store, f"{store.path}/{place}") for place in parts)


def found_in_shards(
    store: BaseArtifactStore, places: Iterable[str], marks: Collection[int]
) -> list[tuple[str, str]]:
    """Those of the files that are shards, by digest, each with the id of a picture that was found in it."""
    return [
        (digest, image_id) for digest, image_id, data in shard_pictures(store, places) if finds(data, marks)
    ]


def shard_pictures(store: BaseArtifactStore, places: Iterable[str]) -> Iterator[tuple[str, str, memoryview]]:
    """Every picture of those of the files that are shards, whether a row leads to it or not.

    Yields:
        The shard's digest, the picture's id and its bytes.
    """
    for place in places:
        digest = shard_at(place)
        if digest is None:
            continue
        data = read_blob(store, f"{store.path}/{place}")
        for wanted in layout(data):
            piece = memoryview(data)[wanted.offset : wanted.offset + wanted.size]
            yield digest, wanted.image_id, piece


def shard_files(store: BaseArtifactStore) -> list[str]:
    """The paths of all shards, below the root; not what a killed save left."""
    files = walk_files(store, f"{store.path}/{SHARDS_FOLDER}")
    return [place for file in files if shard_at(place := relative(store, file.uri))]


def _readable(store: BaseArtifactStore, dataset: ImageDataset) -> ImageDataset:
    """The dataset without the pictures whose shards the store lacks."""
    lost = lost_shards(store, dataset.shards)
    return dataset.without(dataset.index["image_id"][dataset.index["shard"].isin(lost)])


def _remove_old_indices(store: BaseArtifactStore, uri: str) -> None:
    """Remove what a rewrite that was killed left: rows say paths and labels of what is erased."""
    present = f"{uri}/{read_manifest(store, uri).index_file}"
    for file in walk_files(store, uri):
        if file.uri.endswith(".parquet") and file.uri != present:
            remove_file(store, file.uri)


def _is_dataset(store: BaseArtifactStore, folder: str) -> bool:
    try:
        read_manifest(store, folder)
    except DamagedArtifact:  # another program's file of this name: nothing of ours reads it
        return False
    return True
