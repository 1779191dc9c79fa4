"""What no stack file may say, and what each is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from materializers.errors import UsageError
from stacks.apply import main
from stacks.rules import check_rules
from stacks.stack_file import load_stack_file
from tests.conftest import PROJECT

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
VARIABLES = {"S3_KEY": "AKIA", "MLFLOW_PASSWORD": "hunter2"}


def check(folder: Path, content: str) -> None:
    """Load and check a stack file."""
    path = folder / "cluster.yaml"
    path.write_text(content)
    check_rules(load_stack_file(path, VARIABLES))


def refusal(folder: Path, content: str) -> str:
    """What is said against a stack file."""
    with pytest.raises(UsageError) as refused:
        check(folder, content)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_secrets_from_the_environment_and_from_zenml_are_taken(tmp_path: Path) -> None:
    """A placeholder and a reference to one of ZenML's secrets are no plain text."""
    check(tmp_path, CLUSTER)


@pytest.mark.parametrize(
    ("written", "literal", "line"),
    [
        ('secret: "{{s3.secret}}"', "secret: wJalrXUtnFEMI", 12),
        ("tracking_password: ${MLFLOW_PASSWORD}", "tracking_password: hunter2", 19),
        ("tracking_password: ${MLFLOW_PASSWORD}", "tracking_token: hunter2", 19),
        ("https://mlflow.shop.example", f"https://{USER}@mlflow.shop.example", 18),
        ("endpoint_url: https://s3.shop.example", "aws_secret_access_key: wJalrXUtnFEMI", 14),
    ],
)
def test_a_secret_in_plain_text_is_refused(tmp_path: Path, written: str, literal: str, line: int) -> None:
    """The line and both ways out are named, and the secret is not said again."""
    said = refusal(tmp_path, CLUSTER.replace(written, literal))
    assert said.startswith(f"{tmp_path}/cluster.yaml:{line}: ")
    assert "in plain text: write ${NAME}" in said
    assert "zenml secret create" in said
    assert "hunter2" not in said and "wJalrXUtnFEMI" not in said


def test_the_name_of_a_secret_is_none(tmp_path: Path) -> None:
    """ZenML's and Kubernetes' secrets are named in the open."""
    check(tmp_path, CLUSTER.replace("key: ${S3_KEY}", "authentication_secret: s3"))
    check(tmp_path, CLUSTER.replace("key: ${S3_KEY}", "kubernetes_secret_name: s3"))


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
    path.write_text(CLUSTER.replace("tracking_password: ${MLFLOW_PASSWORD}", "tracking_password: hunter2"))
    assert main([str(path), *flag]) == UsageError.exit_code
    assert capsys.readouterr().err.startswith(f"{path}:19: 'tracking_password' stands there in plain text")


def test_the_projects_own_stacks_keep_the_rules() -> None:
    """Every stack file of the repository."""
    for path in sorted((PROJECT / "stacks").glob("*.yaml")):
        check_rules(load_stack_file(path, {"ZENML_CONFIG_DIRECTORY": "/config"}))
