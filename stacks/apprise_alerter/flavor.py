"""The ZenML flavor ``apprise`` and its settings."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator
from zenml.alerter.base_alerter import BaseAlerter, BaseAlerterConfig, BaseAlerterFlavor
from zenml.utils.secret_utils import SecretField

from materializers.alert import AlertSettings, QuietHours, check_zone

MOST_HOURS, MOST_RETRIES = 24 * 366, 5


class AppriseAlerterConfig(BaseAlerterConfig):
    """Whom to tell, of what, and when.

    Attributes:
        urls: Apprise's addresses (https://appriseit.com lists them), separated by white space or commas. They
            hold tokens: refer to a secret, ``{{shutterline_alerts.urls}}``. None at all: messages go to the
            log.
        warning_urls: of targets that are told of warnings and of what is critical.
        critical_urls: of targets that are told of what is critical alone.
        repeat_hours: after so long an alert that goes on is told again.
        approval_hours: so long a version that passed may wait for an approval before people are told.
        quiet_hours: such as ``22:00-07:00``; what is not critical is held back until they end.
        time_zone: of the quiet hours, such as ``Europe/Berlin``.
        retries: how often a target that does not take a message is tried again at once, with back-off.
    """

    model_config = ConfigDict(extra="forbid")

    urls: str | None = SecretField(default=None)
    warning_urls: str | None = SecretField(default=None)
    critical_urls: str | None = SecretField(default=None)
    repeat_hours: float = Field(default=24, gt=0, le=MOST_HOURS, allow_inf_nan=False)
    approval_hours: float = Field(default=24, ge=0, le=MOST_HOURS, allow_inf_nan=False)
    quiet_hours: str | None = None
    time_zone: str = "UTC"
    retries: int = Field(default=2, ge=0, le=MOST_RETRIES)

    @field_validator("quiet_hours")
    @classmethod
    def _hours(cls, hours: str | None) -> str | None:
        if hours is not None:
            QuietHours.parse(hours, "UTC")
        return hours

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return check_zone(name)

    @property
    def alert_settings(self) -> AlertSettings:
        """When people want to be told."""
        return AlertSettings(
            repeat_hours=self.repeat_hours,
            approval_hours=self.approval_hours,
            quiet_hours=self.quiet_hours,
            time_zone=self.time_zone,
        )


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
