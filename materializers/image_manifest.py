"""What is stored of one version of a dataset, and in which order: shards, the index, last the manifest.

Format 1 named the version by the sha256 of JSON rows, and told of a picture only the row of its shard. It is
read; what is written is format 2.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import pandas as pd
from pydantic import Field

from materializers.blobs import list_folder, read_blob, write_blob
from materializers.errors import DamagedArtifact
from materializers.image_index import (
    DERIVED_COLUMNS,
    DIGEST,
    TEXT,
    complete,
    decode_index,
    encode_index,
    said_columns,
    tombstone_rows,
    version_of,
)
from materializers.report import Record
from materializers.shards import MEND, SHARDS_FOLDER, Shard, picture_digest, shard_name, shard_uri, unreadable
from materializers.store_files import stored_file

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

MANIFEST = "manifest.json"
YOUNG = timedelta(minutes=30)
"""Well under the shortest grace time of ``--collect``, an hour."""
Digest: TypeAlias = Annotated[str, Field(pattern=DIGEST)]
DERIVED_IN_FORMAT_1 = ("source_digest", "width", "height", "orientation", "source", "shard", "row")


class Manifest(Record):
    """What belongs to one stored version; it is written last, so that a version without it is none."""

    format_version: Literal[1, 2] = 2
    version: Digest
    rows: int
    tombstones: dict[Digest, Digest] = Field(default_factory=dict)
    """``image_id`` and ``row_digest`` of erased pictures."""
    index_file: str = "index.parquet"
    """Beside the manifest; named by its digest since format 2, so that another one can take its place."""
    index: Digest
    """Digest of the index, which says where each picture lies."""
    shards: tuple[Digest, ...]

    def tombstone_rows(self) -> pd.DataFrame:
        """The erased pictures' rows."""
        columns = {"image_id": list(self.tombstones), "row_digest": list(self.tombstones.values())}
        return tombstone_rows(pd.DataFrame(columns, dtype=TEXT))


def write_version(
    store: BaseArtifactStore,
    uri: str,
    index: pd.DataFrame,
    tombstones: pd.DataFrame,
    shards: Mapping[str, Shard],
    *,
    lost: Collection[str] = (),
) -> Manifest:
    """Write the shards that the store lacks, then the index, then the manifest.

    Args:
        store: where to.
        uri: the version's folder.
        index: its rows.
        tombstones: those of erased pictures.
        shards: what the rows name, by digest.
        lost: of these, those that are nowhere any more; they are named all the same.

    Raises:
        DamagedArtifact: a shard that has to be written is missing or damaged where it is.
        OSError: the store cannot be written.
    """
    stored = list_folder(store, f"{store.path}/{SHARDS_FOLDER}")
    for digest, shard in shards.items():
        if digest in lost:
            continue
        if not _is_stored(shard, stored) or _may_be_collected(store, shard):
            write_blob(store, shard_uri(store, digest), shard.pieces())
    data = encode_index(index)
    digest = picture_digest(data)
    manifest = Manifest(
        version=version_of(index["row_digest"], tombstones["row_digest"]),
        rows=len(index),
        tombstones=dict(zip(tombstones["image_id"], tombstones["row_digest"], strict=True)),
        index_file=f"index-{digest}.parquet",
        index=digest,
        shards=tuple(sorted(shards)),
    )
    write_blob(store, f"{uri}/{manifest.index_file}", data)
    write_blob(store, f"{uri}/{MANIFEST}", manifest.model_dump_json(indent=2).encode())
    return manifest


def read_manifest(store: BaseArtifactStore, uri: str) -> Manifest:
    """What a stored version consists of.

    Raises:
        DamagedArtifact: the manifest is missing or unreadable.
        ServiceUnreachable: the store does not answer.
    """
    named = f"{uri}/{MANIFEST}"
    try:
        return Manifest.model_validate_json(read_blob(store, named))
    except (OSError, ValueError) as error:
        raise unreadable(named, error) from error


def read_version(store: BaseArtifactStore, uri: str) -> tuple[Manifest, pd.DataFrame]:
    """Read a stored version: its manifest, and its index, which is complete.

    Raises:
        DamagedArtifact: one of them is missing or unreadable, or they do not belong together.
        ServiceUnreachable: the store does not answer.
    """
    manifest = read_manifest(store, uri)
    try:
        data = _read_index(store, uri, manifest)
    except DamagedArtifact:
        newer = read_manifest(store, uri)
        if newer == manifest:
            raise
        manifest, data = newer, _read_index(store, uri, newer)  # it was rewritten in between
    named = f"{uri}/{manifest.index_file}"
    try:
        index = decode_index(data) if manifest.format_version > 1 else _decode_format_1(data)
    except (OSError, ValueError) as error:
        raise unreadable(named, error) from error
    version = (
        version_of(index["row_digest"], manifest.tombstone_rows()["row_digest"])
        if manifest.format_version > 1
        else _version_of_format_1(index)
    )
    if version != manifest.version:
        raise DamagedArtifact(
            f"The dataset at {uri} has version {version[:12]}, its manifest says {manifest.version[:12]}: "
            f"it was altered. {MEND}"
        )
    if len(index) != manifest.rows or set(index["shard"].unique()) != set(manifest.shards):
        raise DamagedArtifact(
            f"{named} has {len(index):,} pictures in {index['shard'].nunique():,} shards; {uri}/{MANIFEST} "
            f"names {manifest.rows:,} in {len(manifest.shards):,}, or others: it was altered. {MEND}"
        )
    return manifest, index


def lost_shards(store: BaseArtifactStore, digests: Iterable[str]) -> set[str]:
    """Those of these shards that a store does not have.

    Raises:
        OSError: the store cannot be read.
    """
    stored = list_folder(store, f"{store.path}/{SHARDS_FOLDER}")
    return {digest for digest in digests if shard_name(digest) not in stored}


def check_shards(store: BaseArtifactStore, index: pd.DataFrame) -> None:
    """Look whether every shard that an index names is there and long enough; none is read.

    Raises:
        DamagedArtifact: one is missing, or ends before a picture does.
        OSError: the store cannot be read.
    """
    stored = list_folder(store, f"{store.path}/{SHARDS_FOLDER}")
    ends = (index["shard_offset"] + index["byte_count"]).groupby(index["shard"]).max()
    for digest, end in ends.items():
        uri, name = shard_uri(store, str(digest)), shard_name(str(digest))
        if name not in stored:
            raise DamagedArtifact(f"Shard {uri} is missing. {MEND}")
        size = stored[name]
        if size is not None and size < end:
            raise DamagedArtifact(
                f"Shard {uri} is damaged: it has {size:,} bytes, its pictures reach to {end:,}. {MEND}"
            )


def _is_stored(shard: Shard, stored: Mapping[str, int | None]) -> bool:
    """Whether a store has the shard; one of another size was cut, and is written again."""
    name = shard_name(shard.digest)
    return name in stored and (None in (shard.size, stored[name]) or shard.size == stored[name])


def _may_be_collected(store: BaseArtifactStore, shard: Shard) -> bool:
    """Whether a shard lies there that nothing may refer to until this version does.

    Written anew it is young, which ``--collect`` leaves alone. One that was read from there is named by a
    version that is stored.
    """
    target = shard_uri(store, shard.digest)
    if shard.uri == target:
        return False
    there = stored_file(store, target)
    return there is None or datetime.now(UTC) - there.changed > YOUNG


def _read_index(store: BaseArtifactStore, uri: str, manifest: Manifest) -> bytes:
    named = f"{uri}/{manifest.index_file}"
    try:
        data = read_blob(store, named)
    except OSError as error:
        raise unreadable(named, error) from error
    if picture_digest(data) != manifest.index:
        raise DamagedArtifact(
            f"{named} is damaged: its bytes have digest {picture_digest(data)[:12]}, its manifest says "
            f"{manifest.index[:12]}. {MEND}"
        )
    return data


def _decode_format_1(data: bytes) -> pd.DataFrame:
    """An index of format 1; a column of a delivery whose name is taken today is called ``delivered_…``."""
    frame = pd.read_parquet(io.BytesIO(data))
    taken = set(DERIVED_COLUMNS) - set(DERIVED_IN_FORMAT_1)
    return complete(
        frame.rename(columns={"row": "shard_row", **{name: f"delivered_{name}" for name in taken}})
    )


def _version_of_format_1(index: pd.DataFrame) -> str:
    """The sha256 of the rows as JSON, sorted by picture."""
    taken = {f"delivered_{name}": name for name in set(DERIVED_COLUMNS) - set(DERIVED_IN_FORMAT_1)}
    said = index[said_columns(index.columns)].rename(columns=taken)
    columns = ["image_id", *sorted(name for name in said.columns if name != "image_id")]
    digest = hashlib.sha256()
    for row in said[columns].itertuples(index=False):
        named = {name: value for name, value in zip(columns, row, strict=True) if pd.notna(value)}
        digest.update(json.dumps(named, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n")
    return digest.hexdigest()
