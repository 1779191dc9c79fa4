"""What was captured is read back: the hours that are asked for, on disk and from a bucket."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from materializers import blobs
from materializers.errors import ServiceUnreachable
from serving.captured_line import Said
from serving.recording import Model
from steps.monitoring import captures
from steps.monitoring.captures import UNREADABLE, joined, read_captures, read_feedback, unknown_versions
from tests.bucket import BucketServer
from tests.captured import CLASSES, MODEL, NOON, answered, picture, said, shipped
from tests.materializers.stores import disk_store, s3_store, s3_store_at
from tests.serving.pictures import encode, gradient

HOUR = timedelta(hours=1)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of an artifact store of its own, on disk."""
    (tmp_path / "store").mkdir()
    monkeypatch.setattr(captures, "active_store", lambda: disk_store(tmp_path / "store"))
    return tmp_path / "store"


def read(**options: object) -> pd.DataFrame:
    """What was captured in the hour before and the two after noon."""
    return read_captures(
        MODEL.name,
        "staging",
        **{"since": NOON - HOUR, "until": NOON + 2 * HOUR, **options},  # type: ignore[arg-type]
    )


def test_captures_come_back_as_they_were(root: Path, tmp_path: Path) -> None:
    """By time, one row a picture, without pictures and embeddings unless they are asked for."""
    photograph = encode(gradient(64, 48), "JPEG")
    later = answered("b", picture(photograph), picture(photograph, (0, 0.4, 0.6)), at=NOON + HOUR)
    shipped(
        root, tmp_path / "spool", [later, answered("a"), answered("c", status=429, reason="busy")], pictures=1
    )
    found = read()
    assert list(found["request_id"]) == ["a", "c", "b", "b"]
    assert list(found["position"]) == [0, 0, 0, 1]
    assert str(found["at"].dtype) == "datetime64[us, UTC]"
    assert found["at"].iloc[0].to_pydatetime() == NOON
    assert list(found["scores"].iloc[3]) == list(np.array([0, 0.4, 0.6], np.float32))
    assert list(found["classes"].iloc[3]) == list(CLASSES)
    assert list(found["status"]) == [200, 429, 200, 200]
    assert not {"picture", "embedding"} & set(found.columns)
    columns = ["picture", "request_id"]
    asked = read(columns=columns)
    assert list(asked.columns) == columns
    assert asked["picture"].iloc[3] == photograph
    assert asked.attrs[UNREADABLE] == []


def test_only_the_hours_that_are_asked_for_are_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies before and after; a moment within an hour counts to the microsecond."""
    moments = [NOON + number * HOUR for number in range(-30, 31)]
    shipped(root, tmp_path / "spool", [answered(f"{number}", at=at) for number, at in enumerate(moments)])
    opened: list[str] = []
    really_read = blobs.read_blob

    def read_blob(store: object, uri: str) -> bytes:
        opened.append(uri)
        return really_read(store, uri)  # type: ignore[arg-type]

    monkeypatch.setattr(captures, "read_blob", read_blob)
    assert list(read(since=NOON, until=NOON + HOUR)["request_id"]) == ["30"]
    assert len(opened) == 2
    tick = timedelta(microseconds=1)
    assert list(read(since=NOON, until=NOON + HOUR + tick)["request_id"]) == ["30", "31"]
    assert list(read(since=NOON + tick, until=NOON + HOUR)["request_id"]) == []


def test_other_models_and_environments_are_left_alone(root: Path, tmp_path: Path) -> None:
    """Each has its own folder."""
    shipped(root, tmp_path / "1", [answered("other")], model=Model("another", "1", "d", CLASSES))
    shipped(root, tmp_path / "2", [answered("production")], environment="production")
    assert read().empty
    assert "label" in read().columns


def test_a_damaged_part_is_named_and_left_out(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut short, altered, or no Parquet at all; what lies beside it is no part."""
    for number in range(4):
        shipped(root, tmp_path / "spool", [answered(f"{number}")])
    cut, altered, text, _ = sorted(root.rglob("*.parquet"))
    cut.write_bytes(cut.read_bytes()[:-20])
    altered.write_bytes(altered.read_bytes().replace(b"request_id", b"request_ix"))
    text.write_text("text")
    (text.parent / f".{text.name}.{'0' * 32}.part").write_text("half")
    (text.parent / "notes.txt").write_text("somebody's")
    with caplog.at_level(logging.WARNING, logger="shutterline.captures"):
        found = read()
    assert len(found) == 1
    names = sorted(str(path.relative_to(root)) for path in (cut, altered, text))
    assert found.attrs[UNREADABLE] == names
    assert "3 of 4 parts cannot be read" in caplog.text
    assert names[0] in caplog.text


def test_a_part_that_went_meanwhile_is_no_damage(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was past its time."""
    shipped(root, tmp_path / "spool", [answered("a")])
    really_list = captures.parts_between

    def parts(*given: object) -> list[tuple[str, str]]:
        found = list(really_list(*given))  # type: ignore[arg-type]
        for uri, _ in found:
            Path(uri).unlink()
        return found

    monkeypatch.setattr(captures, "parts_between", parts)
    assert read().empty
    assert read().attrs[UNREADABLE] == []


def test_nothing_was_captured_yet(root: Path) -> None:
    """No folder at all: no rows, every column."""
    assert read().empty
    assert read_feedback(MODEL.name, "staging", since=NOON).empty


def test_a_bucket_is_read_alike(
    bucket: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the store's own client; one that does not let us in is one clear line."""
    store = s3_store(bucket.endpoint)
    monkeypatch.setattr(captures, "active_store", lambda: store)
    assert read().empty
    shipped(store.path, tmp_path / "spool", [answered("a"), said("a", Said(label="tops"))])
    assert list(read()["request_id"]) == ["a"]
    feedback = read_feedback(MODEL.name, "staging", since=NOON - HOUR, until=NOON + HOUR)
    assert list(feedback["label"]) == ["tops"]
    locked = s3_store_at(store.path, bucket.endpoint, secret="another", attempts=1)
    monkeypatch.setattr(captures, "active_store", lambda: locked)
    with pytest.raises(ServiceUnreachable, match="could not read the captures"):
        read()


def feedback_of(root: Path, spool: Path, *given: object) -> pd.DataFrame:
    """What feedback comes to."""
    shipped(root, spool, given)  # type: ignore[arg-type]
    return read_feedback(MODEL.name, "staging", since=NOON - HOUR, until=NOON + 48 * HOUR)


def test_labels_are_put_beside_answers(root: Path, tmp_path: Path) -> None:
    """By request and position; right or wrong, and how long it took until somebody said."""
    requests = [answered("a", picture(), picture(scores=(0, 1, 0))), answered("b"), answered("silent")]
    shipped(root, tmp_path / "1", requests)
    later = NOON + timedelta(minutes=10)
    labels = (Said(position=0, label="bags"), Said(position=1, label="tops"), Said(reward=0.5, value=9.9))
    feedback = feedback_of(
        root, tmp_path / "2", said("a", *labels, at=later), said("b", Said(label="bags"), at=later)
    )
    result = joined(read(), feedback)
    rows = result.rows.set_index(["request_id", "position"])
    labelled = [("a", 0), ("a", 1), ("b", 0)]
    assert [rows["truth"][key] for key in labelled] == ["bags", "tops", "bags"]
    assert [rows["correct"][key] for key in labelled] == [True, False, True]
    assert rows.loc[("silent", 0), ["truth", "correct", "delay_s", "reward"]].isna().all()
    assert rows["delay_s"]["a", 0] == 600
    assert (rows["reward"]["a", 1], rows["value"]["a", 1]) == (0.5, 9.9)
    assert (result.unmatched, result.conflicts) == (0, 0)


def test_the_last_of_two_labels_counts_and_a_conflict_is_counted(root: Path, tmp_path: Path) -> None:
    """The same label twice is none; both rows are kept."""
    shipped(root, tmp_path / "1", [answered("a"), answered("b")])
    feedback = feedback_of(
        root,
        tmp_path / "2",
        said("a", Said(position=0, label="tops"), at=NOON + 2 * HOUR),
        said("a", Said(label="bags"), at=NOON + HOUR),
        said("b", Said(label="bags"), at=NOON + HOUR),
        said("b", Said(label="bags"), at=NOON + 2 * HOUR),
    )
    assert len(feedback) == 4
    result = joined(read(), feedback)
    assert list(result.rows["truth"]) == ["tops", "bags"]
    assert list(result.rows["correct"]) == [False, True]
    assert result.conflicts == 1


def test_feedback_that_means_no_picture_is_unmatched(root: Path, tmp_path: Path) -> None:
    """An unknown request, a position that it had not, and one label for a request of two pictures."""
    shipped(root, tmp_path / "1", [answered("two", picture(), picture())])
    feedback = feedback_of(
        root,
        tmp_path / "2",
        said("unknown", Said(label="bags"), Said(reward=1.0)),
        said("two", Said(position=2, label="bags")),
        said("two", Said(label="bags")),
    )
    result = joined(read(), feedback)
    assert result.unmatched == 4
    assert result.rows["truth"].isna().all()
    assert len(result.rows) == 2


def test_a_label_is_put_beside_the_answer_of_each_version(root: Path, tmp_path: Path) -> None:
    """A shadow answers the same request."""
    other = Model(MODEL.name, "8", "8" * 64, CLASSES)
    shipped(root, tmp_path / "1", [answered("a")])
    shipped(root, tmp_path / "2", [answered("a", picture(scores=(0, 1, 0)))], model=other)
    feedback = feedback_of(root, tmp_path / "3", said("a", Said(label="dresses")))
    rows = joined(read(), feedback).rows.sort_values("model_version")
    assert list(rows["correct"]) == [False, True]


def test_joining_nothing_gives_nothing(root: Path) -> None:
    """Empty tables have every column, too."""
    nothing = read_feedback(MODEL.name, "staging", since=NOON)
    result = joined(read(), nothing)
    assert result.rows.empty
    assert {"truth", "correct", "delay_s", "reward", "value"} <= set(result.rows.columns)


def test_versions_that_the_registry_does_not_know_are_named(root: Path, tmp_path: Path) -> None:
    """With the number of their rows."""
    shipped(root, tmp_path / "1", [answered("a"), answered("b")])
    shipped(root, tmp_path / "2", [answered("c")], model=Model(MODEL.name, "8", "8" * 64, CLASSES))
    assert unknown_versions(read(), known=[8]) == {"7": 2}
    assert unknown_versions(read(), known=[7, 8]) == {}
