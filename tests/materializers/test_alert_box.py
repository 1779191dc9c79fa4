"""What is open and what was not told yet is kept alike on disk and in a bucket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from zenml.artifact_stores import BaseArtifactStore

from materializers.alert import Alert, Message, OpenAlert
from materializers.alert_box import AlertBox
from materializers.blobs import write_blob

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def state(name: str = "run_missing", minutes: int = 0, **about: object) -> OpenAlert:
    """An alert that has been open for so long."""
    known = {"name": name, "severity": "warning", "model_name": "shop", "reasons": ("none came",), **about}
    at = NOON - timedelta(minutes=minutes)
    return OpenAlert(alert=Alert.model_validate(known), severity="warning", since=at, last=at, given=at)


def message(number: int) -> Message:
    """One that was written down so many minutes after noon."""
    at = NOON + timedelta(minutes=number)
    return Message(id=f"{9 - number}", at=at, keys=("a",), severity="info", text="text")


def test_what_was_put_is_found_until_it_is_closed(store: BaseArtifactStore) -> None:
    """By its key, by its name, and by whoever opens the box anew."""
    box = AlertBox(store, "shop")
    first, second, other = state(), state(subject="b", minutes=5), state("run_missing_too", minutes=9)
    for each in (first, second, other):
        box.put(each)
    again = AlertBox(store, "shop")
    assert again.find(first.alert.key) == first
    assert again.open("run_missing") == [second, first]
    assert again.open() == [other, second, first]
    assert AlertBox(store, "another").open() == []
    box.close(first)
    box.close(first)
    assert again.open("run_missing") == [second]
    assert again.find(first.alert.key) is None


def test_messages_come_in_the_order_of_their_time(store: BaseArtifactStore) -> None:
    """Written again, one is the same with what became of it; removed twice, it is gone."""
    box = AlertBox(store, "shop")
    for number in (2, 1, 3):
        box.add(message(number))
    partly = message(1).model_copy(update={"taken_by": ("urls 1: slack",), "attempts": 1})
    box.add(partly)
    assert AlertBox(store, "shop").messages() == [partly, message(2), message(3)]
    for _ in range(2):
        box.remove(message(2))
    assert box.messages() == [partly, message(3)]


def test_an_event_that_was_noted_is_known(store: BaseArtifactStore) -> None:
    """By its name and occurrence, for its model; it is neither open nor a message."""
    box = AlertBox(store, "shop")
    event = state("rolled_back", event=True, occurrence="a1").alert
    assert not box.knows(event)
    for _ in range(2):
        box.note(event)
    assert AlertBox(store, "shop").knows(event)
    assert not box.knows(event.model_copy(update={"occurrence": "b2"}))
    assert not AlertBox(store, "another").knows(event)
    assert (box.open(), box.messages()) == ([], [])


def test_what_cannot_be_understood_is_passed_over_and_named(
    store: BaseArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer version's, or what somebody edited."""
    box = AlertBox(store, "shop")
    box.put(state())
    uri = f"{str(store.path).rstrip('/')}/alerts/shop/messages/x.json"
    write_blob(store, uri, b'{"id": "1", "colour": "red"}')
    assert box.messages() == []
    assert f"{uri} is no Message and is passed over" in caplog.text
    assert box.open() == [state()]
