"""Requests that no user made, and how a service knows them: by a header that their sender adds.

The deployers' probes, the end-to-end test and the load test send it. Such a request is answered and counted
for Prometheus as any other is, and left out of what is captured: that is what users got, and what a rollout
is decided by. No request id is reserved for it, so that none that a caller chooses hides a request.
"""

HEADER = "x-shutterline-synthetic"
"""By gRPC a key of the call's metadata."""
SYNTHETIC = {HEADER: "true"}
"""What a sender adds to its headers."""


def is_synthetic(said: str | None) -> bool:
    """Whether a request says by its ``HEADER`` that no user made it; None: it has none."""
    return said == SYNTHETIC[HEADER]
