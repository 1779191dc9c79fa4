"""Metrics of the one process that answers, whole over its threads."""

from tests.serving.conftest import in_serving_environment

COUNT = """
import json
from concurrent.futures import ThreadPoolExecutor
from serving.metrics import WorkerMetrics
metrics = WorkerMetrics({"model_version": "7"})
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda _: metrics.count("shutterline_requests_overloaded"), range(2000)))
print(json.dumps(metrics.generate_metrics()))
"""


def test_no_count_is_lost_among_threads() -> None:
    """Eight threads count 2,000 times; Prometheus reads 2,000, with the model's version."""
    text, content_type = in_serving_environment(COUNT)
    (line,) = (one for one in text.splitlines() if one.startswith("shutterline_requests_overloaded_total{"))
    assert float(line.rsplit(" ", 1)[1]) == 2000
    assert 'model_version="7"' in line
    assert content_type.startswith("text/plain")
