"""What ZenML's own commands see of a SeldonDeployment."""

from __future__ import annotations

from collections.abc import Generator
from typing import ClassVar

from zenml.enums import ServiceState
from zenml.models.v2.misc.service import ServiceType

from stacks import probing
from stacks.listed_services import ListedService, ListedServiceConfig
from stacks.seldon_deployer.asking import through_ingress


class SeldonClusterServiceConfig(ListedServiceConfig):
    """Which predictor a service is, and where it answers; its site is a namespace of a cluster."""


class SeldonClusterService(ListedService):
    """One live deployment, as ZenML lists it."""

    SERVICE_TYPE: ClassVar[ServiceType] = ServiceType(
        type="model-serving",
        flavor="seldon-cluster",
        name="seldon-cluster-deployment",
        description="A SeldonDeployment of a Kubernetes cluster",
    )

    config: SeldonClusterServiceConfig

    def check_status(self) -> tuple[ServiceState, str]:
        """Ask through the ingress whether it is ready as this version."""
        url, version = self.config.base_url, str(self.config.model_version)
        if probing.is_ready(through_ingress(url), url, version, self.config.model_digest):
            return ServiceState.ACTIVE, ""
        return ServiceState.ERROR, f"{self.healthcheck_url} does not say ready as this version"

    def get_logs(self, follow: bool = False, tail: int | None = None) -> Generator[str, bool, None]:
        """Say how the cluster shows them: no log leaves it through here."""
        resource = self.config.replica.partition("/")[0]
        namespace = self.config.site.rpartition("/")[2]
        selector = f"--selector seldon-deployment-id={resource}"
        yield f"kubectl --namespace {namespace} logs {selector} --tail {tail or -1}"
