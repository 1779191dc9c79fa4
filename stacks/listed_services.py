"""What ZenML's own commands see of a deployment, such as ``zenml model-deployer models list``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from zenml.client import Client
from zenml.enums import ServiceState
from zenml.model_deployers.base_model_deployer import get_model_version_id_if_exists
from zenml.services import ServiceConfig, ServiceStatus
from zenml.services.service import BaseDeploymentService
from zenml.utils import source_utils

from materializers.errors import ServiceUnreachable
from materializers.release import Release
from serving.launching import PREDICTIONS


class ListedServiceConfig(ServiceConfig):
    """Which release a service is, what serves it, and where it answers.

    Attributes:
        environment: of the release.
        model_digest: of the model that it must serve.
        replica: what serves it; the name changes with what is served.
        base_url: health and predictions lie below it.
        site: the deployer's place; deployers of one flavor are told apart by it.
    """

    environment: str
    model_digest: str
    replica: str
    base_url: str
    site: str


class ListedService(BaseDeploymentService):
    """One live release, as ZenML lists it."""

    config: ListedServiceConfig
    status: ServiceStatus

    @property
    def key(self) -> str:
        """``environment/model``."""
        return f"{self.config.environment}/{self.config.model_name}"

    @property
    def prediction_url(self) -> str:
        """Where pictures are sent."""
        return f"{self.config.base_url}{PREDICTIONS}"

    @property
    def healthcheck_url(self) -> str:
        """Where readiness, version and model digest are told."""
        return f"{self.config.base_url}/health/status"

    @property
    def facts(self) -> dict[str, str | None]:
        """What ``zenml model-deployer models describe`` shows."""
        return {
            "PREDICTION_URL": self.prediction_url,
            "HEALTH_CHECK_URL": self.healthcheck_url,
            "ENVIRONMENT": self.config.environment,
            "MODEL_NAME": self.config.model_name,
            "MODEL_VERSION": self.config.model_version,
            "MODEL_DIGEST": self.config.model_digest,
            "REPLICA": self.config.replica,
        }


class Serving(NamedTuple):
    """A live release and where it answers."""

    release: Release
    base_url: str


class ServiceList:
    """ZenML's records of what one deployer serves.

    Args:
        kind: the service class of the deployer's flavor.
        configuration: its configuration class.
        site: the deployer's place.
    """

    def __init__(
        self, kind: type[ListedService], configuration: type[ListedServiceConfig], site: str
    ) -> None:
        self._kind, self._configuration, self._site = kind, configuration, site

    def recorded(self) -> dict[str, Any]:
        """ZenML's records, by replica."""
        page = Client().list_services(
            type=self._kind.SERVICE_TYPE.type, flavor=self._kind.SERVICE_TYPE.flavor, size=1000, hydrate=True
        )
        return {one.config["replica"]: one for one in page.items if one.config.get("site") == self._site}

    def record(self, wanted: Mapping[str, Serving], *, leave: UUID | None = None) -> None:
        """Make ZenML's records agree with what is live.

        Args:
            wanted: what is live, by replica.
            leave: a record that the caller removes itself.

        Raises:
            ServiceUnreachable: ZenML's store cannot be reached.
        """
        try:
            recorded = self.recorded()
            for replica, record in recorded.items():
                if not _is_right(record, wanted.get(replica)) and record.id != leave:
                    Client().delete_service(record.id)
            for replica, serving in wanted.items():
                if not _is_right(recorded.get(replica), serving):
                    self._record(replica, serving)
        except (SQLAlchemyError, OSError) as error:
            raise ServiceUnreachable(
                f"ZenML's list of served models could not be written: {error}. What is served is "
                "unaffected; the next command writes it: zenml model-deployer models list"
            ) from error

    def _record(self, replica: str, serving: Serving) -> None:
        release, arm = serving.release, serving.release.candidate
        if arm is None:
            return
        rolls_out = release.status == "rolling_out"
        environment = release.environment
        name = f"{environment}-{release.model_name}"
        config = self._configuration(
            name=f"{name}-candidate" if rolls_out else name,
            description=f"version {arm.version}{' rolling out' if rolls_out else ''} in {environment}",
            model_name=release.model_name,
            model_version=str(arm.version),
            environment=environment,
            model_digest=arm.model_digest,
            replica=replica,
            base_url=serving.base_url,
            site=self._site,
        )
        record = Client().create_service(
            config=config,
            service_type=self._kind.SERVICE_TYPE,
            model_version_id=get_model_version_id_if_exists(release.model_name, str(arm.version)),
        )
        service = self._kind(
            uuid=record.id, admin_state=ServiceState.ACTIVE, config=config, status=ServiceStatus()
        )
        service.update_status()
        Client().update_service(
            id=record.id,
            name=config.service_name,
            service_source=source_utils.resolve(self._kind).import_path,
            admin_state=service.admin_state,
            status=service.status.model_dump(),
            prediction_url=service.prediction_url,
            health_check_url=service.healthcheck_url,
        )


def _is_right(record: Any, serving: Serving | None) -> bool:
    """Whether a record says where a replica answers now: one that was a candidate may be what is live."""
    return bool(record and serving and record.config["base_url"] == serving.base_url)
