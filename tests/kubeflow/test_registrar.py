"""The registrar against real servers: S3, MLflow and ZenML, and the stubs of Kubeflow and Kubernetes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from benchmarks.main.home import free_port
from tests.conftest import PROJECT
from tests.remote.servers import ADMIN
from tests.remote.site import BUCKET, ENCRYPTION, USER, Site
from tests.stacks.apprise_alerter.webhook import Webhook

SECOND_RUN_S = 20.0
"""The issue's bar."""

# Runs the registrar and tells which programs it started.
COUNTED = """
import sys
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}
started = []
sys.addaudithook(lambda event, _: started.append(event) if event in STARTS else None)
from stacks.apply import main
code = main(sys.argv[1:])
print(f"started: {started}")
sys.exit(code)
"""


class Registrar(NamedTuple):
    """The registrar with a site's environment and a folder of its own."""

    site: Site
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it, and look that it prints no credential and no traceback."""
        command = [sys.executable, "-c", COUNTED, *arguments]
        environment = {**self.environment, **variables}
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        said = done.stdout + done.stderr
        kept = asdict(self.site.credentials)
        assert [name for name, value in kept.items() if name != "s3_key" and value in said] == []
        assert "Traceback" not in said
        return done

    def other(self) -> str:
        """A stack file like the cluster's that nobody has registered."""
        path = self.folder / "other.yaml"
        path.write_text(
            (PROJECT / "stacks" / "kubeflow.yaml").read_text().replace("name: kubeflow", "name: other")
        )
        return str(path)


@pytest.fixture(scope="module")
def registrar(remote_site: Site, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Registrar:
    """With a bucket that encrypts, and a container registry that says no more than that it is one."""
    folder = tmp_path_factory.mktemp("registrar")
    remote_site.s3_client().put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=ENCRYPTION)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ZENML_", "SHUTTERLINE_"))
    }
    environment = {
        **inherited,
        **remote_site.environment(),
        "SHUTTERLINE_ALERT_URLS": webhook.url,
        "ZENML_CONFIG_PATH": str(folder / "client"),
        "ZENML_REPOSITORY_PATH": str(folder),
        "PYTHONPATH": str(PROJECT),
    }
    return Registrar(remote_site, folder, environment)


@contextmanager
def administrator(site: Site) -> Iterator[httpx.Client]:
    """ZenML's own interface, past all that is tested here."""
    with httpx.Client(base_url=f"{site.zenml.url}/api/v1", timeout=30, trust_env=False) as client:
        login = {"username": ADMIN, "password": site.credentials.zenml_admin}
        token = client.post("/login", data=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def registered(site: Site) -> Any:
    """Every stack, component and flavor of ZenML's store by type and name, with when it was changed last."""
    with administrator(site) as client:
        return {
            kind: {
                (item["body"].get("type"), item["name"]): (item["id"], item["body"]["updated"])
                for item in client.get(f"/{kind}", params={"size": 1000}).raise_for_status().json()["items"]
            }
            for kind in ("stacks", "components", "flavors")
        }


def test_the_clusters_stack_is_registered_once(registrar: Registrar) -> None:
    """The second run changes nothing, starts no other program, and ends within 20 seconds."""
    first = registrar.run("stacks/kubeflow.yaml")
    assert first.returncode == 0, first.stderr
    before = registered(registrar.site)
    assert (None, "kubeflow") in before["stacks"]
    started = time.monotonic()
    second = registrar.run("stacks/kubeflow.yaml")
    took = time.monotonic() - started
    assert second.stdout.splitlines() == ["kubeflow: no change", "started: []"]
    assert second.returncode == 0, second.stderr
    assert registered(registrar.site) == before
    assert took < SECOND_RUN_S


def test_each_service_is_asked_with_its_own_credentials(registrar: Registrar) -> None:
    """And each says so on a line of its own; what cannot be known is said to be unchecked."""
    before = registered(registrar.site)
    checked = registrar.run("stacks/kubeflow.yaml", "--check")
    assert checked.returncode == 0, checked.stdout
    said = dict(line.split(": ", maxsplit=1) for line in checked.stdout.splitlines())
    assert f"takes the service account {USER}" in said["zenml_server"]
    assert "the encryption of its secrets is not checked: the server does not tell" in said["zenml_server"]
    assert "its experiments can be listed" in said["orchestrator"]
    assert "encrypted with AES256" in said["artifact_store"]
    assert "refuses who has none; its artifacts can be listed" in said["experiment_tracker"]
    assert "has Seldon Core, the account may do what it needs in shutterline" in said["model_deployer"]
    assert said["alerter"] == "ok: 1 target: json; nothing was sent"
    assert "answers" in said["container_registry"]
    assert said["image_builder"] == "not checked: images are built by `make images`"
    assert registered(registrar.site) == before


@contextmanager
def zenml_secret(site: Site, name: str, values: dict[str, str], good: dict[str, str]) -> Iterator[None]:
    """Another content of one of ZenML's secrets, for a while."""
    site.set_zenml_secret(name, values)
    try:
        yield
    finally:
        site.set_zenml_secret(name, good)


@contextmanager
def wrong_s3_secret(site: Site) -> Iterator[dict[str, str]]:
    """The right key with a secret that is not its own."""
    own = site.credentials
    good = {"key": own.s3_key, "secret": own.s3_secret}
    with zenml_secret(site, "shutterline_s3", {**good, "secret": "no-secret-at-all"}, good):
        yield {}


@contextmanager
def wrong_mlflow_password(site: Site) -> Iterator[dict[str, str]]:
    """The right user with a password that is not its own."""
    good = {"username": USER, "password": site.credentials.mlflow_user}
    with zenml_secret(site, "shutterline_mlflow", {**good, "password": "no-password-at-all"}, good):
        yield {}


@contextmanager
def wrong_kubernetes_token(site: Site) -> Iterator[dict[str, str]]:
    """A token that the cluster does not know."""
    good = {"token": site.credentials.kubernetes_token}
    with zenml_secret(site, "shutterline_kubernetes", {"token": "no-token-at-all"}, good):
        yield {}


@contextmanager
def mlflow_down(site: Site) -> Iterator[dict[str, str]]:
    """Nobody listens where MLflow should."""
    yield {"SHUTTERLINE_MLFLOW_URL": f"http://127.0.0.1:{free_port()}"}


@contextmanager
def kubeflow_refusing(site: Site) -> Iterator[dict[str, str]]:
    """Kubeflow asks for a token, and the stack has none."""
    site.kubeflow_token_file.write_text("only-the-owner-knows")
    try:
        yield {}
    finally:
        site.kubeflow_token_file.unlink()


@contextmanager
def zenml_key_revoked(site: Site) -> Iterator[dict[str, str]]:
    """An API key that was good, and is not active any more; the client has used it before."""
    with administrator(site) as client:
        account = client.get("/service_accounts", params={"name": USER}).json()["items"][0]["id"]
        keys = f"/service_accounts/{account}/api_keys"
        made = client.post(keys, json={"name": "revoked", "description": ""}).raise_for_status().json()
        client.put(f"{keys}/{made['id']}", json={"active": False}).raise_for_status()
        try:
            yield {"ZENML_STORE_API_KEY": made["body"]["key"]}
        finally:
            client.delete(f"{keys}/{made['id']}")


@contextmanager
def zenml_down(site: Site) -> Iterator[dict[str, str]]:
    """Nobody listens where ZenML should."""
    yield {"ZENML_STORE_URL": f"http://127.0.0.1:{free_port()}"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            wrong_s3_secret,
            "artifact_store: s3://shutterline/artifacts at {s3} refuses the credentials (Signature",
        ),
        (
            wrong_mlflow_password,
            "experiment_tracker: MLflow at {mlflow} refuses the credentials (401: You are not",
        ),
        (mlflow_down, "experiment_tracker: MLflow at http://127.0.0.1:"),
        (
            kubeflow_refusing,
            "orchestrator: Kubeflow at {kubeflow} refuses the credentials (401: Unauthorized)",
        ),
        (wrong_kubernetes_token, "model_deployer: Kubernetes at {kubernetes} refuses the credentials (401"),
        (zenml_key_revoked, "zenml_server: ZenML at {zenml} refuses the credentials ("),
        (zenml_down, "zenml_server: ZenML at http://127.0.0.1:"),
    ],
)
def test_nothing_is_registered_when_a_service_refuses(
    registrar: Registrar, fault: Callable[[Site], Any], said: str
) -> None:
    """Exit 4 and one line: which component, which address, what came back; the store is as it was."""
    site = registrar.site
    before = registered(site)
    expected = said.format(
        s3=site.s3.url,
        mlflow=site.mlflow.url,
        kubeflow=site.kubeflow.url,
        kubernetes=site.kubernetes.url,
        zenml=site.zenml.url,
    )
    with fault(site) as variables:
        done = registrar.run(registrar.other(), **variables)
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1
    assert done.stdout == "started: []\n"
    assert registered(site) == before


def test_a_bucket_that_does_not_encrypt_is_wrong_use(registrar: Registrar) -> None:
    """Exit 2, with the command that turns it on."""
    client = registrar.site.s3_client()
    client.delete_bucket_encryption(Bucket=BUCKET)
    try:
        done = registrar.run("stacks/kubeflow.yaml", "--check")
    finally:
        client.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=ENCRYPTION)
    assert done.returncode == 2
    assert f"aws s3api put-bucket-encryption --bucket {BUCKET}" in done.stdout


def test_a_component_that_left_the_file_leaves_the_remote_stack(registrar: Registrar) -> None:
    """It is deleted from the server too, and nothing else changes."""
    path = Path(registrar.other())
    assert registrar.run(str(path)).returncode == 0
    complete = registered(registrar.site)["components"]
    lines = path.read_text().splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith("  image_builder:"))
    path.write_text("".join(lines[:start]))
    removed = registrar.run(str(path))
    assert removed.stdout.splitlines()[:2] == [
        "stack other: image_builder: other → (none)",
        "image_builder other: flavor local → (none)",
    ]
    left = registered(registrar.site)["components"]
    assert complete.keys() - left.keys() == {("image_builder", "other")}
    assert left.items() <= complete.items()
    with administrator(registrar.site) as client:
        for kind in ("stacks", "components"):
            for item in client.get(f"/{kind}", params={"name": "other", "size": 100}).json()["items"]:
                client.delete(f"/{kind}/{item['id']}").raise_for_status()


def test_no_credential_is_kept_with_the_stack(registrar: Registrar) -> None:
    """ZenML's store has references to secrets where the stack has credentials."""
    with administrator(registrar.site) as client:
        items = client.get("/components", params={"name": "kubeflow", "hydrate": True, "size": 100}).json()
    text = json.dumps(items)
    assert "{{shutterline_mlflow.password}}" in text
    kept = asdict(registrar.site.credentials)
    assert [name for name, value in kept.items() if name != "s3_key" and value in text] == []
