"""Tests of steps/data/labels.py."""

import csv
import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materializers.errors import UsageError
from steps.data.labels import MOST_COLUMNS, read_labels


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
        (
            "image_path,label\na.png,books\n".encode("utf-16"),
            "is UTF-16, not UTF-8: it begins with bytes ff fe",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(data: bytes, said: str) -> None:
    """Each unusable labels.csv is wrong use, and the line says what was found."""
    with pytest.raises(UsageError) as refused:
        read_labels(data)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("separator", "called"), [(";", "semicolons"), ("\t", "tabs")])
def test_the_command_for_another_separator_gives_a_file_that_is_read(
    tmp_path: Path, separator: str, called: str
) -> None:
    """Values with commas and quotation marks in them are what they were; no column is to be renamed."""
    written = io.StringIO(newline="")
    rows = [("image_path", "label", "size, colour"), ("a.png", "books", 'large, "red"')]
    csv.writer(written, delimiter=separator).writerows(rows)
    (tmp_path / "labels.csv").write_text(written.getvalue(), encoding="utf-8", newline="")
    with pytest.raises(UsageError, match=f"separated by {called}, and commas are needed") as refused:
        read_labels(written.getvalue().encode())
    assert "Rename" not in str(refused.value)
    fixed = as_advised(tmp_path, str(refused.value))
    assert read_labels(fixed).rows[0].extra == {"size, colour": 'large, "red"'}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_the_command_for_another_encoding_gives_a_file_that_is_read(tmp_path: Path, encoding: str) -> None:
    """With or without a byte order mark; the file is converted, not shown."""
    data = "image_path,label\na.png,bücher\n".encode(encoding)
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(UsageError, match="not UTF-8") as refused:
        read_labels(data)
    assert read_labels(as_advised(tmp_path, str(refused.value))).rows[0].label == "bücher"


def as_advised(folder: Path, message: str) -> bytes:
    """The file that the command in a message writes."""
    command = re.search(r"((?:python|iconv) -.* > fixed\.csv), and put fixed\.csv in its place", message)
    assert command is not None
    typed = command[1].replace("python ", f"{sys.executable} ", 1)
    subprocess.run(["/bin/sh", "-c", typed], cwd=folder, check=True)
    return (folder / "fixed.csv").read_bytes()


def test_a_file_without_a_header_is_told_so() -> None:
    """Its first row is shown, and nobody is asked to rename a picture."""
    with pytest.raises(UsageError) as refused:
        read_labels(b"images/1.JPG,shoes\nimages/2.jpg,hats\n")
    assert "its first line is a row (images/1.JPG,shoes) and not the names of its columns" in str(
        refused.value
    )
    assert "such as image_path,label" in str(refused.value)
    assert "Rename" not in str(refused.value)


FIRST, SECOND = "a" * 64, "0123456789abcdef" * 4


def test_rows_are_told_apart_by_what_they_name() -> None:
    """A file is a picture; a stored picture is corrected, or withdrawn; a withdrawn path is no file."""
    labels = read_labels(
        f"image_path,label,image_id,withdrawn\na.png,books,,\n,toys,{FIRST},no\n,,{SECOND},yes\nold.png,,,1\n".encode()
    )
    assert [row.image_path for row in labels.pictures] == ["a.png"]
    assert [(row.image_id, row.given()) for row in labels.corrections] == [(FIRST, {"label": "toys"})]
    assert [(row.image_id, row.image_path) for row in labels.withdrawals] == [
        (SECOND, None),
        (None, "old.png"),
    ]
    assert len(labels.rows) == 4


def test_a_correction_says_only_what_has_a_value() -> None:
    """An empty column leaves what is stored as it is."""
    labels = read_labels(f"image_id,label,group,captured_at,price\n{FIRST},,7,,12\n".encode())
    assert labels.corrections[0].given() == {"group": "7", "price": "12"}


def test_files_that_only_correct_or_withdraw_need_no_paths_and_labels() -> None:
    """The columns that say which picture and what are enough."""
    assert read_labels(f"image_id,withdrawn\n{FIRST},true\n".encode()).withdrawals[0].image_id == FIRST
    assert read_labels(b"image_path,withdrawn\nold.png,true\n").withdrawals[0].image_path == "old.png"


def test_missing_values_are_those_of_delivered_pictures() -> None:
    """A withdrawal has no label to miss, and a correction no path."""
    labels = read_labels(
        f"image_path,label,image_id,withdrawn,price\na.png,,,,1\nb.png,toys,,,\n,toys,{FIRST},,2\nold.png,,,yes,\n".encode()
    )
    assert labels.missing_values() == {"image_path": 0, "label": 1, "price": 1}


def test_a_row_that_names_nothing_is_a_picture_without_a_path() -> None:
    """It is set aside as before, and refuses nothing."""
    labels = read_labels(b"image_path,label,image_id,withdrawn\n,books,,\n")
    assert [row.image_path for row in labels.pictures] == [None]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.png,books,,maybe", "withdrawn is 'maybe'; true, yes or 1"),
        (",books,abc,", "image_id 'abc' is no digest: 64 of 0-9 and a-f are needed, it has 3 characters"),
        (f",books,{'g' * 64},", "is no digest"),
        (f",books,{FIRST[:-1]},", "it has 63 characters"),
        (f"a.png,books,{FIRST},", "names a file (image_path) and a stored picture (image_id)"),
        (f"a.png,books,{FIRST},yes", "names a file (image_path) and a stored picture (image_id)"),
        (",,,yes", "withdraws a picture and names none"),
        (f",,{FIRST},", "corrects nothing"),
    ],
)
def test_a_change_that_cannot_be_understood_is_refused_by_its_line(line: str, said: str) -> None:
    """The line is counted as an editor counts it."""
    with pytest.raises(UsageError) as refused:
        read_labels(f"image_path,label,image_id,withdrawn\nx.png,books,,\n{line}\n".encode())
    assert said in str(refused.value)
    assert "labels.csv line 3" in str(refused.value)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
truths = st.sampled_from(["", "true", "Yes", "1", "false", "NO", "0"])


@given(
    st.lists(
        st.one_of(
            st.tuples(cells, cells, st.just(""), truths),
            st.tuples(st.just(""), cells, st.sampled_from([FIRST, SECOND.upper(), f" {FIRST} "]), truths),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_row_is_of_one_kind_and_none_is_lost(rows: list[tuple[str, str, str, str]]) -> None:
    """Whatever is written: a picture, a correction or a withdrawal that names one picture; or a refusal."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("image_path", "label", "image_id", "withdrawn"), *rows])
    try:
        labels = read_labels(written.getvalue().encode())
    except UsageError as refused:
        assert "corrects nothing" in str(refused) or "names none" in str(refused)
        return
    assert len(labels.rows) == len(rows)
    assert len(labels.pictures) + len(labels.corrections) + len(labels.withdrawals) == len(rows)
    for row, (_, _, _, withdrawn) in zip(labels.rows, rows, strict=True):
        assert row.withdrawn == (withdrawn.lower() in ("true", "yes", "1"))
        if row.withdrawn or row.image_id:
            assert (row.image_id is None) != (row.image_path is None)
        assert row.image_id in (None, FIRST, SECOND)


def test_the_examples_of_the_page_can_be_read() -> None:
    """docs/data.md shows a correction and two withdrawals."""
    text = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```\n(image_(?:id|path),.*?)^```", text, re.M | re.S)
    labels = [read_labels(example.encode()) for example in examples]
    assert [(len(each.pictures), len(each.corrections), len(each.withdrawals)) for each in labels] == [
        (1, 1, 2)
    ]


def test_a_million_rows_take_less_than_a_gigabyte() -> None:
    """Half of it, with columns of the delivery's own: ~0.4 kB a row."""
    script = """
from benchmarks.dataset.timing import peak_memory_mb
from steps.data.labels import read_labels
N = 200_000
rows = (f"images/{n:09d}.jpg,class {n % 20},product-{n // 3},{n % 997}.99,brand {n % 500}" for n in range(N))
data = ("image_path,label,group,price,brand\\n" + "\\n".join(rows)).encode()
before = peak_memory_mb()
labels = read_labels(data)
print((peak_memory_mb() - before) * 1024 / len(labels.rows))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    kilobytes_a_row = float(done.stdout.splitlines()[-1])
    assert kilobytes_a_row < 1


def table(columns: int) -> bytes:
    """One row with as many columns as that."""
    names = ["image_path", "label", *(f"c{number}" for number in range(columns - 2))]
    return f"{','.join(names)}\n{','.join(['x'] * columns)}\n".encode()


def test_a_table_that_is_too_wide_is_refused_by_its_number_of_columns() -> None:
    """Up to the limit it is read; 200,000 columns are refused in a moment, with number and limit."""
    assert len(read_labels(table(MOST_COLUMNS)).columns) == MOST_COLUMNS
    for columns, said in ((MOST_COLUMNS + 1, "1,001 columns"), (200_000, "200,000 columns")):
        begun = time.process_time()
        with pytest.raises(UsageError, match=f"{said}; the limit is 1,000"):
            read_labels(table(columns))
        assert time.process_time() - begun < 5


def test_a_value_that_never_ends_is_refused_with_its_limit() -> None:
    """What follows a quotation mark that was never closed would be one value."""
    with pytest.raises(UsageError, match=r"line 2.*131,072 characters"):
        read_labels(b'image_path,label\na.png,"' + b"x" * 200_000 + b'"\n')
    assert read_labels(b"image_path,label\na.png," + b"x" * 131_000 + b"\n").rows[0].label == "x" * 131_000
