"""Several processes on one study: each claims trials until none is left.

What is learnt from reaches them as plain arrays in a temporary folder, which they map into memory and share.
"""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from materializers.blobs import room_for
from steps.data.examining import end_with_parent
from steps.training.inputs.examples import Examples, Rows
from steps.training.material import Material
from steps.training.tuning.study import POLL_SECONDS, Study, Task, finish, work

if TYPE_CHECKING:
    from torch import nn

    from steps.training.settings import TrainSettings

logger = logging.getLogger("shutterline")

READ_AT_A_TIME = 256
INPUTS, LABELS = "inputs.npy", "labels.npy"


def run_study(task: Task, material: Material, on_trial: Callable[[Study], None]) -> Study:
    """Run a study to its end, in as many processes as the search says; ``on_trial`` is told now and then.

    Where a process is ended from outside, the others take its trial over; where none is left, this one does.

    Returns:
        The study, which the caller closes: ``study.place.close()``.
    """
    study = Study(task)
    try:
        if task.search.processes > 1 and len(study.finished()) < task.search.trials:
            with tempfile.TemporaryDirectory(prefix="shutterline-study-") as folder:
                with room_for("what the trials learn from"):
                    store(material.train, Path(folder) / "train")
                    store(material.validation, Path(folder) / "validation")
                _run_workers(task, material, Path(folder), lambda: on_trial(study))
        finish(study, material, task.search.trials, lambda: on_trial(study))
    except BaseException:
        study.place.close()
        raise
    return study


def store(examples: Examples, folder: Path) -> None:
    """Write inputs and labels as arrays.

    Raises:
        OSError: the disk takes no more.
    """
    folder.mkdir()
    np.save(folder / LABELS, examples.labels.numpy(), allow_pickle=False)
    with (folder / INPUTS).open("wb") as file:
        for inputs, _ in examples.batches(torch.arange(len(examples)), READ_AT_A_TIME):
            batch = inputs.numpy()
            if not file.tell():
                header = np.lib.format.header_data_from_array_1_0(batch)
                header |= {"shape": (len(examples), *batch.shape[1:]), "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(batch).tobytes())


def stored(folder: Path, classes: int) -> Rows:
    """What :func:`store` wrote, mapped into memory."""
    inputs = np.load(folder / INPUTS, mmap_mode="c", allow_pickle=False)
    labels = np.load(folder / LABELS, allow_pickle=False)
    return Rows(torch.from_numpy(inputs), torch.from_numpy(labels), classes)


def _run_workers(task: Task, material: Material, folder: Path, on_wait: Callable[[], None]) -> None:
    # Not forked: this process has threads of its own, whose locks a copy would find locked for good.
    context = multiprocessing.get_context("spawn")
    arguments = task, material.new_model, folder, material.train.classes
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
    task: Task, new_model: Callable[[TrainSettings], nn.Module], folder: Path, classes: int
) -> None:
    end_with_parent()
    train, validation = (stored(folder / name, classes) for name in ("train", "validation"))
    study = Study(task)
    try:
        work(study, Material(train, validation, new_model, train))
    finally:
        study.place.close()
