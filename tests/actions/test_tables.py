"""Rows are columns where the terminal has room, else blocks: whatever its width, every cell is whole."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.text import Text

from actions.tables import packed, plain_console, print_rows

COLUMNS = ("rule", "measured", "", "outcome")
ROWS = (
    ("accuracy_difference_to_champion", "0.0133", "required", "passed"),
    ("recall of a class with quite a long name", "–", "", "not_assessed"),
)


def printed(
    width: int | None,
    monkeypatch: pytest.MonkeyPatch,
    rows: Sequence[Sequence[str | Text]] = ROWS,
    columns: Sequence[str] = COLUMNS,
    *,
    prose: bool = False,
) -> list[str]:
    """The lines on a terminal of this width; None: in a file."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if width is not None:
        monkeypatch.setenv("COLUMNS", str(width))
    file = io.StringIO()
    print_rows(plain_console(file), columns, rows, prose=prose)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_rows_stand_in_columns_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide as their longest cells, and not wider on a wider terminal."""
    table = [
        "rule                                      measured            outcome",
        "accuracy_difference_to_champion           0.0133    required  passed",
        "recall of a class with quite a long name  –                   not_assessed",
    ]
    assert printed(74, monkeypatch) == table
    assert printed(200, monkeypatch) == table


def test_a_narrow_terminal_gets_a_block_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """One cell less of room: each cell after the name of its column, none of them cut, no line too long."""
    assert printed(73, monkeypatch) == [
        "rule: accuracy_difference_to_champion | measured: 0.0133 | required",
        "  outcome: passed",
        "rule: recall of a class with quite a long name | measured: –",
        "  outcome: not_assessed",
    ]


def test_a_cell_that_is_longer_than_a_line_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest is to be copied: the terminal breaks it, not we."""
    lines = printed(40, monkeypatch, [("data", "5d" * 32)], ("digest of", ""))
    assert lines == ["digest of: data", "  " + "5d" * 32]


def test_what_is_no_terminal_gets_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or another program takes a line a row, however long."""
    header, line = printed(None, monkeypatch, [("a" * 300, "b" * 300)], ("one", "two"))
    assert line == "a" * 300 + "  " + "b" * 300
    assert header.split() == ["one", "two"]


def test_sentences_in_the_last_column_are_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """At words, and as long as that leaves lines to read; the other columns are never wrapped."""
    rows = [("two words", "trousers are missed by this one, so that it may not go live")]
    columns = ("version", "decision")
    assert printed(45, monkeypatch, rows, columns, prose=True) == [
        "version    decision",
        "two words  trousers are missed by this one,",
        "           so that it may not go live",
    ]
    assert printed(40, monkeypatch, rows, columns, prose=True)[0] == "version: two words"


def test_no_rows_are_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also no header."""
    assert printed(80, monkeypatch, []) == []


def test_what_a_cell_is_coloured_in_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a block as in a table."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    file = io.StringIO()
    print_rows(plain_console(file), ("rule", "outcome"), [("recall of tops", Text("passed", "green"))])
    assert "\x1b[32mpassed\x1b[0m" in file.getvalue()


def test_lines_are_filled_and_begin_as_is_said() -> None:
    """Each further one with its margin; nothing at all of no parts."""
    parts = [Text("one"), Text("two"), Text("three")]
    lines = packed(parts, 12, between=", ", first="1  ", then="   ")
    assert [line.plain for line in lines] == ["1  one, two", "   three"]
    assert list(packed([], 12)) == []
