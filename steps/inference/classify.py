"""Classify the pictures of a source in shards that are kept as they finish, several at the same time.

The pictures are read once, in this process, a few shards ahead of those that are being classified: memory
stays flat whatever the source holds.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from materializers.errors import ShutterlineError
from materializers.finished_shards import FinishedShards, shard_digest
from materializers.predictions import PredictionsWriter
from serving.cores import available_cores
from steps.data.class_folders import printable
from steps.data.files import Source, Unreadable
from steps.data.screening import in_order
from steps.data.sources import CONNECTIONS
from steps.inference.classifying import Classifying, Given, Model, begin_process, classify_in_process
from steps.progress import progress

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_PICTURES = 256
"""After so many pictures, or so many bytes of them, the answers are kept: whoever is killed loses no more
than that in each process, and whoever interrupts does not wait for more."""
SHARD_BYTES = 32 * 2**20
FEW = 500
"""Pictures that one process has classified before others have begun, which takes each a second."""
MOST_PROCESSES = 32
READERS = 2
"""Threads that read a source on disk."""

Classify: TypeAlias = Callable[[Sequence[Given]], "pa.Table"]
"""Answers for some pictures with a row each. Several threads may call it."""


class Part(NamedTuple):
    """Which of the pictures are classified: of ``parts`` alike ones the one with this number, from 0 on."""

    number: int = 0
    parts: int = 1

    def of(self, paths: Sequence[str]) -> list[str]:
        """The paths that belong to this part, in their order.

        A path alone decides, so that each belongs to exactly one part, also where the source grew between two
        looks at it.
        """
        if self.parts == 1:
            return list(paths)
        return [path for path in paths if _place(path) % self.parts == self.number]


@dataclass(frozen=True)
class Shards:
    """How large a shard may become."""

    pictures: int = SHARD_PICTURES
    bytes: int = SHARD_BYTES


@dataclass
class Done:
    """What was classified.

    Attributes:
        writer: has the rows.
        taken_over: how many of them a run before this one had answered.
    """

    writer: PredictionsWriter
    taken_over: int = 0


def classify_source(
    source: Source,
    model: Model,
    finished: FinishedShards,
    *,
    part: Part = Part(),  # noqa: B008 - it is frozen
    processes: int = 0,
    shards: Shards = Shards(),
) -> Done:
    """Classify the pictures that a source holds when it is looked at, a row for each, in order.

    Args:
        source: where the pictures lie.
        model: answers.
        finished: what was answered before is read from it, and what is answered now written to it.
        part: which of the pictures.
        processes: that classify, each with a copy of the model; 1: this one; 0: as many as are soonest.
        shards: how many pictures are answered together.

    Raises:
        ModelDirectoryError: the model is another one than was pinned, or cannot be used.
        UsageError: a picture changed while it was read, or leads out of the source.
        ServiceUnreachable: the source or the store does not answer, or the disk is full.
        ShutterlineError: a process was ended from outside.
    """
    paths = part.of(source.pictures())
    processes = processes or processes_for(len(paths))
    with (
        progress("predict", len(paths)) as meter,
        _classifier(model, processes) as (classify, schema),
    ):
        done = Done(PredictionsWriter(schema))

        def answer(pictures: Sequence[Given]) -> tuple[pa.Table, bool]:
            digest = shard_digest([(each.path, each.digest, each.error) for each in pictures])
            known = finished.read(digest, schema)
            if known is not None and known.num_rows == len(pictures):
                return known, True
            table = classify(pictures)
            finished.write(digest, table)
            return table, False

        for table, was_known in _answered(_sharded(_read(source, paths), shards), answer, processes):
            done.writer.add(table)
            done.taken_over += table.num_rows * was_known
            meter.advance(table.num_rows)
        source.check_unchanged()
        if done.taken_over:
            meter.note(f"{len(paths):,}, {done.taken_over:,} of them before")
    return done


def processes_for(pictures: int) -> int:
    """How many processes classify so many pictures soonest."""
    return 1 if pictures < FEW else min(available_cores(), MOST_PROCESSES)


def _place(path: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(path)).digest()[:8])


def _read(source: Source, paths: Sequence[str]) -> Iterator[Given]:
    """Each picture in order, read a little ahead."""
    threads = CONNECTIONS if source.waits_for_network else READERS

    def read_some(some: Sequence[str]) -> list[Given]:
        return [_given(source, path) for path in some]

    for _, given in in_order(read_some, paths, threads):
        yield given


def _given(source: Source, path: str) -> Given:
    try:
        return Given(printable(path), source.read(path))
    except Unreadable as error:
        return Given(printable(path), None, f"{error.reason}: {error}")


def _sharded(pictures: Iterator[Given], shards: Shards) -> Iterator[list[Given]]:
    """The same pictures in shards; where they are cut follows from the pictures alone."""
    shard, size = list[Given](), 0
    for picture in pictures:
        shard.append(picture)
        size += len(picture.data or b"")
        if len(shard) >= shards.pictures or size >= shards.bytes:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _answered(
    shards: Iterator[list[Given]],
    answer: Callable[[Sequence[Given]], tuple[pa.Table, bool]],
    processes: int,
) -> Iterator[tuple[pa.Table, bool]]:
    """The answers of each shard in order; one a process is worked on, and one more waits."""
    waiting: deque[Future[tuple[pa.Table, bool]]] = deque()
    with ThreadPoolExecutor(processes) as pool:
        try:
            for shard in shards:
                waiting.append(pool.submit(answer, shard))
                if len(waiting) > processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _classifier(model: Model, processes: int) -> Iterator[tuple[Classify, pa.Schema]]:
    """What classifies in so many processes, or in this one, and the columns of its answers.

    Raises:
        ModelDirectoryError: the model is another one than was pinned, or cannot be used.
        ShutterlineError: a process was ended from outside.
    """
    here = Classifying(model)  # also where others classify: they cannot say why a model cannot be used
    schema = here.schema
    if processes == 1:
        yield here.classify, schema
        return
    del here
    # Not forked: this process has threads of its own, whose locks a copy would find locked for good.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=begin_process, initargs=(model,))
    try:
        yield lambda pictures: pool.submit(classify_in_process, pictures).result(), schema
    except BrokenProcessPool as error:
        raise ShutterlineError(
            f"One of {processes} processes that classify pictures was ended from outside, as by a machine "
            "that is out of memory. What was classified is kept. Run the same command again, it goes on from "
            f"there, with fewer processes: --set inference.processes={max(1, processes // 2)}"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
