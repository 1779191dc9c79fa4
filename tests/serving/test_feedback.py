"""What a feedback message says, and what it may not."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.captured_line import Said
from serving.feedback import BadFeedback, parse_feedback
from serving.recording import GivenFeedback
from tests.captured import CLASSES

RESPONSE = {"meta": {"puid": "order-17"}}


def parsed(**message: Any) -> GivenFeedback:
    """Of a message about one request."""
    return parse_feedback({"response": RESPONSE, **message}, classes=CLASSES, most_labels=16, at=5.0)


MESSAGES: list[tuple[dict[str, Any], tuple[Said, ...]]] = [
    ({"reward": 1}, (Said(reward=1.0),)),
    ({"reward": 0.0}, (Said(reward=0.0),)),
    ({"truth": {"strData": "tops"}}, (Said(label="tops"),)),
    ({"truth": {"strData": "tops"}, "reward": -1}, (Said(label="tops"), Said(reward=-1.0))),
    (
        {"truth": {"jsonData": {"labels": ["tops", None, "bags"]}}},
        (Said(position=0, label="tops"), Said(position=2, label="bags")),
    ),
    (
        {"truth": {"jsonData": {"labels": ["tops"] * 16}}},
        tuple(Said(position=position, label="tops") for position in range(16)),
    ),
    ({"truth": {"jsonData": {"value": 19.9}}}, (Said(value=19.9),)),
    (
        {"truth": {"jsonData": {"labels": ["bags"], "value": 3}}, "reward": 2},
        (Said(position=0, label="bags"), Said(reward=2.0, value=3.0)),
    ),
    (
        {"truth": {"strData": "tops", "meta": {"tags": {}}}, "request": {"binData": "AA=="}},
        (Said(label="tops"),),
    ),
]


@pytest.mark.parametrize(("message", "said"), MESSAGES)
def test_what_is_said_is_understood(message: dict[str, Any], said: tuple[Said, ...]) -> None:
    """Labels by position, reward and figure of the request."""
    assert parsed(**message) == GivenFeedback("order-17", 5.0, said)


def test_the_id_may_stand_in_the_request() -> None:
    """As whoever keeps what he sent has it; twice the same is the same."""
    meta = {"meta": {"puid": "order-17"}}
    for message in ({"request": meta}, {"request": meta, "response": meta}):
        assert (
            parse_feedback({**message, "reward": 1}, classes=CLASSES, most_labels=16, at=5.0).request_id
            == "order-17"
        )


REFUSED: list[tuple[Any, str]] = [
    ([], "bad_feedback"),
    ({"response": RESPONSE}, "bad_feedback"),
    ({"response": RESPONSE, "truth": {}}, "bad_feedback"),
    ({"response": RESPONSE, "truth": {"jsonData": {"labels": [None]}}}, "bad_feedback"),
    ({"response": RESPONSE, "truth": "tops"}, "bad_feedback"),
    ({"response": RESPONSE, "truth": {"strData": "tops", "jsonData": {}}}, "bad_feedback"),
    ({"response": RESPONSE, "truth": {"jsonData": []}}, "bad_feedback"),
    ({"response": RESPONSE, "truth": {"jsonData": {"labels": "tops"}}}, "bad_feedback"),
    ({"response": RESPONSE, "truth": {"jsonData": {"labels": ["tops"] * 17}}}, "bad_feedback"),
    ({"response": RESPONSE, "truth": {"binData": ""}}, "unknown_keys"),
    ({"response": RESPONSE, "truth": {"jsonData": {"label": "tops"}}}, "unknown_keys"),
    ({"response": RESPONSE, "rewards": 1}, "unknown_keys"),
    ({"reward": 1}, "no_request_id"),
    ({"response": {"meta": {"puid": ""}}, "reward": 1}, "no_request_id"),
    ({"response": {"meta": {"puid": 17}}, "reward": 1}, "no_request_id"),
    ({"response": {"meta": {"puid": "x" * 129}}, "reward": 1}, "no_request_id"),
    ({"response": {"meta": {"puid": "a\nb"}}, "reward": 1}, "no_request_id"),
    ({"response": {"meta": []}, "request": "order-17", "reward": 1}, "no_request_id"),
    ({"response": RESPONSE, "request": {"meta": {"puid": "other"}}, "reward": 1}, "no_request_id"),
    ({"response": RESPONSE, "truth": {"strData": "hats"}}, "unknown_label"),
    ({"response": RESPONSE, "truth": {"strData": ["tops"]}}, "unknown_label"),
    ({"response": RESPONSE, "truth": {"jsonData": {"labels": ["tops", 3]}}}, "unknown_label"),
    ({"response": RESPONSE, "reward": "1"}, "bad_reward"),
    ({"response": RESPONSE, "reward": True}, "bad_reward"),
    ({"response": RESPONSE, "reward": float("nan")}, "bad_reward"),
    ({"response": RESPONSE, "reward": float("-inf")}, "bad_reward"),
    ({"response": RESPONSE, "reward": 10**400}, "bad_reward"),
    ({"response": RESPONSE, "reward": 1.1e6}, "bad_reward"),
    ({"response": RESPONSE, "truth": {"jsonData": {"value": "much"}}}, "bad_value"),
    ({"response": RESPONSE, "truth": {"jsonData": {"value": 1e13}}}, "bad_value"),
]


@pytest.mark.parametrize(("message", "reason"), REFUSED)
def test_what_cannot_be_meant_is_refused(message: Any, reason: str) -> None:
    """With a reason that a program can read."""
    with pytest.raises(BadFeedback) as refused:
        parse_feedback(message, classes=CLASSES, most_labels=16, at=5.0)
    assert refused.value.reason == reason


def test_an_unknown_label_is_told_the_classes() -> None:
    """So that whoever posts it finds the slip."""
    with pytest.raises(
        BadFeedback, match="'hats' is no class of the model; its classes are bags, dresses, tops"
    ):
        parsed(truth={"strData": "hats"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(CLASSES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["meta", "puid", "truth", "strData", "jsonData", "labels", "value", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={name: JSON for name in ("request", "response", "reward", "truth", "other")}
    )
)
def test_whatever_is_posted_is_understood_or_refused(message: dict[str, Any]) -> None:
    """Nothing else is raised."""
    try:
        feedback = parse_feedback(message, classes=CLASSES, most_labels=16, at=0.0)
    except BadFeedback:
        return
    assert feedback.said
