"""Save a dataset again and again, each time killed before another file takes its name.

Run as ``python saves_and_dies.py STORE``: one child process a file dies by SIGKILL, the one that saves the
artifact ``killed-N`` before its Nth rename. It prints how many died before one could finish.
"""

import os
import signal
import sys
from pathlib import Path

from materializers.image_dataset import ImageDatasetMaterializer
from tests.materializers.examples import dataset
from tests.materializers.stores import disk_store


def delivery(number: int) -> range:
    """The pictures of one child's version; no other child has them, so each must write its shard."""
    return range(100 * number, 100 * number + 7)


def save(folder: Path, number: int) -> None:
    """Store one child's version."""
    store = disk_store(folder)
    materializer = ImageDatasetMaterializer(f"{store.path}/killed-{number}", store)
    materializer.save(dataset(*delivery(number)))


def die_before_rename(number: int) -> None:
    """Have this process killed when it is about to rename its ``number``th file."""
    renames = 0

    def hook(event: str, _: object) -> None:
        nonlocal renames
        if event == "os.rename":
            renames += 1
            if renames == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main(folder: Path) -> None:
    """Fork a child for each file until one finishes."""
    for number in range(1, 20):
        child = os.fork()
        if not child:
            die_before_rename(number)
            save(folder, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(number - 1)  # noqa: T201
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
