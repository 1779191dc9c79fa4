"""A Kubernetes API stub with real serving processes, and versions whose models lie in a real S3 bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from materializers.release import Arm
from stacks.seldon_deployer.deployer import SeldonClusterModelDeployer
from tests.bucket import BUCKET, KEY, SECRET, BucketServer
from tests.keys import PUBLIC_KEYS
from tests.remote.seldon_stub import NAMESPACE, SERVICE_TOKEN, TOKEN, KubernetesStub, kubernetes_stub
from tests.stacks.local_deployer.conftest import (
    Registry,
    RegistryStack,
    active,
    make_registry,
)

FLAVOR = "stacks.seldon_deployer.flavor.SeldonClusterModelDeployerFlavor"
IMAGE = "registry.example/shutterline-serving:1"


@pytest.fixture(scope="session")
def s3_stack(
    zenml_client: Any, bucket_server: BucketServer, tmp_path_factory: pytest.TempPathFactory
) -> RegistryStack:
    """A ZenML stack whose artifacts lie in S3, with an MLflow registry of its own."""
    from zenml.enums import StackComponentType as Kind

    root, name = tmp_path_factory.mktemp("cluster"), f"cluster-{uuid4().hex[:8]}"
    if not zenml_client.list_flavors(name="seldon-cluster", type=Kind.MODEL_DEPLOYER).items:
        zenml_client.create_flavor(FLAVOR, Kind.MODEL_DEPLOYER)
    store = {
        "path": f"s3://{BUCKET}/{name}",
        "key": KEY,
        "secret": SECRET,
        "client_kwargs": {"endpoint_url": bucket_server.endpoint, "region_name": "us-east-1"},
    }
    tracking = {"tracking_uri": f"sqlite:///{root}/mlflow.db"}
    zenml_client.create_stack_component(f"{name}-store", "s3", Kind.ARTIFACT_STORE, store)
    zenml_client.create_stack_component(f"{name}-tracker", "mlflow", Kind.EXPERIMENT_TRACKER, tracking)
    zenml_client.create_stack_component(f"{name}-registry", "mlflow", Kind.MODEL_REGISTRY, {})
    components: dict[Any, Any] = {
        Kind.ORCHESTRATOR: "default",
        Kind.ARTIFACT_STORE: f"{name}-store",
        Kind.EXPERIMENT_TRACKER: f"{name}-tracker",
        Kind.MODEL_REGISTRY: f"{name}-registry",
    }
    zenml_client.create_stack(name, components)
    return RegistryStack(name, root)


@pytest.fixture(scope="module")
def zenml_stack(s3_stack: RegistryStack) -> Iterator[Path]:
    """The stack is active while a module's tests run; its folder."""
    with active(s3_stack.name):
        yield s3_stack.root


@pytest.fixture(scope="session")
def registry(s3_stack: RegistryStack, bucket_server: BucketServer) -> Registry:
    """The MLflow registry of the stack; what it registers is in the bucket."""

    def publish(directory: Path) -> str:
        return bucket_server.upload(directory, f"{s3_stack.name}/models/{uuid4().hex}")

    return make_registry(s3_stack, publish)


@pytest.fixture(scope="session")
def first(registry: Registry) -> Arm:
    """A version that passed and is approved."""
    return registry.register(1, approved=True)


@pytest.fixture(scope="session")
def second(registry: Registry) -> Arm:
    """Another version that passed and is approved."""
    return registry.register(2, approved=True)


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[KubernetesStub]:
    """A cluster that serves nothing yet and knows the bucket's keys."""
    with kubernetes_stub(tmp_path / "kubernetes") as running:
        running.keep_secret("shutterline-s3", {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET})
        running.keep_secret("shutterline-serving-token", {"token": SERVICE_TOKEN})
        yield running


MakeDeployer = Callable[..., SeldonClusterModelDeployer]


@pytest.fixture
def make_deployer(zenml_stack: Path, stub: KubernetesStub, bucket_server: BucketServer) -> MakeDeployer:
    """Register a deployer component for the stub, with other settings where they are given.

    It captures nothing by itself: that is a process more of each pod.
    """

    def make(**settings: Any) -> SeldonClusterModelDeployer:
        from zenml.client import Client
        from zenml.enums import StackComponentType
        from zenml.stack import StackComponent

        values = {
            "kubernetes_url": stub.url,
            "kubernetes_token": TOKEN,
            "service_token": SERVICE_TOKEN,
            **PUBLIC_KEYS,
            "namespace": NAMESPACE,
            "ingress_url": stub.ingress_url,
            "image": IMAGE,
            "s3_endpoint": bucket_server.endpoint,
            "ready_timeout_s": 60,
            "capture": False,
            **settings,
        }
        component = Client().create_stack_component(
            f"cluster-{uuid4().hex[:8]}", "seldon-cluster", StackComponentType.MODEL_DEPLOYER, values
        )
        return cast(SeldonClusterModelDeployer, StackComponent.from_model(component))

    return make


@pytest.fixture
def deployer(make_deployer: MakeDeployer) -> SeldonClusterModelDeployer:
    """A deployer that serves nothing yet."""
    return make_deployer()


def wait_for(arrived: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + within_s
    while not arrived():
        assert time.monotonic() < ends
        time.sleep(0.1)
