"""In a process of its own: make Evidently's page of a window, and print what it tried to reach.

``python -m tests.steps.monitoring.explains_alone`` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

REACHING = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.posix_spawn")


def main() -> None:
    """Explain a window that nobody wants explained, then one that is wanted."""
    os.environ.pop("DO_NOT_TRACK", None)
    from steps.monitoring.explain import evidently_page, explain_window
    from steps.monitoring.settings import MonitorSettings
    from tests.materializers.examples import drift_report
    from tests.steps.monitoring.looked_at import synthetic

    tried: list[str] = []

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        if event in REACHING:
            tried.append(f"{event} {arguments}")

    captured = synthetic()
    unwanted = explain_window(captured, drift_report(), MonitorSettings(explain="never"))
    imported = "evidently" in sys.modules
    sys.addaudithook(listen)
    page = evidently_page(captured)[0]
    from evidently.telemetry import event_logger

    json.dump(
        {
            "unwanted": unwanted,
            "imported": imported,
            "tried": tried,
            "tracking": event_logger.is_enabled(),
            "page": page,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
