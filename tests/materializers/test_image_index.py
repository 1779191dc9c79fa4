"""The index finds each row, says all of it in one digest, and comes back from disk as it was."""

import hashlib

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materializers import image_index
from materializers.image_index import (
    DERIVED_COLUMNS,
    Lookup,
    complete,
    decode_index,
    encode_index,
    row_digests,
    stacked,
)

QUICK = settings(deadline=None, max_examples=60)
DIGITS = st.text("01", min_size=2, max_size=2)
IMAGE_IDS = st.builds(lambda first, last: first + "0" * 60 + last, DIGITS, DIGITS)
"""Digests of which many share the digits that are searched by."""
VALUES = st.none() | st.text(max_size=5)
ROWS = st.dictionaries(
    IMAGE_IDS, st.fixed_dictionaries({"label": VALUES, "group": VALUES, "price": VALUES}), max_size=9
)


def index_of(rows: dict[str, dict[str, str | None]]) -> pd.DataFrame:
    """A complete index."""
    columns = ["image_id", "label", "group", "price"]
    return complete(pd.DataFrame([{"image_id": key, **row} for key, row in rows.items()], columns=columns))


@QUICK
@given(rows=ROWS, asked=st.lists(IMAGE_IDS | st.text(max_size=3), max_size=9))
def test_each_picture_is_found_and_no_other(rows: dict[str, dict[str, str | None]], asked: list[str]) -> None:
    """Also where digests begin alike, and for what is no digest at all."""
    index = index_of(rows)
    ids = index["image_id"].tolist()
    assert ids == sorted(rows)
    found = Lookup(index["image_id"]).find([*ids, *asked]).tolist()
    assert found == [*range(len(ids)), *(ids.index(each) if each in rows else -1 for each in asked)]


@QUICK
@given(rows=ROWS)
def test_an_index_reads_back_as_it_was(rows: dict[str, dict[str, str | None]]) -> None:
    """Every column in its type, with missing values and digests of rows."""
    index = index_of(rows)
    pd.testing.assert_frame_equal(decode_index(encode_index(index)), index)
    assert encode_index(decode_index(encode_index(index))) == encode_index(index)


@QUICK
@given(rows=ROWS, other=ROWS)
def test_rows_say_the_same_beside_rows_with_other_columns(
    rows: dict[str, dict[str, str | None]], other: dict[str, dict[str, str | None]]
) -> None:
    """A column that others bring, and the order of columns and rows, change no digest."""
    index = index_of(rows)
    wider = index_of({key: row for key, row in other.items() if key not in rows}).assign(season="winter")
    both = stacked([index, complete(wider)])
    known = dict(zip(index["image_id"], index["row_digest"], strict=True))
    assert {key: known[key] for key in known} == {
        key: digest
        for key, digest in zip(both["image_id"], row_digests(both[both.columns[::-1]]), strict=True)
        if key in known
    }


def test_many_rows_are_encoded_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows are encoded together changes nothing."""
    index = index_of({f"{number:064x}": {"label": str(number)} for number in range(10)})
    monkeypatch.setattr(image_index, "ROWS_AT_A_TIME", 3)
    assert list(row_digests(index)) == index["row_digest"].tolist()


def test_what_is_said_is_written_down() -> None:
    """A row's digest is the sha256 of its netstrings: names and values with their lengths."""
    index = index_of({"0" * 64: {"label": "tops", "group": None, "price": "ä"}})
    # printf '8:image_id64:000…0005:label4:tops5:price2:ä' | sha256sum
    said = f"8:image_id64:{'0' * 64}5:label4:tops5:price2:ä"
    assert index["row_digest"].tolist() == [hashlib.sha256(said.encode()).hexdigest()]


@pytest.mark.parametrize("image_id", ["abc", "Z" * 64, None, "A" * 64])
def test_an_image_id_is_a_digest(image_id: str | None) -> None:
    """Nothing else can name a picture."""
    with pytest.raises(ValueError, match="no digest of 64 hexadecimal digits"):
        complete(pd.DataFrame({"image_id": [image_id], "label": ["tops"]}))


def test_a_file_without_a_column_is_no_index() -> None:
    """An index of which a column is missing is refused by its name."""
    index = index_of({"0" * 64: {"label": "tops"}})
    with pytest.raises(ValueError, match="no column shard_offset"):
        decode_index(encode_index(index.drop(columns="shard_offset")))


def test_an_index_from_before_there_was_a_column_is_read() -> None:
    """The digest of an unmasked picture came later than the format: where it is absent, it is missing."""
    index = index_of({"0" * 64: {"label": "tops"}})
    old = encode_index(index.drop(columns="unmasked_digest"))
    pd.testing.assert_frame_equal(decode_index(old), index)


def test_digests_cost_their_bytes_alone() -> None:
    """A picture's row takes little of the disk: a delivery of 1 % is to write about 1 % of the bytes."""
    index = index_of({f"{number * 2**230:064x}": {"label": "tops"} for number in range(1, 4000)})
    index["source_digest"] = index["image_id"]
    assert len(encode_index(index)) / len(index) < 2 * 32 + 16
    assert "row_digest" in DERIVED_COLUMNS
