"""A process that appends to the audit log, and may be killed on its way.

Run as ``python -m tests.steps.registry.audit_process COUNT [POINT]``. It waits for a line on standard input,
so that several start together. ``POINT`` kills it by SIGKILL in its first entry: ``before`` its number is
claimed, or ``after``, when ZenML has the number and not yet what it notes beside it. Prints the numbers that
it got.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from pipelines.session import prepare

METHODS = {"before": "create_artifact_version", "after": "create_run_metadata"}


def die(*_: Any, **__: Any) -> None:
    """End as a process that nobody asked."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(count: int, point: str | None = None) -> None:
    """Append ``count`` entries."""
    prepare(None)
    from zenml.zen_stores.sql_zen_store import SqlZenStore

    from steps.registry.audit import record

    if point is not None:
        setattr(SqlZenStore, METHODS[point], die)
    sys.stdin.readline()
    numbers = []
    for each in range(count):
        subject = {"process": str(os.getpid()), "each": str(each)}
        entry = record("release", subject, by="Ada", reason="to see who wins", head=False)
        assert entry is not None
        numbers.append(entry.number)
    print(json.dumps(numbers))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
