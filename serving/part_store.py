"""Where a shipper puts parts: below the root of an artifact store, on this machine's disk or in S3.

The address, the region and the keys of S3 are taken from the environment: ``AWS_REGION``, and as boto3 takes
them ``AWS_ENDPOINT_URL_S3``, ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, or a role's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

S3 = "s3://"
ENDPOINTS = frozenset({"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"})
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 30


class WrongAddressError(ValueError):
    """No store of this kind can be written."""


class StoreDownError(OSError):
    """The store does not answer, or takes nothing."""


class PartStore(Protocol):
    """What a shipper needs of a store; every path is below its root."""

    def put(self, path: str, data: bytes) -> None:
        """Store a file whole, or not at all.

        Raises:
            StoreDownError: the store does not take it.
        """

    def read_new(self, folder: str) -> Iterator[bytes]:
        """The files directly in a folder that are new, or changed, since this was asked last.

        Raises:
            StoreDownError: the store does not answer.
        """


def open_store(uri: str) -> PartStore:
    """The store at an address: ``s3://bucket/prefix``, or an absolute path.

    Raises:
        WrongAddressError: it is neither.
    """
    if uri.startswith(S3):
        bucket, _, prefix = uri.removeprefix(S3).partition("/")
        if not bucket:
            raise WrongAddressError(f"{uri} names no bucket; give s3://BUCKET/PREFIX")
        return BucketStore(bucket, prefix.strip("/"))
    if "://" in uri or not Path(uri).is_absolute():
        raise WrongAddressError(f"{uri} is neither s3://BUCKET/PREFIX nor an absolute path")
    return DiskStore(Path(uri))


class DiskStore:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, tuple[int, int]] = {}

    def put(self, path: str, data: bytes) -> None:
        """Write by temporary file, fsync and rename; see :meth:`PartStore.put`."""
        target = self._root / path
        temporary = target.with_name(f".{target.name}.{uuid4().hex}.part")
        with _as_down():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    def read_new(self, folder: str) -> Iterator[bytes]:
        """See :meth:`PartStore.read_new`."""
        with _as_down():
            place = self._root / folder
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                about = path.stat()
                mark = (about.st_mtime_ns, about.st_size)
                if path.name[0] != "." and self._seen.get(path.name) != mark:
                    yield path.read_bytes()
                    self._seen[path.name] = mark


class BucketStore:
    """A prefix of a bucket; each part is one PUT."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3
        from botocore.config import Config  # type: ignore[import-untyped]

        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._seen: dict[str, str] = {}
        # A server of one's own seldom has a host name for each bucket.
        style = "path" if ENDPOINTS & os.environ.keys() else "auto"
        # A session of its own: boto3's keeps the first keys that it found.
        self._client: Any = boto3.session.Session().client(
            "s3",
            # boto3 takes AWS_DEFAULT_REGION only.
            region_name=os.environ.get("AWS_REGION") or None,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": 2},
                s3={"addressing_style": style},
            ),
        )

    def put(self, path: str, data: bytes) -> None:
        """See :meth:`PartStore.put`."""
        with _as_down():
            self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}{path}", Body=data)

    def read_new(self, folder: str) -> Iterator[bytes]:
        """See :meth:`PartStore.read_new`."""
        with _as_down():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/"
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    key, tag = entry["Key"], entry["ETag"]
                    if self._seen.get(key) != tag:
                        yield self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
                        self._seen[key] = tag


@contextmanager
def _as_down() -> Iterator[None]:
    """Have whatever a disk or a client of S3 raises be one error."""
    try:
        yield
    except OSError as error:
        raise StoreDownError(str(error)) from error
    except Exception as error:  # botocore has a dozen unrelated exception classes
        if not type(error).__module__.startswith(("botocore.", "boto3.", "urllib3.")):
            raise
        raise StoreDownError(str(error)) from error
