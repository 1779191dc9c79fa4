"""Seldon's metrics, whole over all threads, in the memory of the one process that answers."""

import os
import threading
from typing import Any

from seldon_core.metrics import PREDICT_METRIC_METHOD_TAG, SeldonMetrics


class WorkerMetrics(SeldonMetrics):  # type: ignore[misc]
    """Seldon's metrics without the process of their own that Seldon starts for them."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._lock = threading.RLock()
        self.data: dict[int, dict[Any, Any]] = {}
        self.worker_id_func = os.getpid
        self._extra_default_labels = labels

    def __del__(self) -> None:
        """Leave out Seldon's, which ends the process that is not there."""

    def update(self, custom_metrics: list[dict[str, Any]], method: str) -> None:
        """Count; a request of another thread waits, so that none is lost."""
        with self._lock:
            super().update(custom_metrics, method)

    def predicted(self, counted: list[dict[str, Any]]) -> None:
        """Count what a prediction came to, as the service says it in ``meta.metrics``."""
        self.update(counted, PREDICT_METRIC_METHOD_TAG)

    def count(self, *names: str) -> None:
        """Count one more of what never reached the model."""
        self.predicted([{"type": "COUNTER", "key": name, "value": 1} for name in names])

    def generate_metrics(self) -> tuple[str, str]:
        """Print everything in Prometheus' text format, with its content type."""
        with self._lock:
            text, content_type = super().generate_metrics()
        return str(text), str(content_type)
