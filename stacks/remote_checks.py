"""Check the services that a stack file points to, each with the credentials that the stack will use."""

from __future__ import annotations

from typing import Any

from materializers.errors import ServiceUnreachable, UsageError
from stacks.http_service import HttpService, bearer, is_loopback

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

EXPERIMENTS = "/api/2.0/mlflow/experiments/search"
MODELS = "/api/2.0/mlflow/registered-models/search"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
ONE = {"max_results": "1"}
ARTIFACTS_TIMEOUT_S = 20.0
"""MLflow asks the bucket first, and loads what it asks with."""
HTTP_UNAUTHORIZED = 401
DOCKER_HUB = frozenset({"docker.io", "index.docker.io"})


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
    given = {name: configuration[key] for key, name in CREDENTIALS if configuration.get(key)}
    # Servers other than Amazon's seldom have a name per bucket.
    style = "path" if options.get("endpoint_url") else "auto"
    config = Config(
        connect_timeout=TIMEOUT_S,
        read_timeout=TIMEOUT_S,
        retries={"max_attempts": 1},
        s3={"addressing_style": style},
    )
    return boto3.client("s3", **{"region_name": "us-east-1", **options, **given}, config=config)


def check_tracking_server(configuration: dict[str, Any]) -> str:
    """Require an MLflow server, with its registry, that takes the credentials and nobody without.

    Args:
        configuration: of ZenML's ``mlflow`` experiment tracker, its secrets looked up.

    Raises:
        UsageError: the address is none or not MLflow's, or the server answers without credentials.
        ServiceUnreachable: the server does not answer, refuses the credentials, or cannot list artifacts.
    """
    server = _mlflow(configuration)
    for path, listed in ((EXPERIMENTS, "experiments"), (MODELS, "registered_models")):
        content = server.json(path, query=ONE)
        if content and listed not in content:  # what lists nothing is empty
            raise UsageError(f"{server.shown} is not MLflow: {path} lists no {listed}: correct tracking_uri")
    if server.answer(EXPERIMENTS, anonymous=True, query=ONE).is_success:
        raise UsageError(
            f"{server.shown} answers without credentials, so that whoever reaches it changes the registry: "
            "start it with `mlflow server --app-name basic-auth`"
        )
    return f"{server.shown} takes the credentials, and refuses who has none; {_artifacts(server)}"


def _artifacts(server: HttpService) -> str:
    """Say whether the server reads the bucket that it passes artifacts on to.

    Raises:
        ServiceUnreachable: it has failed at it.
    """
    response = server.answer(ARTIFACTS, timeout_s=ARTIFACTS_TIMEOUT_S)
    if response.is_success:
        return "its artifacts can be listed"
    if response.is_client_error or "--no-serve-artifacts" in response.text:
        return f"its artifacts not checked ({response.status_code}: {server.said(response)})"
    raise server.refusal(response)


def _mlflow(configuration: dict[str, Any]) -> HttpService:
    user, password = (str(configuration.get(f"tracking_{part}") or "") for part in ("username", "password"))
    return HttpService(
        "MLflow",
        str(configuration["tracking_uri"]),
        "tracking_uri",
        headers=bearer(configuration.get("tracking_token")),
        user=(user, password) if user else None,
        accounts="tracking_username and tracking_password (or tracking_token), and what the account may read",
        verify=not configuration.get("tracking_insecure_tls"),
    )


def check_kubeflow(configuration: dict[str, Any]) -> str | None:
    """Require Kubeflow Pipelines, and that the account may see the experiments; nothing is written.

    Args:
        configuration: of a Kubeflow orchestrator, its secrets looked up.

    Returns:
        What was found; None for a Kubeflow that is logged in to with a user name in its browser's way, or
        that no address names, only the context of a kubeconfig.

    Raises:
        UsageError: the address is none or not Kubeflow's.
        ServiceUnreachable: it does not answer, or refuses the credentials.
    """
    if configuration.get("client_username"):
        return None
    if configuration.get("kubernetes_context") and not configuration.get("kubeflow_hostname"):
        return None
    namespace = configuration.get("user_namespace")
    whose = f" in the namespace {namespace}" if namespace else ""
    client = configuration.get("client_args") or {}
    server = HttpService(
        "Kubeflow",
        str(configuration.get("kubeflow_hostname", "")),
        "kubeflow_hostname",
        headers=bearer(configuration.get("kubeflow_token")),
        accounts=f"kubeflow_token, and that its account may list experiments{whose}",
        verify=client.get("ssl_ca_cert") or client.get("verify_ssl", True),
    )
    health = server.json("/apis/v2beta1/healthz")
    # An installation for one user knows no namespaces, and refuses a question that names one.
    if bool(health.get("multi_user")) != bool(namespace):
        mend = "leave user_namespace out" if namespace else "set user_namespace to that of your profile"
        users = "one user" if namespace else "several users"
        raise UsageError(f"{server.shown} is there for {users}: {mend}")
    scope = {"namespace": str(namespace)} if namespace else {}
    server.json("/apis/v2beta1/experiments", query={"page_size": "1", **scope})
    return f"{server.shown} answers, and its experiments{whose} can be listed"


def check_container_registry(configuration: dict[str, Any]) -> str:
    """Require a container registry; whether it takes an image, only a push would show.

    Args:
        configuration: of ZenML's ``default`` container registry.

    Raises:
        UsageError: the uri is none.
        ServiceUnreachable: nobody answers, or not as a registry.
    """
    uri = str(configuration.get("uri", ""))
    host = uri.partition("/")[0]
    if "://" in uri or not host:
        raise UsageError(
            f"uri is {uri!r}: write it as images begin, without https://: registry.example.com/team"
        )
    scheme = "http" if is_loopback(host.rpartition(":")[0] or host) else "https"
    server = HttpService(
        "the container registry",
        f"{scheme}://{'registry-1.docker.io' if host in DOCKER_HUB else host}",
        "uri",
        accounts="who may read it",
    )
    response = server.answer("/v2/")
    known = {"docker-distribution-api-version", "www-authenticate"} & response.headers.keys()
    if response.status_code == HTTP_UNAUTHORIZED and known:
        return f"{server.shown} answers and asks for a login; whether it takes images, `make images` shows"
    if response.is_success and (
        known or response.headers.get("content-type", "").startswith("application/json")
    ):
        return f"{server.shown} answers; whether it takes images, `make images` shows"
    raise ServiceUnreachable(
        f"{server.shown} does not answer as a registry (/v2/ came back with {response.status_code}: "
        f"{server.said(response)}): correct uri, or look at the server"
    )


def looked_up(configuration: dict[str, Any], read: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A component's settings with its references to ZenML's secrets replaced by what these hold.

    Args:
        configuration: as the stack file has it.
        read: secrets by name that need not be asked for again; what is read is added.

    Raises:
        UsageError: there is no such secret, or it has no such key.
        ServiceUnreachable: ZenML does not give it to this account.
    """
    return {
        key: resolved(value, read) if isinstance(value, str) else value
        for key, value in configuration.items()
    }


def resolved(value: str, read: dict[str, dict[str, str]] | None = None) -> str:
    """A setting's value, looked up where it refers to one of ZenML's secrets.

    Args:
        value: of the setting.
        read: secrets by name that need not be asked for again; what is read is added.

    Raises:
        UsageError: there is no such secret, or it has no such key.
        ServiceUnreachable: ZenML does not give it to this account.
    """
    from zenml.client import Client
    from zenml.exceptions import ZenMLBaseException
    from zenml.utils.secret_utils import is_secret_reference, parse_secret_reference

    if not is_secret_reference(value):
        return value
    name, key = parse_secret_reference(value)
    known = {} if read is None else read
    try:
        if name not in known:
            known[name] = Client().get_secret_by_name_and_private_status(name).secret_values
        return str(known[name][key])
    except (KeyError, NotImplementedError) as error:
        raise UsageError(
            f"ZenML has no secret {name} with {key}: zenml secret create {name} --{key}=… (or update it)"
        ) from error
    except ZenMLBaseException as error:
        raise ServiceUnreachable(
            f"ZenML does not give the secret {name} ({error}): check what this account may read"
        ) from error
