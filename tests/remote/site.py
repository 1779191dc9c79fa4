"""The whole remote stack on one machine: S3, MLflow, ZenML, a registry, and stubs of Kubernetes and Kubeflow.

All on loopback. A site is a folder. What starts it again, or ends it, needs only that folder: ports and
credentials are in its ``site.json``, which only its user reads.
"""

from __future__ import annotations

import base64
import json
import secrets
import shlex
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from werkzeug.security import generate_password_hash

from benchmarks.main.home import free_port
from materializers.signatures import ACTOR_KEY, PrivateKey, make_key_pair
from tests.remote import bucket_server, servers
from tests.remote.servers import ADDRESS, ADMIN, PROJECT, Containers, Server

BUCKET = "shutterline"
CONFLICT = 409
ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
NAMESPACE = "shutterline"
USER = "shutterline"
"""In MLflow and, as a service account, in ZenML: what pipelines and commands log in as."""
IMAGE_PATHS = (PROJECT / "stacks" / "docker",)
"""What the training image installs beside the locked packages."""


@dataclass
class Credentials:
    """What each server asks for; drawn when a site is made."""

    s3_key: str = "shutterline"
    s3_secret: str = field(default_factory=lambda: secrets.token_hex(20))
    mlflow_admin: str = field(default_factory=lambda: secrets.token_hex(20))
    mlflow_user: str = field(default_factory=lambda: secrets.token_hex(20))
    mlflow_flask: str = field(default_factory=lambda: secrets.token_hex(32))
    zenml_admin: str = field(default_factory=lambda: secrets.token_hex(20))
    zenml_encryption: str = field(default_factory=lambda: secrets.token_hex(32))
    zenml_api_key: str = ""
    """Of the service account; empty until ZenML has given one."""
    kubernetes_token: str = field(default_factory=lambda: secrets.token_hex(20))
    service_token: str = field(default_factory=lambda: secrets.token_hex(20))
    gate_key: str = field(default_factory=lambda: make_key_pair()[0])
    actor_key: str = field(default_factory=lambda: make_key_pair()[0])


@dataclass(frozen=True)
class Ports:
    """Where each server listens."""

    s3: list[int]
    mlflow: int
    zenml: int
    kubernetes: int
    ingress: int
    kubeflow: int
    registry: int

    @classmethod
    def free(cls) -> Self:
        """Ports that nothing listens on now."""
        return cls([free_port() for _ in range(bucket_server.PORTS)], *(free_port() for _ in range(6)))

    @classmethod
    def counted(cls, first: int) -> Self:
        """Ports from ``first`` on."""
        others = first + bucket_server.PORTS
        return cls(list(range(first, others)), *range(others, others + 6))


class Site:
    """One remote stack below a folder.

    Attributes:
        containers: where steps run as containers; None for processes. Not kept: who starts the site says it.
        warm: whether those processes are forked from one that has imported the packages. Not kept either.
    """

    def __init__(self, home: Path, *, ports: Ports, credentials: Credentials, time_scale: float) -> None:
        self.home, self.ports, self.credentials, self.time_scale = home, ports, credentials, time_scale
        self.containers: Containers | None = None
        self.warm = False

    @classmethod
    def make(cls, home: Path, *, first_port: int | None = None, time_scale: float = 1.0) -> Self:
        """The site of this folder, as it was made or, where there is none, new.

        Args:
            home: its folder.
            first_port: of a new site; free ports where it is None.
            time_scale: of a new site: times the wait before a retry of Kubeflow's.
        """
        home = home.absolute()
        if (home / "site.json").exists():
            return cls.load(home)
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        ports = Ports.free() if first_port is None else Ports.counted(first_port)
        site = cls(home, ports=ports, credentials=Credentials(), time_scale=time_scale)
        site._save()
        return site

    @classmethod
    def load(cls, home: Path) -> Self:
        """The site of this folder.

        Raises:
            FileNotFoundError: there is none.
            RuntimeError: another version of this program made it.
        """
        kept = json.loads((home.absolute() / "site.json").read_text())
        try:
            ports, credentials = Ports(**kept["ports"]), Credentials(**kept["credentials"])
            return cls(home.absolute(), ports=ports, credentials=credentials, time_scale=kept["time_scale"])
        except (KeyError, TypeError) as error:
            raise RuntimeError(
                f"{home} was made by another version: end what runs there and remove it"
            ) from error

    def _save(self) -> None:
        kept = {
            "ports": asdict(self.ports),
            "credentials": asdict(self.credentials),
            "time_scale": self.time_scale,
        }
        _write_private(self.home / "site.json", json.dumps(kept, indent=1))

    @cached_property
    def s3(self) -> Server:
        """SeaweedFS."""
        return bucket_server.s3_server(self.home / "s3", **self._s3_login(), ports=self.ports.s3)

    @cached_property
    def mlflow(self) -> Server:
        """MLflow, which stores artifacts in the bucket."""
        return servers.mlflow_server(
            self.home / "mlflow",
            self.ports.mlflow,
            password=self.credentials.mlflow_admin,
            flask_key=self.credentials.mlflow_flask,
            artifacts=f"s3://{BUCKET}/mlflow",
            s3_environment=bucket_server.s3_environment(self.s3.url, **self._s3_login()),
        )

    @cached_property
    def zenml(self) -> Server:
        """ZenML."""
        return servers.zenml_server(
            self.home / "zenml",
            self.ports.zenml,
            password=self.credentials.zenml_admin,
            encryption_key=self.credentials.zenml_encryption,
        )

    @cached_property
    def kubernetes(self) -> Server:
        """The stub of the Kubernetes API."""
        _write_private(self._kubernetes_token, self.credentials.kubernetes_token)
        return servers.kubernetes_stub(
            self.home / "kubernetes",
            self.ports.kubernetes,
            ingress_port=self.ports.ingress,
            token_file=self._kubernetes_token,
        )

    @cached_property
    def kubeflow(self) -> Server:
        """The stub of Kubeflow Pipelines; it asks for a token while :attr:`kubeflow_token_file` is there."""
        return self.kubeflow_at(self.home / "kubeflow", self.ports.kubeflow, self.containers)

    def kubeflow_at(self, folder: Path, port: int, containers: Containers | None) -> Server:
        """A stub of Kubeflow Pipelines for the other servers of this site; a test may start a second one."""
        return servers.kubeflow_stub(
            folder,
            port,
            client_token_file=self.kubeflow_token_file,
            kubernetes=self.kubernetes.url,
            token_file=self._kubernetes_token,
            image_paths=IMAGE_PATHS,
            time_scale=self.time_scale,
            containers=containers,
            warm=self.warm,
        )

    @cached_property
    def registry(self) -> Server:
        """Debian's container registry."""
        return servers.registry_server(self.home / "registry", self.ports.registry)

    @property
    def servers(self) -> list[Server]:
        """All of them."""
        return [self.s3, self.mlflow, self.zenml, self.kubernetes, self.kubeflow, self.registry]

    @property
    def kubeflow_token_file(self) -> Path:
        """A token that Kubeflow asks of its clients; no file, no token."""
        return self.home / "kubeflow-client-token"

    @property
    def _kubernetes_token(self) -> Path:
        return self.home / "kubernetes-token"

    @property
    def _actor_key(self) -> Path:
        return self.home / "actor.pem"

    def _s3_login(self) -> dict[str, str]:
        return {"key": self.credentials.s3_key, "secret": self.credentials.s3_secret}

    def running(self) -> bool:
        """Whether all servers run."""
        return all(server.process() is not None for server in self.servers)

    def up(self) -> None:
        """Start all servers that do not run, and make bucket, users and secrets where they are not there yet.

        Raises:
            RuntimeError: a server does not answer; its log's end is in the message.
        """
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait()
        self._prepare_bucket()
        if not self.credentials.zenml_api_key:
            self._create_mlflow_user()
            self.credentials.zenml_api_key = self._create_zenml_account()
            self._create_zenml_secrets()
            self._save()
        self._create_kubernetes_secrets()
        # The stack that is active there is not the one of the checkout, whose ZenML store is another.
        _write_private(self._actor_key, self.credentials.actor_key)
        (self.home / "repository" / ".zen").mkdir(parents=True, exist_ok=True)
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in self.environment().items())
        _write_private(self.home / "environment.sh", "".join(lines))

    def down(self) -> None:
        """End all servers; the data stays, and :meth:`up` finds it again."""
        for server in reversed(self.servers):
            server.stop()

    def secrets(self) -> dict[str, str]:
        """Every credential that was drawn for this site, by what it opens; the S3 key's name is none.

        Of a private key its longest line, so that it is found in whatever way lines are ended.
        """
        drawn = {name: value for name, value in asdict(self.credentials).items() if name != "s3_key"}
        return {name: max(value.splitlines(), key=len, default="") for name, value in drawn.items()}

    def environment(self) -> dict[str, str]:
        """What ``stacks/kubeflow.yaml`` refers to, and the login of a ZenML client with its own folder."""
        return {
            "ZENML_STORE_URL": self.zenml.url,
            "ZENML_STORE_API_KEY": self.credentials.zenml_api_key,
            "ZENML_CONFIG_PATH": str(self.home / "client"),
            "ZENML_REPOSITORY_PATH": str(self.home / "repository"),
            "ZENML_ANALYTICS_OPT_IN": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "SHUTTERLINE_KUBEFLOW_URL": self.kubeflow.url,
            "SHUTTERLINE_S3_PATH": f"s3://{BUCKET}/artifacts",
            "SHUTTERLINE_S3_ENDPOINT": self.s3.url,
            "SHUTTERLINE_MLFLOW_URL": self.mlflow.url,
            "SHUTTERLINE_CONTAINER_REGISTRY": f"{ADDRESS}:{self.ports.registry}/shutterline",
            "SHUTTERLINE_KUBERNETES_URL": self.kubernetes.url,
            "SHUTTERLINE_INGRESS_URL": f"http://{ADDRESS}:{self.ports.ingress}",
            "SHUTTERLINE_IMAGE_TAG": "local",
            "SHUTTERLINE_GATE_PUBLIC_KEY": _public(self.credentials.gate_key),
            "SHUTTERLINE_STEPS_PUBLIC_KEY": _public(self.credentials.actor_key),
            ACTOR_KEY: str(self._actor_key),
        }

    def s3_client(self) -> Any:
        """A boto3 client that may do everything in the bucket."""
        return bucket_server.s3_client(self.s3.url, **self._s3_login())

    def set_zenml_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Make one of ZenML's secrets, or give it these values alone."""
        login = {"username": ADMIN, "password": self.credentials.zenml_admin}
        url = f"{self.zenml.url}/api/v1"
        token = _call("POST", f"{url}/login", form=login)["access_token"]
        found = _call("GET", f"{url}/secrets?name={name}", token=token)["items"]
        if found:
            _call("DELETE", f"{url}/secrets/{found[0]['id']}", token=token)
        body = {"name": name, "values": dict(values), "private": False}
        _call("POST", f"{url}/secrets", token=token, body=body)

    def set_kubernetes_secret(self, name: str, values: Mapping[str, str]) -> None:
        """Make a secret of the namespace, or give it these values alone."""
        url = f"{self.kubernetes.url}/api/v1/namespaces/{NAMESPACE}/secrets"
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "type": "Opaque",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }
        token = self.credentials.kubernetes_token
        try:
            _call("POST", url, token=token, body=secret)
        except urllib.error.HTTPError as error:
            if error.code != CONFLICT:
                raise
            _call("PUT", f"{url}/{name}", token=token, body=secret)

    def _prepare_bucket(self) -> None:
        client = self.s3_client()
        if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
            client.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=ENCRYPTION)

    def _create_mlflow_user(self) -> None:
        login = f"{ADMIN}:{self.credentials.mlflow_admin}"
        body = {"username": USER, "password": self.credentials.mlflow_user}
        _call("POST", f"{self.mlflow.url}/api/2.0/mlflow/users/create", basic=login, body=body)
        self._let_mlflow_check_passwords_fast()

    def _let_mlflow_check_passwords_fast(self) -> None:
        """Keep them under a hash of one round: they are drawn at random, and nobody could guess them.

        MLflow checks one up to four times a request, which with its own hash takes 4/5 of its time.
        """
        own = self.credentials
        with closing(sqlite3.connect(self.home / "mlflow" / "users.db")) as database, database:
            for user, password in ((ADMIN, own.mlflow_admin), (USER, own.mlflow_user)):
                quick = generate_password_hash(password, method="pbkdf2:sha256:1")
                database.execute("UPDATE users SET password_hash = ? WHERE username = ?", (quick, user))

    def _create_zenml_account(self) -> str:
        """Make the service account that pipelines log in as.

        Returns:
            Its API key, which ZenML tells only once.
        """
        login = {"username": ADMIN, "password": self.credentials.zenml_admin}
        url = f"{self.zenml.url}/api/v1"
        token = _call("POST", f"{url}/login", form=login)["access_token"]
        account = {"name": USER, "description": "Pipelines and commands", "active": True}
        made = _call("POST", f"{url}/service_accounts", token=token, body=account)
        keys = f"{url}/service_accounts/{made['id']}/api_keys"
        return str(_call("POST", keys, token=token, body={"name": "pipelines"})["body"]["key"])

    def _create_zenml_secrets(self) -> None:
        own = self.credentials
        self.set_zenml_secret("shutterline_s3", self._s3_login())
        self.set_zenml_secret("shutterline_mlflow", {"username": USER, "password": own.mlflow_user})
        self.set_zenml_secret("shutterline_kubernetes", {"token": own.kubernetes_token})
        self.set_zenml_secret("shutterline_serving", {"token": own.service_token})

    def _create_kubernetes_secrets(self) -> None:
        own = self.credentials
        s3 = {"AWS_ACCESS_KEY_ID": own.s3_key, "AWS_SECRET_ACCESS_KEY": own.s3_secret}
        self.set_kubernetes_secret("shutterline-zenml", {"api_key": own.zenml_api_key})
        self.set_kubernetes_secret("shutterline-s3", s3)
        self.set_kubernetes_secret("shutterline-serving-token", {"token": own.service_token})
        self.set_kubernetes_secret("shutterline-keys", {"gate": own.gate_key, "actor": own.actor_key})


def _public(private: str) -> str:
    return PrivateKey.from_pem(private, named="a key of this site").public_pem


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _call(
    method: str,
    url: str,
    *,
    token: str = "",
    basic: str = "",
    form: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Any:
    """Send JSON, or a form, and read the JSON answer.

    Raises:
        urllib.error.HTTPError: the answer is an error.
    """
    sent = urllib.parse.urlencode(form) if form is not None else json.dumps(body)
    request = urllib.request.Request(url, method=method, data=None if method == "GET" else sent.encode())
    if form is None:
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if basic:
        request.add_header("Authorization", f"Basic {base64.b64encode(basic.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = response.read()
    return json.loads(answer) if answer else None
