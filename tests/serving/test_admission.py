"""Who is answered, who waits and who is refused, with threads in the place of requests."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest

from serving.admission import Overloaded, Places

PATIENT_S = 20.0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + PATIENT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def inside(places: Places, come_in: Callable[[], object]) -> None:
    """Be a request that calls ``come_in`` once it has its place."""
    with places.one():
        come_in()


def as_many_wait(places: Places, count: int) -> bool:
    """Whether so many wait, as only the inside shows."""
    return len(places._waiting) == count


def test_as_many_as_there_are_places_are_inside_at_once(pool: ThreadPoolExecutor) -> None:
    """Two places: two meet inside, and nobody waits."""
    places, meeting = Places(2, queue=0, wait_s=0), threading.Barrier(2)
    both = [pool.submit(inside, places, partial(meeting.wait, PATIENT_S)) for _ in range(2)]
    for one in both:
        one.result(PATIENT_S)


def test_one_too_many_is_refused_at_once() -> None:
    """One place and no queue: the second does not wait, however long it would be allowed to."""
    places = Places(1, queue=0, wait_s=PATIENT_S)
    with places.one():
        begun = time.monotonic()
        with pytest.raises(Overloaded, match="1 requests are being answered and 0 wait"), places.one():
            pytest.fail("it was let in")
        assert time.monotonic() - begun < PATIENT_S / 2
    with places.one():
        pass


def test_who_waits_too_long_is_refused_and_leaves_the_queue() -> None:
    """The wait is bounded; afterwards another may wait, and a freed place is given to who comes."""
    places = Places(1, queue=1, wait_s=0.02)
    with places.one():
        for _ in range(2):
            with pytest.raises(Overloaded, match=r"none of the 1 places became free within 0\.02 s"):
                inside(places, lambda: None)
    inside(places, lambda: None)


def test_who_waits_longest_is_next(pool: ThreadPoolExecutor) -> None:
    """In the order in which they came; whoever finds the queue full is refused, and none is lost."""
    places, order = Places(1, queue=3, wait_s=PATIENT_S), list[int]()
    waiters: list[Future[None]] = []
    with ExitStack() as held:
        held.enter_context(places.one())
        for number in range(3):
            waiters.append(pool.submit(inside, places, partial(order.append, number)))
            until(partial(as_many_wait, places, number + 1))
        with pytest.raises(Overloaded):
            inside(places, lambda: None)
        assert order == []
    for waiter in waiters:
        waiter.result(PATIENT_S)
    assert order == [0, 1, 2]


def test_a_request_that_fails_gives_its_place_back() -> None:
    """A fault costs no place."""
    places = Places(1, queue=0, wait_s=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            inside(places, lambda: 1 // 0)
