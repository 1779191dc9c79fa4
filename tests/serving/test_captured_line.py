"""A line of the spool becomes rows, and a damaged one says so."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from serving.capture_layout import CAPTURES, FEEDBACK, PERSONAL
from serving.captured_line import (
    CaptureLine,
    DamagedLine,
    FeedbackLine,
    PictureLine,
    Said,
    numbers_to_text,
    rows_of,
    to_line,
    without_pictures,
)

SCORES = np.array([0.25, 0.75], np.float32)
LINE = CaptureLine(
    request_id="order-17",
    at=1_700_000_000_123_456,
    latency_ms=4.5,
    model_name="shoes",
    model_version="3",
    model_digest="d" * 64,
    classes=("left", "right"),
    status=200,
    pictures=(
        PictureLine(label="right", probability=0.75, scores=numbers_to_text(SCORES), abstained=False),
        PictureLine(reason="truncated", picture=base64.b64encode(b"pixels").decode()),
    ),
)


def test_a_request_becomes_a_row_a_picture() -> None:
    """With the request's own values beside each, numbers to the bit, and the microsecond."""
    kind, (first, second) = rows_of(to_line(LINE))
    assert kind == CAPTURES
    assert (first["request_id"], first["position"], second["position"]) == ("order-17", 0, 1)
    assert first["at"].isoformat() == "2023-11-14T22:13:20.123456+00:00"
    assert first["scores"].tolist() == [0.25, 0.75]
    assert first["classes"] == ["left", "right"]
    assert (second["scores"], second["classes"], second["reason"]) == (None, None, "truncated")
    assert second["picture"] == b"pixels"


def test_feedback_becomes_a_row_for_each_thing_said() -> None:
    """Each label with its position, a reward without one."""
    said = (Said(position=0, label="left"), Said(reward=1.0))
    kind, rows = rows_of(to_line(FeedbackLine(request_id="order-17", at=0, said=said)))
    assert kind == FEEDBACK
    assert [(row["position"], row["label"], row["reward"]) for row in rows] == [
        (0, "left", None),
        (None, None, 1.0),
    ]


CHANGES: list[dict[str, Any]] = [
    {"kind": "something"},
    {"at": -1},
    {"at": 10**20},
    {"pictures": []},
    {"pictures": [{"scores": "AAAA"}]},
    {"pictures": [{"scores": base64.b64encode(bytes(4)).decode()}]},
    {"pictures": [{"embedding": "?"}]},
    {"pictures": [{"picture": "?"}]},
    {"pictures": [{"unknown": 1}]},
    {"request_id": None},
    {"status": "fine"},
]


@pytest.mark.parametrize("change", CHANGES, ids=json.dumps)
def test_an_altered_line_is_damaged(change: dict[str, Any]) -> None:
    """Whatever is wrong with it, it is one error."""
    with pytest.raises(DamagedLine):
        rows_of(json.dumps({**json.loads(to_line(LINE)), **change}).encode())


@pytest.mark.parametrize("part", [1, 0.5, 0.99], ids=["a byte", "half", "nearly all"])
def test_a_line_cut_short_is_damaged(part: float) -> None:
    """Wherever it was cut; the message says nothing of its content."""
    line = to_line(LINE)
    with pytest.raises(DamagedLine) as refused:
        rows_of(line[: int(part if part >= 1 else len(line) * part)])
    assert "order-17" not in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'"text"',
        b"[1]",
        b'{"pictures": 1}',
        b'{"pictures": [1, {"picture": 2}]}',
    ],
)
def test_what_is_kept_of_a_damaged_line_never_fails_and_has_no_picture(line: bytes) -> None:
    """Nothing at all where nobody can tell what is what."""
    kept = without_pictures(line)
    assert kept in (None, {}, {"pictures": [{}]})


def test_of_what_can_be_read_only_pictures_and_what_is_unknown_go() -> None:
    """Neither a picture nor what was computed of it; who, when and what was answered stays."""
    read = {**json.loads(to_line(LINE)), "copy": "of a picture"}
    read["pictures"][0] |= {"picture": "cGl4ZWxz", "embedding": "AAAA", "input_digest": "1", "orientation": 1}
    kept = without_pictures(json.dumps(read).encode())
    assert kept is not None
    assert kept["request_id"] == "order-17"
    assert "copy" not in kept
    assert set(kept["pictures"][0]) == set(read["pictures"][0]) - {*PERSONAL}
