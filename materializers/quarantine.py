"""Pictures that a delivery brought and nobody trains on, kept for a while so that a fix can bring them back.

Bytes lie as they were delivered, metadata and all, under ``quarantine/blobs/<digest>`` of the store's root,
one file a picture; an artifact of its own is only ``quarantine.parquet``, written after them. A blob goes
when its time is up (``--collect``) or when it is erased (``--forget``); its row stays and says why the
picture was set aside.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from blake3 import blake3
from PIL import Image, ImageOps
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import read_blob, write_blob, write_file
from materializers.errors import DamagedArtifact
from materializers.picture_sheet import encode_sheet
from materializers.report import render_page
from materializers.shards import unreadable

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore
    from zenml.metadata.metadata_types import MetadataType

FORMAT_VERSION = 2
TEXT = ("source_digest", "path", "label", "group", "captured_at", "extra", "reason", "detail", "source")
"""Columns that say what was set aside and why: the digest covers them."""
TIMES = ("at", "keep_until")
FIRST_COLUMNS = (*TEXT, *TIMES, "size", "kept")
"""Of format 1."""
COLUMNS = (*FIRST_COLUMNS, "mendable")
MENDABLE = frozenset({"unknown_label"})
"""Reasons that go when the configuration changes, whatever the limits: the bytes are screened as they are."""
KEPT_DAYS = 30
THUMBNAIL, SHOWN, LISTED = 72, 60, 200
FORMATS = ("JPEG", "PNG", "WEBP")
MOST_PIXELS = 50_000_000
"""Above it a picture is not decoded for its thumbnail."""


def blob_uri(store: BaseArtifactStore, source_digest: str) -> str:
    """Where the bytes of a picture that was set aside lie, by their blake3 (hex)."""
    return f"{blobs_folder(store)}/{source_digest}"


def blobs_folder(store: BaseArtifactStore) -> str:
    """The folder of all pictures that were set aside, whatever delivery brought them."""
    return f"{str(store.path).rstrip('/')}/quarantine/blobs"


class Blobs(ABC):
    """Where the bytes of pictures are had."""

    @abstractmethod
    def read(self, source_digest: str) -> bytes | None:
        """The bytes as they were delivered; None where they are not kept (any more)."""


@dataclass
class SpooledBlobs(Blobs):
    """Pictures in a folder of this machine that lives as long as this object."""

    folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="quarantine-")
    )

    def write(self, source_digest: str, data: bytes) -> None:
        """Keep a picture."""
        path = Path(self.folder.name) / source_digest
        if not path.exists():
            write_file(path, data)

    def read(self, source_digest: str) -> bytes | None:
        """The bytes as they were delivered; None where they are not kept."""
        path = Path(self.folder.name) / source_digest
        return path.read_bytes() if path.exists() else None


@dataclass(frozen=True)
class StoredBlobs(Blobs):
    """Pictures in the artifact store."""

    store: BaseArtifactStore

    def read(self, source_digest: str) -> bytes | None:
        """The bytes as they were delivered; None where they are not kept any more.

        Raises:
            DamagedArtifact: the file has other bytes than its name says.
            ServiceUnreachable: the store does not answer.
        """
        uri = blob_uri(self.store, source_digest)
        try:
            data = read_blob(self.store, uri)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(uri, error) from error
        if blake3(data).hexdigest() != source_digest:
            raise DamagedArtifact(f"{uri} is damaged: its bytes are not those that its name says. Remove it.")
        return data


@dataclass(frozen=True)
class JoinedBlobs(Blobs):
    """The pictures of several deliveries."""

    parts: Sequence[Blobs]

    def read(self, source_digest: str) -> bytes | None:
        """The bytes as one of them delivered them; None where none has them."""
        found = (part.read(source_digest) for part in self.parts)
        return next((data for data in found if data is not None), None)


@dataclass(frozen=True)
class Quarantine:
    """What a delivery, or several, had set aside.

    Args:
        index: one row a picture, in the order of the delivery. Columns ``source_digest`` (blake3, hex, of
            the bytes as delivered; missing where there were none), ``path`` in the delivery, ``label``,
            ``group``, ``captured_at``, ``extra`` (the delivery's other columns, as JSON), ``reason``,
            ``detail``, ``source`` (who delivered): text; ``at`` and ``keep_until``: UTC times; ``size`` in
            bytes; ``kept``: whether the bytes were kept; ``mendable``: whether a changed configuration takes
            the same bytes.
        blobs: where the bytes are had.
    """

    index: pd.DataFrame = field(repr=False)
    blobs: Blobs = field(repr=False)

    @classmethod
    def of_all(cls, parts: Sequence[Quarantine]) -> Quarantine:
        """What several deliveries had set aside, in their order."""
        index = pd.concat([part.index for part in parts], ignore_index=True)
        return cls(_typed(index), JoinedBlobs([part.blobs for part in parts]))

    def __len__(self) -> int:
        """The number of pictures that were set aside."""
        return len(self.index)

    @cached_property
    def digest(self) -> str:
        """The sha256 (hex) of what the rows say, whenever it was and however long they are kept."""
        digest = hashlib.sha256()
        for row in self.index[list(TEXT)].itertuples(index=False, name=None):
            said = [None if pd.isna(value) else str(value) for value in row]
            digest.update(json.dumps(said, ensure_ascii=False).encode() + b"\n")
        return digest.hexdigest()

    def picture(self, source_digest: str) -> bytes | None:
        """The bytes of a picture as they were delivered; None where they are not kept (any more).

        Raises:
            DamagedArtifact: they are not those that were delivered.
        """
        return self.blobs.read(source_digest)

    def kept_digests(self) -> list[str]:
        """The digest of each picture whose bytes were kept, once each."""
        return list(dict.fromkeys(self.index.loc[self.index["kept"], "source_digest"]))

    @property
    def readmittable(self) -> pd.Series:
        """Of each row, whether readmitting can put its picture back."""
        return self.index["kept"] & self.index["mendable"]

    def without_bytes(self, source_digests: Iterable[str]) -> Quarantine:
        """The same rows, in which these pictures are not kept."""
        gone = self.index["source_digest"].isin(set(source_digests)).fillna(value=False)
        return Quarantine(self.index.assign(kept=self.index["kept"] & ~gone.astype(bool)), self.blobs)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures by the reason for which they were set aside, the most frequent first."""
        return {str(reason): int(count) for reason, count in self.index["reason"].value_counts().items()}

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The first rows, as a page lists them."""
        rows = self.index.assign(readmittable=self.readmittable).head(LISTED).to_dict("records")
        return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in rows]

    def thumbnails(self) -> dict[str, bytes]:
        """PNG thumbnails, by digest, of the first pictures that decode."""
        shown: dict[str, bytes] = {}
        for source_digest in self.kept_digests():
            if len(shown) == SHOWN:
                break
            data = self.picture(source_digest)
            picture = set_aside_thumbnail(data) if data is not None else None
            if picture is not None:
                shown[source_digest] = picture
        return shown

    def page(self) -> str:
        """An HTML page: thumbnails of what decodes, and every picture with its reason."""
        return render_page("quarantine.html", self, self.thumbnails())


class QuarantineBuilder:
    """Takes what a delivery has set aside, one picture at a time; their bytes wait in a folder on disk.

    Args:
        source: the configured name of who delivers.
        kept_days: how long the bytes are kept.
        max_bytes: a larger picture is only recorded.
        mendable: reasons that a changed configuration mends.
        now: when they were set aside.
    """

    def __init__(
        self,
        source: str,
        *,
        kept_days: float = KEPT_DAYS,
        max_bytes: int,
        mendable: Collection[str] = MENDABLE,
        now: datetime | None = None,
    ) -> None:
        self.source, self.max_bytes, self.mendable = source, max_bytes, mendable
        self.at = now or datetime.now(UTC)
        self.keep_until = self.at + timedelta(days=kept_days)
        self.rows: list[dict[str, Any]] = []
        self.blobs = SpooledBlobs()

    def add(
        self,
        data: bytes,
        *,
        path: str | None,
        label: str | None,
        reason: str,
        detail: str = "",
        group: str | None = None,
        captured_at: str | None = None,
        extra: Mapping[str, str | None] | None = None,
    ) -> str | None:
        """Set a picture aside; return the digest that it is readmitted by, None where it has no bytes.

        Args:
            data: as delivered; empty where nothing could be read.
            path: in the delivery.
            label: as delivered.
            reason: a code, such as ``truncated``.
            detail: what was measured, and the limit.
            group: as delivered; readmitted, the picture is in it again.
            captured_at: as delivered.
            extra: the delivery's other columns.
        """
        kept = 0 < len(data) <= self.max_bytes
        source_digest = blake3(data).hexdigest() if data else None
        if kept and source_digest is not None:
            self.blobs.write(source_digest, data)
        self.rows.append(
            {
                "source_digest": source_digest,
                "path": path,
                "label": label,
                "group": group,
                "captured_at": captured_at,
                "extra": json.dumps(dict(extra), ensure_ascii=False) if extra else None,
                "reason": reason,
                "detail": detail,
                "source": self.source,
                "at": self.at,
                "keep_until": self.keep_until,
                "size": len(data),
                "kept": kept,
                "mendable": label is not None and reason in self.mendable,
            }
        )
        return source_digest

    def build(self) -> Quarantine:
        """Everything that was added."""
        return Quarantine(_index(self.rows), self.blobs)


class QuarantineMaterializer(BaseMaterializer):
    """Stores a :class:`Quarantine`: the pictures, then the rows."""

    ASSOCIATED_TYPES = (Quarantine,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, quarantine: Quarantine) -> None:
        """Write the pictures that are kept, then the rows."""
        for source_digest in quarantine.kept_digests():
            data = quarantine.picture(source_digest)
            if data is not None:
                # Also one that is there: its time begins anew, and --collect may be about to remove it.
                write_blob(self.artifact_store, blob_uri(self.artifact_store, source_digest), data)
        write_rows(self.artifact_store, self.uri, quarantine)

    def load(self, data_type: type[Any]) -> Quarantine:
        """Read the rows; a picture is read when it is asked for.

        Raises:
            DamagedArtifact: the rows are missing, unreadable or altered.
        """
        return read_rows(self.artifact_store, self.uri)

    def save_visualizations(self, quarantine: Quarantine) -> dict[str, VisualizationType]:
        """Write the page."""
        uri = page_uri(self.uri)
        write_blob(self.artifact_store, uri, quarantine.page().encode())
        return {uri: VisualizationType.HTML}

    def extract_metadata(self, quarantine: Quarantine) -> dict[str, MetadataType]:
        """The digest, the counts, and how long the bytes are kept."""
        index = quarantine.index
        values: dict[str, MetadataType] = {
            "digest": quarantine.digest,
            "pictures": len(quarantine),
            "kept": len(quarantine.kept_digests()),
            "kept_bytes": int(index.loc[index["kept"]].drop_duplicates("source_digest")["size"].sum()),
            "reasons": dict(quarantine.counts),
        }
        if len(index):
            values["keep_until"] = index["keep_until"].max().isoformat()
        return values

    def compute_content_hash(self, quarantine: Quarantine) -> str | None:
        """The digest of what the rows say."""
        return quarantine.digest


def page_uri(uri: str) -> str:
    """The page of the quarantine that is stored at ``uri``."""
    return f"{uri}/page.html"


def write_rows(store: BaseArtifactStore, uri: str, quarantine: Quarantine) -> None:
    """Write, or replace, the rows of a stored quarantine."""
    frame = quarantine.index.copy()
    frame.attrs = {"format_version": FORMAT_VERSION, "digest": quarantine.digest}
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_blob(store, f"{uri}/quarantine.parquet", buffer.getvalue())


def read_rows(store: BaseArtifactStore, uri: str) -> Quarantine:
    """The quarantine that is stored at ``uri``; its pictures are read when they are asked for.

    Raises:
        DamagedArtifact: the rows are missing, unreadable or altered.
        ServiceUnreachable: the store does not answer.
    """
    path = f"{uri}/quarantine.parquet"
    mend = "Deliver again what was set aside: python run.py --continuous --source PATH"
    try:
        frame = pd.read_parquet(io.BytesIO(read_blob(store, path)))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    about, frame.attrs = frame.attrs, {}
    if about.get("format_version") == 1 and list(frame.columns) == list(FIRST_COLUMNS):
        frame["mendable"] = frame["label"].notna() & frame["reason"].isin(MENDABLE)
    elif about.get("format_version") != FORMAT_VERSION or list(frame.columns) != list(COLUMNS):
        raise DamagedArtifact(
            f"The quarantine at {path} has another format than 1 and {FORMAT_VERSION}. {mend}"
        )
    quarantine = Quarantine(_typed(frame), StoredBlobs(store))
    if quarantine.digest != about["digest"]:
        raise DamagedArtifact(
            f"The quarantine at {path} has digest {quarantine.digest[:12]}, stored was "
            f"{about['digest'][:12]}: it was altered. {mend}"
        )
    return quarantine


def set_aside_thumbnail(data: bytes) -> bytes | None:
    """A small PNG of a picture that may be damaged or hostile; None where it does not decode."""
    small = decoded(data)
    if small is None:
        return None
    return encode_sheet(small, {blake3(data).hexdigest(): [(0, 0, *small.size)]})


def decoded(data: bytes) -> Image.Image | None:
    """A picture that may be damaged or hostile, upright and small; None where it does not decode."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.draft("RGB", (THUMBNAIL, THUMBNAIL))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            scale = THUMBNAIL / max(upright.size)
            # A banner's shorter side would be rounded to nothing.
            return upright.resize([max(1, round(side * scale)) for side in upright.size])
    except Exception:  # noqa: BLE001 - its parsers raise whatever they trip over; the row says what it is
        return None


def _index(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return _typed(pd.DataFrame(rows, columns=list(COLUMNS)))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    text = dict.fromkeys(TEXT, pd.StringDtype("pyarrow"))
    times = {name: pd.to_datetime(frame[name], utc=True).astype("datetime64[us, UTC]") for name in TIMES}
    return frame.astype({**text, "size": "int64", "kept": "bool", "mendable": "bool"}).assign(**times)
