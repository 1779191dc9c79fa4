"""Tests of steps/data/labels.py."""

import pytest

from materializers.errors import UsageError
from steps.data.labels import read_labels


def test_every_column_is_kept_as_text() -> None:
    """Numbers, leading zeros and the names of nothing stay what they were."""
    labels = read_labels(b"image_path,label,price,note\na.png,books,007,NA\n")
    assert labels.rows[0].extra == {"price": "007", "note": "NA"}


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    """A file saved by a spreadsheet program is read."""
    labels = read_labels("image_path,label\nä.png,bücher\n".encode("utf-8-sig"))
    assert (labels.rows[0].image_path, labels.rows[0].label) == ("ä.png", "bücher")


def test_empty_values_are_missing_values() -> None:
    """A cell of spaces counts as empty, per column."""
    labels = read_labels(b"image_path,label,group\na.png, ,x\nb.png,books,\n")
    assert [row.label for row in labels.rows] == [None, "books"]
    assert labels.missing_values() == {"image_path": 0, "label": 1, "group": 1}


def test_a_column_that_the_index_fills_itself_is_kept_under_another_name() -> None:
    """A delivery's own ``width`` does not replace the measured one."""
    labels = read_labels(b"image_path,label,width\na.png,books,wide\n")
    assert labels.rows[0].extra == {"delivered_width": "wide"}


def test_quoted_commas_and_lines_belong_to_the_value() -> None:
    """CSV quoting is understood, blank lines are not rows."""
    labels = read_labels(b'label,image_path,note\r\nbooks,"a,b.png","two\nlines"\r\n\r\n')
    assert len(labels.rows) == 1
    assert labels.rows[0].image_path == "a,b.png"
    assert labels.rows[0].extra == {"note": "two\nlines"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"image_path,label\n", "0 rows"),
        (b"image_path,label\n\n", "0 rows"),
        (b"image_path,category\na.png,books\n", "no column label"),
        (b"path;label\na.png;books\n", "no column image_path and no column label"),
        (b"image_path,label,label\na.png,books,toys\n", "share a name"),
        (b"image_path,label,\na.png,books,x\n", "(no name)"),
        (b"image_path,label,width,delivered_width\na.png,books,1,2\n", "delivered_width"),
        (b"image_path,label\na.png,books,toys\n", "line 2 has 3 values"),
        (b'image_path,label\na.png,"books\n', "no CSV"),
        ("image_path,label\na.png,b\xfccher\n".encode("latin-1"), "not UTF-8: byte 24 is 0xfc"),
        ("image_path,label\na.png,books\n".encode("utf-16"), "not UTF-8: byte 0 is 0xff"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(data: bytes, said: str) -> None:
    """Each unusable labels.csv is wrong use, and the line says what was found."""
    with pytest.raises(UsageError) as refused:
        read_labels(data)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
