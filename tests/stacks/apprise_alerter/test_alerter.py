"""A message arrives, or it is said that it did not; nobody is asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.main.home import free_port
from materializers.alert import Delivery, Severity
from materializers.errors import Refused
from stacks.apprise_alerter.alerter import AppriseAlerter
from tests.stacks.apprise_alerter.webhook import Webhook, stack_with_alerter, webhook_server

if TYPE_CHECKING:
    from zenml.alerter.base_alerter import BaseAlerter
    from zenml.client import Client


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What was logged as ``shutterline``."""
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """A webhook that answers 200."""
    with webhook_server() as server:
        yield server


def active_alerter(client: Client) -> BaseAlerter:
    """The alerter as a step finds it."""
    alerter = client.active_stack.alerter
    assert alerter is not None
    return alerter


def test_a_message_arrives_at_every_target(zenml_client: Client, hook: Webhook) -> None:
    """Each address of the setting gets it, through the registered component."""
    with stack_with_alerter(zenml_client, f"{hook.url}?a=1, {hook.url}?a=2"):
        assert active_alerter(zenml_client).post("two lines\nof text")
    assert hook.messages == ["two lines\nof text"] * 2


def test_without_addresses_the_message_stands_in_the_log(
    zenml_client: Client, log: pytest.LogCaptureFixture
) -> None:
    """On one line, which is how logs are read."""
    with stack_with_alerter(zenml_client, None):
        assert active_alerter(zenml_client).post("A run failed\nLook at it")
    assert log.messages == ["A run failed · Look at it"]


def test_a_failed_delivery_is_told_in_one_line_without_the_token(
    zenml_client: Client, log: pytest.LogCaptureFixture
) -> None:
    """Nobody listens: False, one line that names the kind of target, and nothing raised."""
    with stack_with_alerter(zenml_client, f"json://127.0.0.1:{free_port()}/T0planted"):
        assert active_alerter(zenml_client).post("message") is False
    (line,) = log.messages
    assert "not taken by: json (0 others took it)" in line
    assert "planted" not in line


def test_one_target_that_fails_does_not_undo_the_others(
    zenml_client: Client, hook: Webhook, log: pytest.LogCaptureFixture
) -> None:
    """The message has arrived, once; the target that did not take it and the unknown one are named."""
    with stack_with_alerter(zenml_client, f"{hook.url} xml://127.0.0.1:{free_port()}/ slck://planted"):
        assert active_alerter(zenml_client).post("message")
    assert hook.messages == ["message"]
    (line,) = log.messages
    assert "not taken by: xml, slck (target 3) (1 others took it)" in line
    assert "planted" not in line


def test_a_target_that_answers_500_has_not_taken_it(zenml_client: Client, hook: Webhook) -> None:
    """The answer of the server counts, not that it could be reached."""
    hook.status = 500
    with stack_with_alerter(zenml_client, hook.url):
        assert active_alerter(zenml_client).post("message") is False


def test_a_secret_that_is_not_there_is_named(zenml_client: Client, log: pytest.LogCaptureFixture) -> None:
    """A failing step does not fail in another way because of it."""
    with stack_with_alerter(zenml_client, "{{no_such_alerts.urls}}"):
        assert active_alerter(zenml_client).post("message") is False
    (line,) = log.messages
    assert "ZenML has no secret no_such_alerts with urls" in line


@pytest.mark.parametrize(
    ("severity", "told"),
    [("info", ["all"]), ("warning", ["all", "some"]), ("critical", ["all", "some", "pager"])],
)
def test_a_target_is_told_from_its_severity_on(
    zenml_client: Client, hook: Webhook, severity: Severity, told: list[str]
) -> None:
    """The pager of what is critical alone; what is over goes to whom it was told."""
    with webhook_server() as some, webhook_server() as pager:
        named = {"all": hook, "some": some, "pager": pager}
        limited = {"warning_urls": some.url, "critical_urls": pager.url}
        with stack_with_alerter(zenml_client, hook.url, **limited):
            done = deliver(zenml_client, severity)
            assert deliver(zenml_client, severity, over=True).failed == ()
    assert [name for name, server in named.items() if len(server.messages) == 2] == told
    assert all(server.kinds[1:] in ([], ["success"]) for server in named.values())
    assert len(done.taken) == len(told)


def test_what_no_target_is_told_of_stands_in_the_log(
    zenml_client: Client, hook: Webhook, log: pytest.LogCaptureFixture
) -> None:
    """A stack with a pager alone has its warnings there; a failed run is one."""
    with stack_with_alerter(zenml_client, None, critical_urls=hook.url):
        assert deliver(zenml_client, "warning").taken == ("the log",)
        assert active_alerter(zenml_client).post("A run failed")
    assert log.messages == ["message", "A run failed"]
    assert hook.messages == []


def test_a_target_that_fails_is_tried_again_at_once(zenml_client: Client, hook: Webhook) -> None:
    """As often as the setting says, and the others are not told twice."""
    with webhook_server() as other, stack_with_alerter(zenml_client, f"{hook.url} {other.url}", retries=1):
        hook.failing = 1
        assert deliver(zenml_client, "info").failed == ()
        assert (hook.asked, len(hook.messages), other.asked) == (2, 1, 1)
        hook.failing = 2
        assert deliver(zenml_client, "info").failed == ("urls 1: json",)
        assert (hook.asked, len(hook.messages), other.asked) == (4, 1, 2)


def test_who_has_it_already_is_not_told_again(zenml_client: Client, hook: Webhook) -> None:
    """It is known by its setting, its place and its kind, which tell no token."""
    with stack_with_alerter(zenml_client, f"{hook.url}?a=1 {hook.url}?a=2"):
        first = deliver(zenml_client, "info")
        assert first.taken == ("urls 1: json", "urls 2: json")
        assert deliver(zenml_client, "info", taken_by=first.taken[:1]).taken == first.taken[1:]
    assert len(hook.messages) == 3


def test_an_address_that_nobody_knows_is_waited_for_only_where_it_is_the_only_one(
    zenml_client: Client, hook: Webhook
) -> None:
    """Beside others it never takes anything; alone, the message waits until it is mended."""
    with stack_with_alerter(zenml_client, f"{hook.url} slck://planted"):
        assert deliver(zenml_client, "info").failed == ()
    with stack_with_alerter(zenml_client, "slck://planted"):
        assert deliver(zenml_client, "info").failed == ("urls 1: slck",)


def deliver(client: Client, severity: Severity, **options: Any) -> Delivery:
    """Send a message."""
    alerter = active_alerter(client)
    assert isinstance(alerter, AppriseAlerter)
    return alerter.deliver("message", severity=severity, **options)


def test_nobody_is_asked_for_an_approval(zenml_client: Client) -> None:
    """ZenML's base class would answer yes."""
    with stack_with_alerter(zenml_client, None), pytest.raises(Refused, match=r"run\.py --approve N --by"):
        active_alerter(zenml_client).ask("Release version 3?")
