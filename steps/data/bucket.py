"""Deliveries in a bucket: one object a file below a prefix, or one archive of them.

A bucket that is busy is waited for: at thousands of objects some requests are always refused.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from materializers.blobs import room_for
from materializers.errors import NoRoom, ServiceUnreachable, UsageError
from steps.data.files import PARQUET_SUFFIX, SourceLimits, Stamp, Unreadable, WatchedFiles, inner_path
from steps.data.labels import LABELS_FILE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Result = TypeVar("Result")

S3_SCHEME = "s3://"
NO_SUCH_OBJECT = frozenset({"NoSuchKey", "404"})
NO_SUCH_BUCKET = frozenset({"NoSuchBucket", "404"})
DENIED = frozenset({"AccessDenied", "403"})
BUSY = frozenset({429, 500, 502, 503, 504})
"""HTTP statuses by which a server asks to be tried again: SlowDown is a 503."""
PATIENCE_S = 60.0
"""How long one request that a busy server refuses is repeated."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
ATTEMPTS = 3
"""Of an answer that breaks off, or a server that is not there: waiting seldom mends that."""
PART = 8 * 2**20
"""Bytes that one request asks for, of an archive or a Parquet file."""
MOST_FOLDERS = 256
"""Below a prefix with more folders, one listing of it all takes fewer requests than one a folder."""


class S3Source(WatchedFiles):
    """A prefix of a bucket; credentials and endpoint come from the environment, as boto3 reads them.

    Args:
        address: what the user calls it, ``s3://bucket/prefix``.
        limits: what an object may weigh.
        connections: requests at the same time.
        only: the one object below the prefix that is the delivery; empty: all of them.
    """

    waits_for_network = True

    def __init__(self, address: str, limits: SourceLimits, connections: int, only: str = "") -> None:
        super().__init__(address, limits)
        self.bucket, key = split_address(address)
        prefix = key.removesuffix(only).strip("/")
        self.prefix, self.only = f"{prefix}/" if prefix else "", only
        self.connections = connections
        self.client = _s3_client(address, connections)
        self._markers: set[str] = set()
        self._written: dict[str, datetime] = {}

    def has_labels(self) -> bool:
        """Whether ``labels.csv`` is there, in one request."""
        return self._head(LABELS_FILE) is not None

    def open(self, path: str) -> BinaryIO:
        """Open one object for reading here and there in it."""
        stamp = self._head(inner_path(path, self.address))
        self._note(path, stamp)
        if stamp is None:
            raise Unreadable("missing", "the bucket has no such object")
        return cast(BinaryIO, S3Object(self, path, stamp))

    def read_range(self, path: str, start: int, size: int, stamp: Stamp) -> bytes:
        """Some bytes of one object.

        Args:
            path: of the object, below the prefix.
            start: of the first byte.
            size: how many; fewer come at the end of the object.
            stamp: what the object was when it was opened.

        Raises:
            Unreadable: the object is there no more.
            UsageError: it is another one than was opened.
            ServiceUnreachable: the bucket does not answer.
        """
        size = min(size, stamp[0] - start)
        if size <= 0:
            return b""
        return self._asked(path, lambda: self._get_range(path, start, size, stamp))

    def _read(self, path: str) -> bytes:
        try:
            return self._asked(path, lambda: self._get(path))
        except Unreadable as error:
            if error.reason == "missing":
                self._note(path, None)
            raise

    def _get(self, path: str) -> bytes:
        answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)
        with closing(answer["Body"]) as body:
            self._note(path, (answer["ContentLength"], answer["ETag"]))
            self._check_size(path, answer["ContentLength"])
            data: bytes = body.read()
            return data

    def _get_range(self, path: str, start: int, size: int, stamp: Stamp) -> bytes:
        span = f"bytes={start}-{start + size - 1}"
        answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path, Range=span)
        with closing(answer["Body"]) as body:
            if answer["ETag"] != stamp[1]:
                raise self._changed(path)
            data: bytes = body.read()
            return data

    def _head(self, path: str) -> Stamp | None:
        try:
            answer = self._asked(
                path, lambda: self.client.head_object(Bucket=self.bucket, Key=self.prefix + path)
            )
        except Unreadable as error:
            if error.reason == "missing":
                return None
            raise unreachable(self.address, error) from error
        return answer["ContentLength"], answer["ETag"]

    def _asked(self, path: str, request: Callable[[], Result]) -> Result:
        """What a request for one object answers; what it fails with is said in our words."""
        from botocore import exceptions as s3  # type: ignore[import-untyped]

        try:
            return patiently(request)
        except s3.ClientError as error:
            raise self._explained(path, error.response["Error"].get("Code", ""), error) from error
        except s3.BotoCoreError as error:
            raise unreachable(self.address, error) from error

    def _explained(self, path: str, code: str, error: Exception) -> Exception:
        if code in NO_SUCH_OBJECT:
            return Unreadable("missing", "the bucket has no such object")
        if code in DENIED and path != LABELS_FILE:
            return Unreadable("unreadable", "access is denied, or it is missing and listing is not allowed")
        return unreachable(self.address, error)

    def _list(self) -> dict[str, Stamp | None]:
        """Every object below the prefix; the folders directly below it are listed at the same time."""
        from botocore import exceptions as s3

        root = self.prefix + self.only
        try:
            first = self._page(root, Delimiter="/")
            folders = [each["Prefix"] for each in first.get("CommonPrefixes", [])]
            if first["IsTruncated"] or len(folders) > MOST_FOLDERS:
                return self._stamps_of(self._pages(root))
            found = self._stamps_of([first])
            with ThreadPoolExecutor(self.connections) as pool:
                for pages in pool.map(lambda folder: list(self._pages(folder)), folders):
                    found |= self._stamps_of(pages)
        except (s3.ClientError, s3.BotoCoreError) as error:
            raise unreachable(self.address, error) from error
        return found

    def _pages(self, prefix: str) -> Iterable[Any]:
        page = self._page(prefix)
        yield page
        while page["IsTruncated"]:
            page = self._page(prefix, ContinuationToken=page["NextContinuationToken"])
            yield page

    def _page(self, prefix: str, **options: str) -> Any:
        return patiently(lambda: self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **options))

    def _stamps_of(self, pages: Iterable[Any]) -> dict[str, Stamp | None]:
        found: dict[str, Stamp | None] = {}
        for page in pages:
            for each in page.get("Contents", []):
                path = each["Key"].removeprefix(self.prefix)
                if path.endswith("/"):  # how consoles write an empty folder
                    self._markers.add(path.rstrip("/"))
                elif path:
                    found[path] = (each["Size"], each["ETag"])
                    self._written[path] = each["LastModified"]
        return found

    def known_by(self, path: str) -> list[str | int]:
        """And the time of its last upload: one that went and came again has the same ETag."""
        return [*super().known_by(path), self.written_at(path).isoformat()]

    def written_at(self, path: str) -> datetime:
        """As the listing has it."""
        return self._written[path]

    def _folders(self) -> set[str]:
        return {name for name in self._markers if name and "/" not in name}

    def _look_again(self, paths: Iterable[str]) -> Mapping[str, Stamp | None]:
        """What is there now: by one listing, for asking for each object would take as long as reading it."""
        try:
            return self._list()
        except ServiceUnreachable as error:
            if not _is_denied(error) or self._watched:
                raise
        # Whoever may read but not list: what says which pictures there are is asked for by itself.
        asked = [path for path in paths if path == LABELS_FILE or path.lower().endswith(PARQUET_SUFFIX)]
        return dict(self._stamps) | {path: self._head(path) for path in asked}

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


class S3Object(io.RawIOBase):
    """One object that is read here and there, as long as it is the one that was opened."""

    def __init__(self, source: S3Source, path: str, stamp: Stamp) -> None:
        self.source, self.path, self.stamp, self.position = source, path, stamp, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted from the start, from here or from the end."""
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.stamp[0]}
        self.position = origins[whence] + offset
        return self.position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self.source.read_range(self.path, self.position, len(view), self.stamp)
        view[: len(data)] = data
        self.position += len(data)
        return len(data)


def fetch_archive(address: str, folder: Path, connections: int) -> Path:
    """Copy an archive out of its bucket into ``folder``, under its own name, in parts at the same time.

    Raises:
        UsageError: there is no such object, or it changed while it was copied.
        ServiceUnreachable: the bucket does not answer, or refuses.
        NoRoom: this machine's disk is full.
    """
    name = Path(split_address(address)[1]).name
    target = folder / name
    with closing(S3Source(address, SourceLimits(), connections, only=name)) as source:
        try:
            stamp = cast(S3Object, source.open(name)).stamp
            with room_for(name), target.open("wb") as file, ThreadPoolExecutor(connections) as pool:

                def copy(start: int) -> None:
                    os.pwrite(file.fileno(), source.read_range(name, start, PART, stamp), start)

                list(pool.map(copy, range(0, stamp[0], PART)))
        except Unreadable as error:
            if error.reason == "missing":
                raise UsageError(f"There is no {address}: correct --source, or upload it.") from error
            raise unreachable(address, error) from error
        except NoRoom:
            raise
        except OSError as error:
            raise unreachable(address, error) from error
    return target


def lacks_bucket(address: str) -> bool:
    """Whether the bucket of an address is known not to be there; False where nobody here can be told."""
    from botocore import exceptions as s3

    bucket, _ = split_address(address)
    try:
        with closing(_s3_client(address, 1)) as client:
            patiently(lambda: client.list_objects_v2(Bucket=bucket, MaxKeys=1))
    except s3.ClientError as error:
        return str(error.response["Error"].get("Code", "")) in NO_SUCH_BUCKET
    except (s3.BotoCoreError, UsageError, ServiceUnreachable):
        return False
    return False


def split_address(address: str) -> tuple[str, str]:
    """Bucket and key.

    Raises:
        UsageError: it names no bucket.
    """
    bucket, _, key = address.removeprefix(S3_SCHEME).partition("/")
    if not bucket:
        raise UsageError(f"The source {address} names no bucket. Give s3://bucket/prefix.")
    return bucket, key.strip("/")


def patiently(request: Callable[[], Result]) -> Result:
    """Ask, and ask again while the server is busy or its answers break off.

    botocore's own retries stop for good once some hundred requests of a client were refused.

    Raises:
        botocore.exceptions.ClientError: it refuses for another reason, or was busy for :data:`PATIENCE_S`.
        botocore.exceptions.BotoCoreError: it cannot be reached.
    """
    from botocore import exceptions as s3

    until, broken, busy = time.monotonic() + PATIENCE_S, 0, 0
    while True:
        try:
            return request()
        except s3.ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if status not in BUSY or time.monotonic() > until:
                raise
            busy += 1
        except (s3.HTTPClientError, s3.ConnectionError, s3.IncompleteReadError):
            broken += 1
            if broken == ATTEMPTS:
                raise
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(busy + broken, 10))
        time.sleep(pause * random.random())  # noqa: S311 - so that threads do not come back all at once


def _is_denied(error: ServiceUnreachable) -> bool:
    cause = error.__cause__
    return str(getattr(cause, "response", {}).get("Error", {}).get("Code", "")) in DENIED


def unreachable(address: str, error: Exception) -> ServiceUnreachable | UsageError:
    """What is said of a bucket that gives nothing: wrong use, which nobody tries again, or a fault."""
    from botocore.exceptions import (  # type: ignore[import-untyped]
        NoCredentialsError,
        PartialCredentialsError,
    )

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return UsageError(
            f"The source {address} cannot be asked for: {error}. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or name a profile: AWS_PROFILE"
        )
    return ServiceUnreachable(
        f"The source {address} cannot be read: {error}. Check the bucket's name, AWS_ENDPOINT_URL, "
        "AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and run the same command again."
    )


def _s3_client(address: str, connections: int) -> Any:
    import boto3
    from botocore.config import Config  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError

    # Servers other than Amazon's seldom have a name per bucket.
    own_server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config = Config(
        max_pool_connections=connections,
        connect_timeout=5,
        read_timeout=60,
        retries={"total_max_attempts": 1, "mode": "standard"},  # patiently() repeats
        s3={"addressing_style": "path" if own_server else "auto"},
    )
    try:
        return boto3.session.Session().client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise unreachable(address, error) from error
