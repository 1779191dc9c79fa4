"""Seldon's metrics, whole over all threads, in the memory of the one process that answers."""

import os
import threading
from bisect import bisect_left
from itertools import accumulate
from typing import Any

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString
from seldon_core.metrics import PREDICT_METRIC_METHOD_TAG, TIMER, SeldonMetrics

from serving.latency import BOUNDS_S


class WorkerMetrics(SeldonMetrics):  # type: ignore[misc]
    """Seldon's metrics without the process of their own that Seldon starts for them.

    A timer is a histogram of :data:`serving.latency.BOUNDS_S` instead of Seldon's 51 buckets, which take 5 ms
    a request.
    """

    def __init__(self, labels: dict[str, str]) -> None:
        self._lock = threading.RLock()
        self.data: dict[int, dict[Any, Any]] = {}
        self.worker_id_func = os.getpid
        self._extra_default_labels = labels

    def __del__(self) -> None:
        """Leave out Seldon's, which ends the process that is not there."""

    def update(self, custom_metrics: list[dict[str, Any]], method: str) -> None:
        """Count; a request of another thread waits, so that none is lost. A timer is in milliseconds."""
        with self._lock:
            super().update([metric for metric in custom_metrics if metric["type"] != TIMER], method)
            mine = self.data[self.worker_id_func()]
            for metric in custom_metrics:
                if metric["type"] == TIMER:
                    _observe(mine, metric["key"], metric["value"] / 1_000, {"method": method})

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

    @staticmethod
    def _expose_histogram(
        name: str, value: tuple[list[int], float], labels_keys: list[str], labels_values: list[str]
    ) -> HistogramMetricFamily:
        counts, total = value
        bounds = [*map(floatToGoString, BOUNDS_S), "+Inf"]
        metric = HistogramMetricFamily(name, "", labels=labels_keys)
        metric.add_metric(labels_values, list(zip(bounds, accumulate(counts), strict=True)), sum_value=total)
        return metric


def _observe(data: dict[Any, Any], name: str, seconds: float, tags: dict[str, str]) -> None:
    """Put one duration into its bucket of Seldon's table."""
    key = (TIMER, name, SeldonMetrics._generate_tags_key(tags))
    counts, total = data.setdefault(key, {"value": ([0] * (len(BOUNDS_S) + 1), 0.0), "tags": tags})["value"]
    counts[bisect_left(BOUNDS_S, seconds)] += 1
    data[key]["value"] = counts, total + seconds
