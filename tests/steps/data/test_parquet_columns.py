"""Tests of steps/data/parquet_columns.py: which columns can be used, and what they say as text."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materializers.errors import UsageError
from steps.data.labels import MOST_COLUMNS, Row
from tests.steps.data.deliveries import opened, write_parquet

PICTURE = b"picture"


def rows_of(path: Path) -> list[Row]:
    """What a file says of its pictures."""
    with opened(path) as source:
        return source.rows().rows


def written(tmp_path: Path, **columns: Any) -> Path:
    """Write columns beside two pictures."""
    return write_parquet(tmp_path / "x.parquet", {"image": [PICTURE] * 2, "label": ["books", " "], **columns})


def test_columns_beside_the_picture_are_kept_as_text(tmp_path: Path) -> None:
    """Numbers, times, truths and lists as a person would write them; empty ones are missing."""
    utc = datetime.UTC
    path = written(
        tmp_path,
        price=[7.5, float("nan")],
        number=[None, 3],
        new=[True, False],
        note=[" a ", ""],
        captured_at=pa.array(
            [datetime.datetime(2026, 11, 21, 14, tzinfo=utc), None], pa.timestamp("us", "UTC")
        ),
        day=[datetime.date(2026, 11, 21), None],
        tags=[["a", "ü"], None],
        size=[{"w": 1, "on": datetime.date(2026, 1, 2)}, None],
        group=pa.array(["g", None]).dictionary_encode(),
    )
    first, second = rows_of(path)
    assert (first.label, first.group, first.captured_at) == ("books", "g", "2026-11-21T14:00:00Z")
    assert first.extra == {
        "price": "7.5",
        "number": None,
        "new": "true",
        "note": "a",
        "day": "2026-11-21",
        "tags": '["a", "ü"]',
        "size": '{"w": 1, "on": "2026-01-02"}',
    }
    assert (second.label, second.group, second.captured_at) == (None, None, None)
    assert second.extra == dict.fromkeys(first.extra) | {"number": "3", "new": "false"}


def test_columns_that_the_index_has_itself_are_kept_under_another_name(tmp_path: Path) -> None:
    """A table brings pictures and corrects none, so its ``image_id`` and ``withdrawn`` say something else."""
    row = rows_of(written(tmp_path, width=[1, 2], image_id=[139, 285], withdrawn=[0, 1]))[0]
    assert row.extra == {"delivered_width": "1", "delivered_image_id": "139", "delivered_withdrawn": "0"}
    assert (row.image_id, row.withdrawn) == (None, False)


def test_a_column_of_paths_names_the_pictures(tmp_path: Path) -> None:
    """Also beside bytes that have none of their own."""
    assert [row.image_path for row in rows_of(written(tmp_path, image_path=["a.png", None]))] == [
        "a.png",
        "x.parquet#1",
    ]


def test_numbers_of_classes_are_labels_by_name_where_the_file_names_them(tmp_path: Path) -> None:
    """As Hugging Face's ``datasets`` writes a ClassLabel; -1 is how it writes that there is none."""
    features = {"info": {"features": {"label": {"names": ["books", "toys"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": [PICTURE] * 4, "label": [1, 0, -1, None]})
    named = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(named, tmp_path / "x.parquet")
    assert [row.label for row in rows_of(tmp_path / "x.parquet")] == ["toys", "books", None, None]
    pq.write_table(table, tmp_path / "x.parquet")
    assert [row.label for row in rows_of(tmp_path / "x.parquet")] == ["1", "0", "-1", None]
    for broken in (
        b"{",
        b"[]",
        b"null",
        json.dumps({"info": {"features": {"label": {"names": 3}}}}).encode(),
    ):
        pq.write_table(table.replace_schema_metadata({"huggingface": broken}), tmp_path / "x.parquet")
        assert rows_of(tmp_path / "x.parquet")[0].label == "1"


def test_a_number_that_no_class_has_refuses_the_delivery(tmp_path: Path) -> None:
    """A label is not guessed."""
    features = {"info": {"features": {"label": {"names": ["books", "toys"]}}}}
    table = pa.table({"image": [PICTURE], "label": [2]})
    pq.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(features)}), tmp_path / "x.parquet"
    )
    with pytest.raises(UsageError, match="a label is 2; the file names 2 classes"):
        rows_of(tmp_path / "x.parquet")


def test_the_row_numbers_of_pandas_are_no_column(tmp_path: Path) -> None:
    """They would make another version of the same pictures."""
    frame = pd.DataFrame({"image": [PICTURE] * 3, "label": ["a", "b", "c"]})
    frame[frame["label"] != "b"].to_parquet(tmp_path / "x.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "x.parquet").names
    assert rows_of(tmp_path / "x.parquet")[1].extra == {}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"label": ["books"]}, "has no column image: its columns are label"),
        ({"image": [PICTURE]}, "has no column label: its columns are image"),
        ({"picture": [PICTURE], "class": ["books"]}, "has no column image and no column label"),
        ({"image": ["text"], "label": ["books"]}, "the column image has the type string"),
        ({"image": [[1, 2]], "label": ["books"]}, "the column image has the type list"),
        ({"image": [{"path": "a.png"}], "label": ["books"]}, "the column image has the type struct"),
        ({"image": [{"bytes": "text"}], "label": ["books"]}, "the column image has the type struct"),
        ({"image": [PICTURE], "label": [1.5]}, "the column label has the type double"),
        ({"image": [PICTURE], "label": [["books"]]}, "the column label has the type list"),
        ({"image": [PICTURE], "label": [b"books"]}, "the column label has the type binary"),
        ({"image": [PICTURE], "label": ["books"], "mask": [PICTURE]}, "the column mask has the type binary"),
        (
            {"image": [PICTURE], "label": ["books"], "more": [[{"b": PICTURE}]]},
            "the column more has the type list",
        ),
        ({"image": [PICTURE], "label": ["books"], " label": ["toys"]}, "share a name or have none: label"),
        ({"image": [PICTURE], "label": ["books"], "": ["toys"]}, "(no name)"),
        ({"image": [PICTURE], "label": ["a"], "width": [1], "delivered_width": [1]}, "delivered_width"),
    ],
)
def test_columns_that_cannot_be_used_refuse_the_delivery(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    """The file, the column and its type are named, in one line."""
    path = write_parquet(tmp_path / "x.parquet", columns)
    with pytest.raises(UsageError) as refused:
        rows_of(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_columns_of_one_name_refuse_the_delivery(tmp_path: Path) -> None:
    """Parquet allows them."""
    pq.write_table(
        pa.table([[PICTURE], ["a"], ["b"]], names=["image", "label", "label"]), tmp_path / "x.parquet"
    )
    with pytest.raises(UsageError, match="share a name or have none: label"):
        rows_of(tmp_path / "x.parquet")


def test_a_table_that_is_too_wide_refuses_the_delivery(tmp_path: Path) -> None:
    """The number of its columns and the limit are named."""
    path = written(tmp_path, **{f"c{number}": [1, 2] for number in range(MOST_COLUMNS)})
    with pytest.raises(UsageError, match=r"x\.parquet has 1,002 columns; the limit is 1,000"):
        rows_of(path)


def in_lists(levels: int) -> pa.Array:
    """Two values within as many lists."""
    values = pa.array(["x", "y"])
    for _ in range(levels):
        values = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), values)
    return values


NOT_UTF_8 = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([2**62, 0], pa.timestamp("us")), "the column odd holds a value"),
        (pa.array([2**60, 0], pa.timestamp("ms", "UTC")), "the column odd holds a value"),
        (pa.array([2**31 - 1, 0], pa.date32()), "the column odd holds a value"),
        (pa.array([0, 1], pa.timestamp("us", "Middle/Earth")), "the column odd holds a value"),
        (pa.array([[2**62], []], pa.list_(pa.timestamp("us"))), "the column odd holds a value"),
        (NOT_UTF_8, "the column odd holds a value"),
        (
            in_lists(101),
            "the column odd has 102 levels of lists and structs within each other; the limit is 100",
        ),
    ],
    ids=["us", "ms", "date32", "zone", "list", "no UTF-8", "deep"],
)
def test_values_that_no_text_can_hold_refuse_the_delivery(
    tmp_path: Path, column: pa.Array, said: str
) -> None:
    """The file and the column are named, in one line, with what to write instead."""
    path = written(tmp_path, odd=column)
    with pytest.raises(UsageError) as refused:
        rows_of(path)
    assert f"{path}: x.parquet: {said}" in str(refused.value)
    assert "Write it" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_lists_as_deep_as_the_limit_are_kept(tmp_path: Path) -> None:
    """As JSON."""
    assert rows_of(written(tmp_path, odd=in_lists(99)))[0].extra == {"odd": "[" * 99 + '"x"' + "]" * 99}


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            '{"info": {"features": {"label": {"names": ["books", "\\ud800"]}}}}',
            "the column label holds a value that cannot be kept as text",
        ),
        ("[" * 100_000, "the column label is nested too deeply"),
    ],
    ids=["half a character", "deep"],
)
def test_names_of_classes_that_no_text_can_hold_refuse_the_delivery(
    tmp_path: Path, metadata: str, said: str
) -> None:
    """JSON can write half of a character, and lists in lists without end."""
    table = pa.table({"image": [PICTURE], "label": [0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "x.parquet")
    with pytest.raises(UsageError) as refused:
        rows_of(tmp_path / "x.parquet")
    assert said in str(refused.value)
    assert str(tmp_path / "x.parquet") in str(refused.value)
