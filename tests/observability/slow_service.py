"""The service as it ships, whose model takes 1.2 s longer while a file is there."""

import os
import sys
import time
from pathlib import Path
from typing import Any

SLOW_WHILE = "SHUTTERLINE_TEST_SLOW_WHILE"
"""The variable that names the file."""
DELAY_S = 1.2


def serve(arguments: list[str], planted: Path) -> int:
    """Serve as ``serving.launcher`` does, in its environment."""
    from serving.launcher import main
    from serving.service import PictureClassifier

    service: Any = PictureClassifier
    quick = service._answers

    def slow(self: Any, pictures: Any) -> Any:
        if planted.exists():
            time.sleep(DELAY_S)
        return quick(self, pictures)

    service._answers = slow
    return main(arguments)


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())  # run as a file: its own folder would come before the project's
    sys.exit(serve(sys.argv[1:], Path(os.environ[SLOW_WHILE])))
