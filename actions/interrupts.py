"""Ctrl-C, noticed wherever it comes: in a training, Python and its libraries lose one in twenty.

And postponed for a moment where it would cut a database's transaction: the exception keeps the frame that
holds the lock, so that ZenML, which then writes down that the step was interrupted, waits a minute for
itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

AGAIN_S = 0.05
DATABASES = ("zenml.zen_stores.", "mlflow.store.", "sqlalchemy.")
"""Modules in which a transaction may be open."""
POSTPONED_S = 3.0
"""At most; then it cuts whatever runs."""


@contextlib.contextmanager
def noted_interrupts() -> Iterator[list[float]]:
    """Raise :class:`KeyboardInterrupt` on Ctrl-C, as Python does, and yield a list of when each came.

    One that comes while a destructor or a weak reference's callback runs, where Python drops it, is sent
    again, and so is one that comes amid a transaction. Where the caller has SIGINT ignored, as shells do for
    jobs in the background, it stays ignored.
    """
    came: list[float] = []
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield came
        return
    dropped = sys.unraisablehook

    def note(signum: int, frame: FrameType | None) -> None:
        came.append(time.monotonic())
        if _is_amid_a_transaction(frame) and came[-1] - came[0] < POSTPONED_S:
            send_soon()
        else:
            signal.default_int_handler(signum, frame)

    def send_soon() -> None:
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT)).start()

    def send_again(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            send_soon()
        else:
            dropped(unraisable)

    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = send_again
    try:
        yield came
    finally:
        sys.unraisablehook = dropped
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_amid_a_transaction(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(DATABASES):
            return True
        frame = frame.f_back
    return False
