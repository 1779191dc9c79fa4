"""Check the services that a stack file points to, each with the credentials that the stack will use."""

from __future__ import annotations

from typing import Any

from materializers.errors import ServiceUnreachable, UsageError

S3_SCHEME = "s3://"
TIMEOUT_S = 5
NO_SUCH_BUCKET = frozenset({"NoSuchBucket", "404"})
NOT_ALLOWED = frozenset(
    {"403", "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
)
CREDENTIALS = (
    ("key", "aws_access_key_id"),
    ("secret", "aws_secret_access_key"),
    ("token", "aws_session_token"),
)
"""ZenML's settings, and boto3's names of them."""
UNENCRYPTED = "ServerSideEncryptionConfigurationNotFoundError"


def check_bucket(configuration: dict[str, Any]) -> str:
    """Require a bucket that can be listed and that encrypts what it keeps; nothing is written.

    Args:
        configuration: of ZenML's ``s3`` artifact store, placeholders filled in.

    Raises:
        UsageError: the path names no bucket, there is no such bucket, or it does not encrypt.
        ServiceUnreachable: the server does not answer, or refuses the credentials.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    path = str(configuration.get("path", ""))
    bucket, _, prefix = path.removeprefix(S3_SCHEME).partition("/")
    if not path.startswith(S3_SCHEME) or not bucket:
        raise UsageError(f"path is {path!r} and names no bucket: write s3://bucket/folder")
    try:
        client = _s3_client(configuration)
        address = f"{path} at {client.meta.endpoint_url}"
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        raise _explained(address, bucket, error) from error
    except (BotoCoreError, ValueError) as error:
        raise ServiceUnreachable(
            f"{path} cannot be asked ({error}): check client_kwargs.endpoint_url and the network"
        ) from error
    return f"{address} can be listed, {_encryption(client, bucket)}"


def _encryption(client: Any, bucket: str) -> str:
    """What the server tells about the encryption of what it keeps.

    Raises:
        UsageError: there is none.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.get_bucket_encryption(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"].get("Code") != UNENCRYPTED:
            return "encryption not checked: the server does not tell"
        raise UsageError(
            f"the bucket {bucket} does not encrypt what it keeps: aws s3api put-bucket-encryption --bucket "
            f"{bucket} --server-side-encryption-configuration "
            """'{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]}'"""
        ) from error
    except BotoCoreError:
        return "encryption not checked: the server does not tell"
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
    return f"encrypted with {rules[0]['ApplyServerSideEncryptionByDefault']['SSEAlgorithm']}"


def _explained(address: str, bucket: str, error: Any) -> UsageError | ServiceUnreachable:
    code = str(error.response["Error"].get("Code"))
    if code in NO_SUCH_BUCKET:
        return UsageError(f"{address}: there is no bucket {bucket}: make it, or correct path")
    if code in NOT_ALLOWED:
        return ServiceUnreachable(
            f"{address} refuses the credentials ({code}): check key and secret, and that they may list it"
        )
    return ServiceUnreachable(f"{address} answers {code}: {error}: look at the server")


def _s3_client(configuration: dict[str, Any]) -> Any:
    import boto3
    from botocore.config import Config  # type: ignore[import-untyped]

    options = dict(configuration.get("client_kwargs") or {})
    given = {name: resolved(configuration[key]) for key, name in CREDENTIALS if configuration.get(key)}
    # Servers other than Amazon's seldom have a name per bucket.
    style = "path" if options.get("endpoint_url") else "auto"
    config = Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"max_attempts": 1},
        s3={"addressing_style": style},
    )
    return boto3.client("s3", **{"region_name": "us-east-1", **options, **given}, config=config)


def resolved(value: str) -> str:
    """A setting's value, looked up where it refers to one of ZenML's secrets.

    Raises:
        UsageError: there is no such secret, or it has no such key.
    """
    from zenml.client import Client
    from zenml.utils.secret_utils import is_secret_reference, parse_secret_reference

    if not is_secret_reference(value):
        return value
    name, key = parse_secret_reference(value)
    try:
        return str(Client().get_secret(name, allow_partial_name_match=False).secret_values[key])
    except KeyError as error:
        raise UsageError(
            f"ZenML has no secret {name} with {key}: zenml secret create {name} --{key}=… (or update it)"
        ) from error
