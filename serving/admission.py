"""How many requests are answered at a time, and how many may wait for that: the rest is refused at once.

A queue without end makes every answer late; one that is bounded keeps the accepted ones in time. A request
that is accepted waits for at most the queue's length times the time of an answer, divided by the places.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

OVERLOADED = 429
"""HTTP's code for what is refused here."""
RETRY_AFTER_S = 1
"""What such an answer says: longer than an accepted request waits on average, and short for a client."""


class Overloaded(Exception):
    """Every place and the whole queue are taken, or no place became free in time: ``message`` says which."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Places:
    """``count`` places for requests, before which at most ``queue`` others wait at most ``wait_s`` each.

    Who waits longest is next; nobody who comes later gets ahead.
    """

    def __init__(self, count: int, *, queue: int, wait_s: float) -> None:
        self._count = count
        self._queue = queue
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Take a place for as long as the block lasts.

        Raises:
            Overloaded: there is none.
        """
        self._take()
        try:
            yield
        finally:
            self._give_back()

    def _take(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if len(self._waiting) >= self._queue:
                raise Overloaded(
                    f"{self._count} requests are being answered and {self._queue} wait, which is the limit"
                )
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=self._wait_s):
            return
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                raise Overloaded(f"none of the {self._count} places became free within {self._wait_s:g} s")

    def _give_back(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
