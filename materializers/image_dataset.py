"""Pictures as they were delivered, with an index: labels are readable without touching a picture.

Pictures lie in Arrow IPC shards named by their digest, under the artifact store's root and shared by all
versions; an artifact of its own is only ``index.parquet`` and, last, ``manifest.json``. A version is named
by the digest of its sorted rows, so the same pictures and labels have the same version however they came.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pyarrow as pa
from blake3 import blake3
from PIL import Image, ImageOps
from zenml.artifact_stores import BaseArtifactStore  # at run time: ZenML resolves the fields' types
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import write_blob
from materializers.errors import DamagedArtifact
from materializers.report import Record

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

MEND = "Deliver its pictures again: python run.py --train --source PATH"
SHARD_BYTES = 64 * 2**20
"""Large enough that a bucket's latency does not count."""

DERIVED_COLUMNS = ("source_digest", "width", "height", "orientation", "source", "shard", "row")
"""Columns that follow from the picture or say where it came from and lies: not part of the version."""
INDEX_COLUMNS = ("image_id", "label", "group", "captured_at", *DERIVED_COLUMNS)
THUMBNAIL, THUMBNAILS_PER_CLASS = 56, 12


@dataclass(frozen=True)
class Picture:
    """One labelled picture on its way into a dataset."""

    data: bytes
    label: str
    width: int
    height: int
    orientation: int
    source: str
    group: str | None = None
    captured_at: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def picture_digest(data: bytes) -> str:
    """The name of a picture: blake3 (hex) of its encoded bytes."""
    return blake3(data).hexdigest()


@dataclass
class Shard:
    """Some pictures in one Arrow IPC file, named by its digest; opened when a picture is asked for."""

    digest: str
    store: BaseArtifactStore | None = None
    uri: str | None = None
    data: bytes | None = field(default=None, repr=False)

    @cached_property
    def pictures(self) -> pa.ChunkedArray:
        """The encoded pictures.

        Raises:
            DamagedArtifact: the file is missing or its bytes do not have its digest.
        """
        data = self.data if self.data is not None else self._read()
        return pa.ipc.open_file(pa.BufferReader(data)).read_all().column("picture")

    def _read(self) -> bytes:
        if self.store is None or self.uri is None:
            raise DamagedArtifact(f"Shard {self.digest[:12]} has neither bytes nor an address.")
        try:
            with self.store.open(self.uri, "rb") as file:
                data: bytes = file.read()
        except OSError as error:
            raise DamagedArtifact(f"Shard {self.uri} cannot be read ({error}). {MEND}") from error
        found = picture_digest(data)
        if found != self.digest:
            raise DamagedArtifact(
                f"Shard {self.uri} is damaged: its bytes have digest {found[:12]}. Remove it. {MEND}"
            )
        return data


@dataclass(frozen=True)
class ImageDataset:
    """Labelled pictures of one version.

    Args:
        index: one row a picture, sorted by ``image_id``; the columns of ``INDEX_COLUMNS`` and any other
            that the deliveries brought.
        shards: every shard that the index names, by digest.
    """

    index: pd.DataFrame = field(repr=False)
    shards: dict[str, Shard] = field(repr=False)

    @classmethod
    def from_pictures(cls, pictures: Iterable[Picture]) -> ImageDataset:
        """Pack pictures into shards; of two with the same bytes the later one's labels stand."""
        rows: dict[str, dict[str, Any]] = {}
        shards: dict[str, Shard] = {}
        waiting: list[tuple[str, bytes]] = []
        size = 0

        def pack() -> None:
            shard = _pack([data for _, data in waiting])
            shards[shard.digest] = shard
            for position, (image_id, _) in enumerate(waiting):
                rows[image_id].update(shard=shard.digest, row=position)
            waiting.clear()

        for picture in pictures:
            image_id = picture_digest(picture.data)
            known = rows.get(image_id)
            place = {"shard": known["shard"], "row": known["row"]} if known else {"shard": "", "row": -1}
            rows[image_id] = _row(image_id, picture) | place
            if known is None:
                waiting.append((image_id, picture.data))
                size += len(picture.data)
            if size >= SHARD_BYTES:
                pack()
                size = 0
        if waiting:
            pack()
        return cls(index=_index(list(rows.values())), shards=shards)

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.index)

    @cached_property
    def version(self) -> str:
        """The sha256 of the sorted rows: picture, label, group, time, and the deliveries' own columns."""
        columns = [c for c in self.index.columns if c not in DERIVED_COLUMNS]
        columns = ["image_id", *sorted(c for c in columns if c != "image_id")]
        digest = hashlib.sha256()
        for row in self.index.sort_values("image_id")[columns].itertuples(index=False):
            named = {name: value for name, value in zip(columns, row, strict=True) if pd.notna(value)}
            digest.update(json.dumps(named, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n")
        return digest.hexdigest()

    def pictures(self, image_ids: Sequence[str]) -> list[bytes]:
        """The encoded bytes of these pictures, in this order.

        Raises:
            KeyError: a picture is not in this dataset.
            DamagedArtifact: a shard is missing or damaged.
        """
        places = self.index.set_index("image_id").loc[list(image_ids), ["shard", "row"]]
        return [
            self.shards[shard].pictures[int(row)].as_py()
            for shard, row in places.itertuples(index=False, name=None)
        ]

    def labels(self, image_ids: Sequence[str]) -> list[str]:
        """The labels of these pictures, in this order."""
        return self.index.set_index("image_id").loc[list(image_ids), "label"].tolist()

    def select(self, image_ids: Iterable[str]) -> ImageDataset:
        """The dataset of these pictures alone; no picture is copied."""
        kept = self.index[self.index["image_id"].isin(set(image_ids))]
        return ImageDataset(index=kept.reset_index(drop=True), shards=self._used(kept))

    def join(self, later: ImageDataset) -> ImageDataset:
        """Add a later delivery: its labels win where both know a picture; no picture is copied."""
        frames = [frame for frame in (self.index, later.index) if len(frame)]
        if not frames:
            return self
        index = pd.concat(frames).drop_duplicates("image_id", keep="last").sort_values("image_id")
        shards = {**self.shards, **later.shards}
        joined = ImageDataset(index=index.reset_index(drop=True), shards=shards)
        return ImageDataset(index=joined.index, shards=joined._used(joined.index))

    def _used(self, index: pd.DataFrame) -> dict[str, Shard]:
        return {digest: self.shards[digest] for digest in sorted(index["shard"].unique())}


class Manifest(Record):
    """What belongs to one stored version; it is written last, so that a version without it is none."""

    format_version: Literal[1] = 1
    version: str
    rows: int
    index: str
    """Digest of ``index.parquet``, which says where each picture lies."""
    shards: tuple[str, ...]


class ImageDatasetMaterializer(BaseMaterializer):
    """Stores an :class:`ImageDataset`: shards it shares with other versions, its index, its manifest."""

    ASSOCIATED_TYPES = (ImageDataset,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, dataset: ImageDataset) -> None:
        """Write the shards that the store lacks, then the index, then the manifest."""
        for digest, shard in dataset.shards.items():
            uri = self._shard_uri(digest)
            if not self.artifact_store.exists(uri):
                write_blob(self.artifact_store, uri, shard.data if shard.data is not None else shard._read())
        buffer = io.BytesIO()
        dataset.index.to_parquet(buffer, index=False)
        index = buffer.getvalue()
        write_blob(self.artifact_store, f"{self.uri}/index.parquet", index)
        manifest = Manifest(
            version=dataset.version,
            rows=len(dataset),
            index=picture_digest(index),
            shards=tuple(sorted(dataset.shards)),
        )
        data = manifest.model_dump_json(indent=2).encode()
        write_blob(self.artifact_store, f"{self.uri}/manifest.json", data)

    def load(self, data_type: type[Any]) -> ImageDataset:
        """Read the index; shards are read when a picture is asked for.

        Raises:
            DamagedArtifact: manifest or index are missing or unreadable, or do not belong together.
        """
        try:
            with self.artifact_store.open(f"{self.uri}/manifest.json", "rb") as file:
                manifest = Manifest.model_validate_json(file.read())
            with self.artifact_store.open(f"{self.uri}/index.parquet", "rb") as file:
                index = file.read()
        except (OSError, ValueError) as error:
            raise DamagedArtifact(f"The dataset at {self.uri} cannot be read ({error}). {MEND}") from error
        if picture_digest(index) != manifest.index:
            raise DamagedArtifact(
                f"{self.uri}/index.parquet is damaged: its bytes have digest {picture_digest(index)[:12]}, "
                f"its manifest says {manifest.index[:12]}. {MEND}"
            )
        shards = {
            digest: Shard(digest=digest, store=self.artifact_store, uri=self._shard_uri(digest))
            for digest in manifest.shards
        }
        dataset = ImageDataset(index=pd.read_parquet(io.BytesIO(index)), shards=shards)
        if dataset.version != manifest.version:
            raise DamagedArtifact(
                f"The dataset at {self.uri} has version {dataset.version[:12]}, its manifest says "
                f"{manifest.version[:12]}: it was altered. {MEND}"
            )
        return dataset

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
        }

    def compute_content_hash(self, dataset: ImageDataset) -> str | None:
        """The dataset's version."""
        return dataset.version

    def _shard_uri(self, digest: str) -> str:
        return f"{self.artifact_store.path}/datasets/shards/{digest}.arrow"


def thumbnail_sheet(dataset: ImageDataset) -> bytes:
    """A PNG with a row of up to 12 thumbnails for each class, in the order of the class names."""
    by_class = {str(label): rows["image_id"] for label, rows in dataset.index.groupby("label")}
    size = (THUMBNAILS_PER_CLASS * THUMBNAIL, max(1, len(by_class)) * THUMBNAIL)
    sheet = Image.new("RGB", size, "white")
    for line, image_ids in enumerate(by_class.values()):
        shown = list(image_ids[:THUMBNAILS_PER_CLASS])
        for column, data in enumerate(dataset.pictures(shown)):
            sheet.paste(thumbnail(data), (column * THUMBNAIL, line * THUMBNAIL))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail(data: bytes) -> Image.Image:
    """An encoded picture, upright and small."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (THUMBNAIL, THUMBNAIL))
        return ImageOps.pad(ImageOps.exif_transpose(image).convert("RGB"), (THUMBNAIL, THUMBNAIL))


def _pack(pictures: list[bytes]) -> Shard:
    table = pa.table({"picture": pa.array(pictures, type=pa.large_binary())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    return Shard(digest=picture_digest(data), data=data)


def _row(image_id: str, picture: Picture) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "label": picture.label,
        "group": picture.group,
        "captured_at": picture.captured_at,
        "source_digest": image_id,
        "width": picture.width,
        "height": picture.height,
        "orientation": picture.orientation,
        "source": picture.source,
        **picture.extra,
    }


def _index(rows: list[dict[str, Any]]) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame(columns=list(INDEX_COLUMNS))
    return pd.DataFrame(rows).sort_values("image_id").reset_index(drop=True)
