"""Answers that a bulk inference has so far, a Parquet file a shard: whoever is killed goes on from them.

A folder holds what one model, code and setting answered; a file in it is named by the digest of the pictures
that it answers for, paths and bytes. So a shard is found again only for the very same pictures. Nothing lists
the files, none ever changes, and what is lost or damaged is only classified again.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from materializers.blobs import list_folder, read_blob, write_blob
from materializers.errors import NoRoom, ServiceUnreachable
from materializers.report import Record, canonical_json
from materializers.store_files import INFERENCES

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

logger = logging.getLogger("shutterline")

SUFFIX = ".parquet"


class ShardKey(Record):
    """What answers follow from, beside the pictures."""

    format_version: Literal[1] = 1
    model_digest: str
    model_version: int
    code: str
    settings: dict[str, int]


class FinishedShards:
    """The finished shards of one model, code and setting.

    Args:
        store: under its root, in ``inferences/<digest of the key>/``.
        key: what the answers follow from.

    Raises:
        ServiceUnreachable: the store does not answer.
    """

    def __init__(self, store: BaseArtifactStore, key: ShardKey) -> None:
        self._store = store
        self.folder = f"{str(store.path).rstrip('/')}/{INFERENCES}/{key.digest}"
        with self._reached():
            self._names = set(list_folder(store, self.folder))

    def read(self, digest: str, schema: pa.Schema) -> pa.Table | None:
        """The answers of a shard; None where they are not there, or damaged.

        Raises:
            ServiceUnreachable: the store does not answer.
        """
        name = f"{digest}{SUFFIX}"
        if name not in self._names:
            return None
        uri = f"{self.folder}/{name}"
        try:
            with self._reached():
                data = read_blob(self._store, uri)
            table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
        except (FileNotFoundError, pa.ArrowException, OSError) as error:
            if isinstance(error, ServiceUnreachable):
                raise
            logger.warning("Finished shard %s cannot be used (%s): it is classified again.", uri, error)
            return None
        return table if table.schema.equals(schema) else None

    def write(self, digest: str, table: pa.Table) -> None:
        """Keep the answers of a shard.

        Raises:
            NoRoom: the disk is full.
            ServiceUnreachable: the store cannot be written.
        """
        sink = io.BytesIO()
        pq.write_table(table, sink, write_page_checksum=True)
        with self._reached():
            write_blob(self._store, f"{self.folder}/{digest}{SUFFIX}", sink.getvalue())

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say in one line that the store does not answer.

        Raises:
            ServiceUnreachable: it does not.
            NoRoom: its disk is full.
        """
        try:
            yield
        except (NoRoom, FileNotFoundError):
            raise
        except OSError as error:
            raise ServiceUnreachable(
                f"The finished shards {self.folder} cannot be read or written ({error}). Run the same "
                "command again once they can: what was classified is kept."
            ) from error


def shard_digest(pictures: Sequence[tuple[str, str | None, str | None]]) -> str:
    """The sha256 (hex) of a shard: of each picture its path, the digest of its bytes, and its error."""
    return hashlib.sha256(canonical_json([list(each) for each in pictures]).encode()).hexdigest()
