"""Decode and measure pictures, in processes of their own where a delivery is large.

Pillow and NumPy hold Python's lock for most of what a picture costs: two threads of one process measured
4,000 pictures in the time of one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import NamedTuple, TypeAlias

from materializers.errors import ShutterlineError
from serving.bad_picture import BadPicture
from serving.preprocess import Limits, open_checked
from serving.strip_metadata import Stripped
from steps.data.picture_measures import PictureMeasures, measure

FEW = 4_000
"""Pictures that one process has examined before others have begun: each takes a second to start."""
MOST_PROCESSES = 8
"""A container often sees more cores than it may use; each process has some 100 MB, and up to 800 MB while it
decodes a picture of 50 million pixels."""


class Examined(NamedTuple):
    """A picture that can be used.

    Attributes:
        stripped: it, without its metadata.
        measures: what it looks like.
    """

    stripped: Stripped
    measures: PictureMeasures


Examiner: TypeAlias = Callable[[Sequence[bytes], Limits], list[Examined | BadPicture]]
"""Examines some pictures; for each what it is, or why it cannot be used. Several threads may call it."""


def examine(encoded: Sequence[bytes], limits: Limits) -> list[Examined | BadPicture]:
    """Decode each picture in full, measure it, and cut its metadata out.

    Args:
        encoded: the bytes of each, as delivered.
        limits: what a picture may weigh and measure.
    """
    return [_examine(data, limits) for data in encoded]


@contextmanager
def examiner(processes: int) -> Iterator[Examiner]:
    """What examines the pictures of a delivery in so many processes; in this one, where it is one.

    Raises:
        ShutterlineError: a process was ended from outside.
    """
    if processes == 1:
        yield examine
        return
    # Not forked: this process has threads of its own, whose locks a copy would find locked for good.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=end_with_parent)

    def in_a_process(encoded: Sequence[bytes], limits: Limits) -> list[Examined | BadPicture]:
        found = pool.submit(_examine_for_parent, encoded, limits).result()
        return [_with_data(each, data) for each, data in zip(found, encoded, strict=True)]

    try:
        yield in_a_process
    except BrokenProcessPool as error:
        raise ShutterlineError(
            f"One of {processes} processes that examine pictures was ended from outside, as by a machine "
            "that is out of memory. Nothing was stored. Run the same command again, with one process: "
            "--set ingest.processes=1"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def processes_for(pictures: int) -> int:
    """How many processes examine so many pictures soonest."""
    return 1 if pictures < FEW else min(len(os.sched_getaffinity(0)), MOST_PROCESSES)


def _examine(data: bytes, limits: Limits) -> Examined | BadPicture:
    try:
        stripped, image = open_checked(data, limits)
    except BadPicture as error:
        return error
    return Examined(stripped, measure(image, stripped.orientation))


def _examine_for_parent(encoded: Sequence[bytes], limits: Limits) -> list[Examined | BadPicture]:
    """As :func:`examine`; bytes that the caller has are not sent back."""
    return [
        _without_data(each) if isinstance(each, Examined) and each.stripped.data is data else each
        for each, data in zip(examine(encoded, limits), encoded, strict=True)
    ]


def _without_data(each: Examined) -> Examined:
    return each._replace(stripped=each.stripped._replace(data=b""))


def _with_data(each: Examined | BadPicture, data: bytes) -> Examined | BadPicture:
    if isinstance(each, BadPicture) or each.stripped.data:
        return each
    return each._replace(stripped=each.stripped._replace(data=data))


def end_with_parent() -> None:
    """Leave an interrupt to the parent, and do not outlive it: the pool's own pipe would keep this one up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
