"""What is staged is asked about real pictures and nonsense, and every wrong answer is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from zenml.client import Client

from materializers.end_to_end import EndToEnd
from materializers.errors import Refused
from materializers.release import Release
from steps.deployment.end_to_end import ask_end_to_end
from tests.materializers.examples import load_test
from tests.steps.deployment.answering import Answer, Twist, answering, untwisted
from tests.steps.deployment.staged import staged_release

NAME = "asked-end-to-end"


@pytest.fixture(scope="module")
def staged(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release of a registered version whose test pictures are stored; nothing answers for it yet."""
    return staged_release(NAME, tmp_path_factory.mktemp("model"))


def asked(staged: Release, twist: Twist = untwisted, **known: Any) -> EndToEnd:
    """What a service comes to that answers for this release, its answers twisted."""
    candidate = staged.candidate
    assert candidate is not None
    version = known.get("version", candidate.version)
    with answering(Path(candidate.model_uri), candidate.model_digest, version, twist) as url:
        return ask_end_to_end(staged.model_copy(update={"url": url}), known.get("load"))


def test_a_service_that_answers_as_the_evaluated_model_passes(staged: Release) -> None:
    """Test pictures, each kind of nonsense with the reason that it was refused for, and a picture again."""
    test = asked(staged)
    assert staged.candidate is not None
    assert (test.outcome, test.reasons()) == ("passed", [])
    assert (test.version, test.model) == (1, staged.candidate.model_digest)
    sent = {exchange.sent: exchange.answered for exchange in test.exchanges}
    assert sent["test pictures, one by one"].startswith("12 of 12")
    assert "too_many_bytes" in sent["too many bytes"]
    assert "unknown_keys" in sent["an unknown key"]
    assert "method_not_allowed" in sent["the wrong method"]
    assert sent["a test picture after all of these"] == "1 of 1"
    assert all(exchange.answered for exchange in test.exchanges)


def test_the_load_counts(staged: Release) -> None:
    """Its report is named by digest, and what it did not stand refuses."""
    load = load_test()
    test = asked(staged, load=load)
    assert (test.outcome, test.load, test.load_test) == ("refused", "refused", load.digest)
    assert test.reasons() == ["under load: latency_p99_ms: 612.5, limit <= 500"]


def changed(answer: Answer, **changes: Any) -> Answer:
    """A prediction with other values."""
    code, body = answer
    said = json.loads(body)
    if "jsonData" in said:
        said["jsonData"]["predictions"][0].update(changes)
    return code, json.dumps(said).encode()


def surer(answer: Answer) -> Answer:
    """The same label, with another probability of each class."""
    code, body = answer
    said = json.loads(body)
    for prediction in said.get("jsonData", {}).get("predictions", ()):
        of = prediction["probabilities"]
        prediction["probabilities"] = {
            name: 0.9 * value + 0.1 * (name == "bags") for name, value in of.items()
        }
    return code, json.dumps(said).encode()


WRONG: dict[str, tuple[Twist, str]] = {
    "another label's probabilities": (lambda n, answer: surer(answer), "where the evaluated model says"),
    "no probabilities": (lambda n, answer: changed(answer, probabilities=None), "none of the contract"),
    "not JSON": (lambda n, answer: (200, b"<html>"), "none of the contract"),
    "an error": (lambda n, answer: (503, b"busy"), "HTTP 503: busy"),
    "none": (lambda n, answer: None, "no answer"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_answer_to_a_picture_is_found(staged: Release, what: str) -> None:
    """The first one is shown."""
    twist, said = WRONG[what]
    test = asked(staged, twist)
    assert test.outcome == "refused"
    assert test.exchanges[0].outcome == "refused"
    assert said in test.exchanges[0].answered


def test_one_wrong_answer_of_many_is_found(staged: Release) -> None:
    """The others are right, and counted."""
    test = asked(staged, lambda n, answer: (500, b"oops") if n == 5 else answer)
    assert test.outcome == "refused"
    assert test.exchanges[0].answered == "11 of 12; HTTP 500: oops"


def test_a_service_of_another_version_is_found(staged: Release) -> None:
    """Also where the model is the same."""
    test = asked(staged, version=7)
    assert test.outcome == "refused"
    assert "an answer of version 7" in test.exchanges[0].answered


NONSENSE_ANSWERED: dict[str, tuple[Answer | None, str]] = {
    "a server's error": ((500, b'{"status": {"reason": "internal_error"}}'), "HTTP 500: internal_error"),
    "a prediction": ((200, b"{}"), "HTTP 200"),
    "no reason": ((400, b""), "HTTP 400: no reason"),
    "no answer": (None, "no answer"),
}


@pytest.mark.parametrize("what", NONSENSE_ANSWERED)
def test_nonsense_that_is_not_refused_with_a_reason_is_found(staged: Release, what: str) -> None:
    """A 4xx that says why is right, and nothing else."""
    answer, said = NONSENSE_ANSWERED[what]
    test = asked(staged, lambda n, right: answer if right[0] == 400 else right)
    assert test.outcome == "refused"
    refused = [exchange for exchange in test.exchanges if exchange.outcome == "refused"]
    assert {"no image", "no JSON", "an unknown key"} <= {exchange.sent for exchange in refused}
    assert all(said in exchange.answered for exchange in refused)


def test_a_service_that_dies_of_nonsense_is_found(staged: Release) -> None:
    """It refused everything as it should, and then answered no picture any more."""
    refused = False

    def dying(number: int, answer: Answer) -> Answer | None:
        nonlocal refused
        refused = refused or answer[0] == 405
        return None if refused and answer[0] == 200 else answer

    test = asked(staged, dying)
    assert [exchange.sent for exchange in test.exchanges if exchange.outcome == "refused"] == [
        "a test picture after all of these"
    ]


def test_a_release_that_is_not_live_is_not_asked(staged: Release) -> None:
    """There is no URL."""
    with pytest.raises(Refused, match="Nothing is live in staging"):
        ask_end_to_end(staged.model_copy(update={"url": None}), None)
