"""What no stack file may say, and what each is answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from zenml.client import Client
from zenml.integrations.s3.flavors.s3_artifact_store_flavor import S3ArtifactStoreConfig

from materializers.errors import UsageError
from stacks.apply import main
from stacks.rules import check_rules
from stacks.stack_file import PLACEHOLDER, load_stack_file
from tests.conftest import PROJECT
from tests.keys import ACTOR_PUBLIC, GATE_PUBLIC

CLUSTER = """\
name: cluster
components:
  orchestrator:
    flavor: kubeflow
    configuration:
      kubeflow_hostname: https://kubeflow.shop.example/pipeline
  artifact_store:
    flavor: s3
    configuration:
      path: s3://shop-models/zenml
      key: ${S3_KEY}
      secret: "{{s3.secret}}"
      client_kwargs:
        endpoint_url: https://s3.shop.example
  experiment_tracker:
    flavor: mlflow
    configuration:
      tracking_uri: https://mlflow.shop.example
      tracking_password: ${MLFLOW_PASSWORD}
"""
USER = "ada:hunter2"
VARIABLES = {
    "S3_KEY": "AKIA",
    "MLFLOW_PASSWORD": "{{mlflow.password}}",
    "PLAIN": "hunter2",
    "HOOK": "json://127.0.0.1:8080/hook",
    "MAIL": f"mailto://{USER}@shop.example",
}
PASSWORD = "tracking_password: ${MLFLOW_PASSWORD}"
SECRET = 'secret: "{{s3.secret}}"'

REMOTE = {
    "SHUTTERLINE_KUBEFLOW_URL": "https://kubeflow.shop.example/pipeline",
    "SHUTTERLINE_S3_PATH": "s3://shop-models/zenml",
    "SHUTTERLINE_MLFLOW_URL": "https://mlflow.shop.example",
    "SHUTTERLINE_CONTAINER_REGISTRY": "registry.shop.example/team",
    "SHUTTERLINE_IMAGE_TAG": "1.0.0",
    "SHUTTERLINE_KUBERNETES_URL": "https://cluster.shop.example:6443",
    "SHUTTERLINE_INGRESS_URL": "https://predict.shop.example",
    "SHUTTERLINE_GATE_PUBLIC_KEY": GATE_PUBLIC,
    "SHUTTERLINE_STEPS_PUBLIC_KEY": ACTOR_PUBLIC,
}
"""What stacks/kubeflow.yaml cannot do without."""


def check(folder: Path, content: str, server: str | None = None) -> None:
    """Load and check a stack file."""
    path = folder / "cluster.yaml"
    path.write_text(content)
    check_rules(load_stack_file(path, VARIABLES), server=server)


def refusal(folder: Path, content: str, server: str | None = None) -> str:
    """What is said against a stack file."""
    with pytest.raises(UsageError) as refused:
        check(folder, content, server)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "referring",
    [
        "{{mlflow.password}}",
        "${MLFLOW_PASSWORD}",
        "${UNSET:-}",
        "${UNSET:-{{mlflow.password}}}",
        "${UNSET:-${MLFLOW_PASSWORD}}",
        "{{${UNSET:-mlflow}.password}}",
        "{{${S3_KEY}.password}}",
    ],
)
def test_a_reference_to_one_of_zenmls_secrets_is_taken(tmp_path: Path, referring: str) -> None:
    """From the file, from the environment, from a default, or put together of these."""
    check(tmp_path, CLUSTER.replace(PASSWORD, f"tracking_password: '{referring}'"))


@pytest.mark.parametrize(
    ("written", "literal", "line"),
    [
        (SECRET, "secret: wJalrXUtnFEMI", 12),
        (PASSWORD, "tracking_password: hunter2", 19),
        (PASSWORD, "tracking_token: hunter2", 19),
        (PASSWORD, "tracking_password: ${UNSET:-hunter2}", 19),
        (PASSWORD, "tracking_password: ${MLFLOW_PASSWORD:-hunter2}", 19),
        (PASSWORD, "tracking_password: ${UNSET:-${UNSET:-hunter2}}", 19),
        (PASSWORD, "tracking_password: hunter2${UNSET:-}", 19),
        (PASSWORD, "tracking_password: hunter2${MLFLOW_PASSWORD}", 19),
        (PASSWORD, "urls: ${UNSET:-slack://hunter2}", 19),
        (PASSWORD, "critical_urls: slack://hunter2", 19),
        ("https://mlflow.shop.example", f"https://{USER}@mlflow.shop.example", 18),
        ("https://mlflow.shop.example", f"${{S3_KEY:-https://{USER}@mlflow.shop.example}}", 18),
        ("endpoint_url: https://s3.shop.example", "aws_secret_access_key: wJalrXUtnFEMI", 14),
    ],
)
def test_a_secret_in_plain_text_is_refused(tmp_path: Path, written: str, literal: str, line: int) -> None:
    """The line and the way out are named, also of a default; the secret is not said again."""
    said = refusal(tmp_path, CLUSTER.replace(written, literal))
    assert said.startswith(f"{tmp_path}/cluster.yaml:{line}: ")
    assert "in plain text: " in said
    assert "write {{SECRET.KEY}} after: zenml secret create SECRET --KEY=…" in said
    assert "hunter2" not in said and "wJalrXUtnFEMI" not in said


def test_a_secret_in_a_variable_is_refused(tmp_path: Path) -> None:
    """ZenML would keep what the variable holds as it is, for whoever may read the stack."""
    said = refusal(tmp_path, CLUSTER.replace("${MLFLOW_PASSWORD}", "${PLAIN}"))
    assert said.startswith(f"{tmp_path}/cluster.yaml:19: 'tracking_password' comes from the environment")
    assert "write {{SECRET.KEY}} after: zenml secret create SECRET --KEY=…" in said
    assert "hunter2" not in said


def test_the_addresses_of_alerts_may_be_in_a_variable(tmp_path: Path) -> None:
    """Not every one has a token in it; one with a password is refused."""
    for setting in ("urls", "warning_urls", "critical_urls"):
        check(tmp_path, CLUSTER.replace(PASSWORD, f"{setting}: ${{HOOK}}"))
    said = refusal(tmp_path, CLUSTER.replace(PASSWORD, "urls: ${MAIL}"))
    assert said.startswith(f"{tmp_path}/cluster.yaml:19: 'urls' comes from the environment")
    assert "hunter2" not in said


def test_a_reference_within_a_setting_is_refused(tmp_path: Path, zenml_client: Client) -> None:
    """ZenML hands it on as it stands: it looks up settings, not what is in them."""
    within = {"aws_secret_access_key": "{{nowhere.secret}}"}
    assert S3ArtifactStoreConfig(path="s3://shop", client_kwargs=within).client_kwargs == within
    written = 'aws_secret_access_key: "{{s3.secret}}"'
    said = refusal(tmp_path, CLUSTER.replace("endpoint_url: https://s3.shop.example", written))
    assert said.startswith(f"{tmp_path}/cluster.yaml:14: ZenML looks up no secret below 'client_kwargs'")
    assert "in a setting of the component itself, write {{SECRET.KEY}}" in said


def test_the_name_of_a_secret_is_none(tmp_path: Path) -> None:
    """ZenML's and Kubernetes' secrets are named in the open."""
    check(tmp_path, CLUSTER.replace("key: ${S3_KEY}", "authentication_secret: s3"))
    check(tmp_path, CLUSTER.replace("key: ${S3_KEY}", "kubernetes_secret_name: s3"))
    check(tmp_path, CLUSTER.replace("key: ${S3_KEY}", "api_key_secret: zenml"))
    check(
        tmp_path, CLUSTER.replace("key: ${S3_KEY}", "environment_secrets: {AWS_SECRET_ACCESS_KEY: s3.secret}")
    )


def test_a_password_in_an_address_is_refused_also_from_a_variable(tmp_path: Path) -> None:
    """ZenML would keep, and show, the address as a whole; the password is not said again."""
    address = f"${{MLFLOW:-https://{USER}@mlflow.shop.example}}"
    said = refusal(tmp_path, CLUSTER.replace("https://mlflow.shop.example", address))
    assert said.startswith(
        f"{tmp_path}/cluster.yaml:18: the address holds a password in plain text: give the"
    )
    assert "hunter2" not in said


@pytest.mark.parametrize("value", ["'${PLAIN}'", "'{{mlflow.password}}'", "hunter2"])
def test_a_secret_among_the_plain_variables_of_containers_is_refused(tmp_path: Path, value: str) -> None:
    """The compiled pipeline would hold it in plain text, wherever it comes from."""
    written = f"environment: {{MLFLOW_PASSWORD: {value}}}"
    said = refusal(tmp_path, CLUSTER.replace("key: ${S3_KEY}", written))
    assert said.startswith(f"{tmp_path}/cluster.yaml:11: 'MLFLOW_PASSWORD' would stand in plain text")
    assert "environment_secrets: {MLFLOW_PASSWORD: SECRET.KEY}" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "address",
    ["http://mlflow.shop.example:5000", "http://10.0.0.7", "postgresql+psycopg://db.shop.example/ml"],
)
def test_an_endpoint_without_tls_is_refused_unless_it_is_allowed_with_a_reason(
    tmp_path: Path, address: str
) -> None:
    """The file can allow one address by name; a reason without words does not count."""
    plain = CLUSTER.replace(
        "https://mlflow.shop.example", f"{address}/path" if "/ml" not in address else address
    )
    said = refusal(tmp_path, plain)
    assert said.startswith(f"{tmp_path}/cluster.yaml:18: ")
    assert "without TLS" in said
    origin = address.removesuffix("/ml")
    check(tmp_path, f"{plain}without_tls:\n  {origin}: the mesh encrypts it\n")
    assert "without_tls" in refusal(tmp_path, f"{plain}without_tls:\n  {origin}: ' '\n")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"])
def test_the_loopback_needs_no_tls(tmp_path: Path, address: str) -> None:
    """Nothing leaves the machine."""
    check(tmp_path, CLUSTER.replace("https://s3.shop.example", address))


def test_a_zenml_server_without_tls_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    """Its API key would be sent in plain text; the loopback and one that the file names are taken."""
    server = "http://zenml.shop.example:8080"
    said = refusal(tmp_path, CLUSTER, server)
    assert said.startswith(f"the ZenML server: {server} would be asked without TLS")
    check(tmp_path, f"{CLUSTER}without_tls:\n  {server}: the mesh encrypts it\n", server)
    check(tmp_path, CLUSTER, "http://127.0.0.1:8237")
    check(tmp_path, CLUSTER, "https://zenml.shop.example")


def test_an_exception_that_no_component_needs_is_refused(tmp_path: Path) -> None:
    """A typo in an exception, or one that is left over, does not stay unseen."""
    plain = CLUSTER.replace("https://s3.shop.example", "http://s3.shop.example")
    said = refusal(
        tmp_path, f"{plain}without_tls:\n  http://s3.shop.example: mesh\n  http://s4.shop.example: old\n"
    )
    assert said.startswith(f"{tmp_path}/cluster.yaml:22: ")
    assert "did you mean 'http://s3.shop.example'" in said


@pytest.mark.parametrize(
    "path", ["/data/zenml", "file:///data/zenml", "~/zenml", "./zenml", "sqlite:////data/ml.db"]
)
def test_a_path_of_this_machine_is_refused_where_the_steps_run_elsewhere(tmp_path: Path, path: str) -> None:
    """Also one that a variable holds; a stack whose steps run here may have it."""
    content = CLUSTER.replace("path: s3://shop-models/zenml", f"path: {path}")
    said = refusal(tmp_path, content)
    assert said.startswith(f"{tmp_path}/cluster.yaml:10: ")
    assert "is a path of this machine" in said
    assert "is a path of this machine" in refusal(
        tmp_path, CLUSTER.replace("path: s3://shop-models/zenml", f"path: ${{FOLDER:-{path}}}")
    )
    check(tmp_path, content.replace("flavor: kubeflow", "flavor: local"))


def test_a_path_in_a_steps_container_is_taken(tmp_path: Path) -> None:
    """Where a volume appears in the container is no path of this machine."""
    mounted = CLUSTER.replace(
        "      key: ${S3_KEY}\n", "      config_kwargs:\n        volumes:\n        - mount_path: /data\n"
    )
    check(tmp_path, mounted)


@pytest.mark.parametrize("flag", [[], ["--check"], ["--dry-run"]])
def test_the_registrar_refuses_such_a_file_before_anything_else(
    tmp_path: Path, flag: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and the line, whatever was asked for."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER.replace(PASSWORD, "tracking_password: hunter2"))
    assert main([str(path), *flag]) == UsageError.exit_code
    assert capsys.readouterr().err.startswith(f"{path}:19: 'tracking_password' stands there in plain text")


def test_the_projects_own_stacks_keep_the_rules() -> None:
    """Every stack file of the repository, with the variables that each needs."""
    for path in sorted((PROJECT / "stacks").glob("*.yaml")):
        check_rules(load_stack_file(path, {"ZENML_CONFIG_DIRECTORY": "/config", **REMOTE}))


def test_the_clusters_stack_file_names_each_of_its_variables_above() -> None:
    """Whoever reads only its head knows what to export, and which of it may be left out."""
    text = (PROJECT / "stacks" / "kubeflow.yaml").read_text()
    head, body = text.split("\nname: ")
    used = {match["name"]: match["default"] for match in PLACEHOLDER.finditer(body)}
    assert used.keys() == set(re.findall(r"SHUTTERLINE_[A-Z0-9_]+", head))
    assert {name for name, default in used.items() if default is None} == REMOTE.keys()


def test_the_clusters_stack_file_leaves_out_what_nobody_set() -> None:
    """No empty endpoint, token or address reaches ZenML; what is set does."""
    path = PROJECT / "stacks" / "kubeflow.yaml"
    least = load_stack_file(path, REMOTE)
    kinds = {kind: component.configuration for kind, component in least.present().items()}
    assert kinds["alerter"] == {}
    assert kinds["artifact_store"]["client_kwargs"] == {"region_name": "us-east-1"}
    assert kinds["orchestrator"]["environment"] == {"AWS_REGION": "us-east-1"}
    assert not {"kubeflow_token", "user_namespace"} & kinds["orchestrator"].keys()
    assert not {"s3_endpoint", "kubernetes_ca"} & kinds["model_deployer"].keys()
    alerts = load_stack_file(path, {**REMOTE, "SHUTTERLINE_ALERT_URLS": "{{shutterline_alerts.urls}}"})
    assert alerts.present()["alerter"].configuration == {"urls": "{{shutterline_alerts.urls}}"}


@pytest.mark.parametrize(
    ("written", "wrong", "said"),
    [
        (
            "flavor: s3",
            "flavour: s3",
            "unknown key 'components.artifact_store.flavour': did you mean 'flavor'?",
        ),
        ("    flavor: s3\n", "", "'components.artifact_store.flavor' is missing: add it"),
        (
            "  image_builder:",
            "  image_bilder:",
            "unknown key 'components.image_bilder': did you mean 'image_b",
        ),
    ],
)
def test_a_wrong_key_in_the_clusters_stack_file_is_refused_with_its_line(
    tmp_path: Path, written: str, wrong: str, said: str
) -> None:
    """An unknown key or a missing flavor, in a file like the cluster's."""
    content = (PROJECT / "stacks" / "kubeflow.yaml").read_text()
    path = tmp_path / "cluster.yaml"
    path.write_text(content.replace(written, wrong))
    line = content[: content.index(written)].count("\n") + (1 if wrong else 0)
    with pytest.raises(UsageError) as refused:
        load_stack_file(path, REMOTE)
    assert str(refused.value).startswith(f"{path}:{line}: {said}")
