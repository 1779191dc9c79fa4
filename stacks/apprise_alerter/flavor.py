"""The ZenML flavor ``apprise`` and its settings."""

from __future__ import annotations

from pydantic import ConfigDict
from zenml.alerter.base_alerter import BaseAlerter, BaseAlerterConfig, BaseAlerterFlavor
from zenml.utils.secret_utils import SecretField


class AppriseAlerterConfig(BaseAlerterConfig):
    """Whom to tell.

    Attributes:
        urls: Apprise's addresses (https://appriseit.com lists them), separated by white space or commas. They
            hold tokens: refer to a secret, ``{{shutterline_alerts.urls}}``. None: messages go to the log.
    """

    model_config = ConfigDict(extra="forbid")

    urls: str | None = SecretField(default=None)


class AppriseAlerterFlavor(BaseAlerterFlavor):
    """Messages by Apprise, or into the log."""

    @property
    def name(self) -> str:
        """The name that stacks use."""
        return "apprise"

    @property
    def config_class(self) -> type[AppriseAlerterConfig]:
        """The settings."""
        return AppriseAlerterConfig

    @property
    def implementation_class(self) -> type[BaseAlerter]:
        """The alerter."""
        from stacks.apprise_alerter.alerter import AppriseAlerter

        return AppriseAlerter
