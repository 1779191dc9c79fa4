"""Deliveries in a bucket: one object a file below a prefix, or one archive of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from materializers.errors import ServiceUnreachable, UsageError
from steps.data.files import Source, SourceLimits, Unreadable
from steps.data.labels import LABELS_FILE

S3_SCHEME = "s3://"
NO_SUCH_OBJECT = frozenset({"NoSuchKey", "404"})
ATTEMPTS = 3  # of an object whose body breaks off; botocore repeats the request alone


class S3Source(Source):
    """A prefix of a bucket; credentials and endpoint come from the environment, as boto3 reads them."""

    waits_for_network = True

    def __init__(self, address: str, limits: SourceLimits, connections: int) -> None:
        super().__init__(address, limits)
        self.bucket, prefix = _split(address)
        self.prefix = f"{prefix}/" if prefix else ""
        self.client = _s3_client(address, connections)

    def _read(self, path: str) -> bytes:
        from botocore import exceptions as s3  # type: ignore[import-untyped]

        try:
            for _ in range(ATTEMPTS - 1):
                with suppress(s3.IncompleteReadError, s3.ResponseStreamingError):
                    return self._get(path)
            return self._get(path)
        except s3.ClientError as error:
            raise self._explained(path, error.response["Error"].get("Code", ""), error) from error
        except s3.BotoCoreError as error:
            raise self._unreachable(error) from error

    def _paths(self) -> Iterable[str]:
        from botocore import exceptions as s3

        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        try:
            for page in pages:
                yield from (each["Key"].removeprefix(self.prefix) for each in page.get("Contents", []))
        except (s3.ClientError, s3.BotoCoreError) as error:
            raise self._unreachable(error) from error

    def _get(self, path: str) -> bytes:
        answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)
        with closing(answer["Body"]) as body:
            self._check_size(path, answer["ContentLength"])
            data: bytes = body.read()
            return data

    def _explained(self, path: str, code: str, error: Exception) -> Exception:
        if code in NO_SUCH_OBJECT:
            return Unreadable("missing", "the bucket has no such object")
        if code in ("AccessDenied", "403") and path != LABELS_FILE:
            return Unreadable("unreadable", "access is denied, or it is missing and listing is not allowed")
        return self._unreachable(error)

    def _unreachable(self, error: Exception) -> ServiceUnreachable | UsageError:
        return _unreachable(self.address, error)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def fetch_archive(address: str, folder: Path) -> Path:
    """Copy an archive out of its bucket into ``folder``, under its own name.

    Raises:
        UsageError: there is no such object.
        ServiceUnreachable: the bucket does not answer, or refuses.
    """
    from botocore import exceptions as s3

    bucket, key = _split(address)
    target = folder / Path(key).name
    with closing(_s3_client(address, connections=1)) as client:
        try:
            client.download_file(bucket, key, str(target))
        except s3.ClientError as error:
            if error.response["Error"].get("Code") in NO_SUCH_OBJECT:
                raise UsageError(f"There is no {address}: correct --source, or upload it.") from error
            raise _unreachable(address, error) from error
        except (s3.BotoCoreError, OSError) as error:
            raise _unreachable(address, error) from error
    return target


def _split(address: str) -> tuple[str, str]:
    """Bucket and key.

    Raises:
        UsageError: it names no bucket.
    """
    bucket, _, key = address.removeprefix(S3_SCHEME).partition("/")
    if not bucket:
        raise UsageError(f"The source {address} names no bucket. Give s3://bucket/prefix.")
    return bucket, key.strip("/")


def _unreachable(address: str, error: Exception) -> ServiceUnreachable | UsageError:
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
        retries={"max_attempts": 3, "mode": "standard"},
        s3={"addressing_style": "path" if own_server else "auto"},
    )
    try:
        return boto3.session.Session().client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise _unreachable(address, error) from error
