"""People are told of an alert once, again when that is news, and once when it is over; nothing is lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from zenml import pipeline, step

from benchmarks.main.home import free_port
from materializers import alert_box
from materializers.alert import Alert, Severity
from materializers.alert_box import ALERTS, AlertBox
from materializers.errors import ServiceUnreachable
from steps.data.stored import active_store
from steps.monitoring.alerts.alert import (
    MOST_ATTEMPTS,
    clear_alert,
    open_alerts,
    raise_alert,
    short_line,
    tell_untold,
)
from tests.stacks.apprise_alerter.webhook import Webhook, stack_with_alerter, webhook_server
from tests.steps.monitoring.conftest import PLANTED

if TYPE_CHECKING:
    from zenml.client import Client

pytestmark = pytest.mark.usefixtures("log")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NAME = "data_drift_detected"


@pytest.fixture
def model() -> str:
    """A model that no other test has."""
    return f"model-{uuid4().hex[:8]}"


@pytest.fixture
def quiet(zenml_client: Client) -> Iterator[Webhook]:
    """A webhook of people in Berlin who sleep from 22 to 7 o'clock."""
    hours = {"quiet_hours": "22:00-07:00", "time_zone": "Europe/Berlin"}
    with webhook_server() as server, stack_with_alerter(zenml_client, server.url, **hours):
        yield server


def alert(model: str, severity: Severity = "warning", *reasons: str, **about: Any) -> Alert:
    """An alert on a model in staging."""
    return Alert(
        **{
            "name": NAME,
            "severity": severity,
            "model_name": model,
            "environment": "staging",
            "reasons": reasons or ("embeddings lie elsewhere",),
            **about,
        }
    )


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """What the project itself logged."""
    return [record.getMessage() for record in log.records if record.name == "shutterline"]


# Once


def test_an_alert_that_goes_on_is_told_again_after_a_day_alone(hook: Webhook, model: str) -> None:
    """Each hour somebody finds it anew; whoever reads the channel reads it twice in 25 hours."""
    told_now = [raise_alert(alert(model), now=NOON + hours * HOUR) for hours in range(25)]
    assert [hours for hours, yes in enumerate(told_now) if yes] == [0, 24]
    assert hook.messages == [f"{NAME} (warning): {model} in staging\nembeddings lie elsewhere"] * 2


def test_the_interval_is_a_setting_of_the_alerter(zenml_client: Client, model: str) -> None:
    """Every process of the stack reads it there."""
    with webhook_server() as server, stack_with_alerter(zenml_client, server.url, repeat_hours=2):
        told_now = [raise_alert(alert(model), now=NOON + hours * HOUR) for hours in range(5)]
    assert told_now == [True, False, True, False, True]


def test_a_rise_in_severity_is_told_at_once(hook: Webhook, model: str) -> None:
    """A fall is not, nor a second rise to what people know."""
    for severity in ("warning", "critical", "warning", "critical"):
        raise_alert(alert(model, severity), now=NOON)
    assert hook.kinds == ["warning", "failure"]


def test_alerts_on_different_things_are_told_each(hook: Webhook, model: str) -> None:
    """Another name, environment, subject or model is another alert."""
    others = (
        alert(model),
        alert(model, name="model_accuracy_drop"),
        alert(model, environment="production"),
        alert(model, subject="version 3"),
        alert(f"{model}-2"),
    )
    for each in others * 2:
        raise_alert(each, now=NOON)
    assert len(hook.messages) == 5


def test_a_command_names_the_model(hook: Webhook, model: str) -> None:
    """Who reads it in a chat knows no ``--config``; one that says already what it is about stays as it is."""
    reasons = (
        "braked: python run.py --release-brake --by WHO, or python run.py --status",
        f"python run.py --set product.model={model} --audit",
        "python run.py --config shop --audit",
    )
    raise_alert(alert(model, "warning", *reasons), now=NOON)
    clear_alert(NAME, model, "staging", reason="See python run.py --status", now=NOON)
    named = f"python run.py --set product.model={model}"
    first = f"braked: {named} --release-brake --by WHO, or {named} --status"
    assert hook.messages[0].splitlines()[1:] == [first, *reasons[1:]]
    over = hook.messages[1].splitlines()
    assert over[1] == f"See {named} --status"
    assert over[-3:] == [first, *reasons[1:]]


def test_an_event_is_told_each_time(hook: Webhook, model: str) -> None:
    """Two rollbacks of an hour are two; nothing stays open, and none stands for the other that waits."""
    hook.status = 500
    for minutes in (0, 30):
        raise_alert(alert(model, name="rolled_back", event=True), now=NOON + minutes * MINUTE)
    assert open_alerts(model).open == ()
    hook.status = 200
    tell_untold(model, now=NOON + HOUR)
    assert len(hook.messages) == 2


def test_an_event_that_several_look_for_is_told_once(hook: Webhook, model: str) -> None:
    """Whoever finds it, also where it waits and long after it was told; another one is another."""
    found = alert(model, name="rolled_back", event=True, occurrence="first")
    hook.status = 500
    for minutes in range(2):
        raise_alert(found, now=NOON + minutes * MINUTE)
    hook.status = 200
    assert len(tell_untold(model, now=NOON + HOUR)) == 1
    assert not raise_alert(found, now=NOON + 48 * HOUR)
    assert raise_alert(found.model_copy(update={"occurrence": "second"}), now=NOON + 48 * HOUR)
    assert len(hook.messages) == 2


def test_a_clock_that_was_set_back_silences_nothing(hook: Webhook, model: str) -> None:
    """It had been a year ahead when the alert was told."""
    raise_alert(alert(model), now=NOON + timedelta(days=365))
    assert raise_alert(alert(model), now=NOON)


# Over


def test_that_it_is_over_is_told_once(hook: Webhook, model: str) -> None:
    """With what was the matter and since when; what was never raised is never over."""
    assert not clear_alert(NAME, model, "staging", now=NOON)
    raise_alert(alert(model), now=NOON)
    assert not clear_alert(NAME, model, "production", now=NOON)
    assert clear_alert(NAME, model, "staging", reason="Not so any more.", now=NOON + HOUR)
    assert not clear_alert(NAME, model, "staging", now=NOON + HOUR)
    assert hook.messages[1:] == [
        f"{NAME} is over: {model} in staging\nNot so any more.\n"
        "It began on 2026-06-01 12:00 UTC (warning):\nembeddings lie elsewhere"
    ]
    assert hook.kinds == ["warning", "success"]


def test_what_comes_back_is_told_anew(hook: Webhook, model: str) -> None:
    """Within the interval, too: it was over in between."""
    raise_alert(alert(model), now=NOON)
    clear_alert(NAME, model, "staging", now=NOON + MINUTE)
    assert raise_alert(alert(model), now=NOON + 2 * MINUTE)


def test_all_of_a_name_end_in_one_message(hook: Webhook, model: str) -> None:
    """Versions 3 and 4 were refused, version 5 passed; an alert of another name stays open."""
    for number in (3, 4):
        raise_alert(alert(model, name="model_refused", subject=f"version {number}"), now=NOON)
    raise_alert(alert(model, name="model_refused_again", subject="version 4"), now=NOON)
    assert clear_alert("model_refused", model, "staging", now=NOON)
    assert hook.messages[3].startswith(
        f"model_refused is over: {model} in staging, version 3; {model} in staging, version 4\n"
    )
    assert [state.alert.name for state in open_alerts(model).open] == ["model_refused_again"]


def test_what_is_open_can_be_asked_for(hook: Webhook, model: str) -> None:
    """With its reasons as they were last, since when it is open, and what was not told."""
    hook.status = 500
    raise_alert(alert(model), now=NOON)
    raise_alert(alert(model, "warning", "brightness, too"), now=NOON + HOUR)
    found = open_alerts(model)
    (state,), (message,) = found.open, found.untold
    assert (state.since, state.last, state.alert.reasons) == (NOON, NOON + HOUR, ("brightness, too",))
    assert message.text.startswith(NAME)
    assert open_alerts("nobody's") == open_alerts(f"{model}-2")


# Quiet hours


def test_quiet_hours_hold_back_a_warning_and_tell_it_when_they_end(
    quiet: Webhook, log: pytest.LogCaptureFixture, model: str
) -> None:
    """In Berlin it is 23 o'clock in summer when it is 21 o'clock UTC."""
    log.set_level(logging.INFO, logger="shutterline")
    night = NOON + 9 * HOUR
    assert not raise_alert(alert(model), now=night)
    assert quiet.messages == []
    assert told(log)[0].startswith(f"Held back until 07:00 (Europe/Berlin): {NAME}")
    assert tell_untold(model, now=NOON + 16 * HOUR + 59 * MINUTE) == set()
    assert len(tell_untold(model, now=NOON + 17 * HOUR)) == 1
    assert quiet.messages == [alert(model).text]
    assert tell_untold(model, now=NOON + 18 * HOUR) == set()


def test_what_is_critical_is_told_at_night(quiet: Webhook, model: str) -> None:
    """So is that it is over, and that a warning rose; what waits is not told with it."""
    night = NOON + 12 * HOUR
    raise_alert(alert(model, name="other"), now=night)
    raise_alert(alert(model), now=night)
    assert raise_alert(alert(model, "critical"), now=night)
    clear_alert(NAME, model, "staging", now=night + HOUR)
    assert quiet.kinds == ["failure", "success"]
    tell_untold(model, now=NOON + 24 * HOUR)
    assert [message.partition(" ")[0] for message in quiet.messages[2:]] == ["other"]


def test_what_began_and_ended_at_night_is_one_message_in_the_morning(quiet: Webhook, model: str) -> None:
    """It says both, and that nobody has to do anything."""
    night = NOON + 12 * HOUR
    raise_alert(alert(model), now=night)
    clear_alert(NAME, model, "staging", now=night + HOUR)
    tell_untold(model, now=NOON + 24 * HOUR)
    (message,) = quiet.messages
    assert message.startswith(f"{NAME} is over")
    assert "embeddings lie elsewhere" in message


# A channel that is down


def test_what_a_channel_that_is_down_did_not_take_is_told_when_it_is_back(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str
) -> None:
    """Nothing is raised, the log has it, it is known to be untold, and no raise tells it twice."""
    hook.status = 500
    assert not raise_alert(alert(model), now=NOON)
    assert any(line.startswith(f"Not told yet: {NAME}") for line in told(log))
    assert not raise_alert(alert(model), now=NOON + MINUTE)
    assert len(open_alerts(model).untold) == 1
    hook.status = 200
    tell_untold(model, now=NOON + HOUR)
    assert hook.messages == [alert(model).text]
    assert open_alerts(model).untold == ()


def test_of_repetitions_that_nobody_took_the_newest_is_told(hook: Webhook, model: str) -> None:
    """Days later nobody wants to read three of the same; a critical one is not replaced by a warning."""
    hook.status = 500
    raise_alert(alert(model, "critical"), now=NOON)
    for days in (1, 2, 3):
        raise_alert(alert(model, "warning", f"day {days}"), now=NOON + timedelta(days=days))
    hook.status = 200
    tell_untold(model, now=NOON + timedelta(days=4))
    assert hook.kinds == ["failure", "warning"]
    assert hook.messages[1].endswith("day 3")


def test_what_is_critical_goes_first(hook: Webhook, model: str) -> None:
    """Whatever waited longer."""
    hook.status = 500
    raise_alert(alert(model, name="other"), now=NOON)
    raise_alert(alert(model, "critical"), now=NOON + MINUTE)
    hook.status = 200
    tell_untold(model, now=NOON + HOUR)
    assert hook.kinds == ["failure", "warning"]


def test_a_channel_that_is_down_is_tried_with_one_message_at_a_time(hook: Webhook, model: str) -> None:
    """Ten messages that wait cost a command one timeout."""
    hook.status = 500
    for number in range(4):
        raise_alert(alert(model, subject=str(number)), now=NOON)
    hook.asked = 0
    tell_untold(model, now=NOON + HOUR)
    assert hook.asked == 1
    assert len(open_alerts(model).untold) == 4


def test_a_target_that_was_down_gets_what_the_others_have_and_they_get_it_once(
    zenml_client: Client, model: str
) -> None:
    """A page that did not go out is not taken as told because a chat took it."""
    with (
        webhook_server() as chat,
        webhook_server() as pager,
        stack_with_alerter(zenml_client, chat.url, critical_urls=pager.url),
    ):
        pager.status = 500
        assert raise_alert(alert(model, "critical"), now=NOON)
        assert (len(chat.messages), len(pager.messages)) == (1, 0)
        pager.status = 200
        tell_untold(model, now=NOON + MINUTE)
        assert (len(chat.messages), len(pager.messages)) == (1, 1)
        assert open_alerts(model).untold == ()


def test_one_dead_target_keeps_nothing_from_those_that_work(zenml_client: Client, model: str) -> None:
    """They get everything at once; it is asked once a call, and gets what it missed once it is back."""
    numbers = [str(number) for number in range(4)]

    def told_of(hook: Webhook) -> list[str]:
        return [message.splitlines()[0].rpartition(", ")[2] for message in hook.messages]

    with (
        webhook_server() as chat,
        webhook_server() as mail,
        stack_with_alerter(zenml_client, f"{mail.url} {chat.url}"),
    ):
        mail.status = 500
        for number in numbers:
            assert raise_alert(alert(model, subject=number), now=NOON + int(number) * MINUTE)
        assert (told_of(chat), mail.asked) == (numbers, 4)
        chat.status = 500
        assert not raise_alert(alert(model, subject="night"), now=NOON + 5 * MINUTE)
        chat.status, mail.asked = 200, 0
        assert len(tell_untold(model, now=NOON + HOUR)) == 1
        assert (told_of(chat), mail.asked) == ([*numbers, "night"], 1)
        mail.status = 200
        for hours in (2, 3):
            tell_untold(model, now=NOON + hours * HOUR)
        assert (told_of(chat), told_of(mail)) == ([*numbers, "night"], [*numbers, "night"])
        assert open_alerts(model).untold == ()


def test_a_target_that_is_not_asked_has_not_failed(zenml_client: Client, model: str) -> None:
    """What waits behind another message is not given up with it: it was never tried."""
    with (
        webhook_server() as chat,
        webhook_server() as mail,
        stack_with_alerter(zenml_client, chat.url, warning_urls=mail.url),
    ):
        mail.status = 500
        raise_alert(alert(model, "critical", subject="first"), now=NOON)
        raise_alert(alert(model, subject="second"), now=NOON)
        for minutes in range(2, MOST_ATTEMPTS):
            tell_untold(model, now=NOON + minutes * MINUTE)
        (left,) = open_alerts(model).untold
        assert (left.text.splitlines()[0].rpartition(", ")[2], left.attempts) == ("second", 0)
        mail.status = 200
        tell_untold(model, now=NOON + HOUR)
        assert (len(chat.messages), len(mail.messages)) == (2, 1)


def test_an_alerter_that_breaks_is_tried_once_a_call(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many messages wait; nothing of them is lost."""
    hook.status = 500
    for number in range(3):
        raise_alert(alert(model, subject=str(number)), now=NOON)
    log.clear()

    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr("stacks.apprise_alerter.alerter.AppriseAlerter.deliver", broken)
        tell_untold(model, now=NOON + MINUTE)
    assert [line for line in told(log) if "failed" in line] == ["The alerter failed: RuntimeError: no memory"]
    assert len(open_alerts(model).untold) == 3


def test_a_target_that_never_takes_anything_is_given_up(
    zenml_client: Client, log: pytest.LogCaptureFixture, model: str
) -> None:
    """The others have it; the log says so, and names no address."""
    gone = f"xml://127.0.0.1:{free_port()}/T0planted"
    with webhook_server() as chat, stack_with_alerter(zenml_client, f"{chat.url} {gone}"):
        raise_alert(alert(model), now=NOON)
        for minutes in range(1, MOST_ATTEMPTS):
            tell_untold(model, now=NOON + minutes * MINUTE)
        assert open_alerts(model).untold == ()
    assert len(chat.messages) == 1
    assert told(log)[-1] == f"Given up after {MOST_ATTEMPTS} attempts, others have it: urls 2: xml"
    assert "planted" not in "".join(told(log))


def test_an_alerter_that_breaks_loses_nothing(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it raised is said redacted; the next one tells it."""

    def broken(*_: object, **__: object) -> bool:
        raise RuntimeError(f"no memory for {PLANTED}")

    with monkeypatch.context() as patch:
        patch.setattr("stacks.apprise_alerter.alerter.AppriseAlerter.deliver", broken)
        assert not raise_alert(alert(model), now=NOON)
    assert told(log)[0] == "The alerter failed: RuntimeError: no memory for ***"
    tell_untold(model, now=NOON)
    assert len(hook.messages) == 1


def test_without_the_artifact_store_it_is_told_all_the_same(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows then whether people know; the log says why, and nothing is raised."""

    def unreachable(*_: object) -> None:
        raise OSError("no such bucket")

    for asked in ("list_folder", "read_blob"):
        monkeypatch.setattr(alert_box, asked, unreachable)
    assert raise_alert(alert(model), now=NOON)
    assert not clear_alert(NAME, model, "staging", now=NOON)
    assert tell_untold(model, now=NOON) == set()
    assert hook.messages == [alert(model).text]
    assert all("is not known: The artifact store could not" in line for line in told(log))
    with pytest.raises(ServiceUnreachable):
        open_alerts(model)


# What a message may say


def test_a_message_has_no_secret_no_traceback_and_no_page(hook: Webhook, model: str) -> None:
    """Each reason is a line, cut after 500 characters; of a traceback its last line is left."""
    traceback = f'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: token={PLANTED}\n'
    raise_alert(
        alert(model, "warning", f"two\nlines of {PLANTED}", f"It failed: {traceback}", "page " * 1000),
        now=NOON,
    )
    (message,) = hook.messages
    assert message.splitlines()[1:3] == ["two lines of ***", "It failed: ValueError: token=***"]
    assert len(message.splitlines()[3]) == 501
    assert PLANTED not in message and "File" not in message
    kept = json.dumps([state.model_dump(mode="json") for state in open_alerts(model).open])
    assert PLANTED not in kept


def test_a_traceback_that_was_cut_off_leaves_nothing_behind() -> None:
    """Not even its head."""
    assert short_line("It failed\nTraceback (most recent call last):\n") == "It failed"


@step(enable_cache=False)
def raising(model: str) -> None:
    """Raise an alert as steps do."""
    raise_alert(alert(model))


@pipeline
def alarming(model: str) -> None:
    """One step that raises an alert."""
    raising(model)


def test_what_a_step_raises_leads_to_its_run(
    hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the address of the dashboard, where there is one."""
    alarming.with_options(run_name=f"alarm-{model}")(model=model)
    (message,) = hook.messages
    assert message.splitlines()[-1] == "Look at it in the dashboard: make dashboard"
    monkeypatch.setattr(
        "zenml.utils.dashboard_utils.get_run_url", lambda run: f"https://zenml/runs/{run.name}"
    )
    alarming.with_options(run_name=f"again-{model}")(model=f"{model}-2")
    assert hook.messages[1].splitlines()[-1] == f"Look at it: https://zenml/runs/again-{model}"


# Several processes, other alerters


def test_processes_at_once_lose_nothing(hook: Webhook, model: str) -> None:
    """Each alert is told at least once, and none is left untold."""
    hook.delay_s = 0.05

    def raise_one(number: int) -> None:
        raise_alert(alert(model, subject=str(number % 4)), now=NOON)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_one, range(8)))
    tell_untold(model, now=NOON)
    assert {message.splitlines()[0] for message in hook.messages} == {
        f"{NAME} (warning): {model} in staging, {number}" for number in range(4)
    }
    assert open_alerts(model).untold == ()


def test_a_file_that_nobody_understands_stops_nothing(
    hook: Webhook, log: pytest.LogCaptureFixture, model: str
) -> None:
    """It is named; the alert is told as if it were new."""
    raise_alert(alert(model), now=NOON)
    box = AlertBox(active_store(), model)
    (state,) = box.open()
    path = f"{active_store().path}/{ALERTS}/{model}/open/{state.alert.key}.json"
    with open(path, "w") as file:  # noqa: PTH123 - a path of the store
        file.write('{"alert": ')
    assert raise_alert(alert(model), now=NOON + MINUTE)
    assert "is no OpenAlert and is passed over" in told(log)[0]
    assert len(hook.messages) == 2


@pytest.mark.usefixtures("own_stack")
def test_without_an_alerter_the_log_is_told_once(log: pytest.LogCaptureFixture, model: str) -> None:
    """In one line; nothing waits for an alerter to come."""
    for _ in range(2):
        raise_alert(alert(model), now=NOON)
    assert told(log) == [f"{NAME} (warning): {model} in staging embeddings lie elsewhere"]
    assert open_alerts(model).untold == ()
