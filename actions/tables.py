"""Rows as a table where the terminal has room for it, else as blocks: no name and no digest is ever cut."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
"""Columns of a table stand this far apart."""
PROSE = 30
"""A last column of whole sentences is wrapped, but not into less than this."""
WHOLE_LINES = 100_000
"""The width of what is no terminal: a file or another program takes lines as they are."""
BETWEEN = " | "
INDENT = "  "


def plain_console(file: IO[str] | None) -> Console:
    """What prints names as they are, without markup and codes of emoji, as wide as the terminal is.

    Args:
        file: a stream; ``COLUMNS`` says how wide it is where it is no terminal.
    """
    console = Console(file=file, highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = WHOLE_LINES
    return console


def print_rows(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, prose: bool = False
) -> None:
    """Print rows in columns where all of them fit side by side, else one block a row: ``name: value | …``.

    Args:
        console: of :func:`plain_console`.
        columns: their names; one without a name says what it is.
        rows: a cell a column; without a row nothing is printed.
        prose: the last column may be wrapped.
    """
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    if not cells:
        return
    widths = [
        max(cell_len(name), *(row[place].cell_len for row in cells)) for place, name in enumerate(columns)
    ]
    least = [*widths[:-1], min(widths[-1], PROSE)] if prose else widths
    gaps = GAP * (len(widths) - 1)
    if sum(least) + gaps > console.width:
        for row in cells:
            for line in packed(_pairs(columns, row), console.width):
                console.print(line)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=True)
    table.columns[-1].no_wrap = not prose
    for row in cells:
        table.add_row(*row)
    console.print(table)


def packed(
    parts: Iterable[Text], width: int, *, between: str = BETWEEN, first: str = "", then: str = INDENT
) -> Iterator[Text]:
    """Put parts into lines, as many in each as it has room for; one that is longer than a line stays whole.

    Args:
        parts: what stands together.
        width: of a line, in cells of the terminal.
        between: stands between two parts of a line.
        first: what the first line begins with.
        then: what each further one begins with.
    """
    line, empty = Text(first), True
    for part in parts:
        if not empty and line.cell_len + cell_len(between) + part.cell_len > width:
            yield line
            line, empty = Text(then), True
        line.append_text(part if empty else Text.assemble(between, part))
        empty = False
    if not empty:
        yield line


def _pairs(columns: Sequence[str], row: Sequence[Text]) -> Iterator[Text]:
    """The cells of a row that say something, each after the name of its column."""
    for name, cell in zip(columns, row, strict=True):
        if cell.plain:
            yield Text.assemble(f"{name}: ", cell) if name else cell
