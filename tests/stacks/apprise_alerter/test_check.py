"""The registrar looks at the alerter's addresses, and sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from materializers.errors import UsageError
from stacks.apprise_alerter.check import check_alerter
from tests.stacks.apprise_alerter.webhook import webhook_server

if TYPE_CHECKING:
    from zenml.client import Client


def test_without_addresses_the_log_is_the_target() -> None:
    """The local stack's default is no fault."""
    assert check_alerter({}) == "no targets: messages go to the log"


def test_known_addresses_are_counted_and_not_used() -> None:
    """The check posts nothing."""
    with webhook_server() as hook:
        found = check_alerter({"urls": f"{hook.url}, mailto://ada@example.com"})
        assert found == "2 targets: json, mailto; nothing was sent"
        assert hook.messages == []


def test_an_unknown_address_is_refused_without_its_token() -> None:
    """Position and kind tell which one; the token is not repeated."""
    with pytest.raises(UsageError) as refused:
        check_alerter({"urls": "json://127.0.0.1 slck://T0planted/B0planted"})
    assert "slck (target 2)" in str(refused.value)
    assert "planted" not in str(refused.value)


def test_targets_that_are_not_told_of_everything_are_said_so() -> None:
    """A pager among the others is no surprise."""
    settings = {"urls": "json://127.0.0.1", "warning_urls": "xml://127.0.0.1", "critical_urls": "json://b"}
    assert check_alerter(settings) == (
        "3 targets: json, xml (from warnings on), json (critical alone); nothing was sent"
    )
    with pytest.raises(UsageError, match=r"^critical_urls: slck \(target 1 of critical_urls\)"):
        check_alerter({"critical_urls": "slck://T0planted"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quiet_hours": "22-7"}, 'quiet_hours: .* are no hours: write them like "22:00-07:00"'),
        ({"time_zone": "Europe/Berln"}, "time_zone: 'Europe/Berln' is no time zone"),
        ({"repeat_hours": "0"}, "repeat_hours: Input should be greater than 0"),
        ({"approval_hours": -1}, "approval_hours: "),
        ({"retries": 6}, "retries: "),
    ],
)
def test_a_setting_that_means_nothing_is_refused(settings: dict[str, object], said: str) -> None:
    """Before ZenML is told, and with what it should look like."""
    with pytest.raises(UsageError, match=f"^{said}"):
        check_alerter(settings)


def test_an_unknown_setting_is_refused() -> None:
    """A typo is named."""
    with pytest.raises(UsageError, match="url: "):
        check_alerter({"url": "json://127.0.0.1"})


def test_a_reference_is_looked_up_in_zenml(zenml_client: Client) -> None:
    """The addresses of the secret are checked; without the secret, the command that makes it is named."""
    name = f"alerts_{uuid4().hex[:8]}"
    configuration = {"urls": f"{{{{{name}.urls}}}}"}
    with pytest.raises(UsageError, match=f"zenml secret create {name} --urls"):
        check_alerter(configuration)
    zenml_client.create_secret(name, {"urls": "json://127.0.0.1"})
    try:
        assert check_alerter(configuration) == "1 target: json; nothing was sent"
    finally:
        zenml_client.delete_secret(name)
