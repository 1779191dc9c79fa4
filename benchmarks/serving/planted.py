"""A service one version of which is worse than its model, on purpose.

The deployer starts a script that :func:`environment` writes in the place of the serving environment's Python;
it runs this file there, which plants in the service what ``fault.json`` says and starts it. Only requests of
the rehearsal are touched: whether a candidate answers at all is asked by others.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

USER = "user-"
"""How the ids of the rehearsal's requests begin."""
FAULT = "fault.json"


def environment(folder: Path, python: Path) -> Path:
    """A serving environment in ``folder`` whose services have what :func:`plant` said last.

    Args:
        folder: of the environment; made.
        python: of the real one.
    """
    script = folder / "bin" / "python"
    script.parent.mkdir(parents=True)
    script.write_text(
        '#!/bin/sh\nif [ "$2" = serving.launcher ]; then\n'
        f'  exec "{python}" "{Path(__file__)}" "{folder / FAULT}" "$@"\nfi\nexec "{python}" "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return folder


def plant(folder: Path, version: int, *, slower: float = 1.0, errors: float = 0.0) -> None:
    """Let services of a version that start from now on be worse.

    Args:
        folder: of the environment.
        version: which one.
        slower: how many times as long an answer takes.
        errors: the share of requests that fail.
    """
    fault = {"version": str(version), "slower": slower, "errors": errors}
    (folder / FAULT).write_text(json.dumps(fault), encoding="utf-8")


def _serve(fault: Path, arguments: list[str]) -> int:
    # Run as a file: its own folder would come before the project's.
    sys.path[0] = str(Path.cwd())
    from serving.launcher import main

    if fault.exists():
        _make_worse(**json.loads(fault.read_text(encoding="utf-8")))
    return main(arguments)


def _make_worse(*, version: str, slower: float, errors: float) -> None:
    from serving.predictor import NO_ANSWERS
    from serving.service import FAILED, PictureClassifier, status

    service: Any = PictureClassifier
    whole, chance = service._outcome, random.Random(0)  # noqa: S311 - no secret

    def worse(self: Any, message: Any, request_id: str) -> Any:
        begun = time.monotonic()
        outcome = whole(self, message, request_id)
        if self.model_version != version or not request_id.startswith(USER):
            return outcome
        time.sleep((slower - 1) * (time.monotonic() - begun))
        if chance.random() >= errors:
            return outcome
        return outcome[0], NO_ANSWERS, status(FAILED, "internal_error", "planted by the benchmark")

    service._outcome = worse


if __name__ == "__main__":
    # FAULT -m serving.launcher …
    sys.exit(_serve(Path(sys.argv[1]), sys.argv[4:]))
