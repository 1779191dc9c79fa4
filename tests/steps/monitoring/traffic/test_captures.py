"""What was captured is read back: the hours that are asked for, on disk and from a bucket."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from materializers import blobs
from materializers.errors import ServiceUnreachable
from serving.captured_line import Said
from serving.recording import Model
from steps.monitoring.traffic import captures
from steps.monitoring.traffic.captures import UNREADABLE, read_feedback, unknown_versions
from tests.bucket import BucketServer
from tests.captured import CLASSES, MODEL, NOON, answered, picture, said, shipped
from tests.materializers.stores import s3_store, s3_store_at
from tests.serving.pictures import encode, gradient
from tests.steps.monitoring.conftest import HOUR, read


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


def test_of_the_pictures_that_are_wanted_alone_rows_are_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part, before they are joined: a month's pictures may be more than memory holds."""
    seen: list[int] = []
    kept = pa.concat_tables

    def counted(tables: list[pa.Table]) -> pa.Table:
        seen.extend(len(table) for table in tables)
        return kept(tables)

    for number in range(3):
        photographs = [picture(encode(gradient(64, 48, 10 * number + each), "JPEG")) for each in range(2)]
        shipped(root, tmp_path / str(number), [answered(f"r{number}", *photographs)], pictures=1)
    wanted = read()["image_id"].iloc[3]
    monkeypatch.setattr(pa, "concat_tables", counted)
    found = read(columns=["image_id", "picture"], image_ids=[wanted])
    assert list(found["image_id"]) == [wanted]
    assert found["picture"].notna().all()
    assert sorted(seen) == [0, 0, 1]


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


def test_versions_that_the_registry_does_not_know_are_named(root: Path, tmp_path: Path) -> None:
    """With the number of their rows."""
    shipped(root, tmp_path / "1", [answered("a"), answered("b")])
    shipped(root, tmp_path / "2", [answered("c")], model=Model(MODEL.name, "8", "8" * 64, CLASSES))
    assert unknown_versions(read(), known=[8]) == {"7": 2}
    assert unknown_versions(read(), known=[7, 8]) == {}
