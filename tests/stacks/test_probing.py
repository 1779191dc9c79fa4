"""What an answer to a probe says of a version, and what says nothing of it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import httpx
import pytest

from materializers.errors import ServiceBusy
from serving.synthetic import HEADER, is_synthetic
from stacks.probing import predicted
from tests.stacks.answers import Answer, answering

PATH = "/predictions"
RIGHT = {"jsonData": {"model_version": "7", "predictions": [{"label": "bags"}]}}
CONNECT = partial(httpx.Client, timeout=0.2)


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        (Answer(200, RIGHT), "7"),
        (Answer(200, {"jsonData": {"model_version": "7", "predictions": [{"error": {}}]}}), None),
        (Answer(200, "<html>"), None),
        (Answer(500, {"status": {"code": 500}}), None),
        (Answer(503, "no healthy upstream"), None),
        (Answer(404), None),
    ],
)
def test_an_answer_names_the_version_or_none(answer: Answer, version: str | None) -> None:
    """An error is an answer, too."""
    with answering({PATH: answer}) as server:
        assert predicted(CONNECT, f"{server.url}{PATH}") == version


def test_where_nothing_listens_no_version_answers() -> None:
    """The process is gone."""
    assert predicted(CONNECT, f"http://127.0.0.1:9{PATH}") is None


def test_no_time_says_nothing_of_the_version() -> None:
    """Neither a 429 nor silence: both are told apart from an answer, with what happened."""

    def silent(_: Any) -> Answer:
        time.sleep(0.5)
        return Answer(200, RIGHT)

    for answer, said in ((Answer(429), r"overloaded \(429\)"), (silent, "did not answer a picture in time")):
        with answering({PATH: answer}) as server, pytest.raises(ServiceBusy, match=said):
            predicted(CONNECT, f"{server.url}{PATH}")


def test_a_probe_says_that_no_user_sent_it() -> None:
    """So that it is no part of what a rollout is decided by."""
    with answering({PATH: Answer(200, RIGHT)}) as server:
        predicted(CONNECT, f"{server.url}{PATH}", headers={"x-request-key": "0"})
    (asked,) = server.asked
    assert is_synthetic(asked.headers.get(HEADER))
    assert asked.headers["x-request-key"] == "0"
