"""The service as it ships, whose model takes 1.2 s longer while a file is there."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from serving.launcher import main
from serving.service import PictureClassifier

SLOW_WHILE = "SHUTTERLINE_TEST_SLOW_WHILE"
"""The variable that names the file."""
DELAY_S = 1.2

if __name__ == "__main__":
    service: Any = PictureClassifier
    quick, planted = service._answers, Path(os.environ[SLOW_WHILE])

    def slow(self: Any, pictures: Any) -> Any:
        """Answer, later."""
        if planted.exists():
            time.sleep(DELAY_S)
        return quick(self, pictures)

    service._answers = slow
    sys.exit(main(sys.argv[1:]))
