"""Requests as nobody should send them, for hypothesis: messages, bodies and headers.

The suite sends some of them; ``benchmarks/serving/fuzzing.py`` sends thousands. Both hold an answer to
``fault``.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from hypothesis import strategies as st

from serving.reasons import Reason
from tests.serving.pictures import bomb, damaged_png, encode, gradient, kinds_of_pictures

RAW, JSON = "application/octet-stream", "application/json"
ALLOWED = frozenset({200, 400, 413, 415, 429, 431})
"""What the service may answer to a POST of predictions, whatever it holds."""
MOST_TREE = 20
TRACES = ("Traceback", 'File "', "site-packages", ".py")
"""What a stack trace would show."""

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Sent:
    """One request to the predictions' path."""

    body: bytes
    headers: Headers


def fault(status: int, body: bytes) -> str | None:
    """What is wrong with an answer: another status, another shape, a stack trace; None: nothing."""
    if status not in ALLOWED:
        return f"HTTP {status}: {body[:300]!r}"
    text = body.decode("utf-8", "replace")
    if any(trace in text for trace in TRACES):
        return f"a trace: {text[:1000]}"
    try:
        answer = json.loads(body)
        if status != 200:
            said = answer["status"]
            known = said["reason"] in get_args(Reason)
            sane = said["code"] == status and said["status"] == 1 and known and bool(said["info"])
        else:
            predictions = answer["jsonData"]["predictions"]
            sane = bool(predictions) and all("label" in one or "error" in one for one in predictions)
    except (ValueError, LookupError, TypeError) as error:
        return f"another shape ({error!r}): {text[:300]}"
    return None if sane else f"another shape: {text[:300]}"


def _pictures() -> list[bytes]:
    small = [encode(gradient(28, 28)), encode(gradient(64, 48), "JPEG"), encode(gradient(40, 40), "WEBP")]
    return [*small, *kinds_of_pictures().values(), bomb(), damaged_png(), b""]


@st.composite
def mutated_pictures(draw: st.DrawFn) -> bytes:
    """A real picture, cut, with bytes changed, put in or taken out, or as it is."""
    data = bytearray(draw(st.sampled_from(_pictures())))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["change", "cut", "put in", "take out", "double"]))
        if kind == "change" and data:
            data[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[place:]
        elif kind == "put in":
            data[place:place] = draw(st.binary(max_size=40))
        elif kind == "take out":
            del data[place : place + draw(st.integers(1, 200))]
        elif kind == "double":
            data += data[place:]
    return bytes(data)


def json_trees() -> st.SearchStrategy[Any]:
    """Any JSON, also numbers that are none of JSON's, lone surrogates and control characters."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(10**400), 10**400)
        | st.floats()
        | st.text(st.characters(codec=None), max_size=30)
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
        max_leaves=MOST_TREE,
    )


def in_base64() -> st.SearchStrategy[Any]:
    """A picture in base64, in base64 that is damaged, or anything else."""
    encoded = mutated_pictures().map(lambda picture: base64.b64encode(picture).decode())
    damaged = st.tuples(encoded, st.integers(0, 400), st.text(max_size=3)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    )
    return encoded | damaged | json_trees()


@st.composite
def messages(draw: st.DrawFn) -> Any:
    """A Seldon message, right in most places and wrong in some."""
    message: dict[str, Any] = {}
    if draw(st.booleans()):
        message["binData"] = draw(in_base64())
    if draw(st.integers(0, 2)) == 0 or not message:
        images = st.lists(in_base64(), max_size=5) | json_trees()
        content = st.fixed_dictionaries({"images": images}, optional={"image": json_trees()})
        message["jsonData"] = draw(content | json_trees())
    if draw(st.booleans()):
        tags = st.fixed_dictionaries({}, optional={"request_key": json_trees()}) | json_trees()
        names = {"puid": st.text(max_size=200) | json_trees(), "tags": tags, "metrics": json_trees()}
        message["meta"] = draw(st.fixed_dictionaries({}, optional=names) | json_trees())
    if draw(st.integers(0, 5)) == 0:
        other = st.sampled_from(["data", "strData", "customData", "status", "", "__class__"]) | st.text(
            max_size=9
        )
        message[draw(other)] = draw(json_trees())
    return draw(json_trees()) if draw(st.integers(0, 9)) == 0 else message


def _written(message: Any) -> bytes:
    """As JSON, as Python writes it: with NaN, and with surrogates escaped."""
    return json.dumps(message).encode()


def texts() -> st.SearchStrategy[bytes]:
    """Bodies of JSON: messages, the same cut short, what is deep, and what is none."""
    written = messages().map(_written)
    cut = st.tuples(written, st.integers(0, 200)).map(lambda parts: parts[0][: -parts[1] or None])
    deep = st.tuples(st.sampled_from([b"[", b'{"a":', b'{"jsonData":[']), st.integers(1, 20_000)).map(
        lambda parts: parts[0] * parts[1]
    )
    return st.one_of(written, written, written, cut, deep, st.binary(max_size=200))


def headers() -> st.SearchStrategy[dict[str, str]]:
    """Headers that the service reads, with values that HTTP admits."""
    value = st.text(
        st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=150
    )
    value = value.map(lambda text: "".join(one for one in text if not 0x7F <= ord(one) < 0xA0))
    kinds = st.sampled_from(
        [RAW, JSON, "text/plain", "multipart/form-data", "application/json; charset=utf-16"]
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "content-type": kinds | value,
            "content-encoding": st.sampled_from(["gzip", "identity", "br"]) | value,
            "x-request-id": value,
            "x-request-key": value,
            "accept": value,
            "authorization": value,
            "cookie": value,
        },
    )


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """A request with a raw body or a message, mostly with the type that belongs to it."""
    raw = draw(st.booleans())
    body = draw(mutated_pictures() | st.binary(max_size=500) if raw else texts())
    right = {"content-type": RAW if raw else JSON}
    return Sent(body, right if draw(st.booleans()) else {**right, **draw(headers())})
