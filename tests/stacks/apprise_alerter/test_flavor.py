"""The settings of the alerter."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from zenml.utils.secret_utils import is_secret_field

from materializers.alert import AlertSettings
from stacks.apprise_alerter.alerter import AppriseAlerter
from stacks.apprise_alerter.flavor import AppriseAlerterConfig, AppriseAlerterFlavor
from stacks.apprise_alerter.targets import MINIMUM


def test_the_flavor_names_its_alerter() -> None:
    """ZenML finds the implementation under the flavor's name, among the alerters."""
    flavor = AppriseAlerterFlavor()
    assert (flavor.name, flavor.type.value) == ("apprise", "alerter")
    assert flavor.implementation_class is AppriseAlerter
    assert flavor.config_class is AppriseAlerterConfig


def test_an_unknown_setting_is_refused() -> None:
    """A typo does not pass silently."""
    with pytest.raises(ValidationError, match="url"):
        AppriseAlerterConfig(url="json://127.0.0.1")  # type: ignore[call-arg]


def test_a_stack_of_before_is_as_it_was() -> None:
    """With addresses alone: everybody is told everything, at any hour."""
    settings = AppriseAlerterConfig(urls="{{shutterline_alerts.urls}}").alert_settings
    assert settings == AlertSettings()
    assert (settings.quiet_hours, settings.repeat_hours) == (None, 24)


def test_what_the_environment_sets_is_read_as_a_number() -> None:
    """Placeholders of a stack file are filled in as text."""
    config = AppriseAlerterConfig.model_validate({"repeat_hours": "6", "quiet_hours": "22:00-07:00"})
    assert config.alert_settings == AlertSettings(repeat_hours=6, quiet_hours="22:00-07:00")


def test_the_addresses_are_a_secret_that_may_be_referred_to() -> None:
    """ZenML warns of an address in plain text, and takes a reference to a secret."""
    for name in MINIMUM:
        assert is_secret_field(AppriseAlerterConfig.model_fields[name])
    config = AppriseAlerterConfig(urls="{{shutterline_alerts.urls}}")
    assert [tuple(secret) for secret in config.required_secrets] == [("shutterline_alerts", "urls")]
