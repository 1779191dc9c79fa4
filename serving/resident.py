"""How much memory the service has resident, as it says of itself."""

import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(*, with_parent: bool = True) -> int:
    """The resident memory of this process and of the one that started it: a worker, and gunicorn's master.

    What both share counts twice, so that it is never less than what a container is charged.

    Args:
        with_parent: False where nothing of the service started this process.
    """
    processes = (os.getpid(), os.getppid()) if with_parent else (os.getpid(),)
    statistics = (Path(f"/proc/{process}/statm") for process in processes)
    return sum(int(file.read_text(encoding="ascii").split()[1]) for file in statistics) * PAGE_BYTES
