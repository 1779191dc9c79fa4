"""Several processes on one study: each claims trials until none is left.

What is learnt from reaches them in a file on disk that has no name, which they map into memory and share.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from materializers.blobs import room_for
from steps.data.examining import end_with_parent
from steps.training.inputs.examples import Examples, Rows
from steps.training.material import Material
from steps.training.processes.shared_tensors import SharedTensors
from steps.training.tuning.study import POLL_SECONDS, Study, Task, finish, work

if TYPE_CHECKING:
    from torch import nn

    from steps.training.settings import TrainSettings

logger = logging.getLogger("shutterline")

READ_AT_A_TIME = 256


def run_study(task: Task, material: Material, on_trial: Callable[[Study], None]) -> Study:
    """Run a study to its end, in as many processes as the search says; ``on_trial`` is told now and then.

    Where a process is ended from outside, the others take its trial over; where none is left, this one does.

    Returns:
        The study, which the caller closes: ``study.place.close()``.
    """
    study = Study(task)
    try:
        if task.search.processes > 1 and len(study.finished()) < task.search.trials:
            with room_for("what the trials learn from"):
                learnt_from = shared(material)
            with closing(learnt_from):
                _run_workers(task, material, learnt_from, lambda: on_trial(study))
        finish(study, material, task.search.trials, lambda: on_trial(study))
    except BaseException:
        study.place.close()
        raise
    return study


def shared(material: Material) -> SharedTensors:
    """Write what is learnt from, and chosen by, to where other processes read it; the caller closes it.

    Raises:
        OSError: the disk takes no more.
    """
    tensors: dict[str, Tensor | Iterator[Tensor]] = {}
    for name, examples in (("train", material.train), ("validation", material.validation)):
        tensors[f"{name}.labels"], tensors[f"{name}.inputs"] = examples.labels, _inputs(examples)
    return SharedTensors(tensors, on_disk=True)


def received(learnt_from: SharedTensors, classes: int) -> tuple[Rows, Rows]:
    """What :func:`shared` wrote, mapped into memory: training and validation examples."""
    tensors = learnt_from.opened()
    train, validation = (
        Rows(tensors[f"{name}.inputs"], tensors[f"{name}.labels"], classes)
        for name in ("train", "validation")
    )
    return train, validation


def _inputs(examples: Examples) -> Iterator[Tensor]:
    for inputs, _ in examples.batches(torch.arange(len(examples)), READ_AT_A_TIME):
        yield inputs


def _run_workers(
    task: Task, material: Material, learnt_from: SharedTensors, on_wait: Callable[[], None]
) -> None:
    # Not forked: this process has threads of its own, whose locks a copy would find locked for good.
    context = multiprocessing.get_context("spawn")
    arguments = task, material.new_model, learnt_from, material.train.classes
    workers: list[BaseProcess] = [
        context.Process(target=_work_for_parent, args=arguments, daemon=True)
        for _ in range(task.search.processes)
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            time.sleep(POLL_SECONDS)
            on_wait()
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    failed = sum(worker.exitcode != 0 for worker in workers)
    if failed:
        logger.warning(
            "%d of %d processes of the study were ended; what they had not finished is run again.",
            failed,
            len(workers),
        )


def _work_for_parent(
    task: Task, new_model: Callable[[TrainSettings], nn.Module], learnt_from: SharedTensors, classes: int
) -> None:
    end_with_parent()
    train, validation = received(learnt_from, classes)
    study = Study(task)
    try:
        work(study, Material(train, validation, new_model, train))
    finally:
        study.place.close()
