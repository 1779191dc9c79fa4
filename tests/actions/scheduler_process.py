"""A scheduler as a process of its own, started by test_scheduler.py: ``FOLDER PROGRAM …``.

Its commands are begun with PROGRAM in the place of ``python run.py``, so that a fire takes no ten seconds.
"""

import logging
import sys
import threading
from pathlib import Path

from actions.scheduler import _signals_set, fire_schedules
from stacks.local_orchestrator.schedule_file import ScheduleFile

if __name__ == "__main__":
    logger = logging.getLogger("shutterline")
    logger.addHandler(logging.StreamHandler(sys.stdout))
    logger.propagate = False
    logger.setLevel(logging.INFO)
    folder, *program = sys.argv[1:]
    stop = threading.Event()
    with _signals_set(stop):
        book = ScheduleFile(Path(folder))
        fired = fire_schedules(book, stop=stop, look=lambda: logger.info("looked"), program=program)
    logger.info("fired %d", fired)
