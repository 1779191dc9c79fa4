"""Show how far a long step is: a bar where a person watches, one line in the log at the end everywhere.

Where nobody watches, what takes long says once a minute in the log how far it is.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

logger = logging.getLogger("shutterline")

EVERY_S = 60.0
"""Between two lines of what nobody watches."""


class Meter:
    """Counts what is done; ``advance`` and ``note`` may be called from the thread that opened it.

    Args:
        bar: shows it; None where nobody watches.
        task: its line of the bar.
        title: what works.
        total: how much there is to do, or None where nobody knows.
    """

    def __init__(
        self,
        bar: Progress | None = None,
        task: TaskID | None = None,
        *,
        title: str = "",
        total: int | None = None,
    ) -> None:
        self.done = 0
        self.text = ""
        self._bar, self._task = bar, task
        self._title, self._total = title, total
        self._begun = self._said = time.monotonic()

    def advance(self, n: int = 1) -> None:
        """Count ``n`` more."""
        self.done += n
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, n)
        elif time.monotonic() - self._said >= EVERY_S:
            self._say()

    def _say(self) -> None:
        """How far it is, how fast it goes, and how long that takes, in a line of the log."""
        self._said = time.monotonic()
        rate = self.done / (self._said - self._begun)
        if self._total is None:
            logger.info("%s: %s so far, %s", self._title, f"{self.done:,}", _per_second(rate))
            return
        left_s = max(0, self._total - self.done) / rate
        logger.info(
            "%s: %s of %s, %s, about %s s left",
            *(self._title, f"{self.done:,}", f"{self._total:,}", _per_second(rate), f"{left_s:,.0f}"),
        )

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
    meter = Meter(title=title, total=total)
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


def _per_second(rate: float) -> str:
    """A rate with two digits at least."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"  # noqa: PLR2004 - two digits


def _rate() -> ProgressColumn:
    """How many are done in a second, of late."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(_per_second(task.speed) if task.speed else "")

    return Rate()


def _bar() -> Progress:
    """A bar that leaves nothing behind: the closing line says what it said."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
