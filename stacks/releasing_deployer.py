"""What ZenML's interface of a model deployer comes to, wherever this project's deployers serve."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast
from uuid import UUID

from zenml.model_deployers import BaseModelDeployer
from zenml.model_deployers.base_model_deployer import DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT
from zenml.services import BaseService, ServiceConfig

from materializers.errors import Refused
from stacks.listed_services import ListedService


class ReleasingModelDeployer(BaseModelDeployer):
    """A deployer that serves releases on their evidence; ZenML lists what it serves, and starts nothing."""

    @property
    @abstractmethod
    def site(self) -> str:
        """The deployer's place, as its services have it."""

    @abstractmethod
    def put_records_in_order(self) -> None:
        """Clear up what a killed command left, and make ZenML's records agree with what is live."""

    def perform_deploy_model(
        self, id: UUID, config: ServiceConfig, timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT
    ) -> BaseService:
        """Refuse: ZenML's generic call carries no verdict.

        Raises:
            Refused: always.
        """
        raise Refused("A model is served with its verdict only: python run.py --deploy")

    def find_model_server(self, *args: Any, **kwargs: Any) -> list[BaseService]:
        """Find this deployer's services, after what a killed command left is cleared up."""
        self.put_records_in_order()
        # ZenML finds those of every deployer of the flavor.
        found = cast(list[ListedService], super().find_model_server(*args, **kwargs))
        return [service for service in found if service.config.site == self.site]

    @staticmethod
    def get_model_server_info(service: BaseService) -> dict[str, str | None]:
        """What ``zenml model-deployer models describe`` shows."""
        return cast(ListedService, service).facts
