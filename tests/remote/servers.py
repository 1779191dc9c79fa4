"""The real servers of the remote stack, on loopback: how each is started, and when it answers."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from observability.servers import ADDRESS, PROJECT, Server, answers

__all__ = ["ADDRESS", "PROJECT", "Containers", "Server"]

ADMIN = "admin"
SELDON_SCHEMA = PROJECT.parent / "shared" / "data" / "seldon" / "seldondeployment-v1.schema.json"
"""What a cluster checks SeldonDeployments against; used where it is there."""
SQLITE = "sqlite:///"


def base_environment(home: Path) -> dict[str, str]:
    """What a server is given of this machine: the environment's programs and a home of its own."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
        "LANG": "C.UTF-8",
        "HOME": str(home),
    }


def mlflow_server(
    folder: Path,
    port: int,
    *,
    password: str,
    flask_key: str,
    artifacts: str,
    s3_environment: Mapping[str, str],
) -> Server:
    """An MLflow server that asks for a password, on SQLite, and hands artifacts on to the bucket.

    Args:
        folder: its databases and log.
        port: it listens on.
        password: of the user ``admin``, who is made at the first start; at least 12 characters.
        flask_key: signs the server's cookies.
        artifacts: ``s3://bucket/folder``.
        s3_environment: boto3's variables for that bucket; clients never see them.
    """
    url = f"http://{ADDRESS}:{port}"
    settings = folder / "basic_auth.ini"
    environment = base_environment(folder) | {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": flask_key,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    settings.touch(mode=0o600)
    settings.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {SQLITE}{folder}/users.db\n"
        f"admin_username = {ADMIN}\nadmin_password = {password}\n"
    )
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--host", ADDRESS, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"{SQLITE}{folder}/mlflow.db", "--artifacts-destination", artifacts]
    return Server(
        "MLflow", folder, url, command, environment | dict(s3_environment), lambda: answers(f"{url}/health")
    )


def zenml_server(folder: Path, port: int, *, password: str, encryption_key: str) -> Server:
    """A ZenML server that asks for a login, on SQLite, with its secrets encrypted.

    Args:
        folder: its database and log.
        port: it listens on.
        password: of the user ``admin``, who is made at the first start.
        encryption_key: of the secrets; 64 hexadecimal characters.
    """
    url = f"http://{ADDRESS}:{port}"
    environment = base_environment(folder) | {
        "ZENML_CONFIG_PATH": str(folder / "config"),
        "ZENML_SERVER": "true",
        "ZENML_SERVER_DEPLOYMENT_TYPE": "other",
        "ZENML_SERVER_AUTO_ACTIVATE": "true",
        "ZENML_SERVER_DISPLAY_ANNOUNCEMENTS": "false",
        "ZENML_SERVER_DISPLAY_UPDATES": "false",
        "ZENML_DEFAULT_USER_NAME": ADMIN,
        "ZENML_DEFAULT_USER_PASSWORD": password,
        "ZENML_STORE_TYPE": "sql",
        "ZENML_STORE_URL": f"{SQLITE}{folder}/zenml.db",
        "ZENML_SECRETS_STORE_TYPE": "sql",
        "ZENML_SECRETS_STORE_ENCRYPTION_KEY": encryption_key,
        "ZENML_ANALYTICS_OPT_IN": "false",
    }
    command = [sys.executable, "-m", "uvicorn", "zenml.zen_server.zen_server_api:app"]
    command += ["--host", ADDRESS, "--port", str(port)]
    # Not in the project: the server would take the stack that is active there for its own.
    return Server(
        "ZenML", folder, url, command, environment, lambda: answers(f"{url}/health"), directory=folder
    )


def registry_server(folder: Path, port: int) -> Server:
    """Debian's container registry, which asks for no login.

    Args:
        folder: its images and log.
        port: it listens on.

    Raises:
        RuntimeError: it is not installed.
    """
    program = shutil.which("docker-registry")
    if program is None:
        raise RuntimeError("there is no docker-registry on this machine: apt-get install docker-registry")
    url = f"http://{ADDRESS}:{port}"
    environment = base_environment(folder) | {"REGISTRY_HTTP_SECRET": secrets.token_hex(16)}
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"{ADDRESS}:{port}"},
    }
    # YAML reads JSON.
    (folder / "config.yml").write_text(json.dumps(settings))
    command = [program, "serve", str(folder / "config.yml")]
    return Server("Registry", folder, url, command, environment, lambda: answers(f"{url}/v2/"))


def kubernetes_stub(folder: Path, port: int, *, ingress_port: int, token_file: Path) -> Server:
    """The stub of the Kubernetes API, which starts the real serving process of each predictor.

    Args:
        folder: its objects, and what serves.
        port: of the API.
        ingress_port: where predictions are asked for.
        token_file: the token that the API asks for.
    """
    url = f"http://{ADDRESS}:{port}"
    command = [sys.executable, "-m", "tests.remote.kubernetes_api", "--port", str(port)]
    command += ["--ingress-port", str(ingress_port), "--home", str(folder), "--token-file", str(token_file)]
    if SELDON_SCHEMA.exists():
        command += ["--schema", str(SELDON_SCHEMA)]
    return Server(
        "Kubernetes", folder, url, command, base_environment(folder), lambda: answers(f"{url}/healthz")
    )


@dataclass(frozen=True)
class Containers:
    """Where the steps of pipelines run as containers.

    Attributes:
        docker_host: the daemon, such as ``unix:///var/run/docker.sock``.
        docker_image: of it, for pipelines whose own image it does not have.
    """

    docker_host: str
    docker_image: str | None = None


def kubeflow_stub(
    folder: Path,
    port: int,
    *,
    client_token_file: Path,
    kubernetes: str | None = None,
    token_file: Path | None = None,
    image_paths: Sequence[Path] = (),
    time_scale: float = 1.0,
    containers: Containers | None = None,
    warm: bool = False,
) -> Server:
    """The stub of the Kubeflow Pipelines API, which executes what it is sent; see :mod:`.kubeflow_api`.

    Without ``containers`` it executes it as processes; ``warm``: forked from one that imported the packages.
    """
    url = f"http://{ADDRESS}:{port}"
    command = [sys.executable, "-m", "tests.remote.kubeflow_api", "--port", str(port), "--home", str(folder)]
    command += ["--client-token-file", str(client_token_file), "--time-scale", str(time_scale)]
    for path in image_paths:
        command += ["--image-path", str(path)]
    if kubernetes is not None:
        command += ["--kubernetes", kubernetes, "--token-file", str(token_file)]
    if containers is not None:
        command += ["--docker-host", containers.docker_host]
        if containers.docker_image is not None:
            command += ["--docker-image", containers.docker_image]
    if warm:
        command.append("--warm")
    environment = base_environment(folder) | {"PYTHONUNBUFFERED": "1"}
    return Server("Kubeflow", folder, url, command, environment, lambda: answers(f"{url}/test/ready"))
