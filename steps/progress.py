"""Show how far a long step is: a bar where a person watches, one line in the log at the end everywhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

logger = logging.getLogger("shutterline")


class Meter:
    """Counts what is done; ``advance`` and ``note`` may be called from the thread that opened it."""

    def __init__(self, bar: Progress | None = None, task: TaskID | None = None) -> None:
        self.done = 0
        self.text = ""
        self._bar, self._task = bar, task

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more."""
        self.done += n
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, n)

    def note(self, text: str) -> None:
        """Say something beside the bar; what was said last is what the closing line says."""
        self.text = text
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, note=text)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Meter]:
    """Show a bar on standard error if that is a terminal, and log one line when it ends.

    Args:
        title: what works, such as the step's name.
        total: how much there is to do, or None where nobody knows.
    """
    begun = time.monotonic()
    meter = Meter()
    ending = "stopped after "
    try:
        if sys.stderr.isatty():
            with _bar() as bar:
                meter = Meter(bar, bar.add_task(title, total=total, note=""))
                yield meter
        else:
            yield meter
        ending = ""
    finally:
        said = meter.text or f"{meter.done:,}"
        logger.info("%s: %s%s (%.1f s)", title, ending, said, time.monotonic() - begun)


def _bar() -> Progress:
    """A bar that leaves nothing behind: the closing line says what it said."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
