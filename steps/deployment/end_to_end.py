"""Ask a release in staging end to end: real pictures, and nonsense.

Test pictures have to be answered as the evaluated model answers them, bad requests to be refused with a
reason, and the service has to live through both; its load test counts, too.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from materializers.end_to_end import EndToEnd, Exchange
from materializers.errors import Refused
from materializers.load_test import LoadTest
from materializers.present_model import present_model
from materializers.release import Release
from serving.model_directory import model_digest
from serving.synthetic import SYNTHETIC
from steps.deployment.deployer import active_deployer
from steps.deployment.load_test import stored_pictures

if TYPE_CHECKING:
    import httpx

    from serving.predictor import Prediction

PICTURES = 20
"""Test pictures that are sent one by one."""
TOLERANCE = 1e-3
"""Between a served probability and the evaluated model's: another processor rounds otherwise."""
TIMEOUT_S = 30.0
CLIENT_ERRORS = range(400, 500)
SHOWN_CHARACTERS = 120
RAW, JSON = {"content-type": "application/octet-stream"}, {"content-type": "application/json"}


@dataclass(frozen=True)
class Nonsense:
    """A request that has to be refused with a reason.

    Args:
        sent: in words.
        body: what is sent.
        headers: its type.
        method: of HTTP.
    """

    sent: str
    body: bytes
    headers: dict[str, str]
    method: str = "POST"


def nonsense(picture: bytes) -> list[Nonsense]:
    """Every kind of bad request that is sent.

    Args:
        picture: a good one, for those that are bad for another reason.
    """
    from serving.preprocess import DEFAULT_LIMITS
    from serving.service import DEFAULT_MAX_BATCH

    encoded = base64.b64encode(picture).decode()
    crowd = [encoded[:4]] * (DEFAULT_MAX_BATCH + 1)
    messages = {
        "an unknown key": {"binData": encoded, "colour": "red"},
        "no picture in the message": {"jsonData": {"images": []}},
        "a picture that is not base64": {"binData": "§"},
        "too many pictures": {"jsonData": {"images": crowd}},
        "a list in the place of a message": [1, 2],
    }
    return [
        Nonsense("no image", b"this is text", RAW),
        Nonsense("an image cut short", picture[: len(picture) // 2], RAW),
        Nonsense("nothing", b"", RAW),
        Nonsense("too many bytes", bytes(DEFAULT_LIMITS.max_bytes + 1), RAW),
        Nonsense("no JSON", b"{", JSON),
        *(Nonsense(sent, json.dumps(message).encode(), JSON) for sent, message in messages.items()),
        Nonsense("the wrong method", b"", RAW, method="DELETE"),
    ]


def ask_end_to_end(applied: Release, load: LoadTest | None) -> EndToEnd:
    """Ask a live release by its URL.

    Args:
        applied: live in its environment, with a URL.
        load: what its load test came to; None where none was asked for.

    Raises:
        Refused: its test pictures or its model are gone.
        ServiceUnreachable: the registry or the artifact store cannot be read.
    """
    from serving.predictor import Prediction, Predictor

    arm, url = applied.candidate, applied.url
    if arm is None or url is None:
        raise Refused(
            f"Nothing is live in {applied.environment} that could be tested: python run.py --status"
        )
    pictures = stored_pictures(applied, PICTURES)
    with present_model(arm.model_uri, model_digest) as model:
        predictor = Predictor.load(model.directory)
        answers = [predictor.predict([picture])[0] for picture in pictures]
    expected = [
        (picture, answer)
        for picture, answer in zip(pictures, answers, strict=True)
        if isinstance(answer, Prediction)  # the gate's limits of a picture are wider than the service's
    ]
    if not expected:
        raise Refused(
            f"Version {arm.version} answers none of its own test pictures. Train again: "
            "python run.py --train --source PATH"
        )
    version = str(arm.version)
    with active_deployer().connect(applied) as client:
        exchanges = [_answers_right(client, url, version, expected)]
        exchanges += [_refuses(client, url, bad) for bad in nonsense(expected[0][0])]
        alive = _answers_right(client, url, version, expected[:1])
    exchanges.append(alive.model_copy(update={"sent": "a test picture after all of these"}))
    return EndToEnd(
        model_name=applied.model_name,
        version=arm.version,
        model=arm.model_digest,
        environment=applied.environment,
        url=url,
        at=datetime.now(UTC),
        exchanges=tuple(exchanges),
        load=load.outcome if load else None,
        load_test=load.digest if load else None,
        load_reasons=tuple(load.reasons()) if load else (),
    )


def _answers_right(
    client: httpx.Client, url: str, version: str, expected: Sequence[tuple[bytes, Prediction]]
) -> Exchange:
    """Send pictures one by one, and compare each answer with the evaluated model's."""
    faults = [fault for each in expected if (fault := _fault(client, url, version, *each))]
    right = len(expected) - len(faults)
    return Exchange(
        sent="test pictures, one by one",
        expected=f"version {version}'s own answer to each, in the shape of the contract",
        answered=f"{right} of {len(expected)}" + (f"; {faults[0]}" if faults else ""),
        requests=len(expected),
        outcome="refused" if faults else "passed",
    )


def _fault(client: httpx.Client, url: str, version: str, picture: bytes, expected: Prediction) -> str | None:
    """What is wrong with the answer to a picture; None where it is right."""
    answer = _send(client, url, Nonsense("", picture, RAW))
    if isinstance(answer, str):
        return answer
    if answer.status_code != 200:  # noqa: PLR2004 (HTTP's own number)
        return f"HTTP {answer.status_code}: {_said(answer)}"
    try:
        data = answer.json()["jsonData"]
        (prediction,) = data["predictions"]
        found = {name: float(value) for name, value in prediction["probabilities"].items()}
        probability, request_id = float(prediction["probability"]), data["request_id"]
        answered = (str(data["model_version"]), prediction["label"], bool(prediction["abstained"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"an answer that is none of the contract ({error!r}): {_said(answer)}"
    if not request_id or answered[0] != version:
        return f"an answer of version {answered[0]} with request id {request_id!r}"
    wrong = found.keys() != expected.probabilities.keys() or not all(
        math.isclose(found[name], value, abs_tol=TOLERANCE) for name, value in expected.probabilities.items()
    )
    # Between two classes that are as likely as each other a rounding decides.
    surely = abs(expected.probability - sorted(expected.probabilities.values())[-2]) > 2 * TOLERANCE
    if wrong or (surely and answered[1] != expected.label):
        return (
            f"{answered[1]} with {probability:.4f} where the evaluated model says {expected.label} with "
            f"{expected.probability:.4f}"
        )
    return None


def _refuses(client: httpx.Client, url: str, bad: Nonsense) -> Exchange:
    """Send one bad request."""
    answer = _send(client, url, bad)
    if isinstance(answer, str):
        outcome: Literal["passed", "refused"] = "refused"
        answered = answer
    else:
        said = _said(answer)
        outcome = "passed" if answer.status_code in CLIENT_ERRORS and said else "refused"
        answered = f"HTTP {answer.status_code}: {said or 'no reason'}"
    return Exchange(sent=bad.sent, expected="HTTP 4xx with a reason", answered=answered, outcome=outcome)


def _send(client: httpx.Client, url: str, request: Nonsense) -> httpx.Response | str:
    """The answer to a request, or why there is none."""
    import httpx

    try:
        headers = {**request.headers, **SYNTHETIC}
        return client.request(request.method, url, content=request.body, headers=headers, timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        return f"no answer ({error or type(error).__name__})"


def _said(answer: httpx.Response) -> str:
    """The reason that an answer gives, in one line; empty where it gives none."""
    try:
        status: Any = answer.json()["status"]
        said = ": ".join(str(status[key]) for key in ("reason", "info") if status.get(key))
    except (ValueError, LookupError, TypeError, AttributeError):
        said = " ".join(answer.text.split())
    return said[:SHOWN_CHARACTERS]
