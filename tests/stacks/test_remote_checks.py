"""The services of a stack file: a real S3 server on loopback with one key, and answers that others give.

tests/stacks/answers.py sends those of MLflow, Kubeflow and registries, in the form of the real ones;
tests/kubeflow/test_registrar.py asks a real MLflow.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from zenml.client import Client

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from stacks.remote_checks import (
    ARTIFACTS,
    EXPERIMENTS,
    MODELS,
    check_bucket,
    check_container_registry,
    check_kubeflow,
    check_tracking_server,
    looked_up,
)
from tests.bucket import BUCKET, KEY, SECRET, BucketServer
from tests.stacks.answers import Answer, Asked, Routes, answering

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


def test_a_reference_to_one_of_zenmls_secrets_is_looked_up(zenml_client: Client) -> None:
    """As the stack itself does, each secret once; what is no text, or no reference, stays."""
    zenml_client.create_secret("s3-of-the-tests", {"secret": SECRET, "key": KEY})
    read: dict[str, dict[str, str]] = {}
    settings = {"secret": "{{s3-of-the-tests.secret}}", "key": "{{s3-of-the-tests.key}}", "port": 8}
    assert looked_up({**settings, "path": "s3://x"}, read) == {
        "secret": SECRET,
        "key": KEY,
        "port": 8,
        "path": "s3://x",
    }
    zenml_client.delete_secret("s3-of-the-tests")
    assert looked_up(settings, read)["secret"] == SECRET


@pytest.mark.parametrize("reference", ["{{nothing.secret}}", "{{half-of-the-tests.secret}}"])
def test_a_secret_that_is_not_there_is_wrong_use(zenml_client: Client, reference: str) -> None:
    """Also one without that key; the command that makes it is said."""
    if "half" in reference:
        zenml_client.create_secret("half-of-the-tests", {"key": KEY})
    with pytest.raises(UsageError, match=r"zenml secret create .* --secret=…"):
        looked_up({"secret": reference}, {})


PASSWORD = "marked-password-77"
GOOD = f"Basic {b64encode(f'ada:{PASSWORD}'.encode()).decode()}"
NOT_AUTHENTICATED = Answer(
    401,
    "You are not authenticated. Please see https://www.mlflow.org/docs/latest/auth on how to authenticate.",
    {"WWW-Authenticate": 'Basic realm="mlflow"'},
)
NO_ARTIFACTS = Answer(
    503,
    "Endpoint: /api/2.0/mlflow-artifacts/artifacts disabled due to the mlflow server running with "
    "`--no-serve-artifacts`.",
)


def behind_a_password(asked: Asked) -> Answer:
    """What MLflow's basic-auth sends to the right user, and to all others."""
    if asked.authorization != GOOD:
        return NOT_AUTHENTICATED
    return Answer(200, {"experiments": [{"name": "Default"}]} if asked.path == EXPERIMENTS else {})


MLFLOW: Routes = {
    EXPERIMENTS: behind_a_password,
    MODELS: behind_a_password,
    ARTIFACTS: Answer(200, {"files": []}),
}


def tracker(uri: str, **changes: Any) -> dict[str, Any]:
    """The configuration of ZenML's MLflow tracker."""
    return {"tracking_uri": uri, "tracking_username": "ada", "tracking_password": PASSWORD, **changes}


def test_an_mlflow_server_with_a_password_is_good() -> None:
    """It takes the user and nobody else, and lists models and artifacts; only questions are sent."""
    with answering(MLFLOW) as server:
        said = check_tracking_server(tracker(server.url))
        assert said == (
            f"MLflow at {server.url} takes the credentials, and refuses who has none; "
            "its artifacts can be listed"
        )
        assert {asked.method for asked in server.asked} == {"GET"}


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({EXPERIMENTS: NOT_AUTHENTICATED}, ServiceUnreachable, "refuses the credentials (401: You are not"),
        (
            {MODELS: Answer(403, "Permission denied")},
            ServiceUnreachable,
            "(403: Permission denied): check track",
        ),
        ({EXPERIMENTS: Answer(200, {"experiments": []})}, UsageError, "mlflow server --app-name basic-auth"),
        (
            {EXPERIMENTS: Answer(404, "Not Found")},
            UsageError,
            "is not MLflow: /api/2.0/mlflow/experiments/search",
        ),
        ({EXPERIMENTS: Answer(200, "<html>Hi</html>")}, UsageError, "came back with 200: a web page"),
        ({EXPERIMENTS: Answer(200, {"pods": []})}, UsageError, "lists no experiments: correct tracking_uri"),
        (
            {ARTIFACTS: Answer(500, {"message": "AccessDenied"})},
            ServiceUnreachable,
            "has failed (500: AccessD",
        ),
    ],
)
def test_what_is_wrong_with_mlflow_is_said(changed: Routes, error: type[Exception], said: str) -> None:
    """Wrong credentials, too few rights, no password at all, another program, a bucket that refuses it."""
    with answering({**MLFLOW, **changed}) as server, pytest.raises(error) as caught:
        check_tracking_server(tracker(server.url))
    assert f"MLflow at {server.url}" in str(caught.value)
    assert said in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("answer", [NO_ARTIFACTS, Answer(403, "Permission denied")])
def test_artifacts_that_do_not_go_through_mlflow_are_not_checked(answer: Answer) -> None:
    """And that is said."""
    with answering({**MLFLOW, ARTIFACTS: answer}) as server:
        said = check_tracking_server(tracker(server.url))
    assert f"its artifacts not checked ({answer.status}: " in said


def test_a_dead_mlflow_is_told() -> None:
    """With the address, the setting and the reason."""
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceUnreachable, match=f"{nobody} does not answer .*refused.*check tracking_uri"):
        check_tracking_server(tracker(nobody))


HEALTH, RUNS = "/apis/v2beta1/healthz", "/apis/v2beta1/experiments"
TOKEN = "marked-token-78"


def one_user(asked: Asked) -> Answer:
    """An installation for one user refuses a namespace."""
    if "namespace" in asked.query:
        return Answer(400, {"message": "In single-user mode, ListExperiment cannot filter by namespace."})
    return Answer(200, {}) if asked.authorization == f"Bearer {TOKEN}" else Answer(401, "Unauthorized")


def several_users(asked: Asked) -> Answer:
    """One for several users wants a namespace, and looks whose it is."""
    if asked.query.get("namespace") != "team-a":
        return Answer(403, {"message": "Failed to authorize the request"})
    return Answer(200, {"experiments": []})


def kubeflow(url: str, **changes: Any) -> dict[str, Any]:
    """The configuration of our Kubeflow orchestrator."""
    return {"kubeflow_hostname": url, "kubeflow_token": TOKEN, **changes}


def test_kubeflow_for_one_user_and_for_several_is_good() -> None:
    """The experiments are listed as the account that will run there lists them; nothing is written."""
    with answering({HEALTH: Answer(200, {"multi_user": False}), RUNS: one_user}) as server:
        said = check_kubeflow(kubeflow(server.url))
        assert said == f"Kubeflow at {server.url} answers, and its experiments can be listed"
        assert {asked.method for asked in server.asked} == {"GET"}
    with answering({HEALTH: Answer(200, {"multi_user": True}), RUNS: several_users}) as server:
        said = check_kubeflow(kubeflow(server.url, user_namespace="team-a"))
        assert str(said).endswith("its experiments in the namespace team-a can be listed")


@pytest.mark.parametrize(
    ("changed", "settings", "error", "said"),
    [
        (
            {},
            {"kubeflow_token": "old"},
            ServiceUnreachable,
            "refuses the credentials (401: Unauthorized): check",
        ),
        (
            {HEALTH: Answer(200, {"multi_user": True}), RUNS: several_users},
            {"user_namespace": "team-b"},
            ServiceUnreachable,
            "list experiments in the namespace team-b",
        ),
        ({HEALTH: Answer(200, {"multi_user": True})}, {}, UsageError, "several users: set user_namespace"),
        ({}, {"user_namespace": "team-a"}, UsageError, "for one user: leave user_namespace out"),
        (
            {HEALTH: Answer(404, "Not Found")},
            {},
            UsageError,
            "is not Kubeflow: /apis/v2beta1/healthz came back",
        ),
        ({HEALTH: Answer(200, "<html>Dex</html>")}, {}, UsageError, "a web page: correct kubeflow_hostname"),
        (
            {HEALTH: Answer(302, "", {"Location": "/dex/auth?state=1"})},
            {},
            ServiceUnreachable,
            "sends to /dex/auth (302): a login page",
        ),
        ({HEALTH: Answer(503, "no healthy upstream")}, {}, ServiceUnreachable, "(503: no healthy upstream)"),
    ],
)
def test_what_is_wrong_with_kubeflow_is_said(
    changed: Routes, settings: dict[str, str], error: type[Exception], said: str
) -> None:
    """A refused token, another profile's namespace, a login page before it, another program, a failure."""
    routes = {HEALTH: Answer(200, {"multi_user": False}), RUNS: one_user, **changed}
    with answering(routes) as server, pytest.raises(error) as caught:
        check_kubeflow(kubeflow(server.url, **settings))
    assert f"Kubeflow at {server.url}" in str(caught.value)
    assert said in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_kubeflow_that_is_logged_in_to_like_a_browser_is_not_checked() -> None:
    """ZenML fetches its cookie with a user name; that login is not repeated here."""
    assert check_kubeflow(kubeflow("https://kubeflow.shop.example", client_username="ada")) is None


def test_a_kubeflow_of_a_kubeconfig_is_not_checked() -> None:
    """No address names it; without a context too, the address is asked for."""
    assert check_kubeflow({"kubernetes_context": "shop"}) is None
    with pytest.raises(UsageError, match="kubeflow_hostname is ''"):
        check_kubeflow({})
    with answering({HEALTH: Answer(200, {"multi_user": False}), RUNS: one_user}) as server:
        said = check_kubeflow(kubeflow(server.url, kubernetes_context="shop"))
    assert said == f"Kubeflow at {server.url} answers, and its experiments can be listed"


REGISTRY_2 = {"Docker-Distribution-Api-Version": "registry/2.0"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(200, {}, REGISTRY_2), "answers; whether it takes images"),
        (Answer(401, {"errors": []}, {"WWW-Authenticate": "Bearer realm=x"}), "answers and asks for a login"),
    ],
)
def test_a_container_registry_is_good_with_or_without_a_login(answer: Answer, said: str) -> None:
    """Both are how registries answer; one of this machine is asked without TLS."""
    with answering({"/v2/": answer}) as server:
        host = server.url.removeprefix("http://")
        assert said in check_container_registry({"uri": f"{host}/team"})


@pytest.mark.parametrize("answer", [Answer(404, "Not Found"), Answer(200, "<html>Shop</html>"), Answer(502)])
def test_what_is_no_container_registry_is_told(answer: Answer) -> None:
    """A push would fail there after minutes of building."""
    with answering({"/v2/": answer}) as server, pytest.raises(ServiceUnreachable) as caught:
        check_container_registry({"uri": server.url.removeprefix("http://")})
    assert f"at {server.url} does not answer as a registry (/v2/ came back with {answer.status}" in str(
        caught.value
    )


def test_a_container_registry_that_is_not_there_is_told() -> None:
    """With its address; one that is written like a web page's is wrong use."""
    with pytest.raises(ServiceUnreachable, match=r"does not answer .*check uri"):
        check_container_registry({"uri": f"localhost:{free_port()}/team"})
    with pytest.raises(UsageError, match="write it as images begin"):
        check_container_registry({"uri": "https://registry.shop.example"})
