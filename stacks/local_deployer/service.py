"""What ZenML's own commands see of a microservice of this machine."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from zenml.enums import ServiceState
from zenml.models.v2.misc.service import ServiceType

from stacks.listed_services import ListedService, ListedServiceConfig, ServiceList, Serving
from stacks.local_deployer import microservice, processes
from stacks.local_deployer.site import Site


class SeldonLocalServiceConfig(ListedServiceConfig):
    """Which replica a service is, and where it answers; its site is the state directory."""


class SeldonLocalService(ListedService):
    """One live deployment, or what rolls out beside it, as ZenML lists it."""

    SERVICE_TYPE: ClassVar[ServiceType] = ServiceType(
        type="model-serving",
        flavor="seldon-local",
        name="seldon-local-deployment",
        description="A Seldon microservice of this machine behind Envoy",
    )

    config: SeldonLocalServiceConfig

    def check_status(self) -> tuple[ServiceState, str]:
        """Look at the process, and ask whether it is ready as this version: what is live at its URL."""
        if self.config.replica not in processes.running(Path(self.config.site)):
            if self.admin_state == ServiceState.INACTIVE:
                return ServiceState.INACTIVE, ""
            return ServiceState.ERROR, f"the process of {self.config.replica} is gone"
        if not microservice.is_ready(
            self.config.base_url, self.config.model_version, self.config.model_digest
        ):
            return ServiceState.ERROR, f"{self.healthcheck_url} does not say ready as this version"
        return ServiceState.ACTIVE, ""

    def get_logs(self, follow: bool = False, tail: int | None = None) -> Generator[str, bool, None]:
        """The microservice's log lines; with ``follow`` those that are there now, too."""
        log = Path(self.config.site) / "logs" / f"{self.config.replica}.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        yield from lines if tail is None else lines[-tail:]


def service_list(site: Site) -> ServiceList:
    """ZenML's records of this site's services."""
    return ServiceList(SeldonLocalService, SeldonLocalServiceConfig, str(site.path))


def record_services(site: Site, *, leave: UUID | None = None) -> None:
    """Make ZenML's records agree with what runs; ``leave`` is a record that the caller removes itself.

    Raises:
        ServiceUnreachable: ZenML's store cannot be reached.
    """
    wanted = {}
    for key, deployment in site.state.deployments.items():
        for replica, entry in deployment.running:
            # A candidate is asked apart from what serves at the URL.
            rolls_out = entry.release.status == "rolling_out"
            base_url = replica.base_url if rolls_out else site.url(key)
            wanted[replica.name] = Serving(entry.release, base_url)
    service_list(site).record(wanted, leave=leave)
