"""By which latencies Prometheus tells requests apart: one name and one set of bounds for all servers."""

LATENCY = "shutterline_request_latency_seconds"
"""From when a request had arrived to its answer, what it waited included."""
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets: the gate's limit (0.5 s) and the alert's (1 s) are two of them."""
