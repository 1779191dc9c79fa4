"""Ctrl-C, noticed wherever it comes: in a training, Python and its libraries lose one in twenty."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

AGAIN_S = 0.05


@contextlib.contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """Raise :class:`KeyboardInterrupt` on Ctrl-C, as Python does, and yield a list that grows with each.

    One that comes while a destructor or a weak reference's callback runs, where Python drops it, is sent
    again. Where the caller has SIGINT ignored, as shells do for jobs in the background, it stays ignored.
    """
    came: list[int] = []
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield came
        return
    dropped = sys.unraisablehook

    def note(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        signal.default_int_handler(signum, frame)

    def send_again(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            dropped(unraisable)

    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = send_again
    try:
        yield came
    finally:
        sys.unraisablehook = dropped
        signal.signal(signal.SIGINT, signal.default_int_handler)
