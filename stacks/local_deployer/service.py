"""What ZenML's own commands see of a deployment, such as ``zenml model-deployer models list``."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from zenml.client import Client
from zenml.enums import ServiceState
from zenml.model_deployers.base_model_deployer import get_model_version_id_if_exists
from zenml.models.v2.misc.service import ServiceType
from zenml.services import ServiceConfig, ServiceStatus
from zenml.services.service import BaseDeploymentService
from zenml.utils import source_utils

from materializers.errors import ServiceUnreachable
from materializers.release import Arm
from stacks.local_deployer import microservice, processes
from stacks.local_deployer.site import Site
from stacks.local_deployer.state import Deployment


class SeldonLocalServiceConfig(ServiceConfig):
    """Which replica a service is, and where it answers."""

    environment: str
    model_digest: str
    replica: str
    base_url: str
    site: str


class SeldonLocalService(BaseDeploymentService):
    """One live deployment, as ZenML lists it."""

    SERVICE_TYPE: ClassVar[ServiceType] = ServiceType(
        type="model-serving",
        flavor="seldon-local",
        name="seldon-local-deployment",
        description="A Seldon microservice of this machine behind Envoy",
    )

    config: SeldonLocalServiceConfig
    status: ServiceStatus

    @property
    def key(self) -> str:
        """The deployment's key in the site's state."""
        return f"{self.config.environment}/{self.config.model_name}"

    @property
    def prediction_url(self) -> str:
        """Where pictures are sent."""
        return f"{self.config.base_url}/api/v1.0/predictions"

    @property
    def healthcheck_url(self) -> str:
        """Where readiness, version and model digest are told."""
        return f"{self.config.base_url}/health/status"

    def check_status(self) -> tuple[ServiceState, str]:
        """Look at the process, and ask through the ingress whether it is ready as this version."""
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


def recorded_services(site: Site) -> dict[str, Any]:
    """ZenML's records of this site's services, by replica."""
    page = Client().list_services(
        type=SeldonLocalService.SERVICE_TYPE.type,
        flavor=SeldonLocalService.SERVICE_TYPE.flavor,
        size=1000,
        hydrate=True,
    )
    return {one.config["replica"]: one for one in page.items if one.config.get("site") == str(site.path)}


def record_services(site: Site, *, leave: UUID | None = None) -> None:
    """Make ZenML's records agree with what is live; ``leave`` is a record that the caller removes itself.

    Raises:
        ServiceUnreachable: ZenML's store cannot be reached.
    """
    try:
        _record_services(site, leave)
    except (SQLAlchemyError, OSError) as error:
        raise ServiceUnreachable(
            f"ZenML's list of served models could not be written: {error}. What is served is unaffected; "
            "the next command writes it: zenml model-deployer models list"
        ) from error


def _record_services(site: Site, leave: UUID | None) -> None:
    wanted = {
        deployment.replica.name: (key, deployment)
        for key, deployment in site.state.deployments.items()
        if deployment.replica
    }
    recorded = recorded_services(site)
    for name, record in recorded.items():
        if name not in wanted and record.id != leave:
            Client().delete_service(record.id)
    for name, (key, deployment) in wanted.items():
        if name not in recorded:
            _record(site, key, deployment, name)


def _record(site: Site, key: str, deployment: Deployment, replica: str) -> None:
    release = deployment.live.release if deployment.live else None
    arm: Arm | None = release.candidate if release else None
    if release is None or arm is None:
        return
    config = SeldonLocalServiceConfig(
        name=f"{release.environment}-{release.model_name}",
        description=f"version {arm.version} in {release.environment}",
        model_name=release.model_name,
        model_version=str(arm.version),
        environment=release.environment,
        model_digest=arm.model_digest,
        replica=replica,
        base_url=site.url(key),
        site=str(site.path),
    )
    record = Client().create_service(
        config=config,
        service_type=SeldonLocalService.SERVICE_TYPE,
        model_version_id=get_model_version_id_if_exists(release.model_name, str(arm.version)),
    )
    service = SeldonLocalService(
        uuid=record.id, admin_state=ServiceState.ACTIVE, config=config, status=ServiceStatus()
    )
    service.update_status()
    Client().update_service(
        id=record.id,
        name=config.service_name,
        service_source=source_utils.resolve(SeldonLocalService).import_path,
        admin_state=service.admin_state,
        status=service.status.model_dump(),
        prediction_url=service.prediction_url,
        health_check_url=service.healthcheck_url,
    )
