"""The services of a stack file, asked for real: a S3 server on loopback with one key."""

from __future__ import annotations

from typing import Any

import pytest
from zenml.client import Client

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from stacks.remote_checks import check_bucket
from tests.bucket import BUCKET, KEY, SECRET, BucketServer

ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}


def store(endpoint: str, **changes: Any) -> dict[str, Any]:
    """The configuration of ZenML's S3 artifact store."""
    good = {
        "path": f"s3://{BUCKET}/zenml",
        "key": KEY,
        "secret": SECRET,
        "client_kwargs": {"endpoint_url": endpoint},
    }
    return {**good, **changes}


@pytest.fixture(scope="module")
def encrypted(bucket_server: BucketServer) -> str:
    """The endpoint of a server whose bucket encrypts."""
    bucket_server.client.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=ENCRYPTION)
    return bucket_server.endpoint


def test_a_bucket_that_can_be_listed_and_encrypts_is_good(encrypted: str) -> None:
    """The address and the kind of encryption are said, and nothing is written."""
    said = check_bucket(store(encrypted))
    assert said == f"s3://{BUCKET}/zenml at {encrypted} can be listed, encrypted with AES256"


def test_a_bucket_without_encryption_is_refused(bucket_server: BucketServer) -> None:
    """With the command that turns it on."""
    bucket_server.client.create_bucket(Bucket="open")
    with pytest.raises(UsageError, match="aws s3api put-bucket-encryption --bucket open"):
        check_bucket(store(bucket_server.endpoint, path="s3://open"))


@pytest.mark.parametrize("changes", [{"secret": "wrong"}, {"key": "nobody"}], ids=str)
def test_wrong_credentials_are_told_with_what_came_back(encrypted: str, changes: dict[str, str]) -> None:
    """Address, the server's own code, and what to look at; never the secret."""
    with pytest.raises(ServiceUnreachable) as told:
        check_bucket(store(encrypted, **changes))
    assert f"at {encrypted} refuses the credentials" in str(told.value)
    assert "check key and secret" in str(told.value)
    assert SECRET not in str(told.value) and "wrong" not in str(told.value)


def test_a_bucket_that_is_not_there_is_wrong_use(encrypted: str) -> None:
    """The bucket is named."""
    with pytest.raises(UsageError, match="there is no bucket nowhere"):
        check_bucket(store(encrypted, path="s3://nowhere/zenml"))


@pytest.mark.parametrize("path", ["s3://", "bucket/folder", ""])
def test_a_path_that_names_no_bucket_is_wrong_use(encrypted: str, path: str) -> None:
    """Nothing is asked."""
    with pytest.raises(UsageError, match="names no bucket: write s3://bucket/folder"):
        check_bucket(store(encrypted, path=path))


def test_a_server_that_is_not_there_is_told(encrypted: str) -> None:
    """Within seconds, with the address that was asked."""
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceUnreachable, match=f"{nobody}.*client_kwargs.endpoint_url"):
        check_bucket(store(nobody))


def test_an_address_that_is_none_is_told(encrypted: str) -> None:
    """What boto3 says of it."""
    with pytest.raises(ServiceUnreachable, match="Invalid endpoint"):
        check_bucket(store("not an address"))


def test_a_reference_to_one_of_zenmls_secrets_is_looked_up(encrypted: str, zenml_client: Client) -> None:
    """As the stack itself does; one that is not there is wrong use, with the command that makes it."""
    zenml_client.create_secret("s3-of-the-tests", {"secret": SECRET})
    assert "can be listed" in check_bucket(store(encrypted, secret="{{s3-of-the-tests.secret}}"))
    for reference in ("{{s3-of-the-tests.password}}", "{{nothing.secret}}"):
        with pytest.raises(UsageError, match="zenml secret create"):
            check_bucket(store(encrypted, secret=reference))
