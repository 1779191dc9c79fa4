"""Measure what serving a model costs: on a replica of its own, or on a release that runs already."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from materializers.evaluation.cost import Cost, Probe
from materializers.evaluation.metric import Metric
from steps.evaluation.cost.load import Array, Load, NoPrediction, Target, ask, moments, offer, resident_bytes
from steps.evaluation.cost.noise import Watch
from steps.evaluation.cost.percentiles import percentile
from steps.evaluation.cost.pictures import cost_picture
from steps.evaluation.cost.replica import MEGABYTE, NotServed, Replica, replica, serving_python
from steps.evaluation.cost.search import judge, most_slow, search
from steps.evaluation.cost.settings import PROBE_REQUESTS, CostSettings
from steps.evaluation.examined import Examined
from steps.evaluation.intervals import wilson

COST = "cost"
"""The name of its picture."""
OFF = "it is switched off (setting evaluate.cost.requests is 0)"
CLOSED_CONNECTIONS = 8
"""Twice as many as the launcher has threads, so that none of them ever waits for a request."""
MOST_FAILURES = 10
"""Of the requests that follow one another, before the rest of them is spared."""
SECONDS_A_DAY = 86_400
SECONDS_AN_HOUR = 3600
HOURS_A_DAY = 24
ALREADY_RUNNING = (
    "a release that runs already is measured by its URL alone; the gate judged it on a replica of this model"
)

Pictures = dict[str, bytes]


def assess_cost(examined: Examined, settings: CostSettings) -> tuple[Cost, Pictures]:
    """Serve the model as it would be served, in the serving environment, and measure that process.

    At the default ten requests a second the 99th percentile has an interval without an upper end, because
    twelve seconds hold 120 requests of the 368 that it takes; see :class:`Cost` for what bounds it instead.

    Args:
        examined: its test pictures are sent as they are stored; those without an answer are left out.
        settings: how much.

    Returns:
        The numbers and their picture; ``not_assessed`` where no replica could be measured.
    """
    if not settings.requests:
        return Cost(not_assessed=OFF), {}
    positions = examined.sample(settings.pictures, settings.seed)
    if not len(positions):
        return Cost(not_assessed="no test picture has an answer that could be timed"), {}
    pictures = examined.dataset.pictures([examined.image_ids[position] for position in positions])
    directory, digest = examined.classifier.serving_directory, examined.classifier.record.model_digest
    try:
        python = serving_python(settings.serving_python)
        with replica(directory, digest, python=python, timeout_s=settings.start_timeout_s) as served:
            return _replica_cost(served, directory, pictures, settings)
    except NotServed as error:
        return Cost(not_assessed=str(error)), {}


def measure_service(
    url: str, pictures: Sequence[bytes], settings: CostSettings, *, authorization: str | None = None
) -> tuple[Cost, Pictures]:
    """Measure a release that runs already: latency, errors, the rate it sustains, its memory and its cost.

    It is asked for as much as it can give; who uses it meanwhile waits longer. It captures none of that, for
    captures are what users got. Its memory is what it says of itself after each load.

    Args:
        url: where its predictions are asked for.
        pictures: encoded pictures that it answers, one at least.
        settings: how much.
        authorization: what the header of this name says, where the service asks for it.
    """
    if not settings.requests:
        return Cost(not_assessed=OFF), {}
    try:
        target = Target.of(url, authorization, synthetic=True)
    except ValueError as error:
        return Cost(not_assessed=str(error)), {}
    said: list[int] = []
    session = _Session(target, pictures, settings, after=lambda: said.extend(_resident(target)))
    try:
        cost, drawn = _under_load(session, None)
    except NotServed as error:
        return Cost(not_assessed=str(error)), {}
    memory = Metric(value=max(said) / MEGABYTE, n=len(said)) if said else None
    return cost.model_copy(update={"not_of_a_process": ALREADY_RUNNING, "memory_mb": memory}), drawn


def _resident(target: Target) -> tuple[int, ...]:
    """What a service says of its memory; nothing where it does not."""
    said = resident_bytes(target)
    return () if said is None else (said,)


@dataclass
class _Session:
    """What is sent to one service, and what came of it.

    Args:
        target: the service.
        pictures: encoded pictures.
        settings: how much.
        after: is done after each load.
    """

    target: Target
    pictures: Sequence[bytes]
    settings: CostSettings
    after: Callable[[], None] = lambda: None
    loads: list[Load] = field(default_factory=list)
    probes: dict[float, Load] = field(default_factory=dict)

    def send(self, at: Array, **options: Any) -> Load:
        """Send a request at each moment; see :func:`offer`."""
        load = offer(self.target, self.pictures, at, **options)
        self.loads.append(load)
        self.after()
        return load

    def one_after_the_other(self, n: int) -> Load:
        """Send n requests as fast as they are answered."""
        return self.send(
            np.zeros(n), connections=CLOSED_CONNECTIONS, most_slow=MOST_FAILURES, drain_s=math.inf
        )

    def probe(self, rate_per_s: float) -> Probe:
        """Offer a rate until it is clear whether it is sustained."""
        n = max(PROBE_REQUESTS, round(rate_per_s * self.settings.probe_seconds))
        limit_ms = self.settings.p99_limit_ms
        at = moments(rate_per_s, n, self.settings.seed)
        load = self.probes[rate_per_s] = self.send(at, slow_ms=limit_ms, most_slow=most_slow(n))
        return judge(load, rate_per_s, n, limit_ms)


def _replica_cost(
    served: Replica, directory: Path, pictures: Sequence[bytes], settings: CostSettings
) -> tuple[Cost, Pictures]:
    """The cost of a replica that is ready."""
    memory_mb: list[float] = []
    session = _Session(
        Target.of(served.url), pictures, settings, after=lambda: memory_mb.append(served.memory_mb())
    )
    cost, drawn = _under_load(session, served.cpu_s)
    sizes = [file.stat().st_size for file in directory.iterdir()]
    own = {
        "memory_mb": Metric(value=max(memory_mb), n=len(memory_mb)),
        "start_up_s": Metric(value=served.start_up_s, n=1),
        "model_mb": Metric(value=sum(sizes) / MEGABYTE, n=len(sizes)),
    }
    return cost.model_copy(update=own), drawn


def _under_load(session: _Session, replica_s: Callable[[], float] | None) -> tuple[Cost, Pictures]:
    """Warm up, find the highest rate, then time the offered one.

    Raises:
        NotServed: no request is answered.
    """
    settings = session.settings
    try:
        ask(session.target, session.pictures[0])
    except NoPrediction as error:
        raise NotServed(f"The service does not answer a test picture: {error}") from error
    session.one_after_the_other(settings.warm_up)
    watch, warm = Watch(replica_s), len(session.loads)
    closed = session.one_after_the_other(settings.closed_requests)
    highest_per_s = (len(closed.latencies_ms) - closed.failed) / closed.seconds
    if not highest_per_s:
        raise NotServed(f"The service answers no request: {closed.failures[0]}")
    tried = search(session.probe, highest_per_s, settings.search_seconds)
    at = moments(settings.offered_per_s, settings.offered_requests, settings.seed)
    offered = session.send(at)
    cost = Cost(
        requests=1 + sum(len(load.latencies_ms) for load in session.loads),
        offered_per_s=settings.offered_per_s,
        latency_p50_ms=percentile(offered.latencies_ms, 0.5),
        latency_p99_ms=percentile(offered.latencies_ms, 0.99),
        request_errors=wilson(offered.failed, len(offered.latencies_ms)),
        highest_per_s=highest_per_s,
        p99_limit_ms=settings.p99_limit_ms,
        tried=tried,
        maximum_replicas=settings.maximum_replicas,
        price_per_hour=settings.price_per_hour,
        noise=watch.noise(session.loads[warm:]),
        **_sustained(session, tried, highest_per_s),
    )
    return cost, {COST: cost_picture(offered.latencies_ms, cost)}


def _sustained(session: _Session, tried: Sequence[Probe], highest_per_s: float) -> dict[str, Any]:
    """The fields that follow from the highest rate that held."""
    held = [probe for probe in tried if probe.held]
    if not held:
        last = tried[-1]
        return {
            "not_sustained": f"none of {len(tried)} rates was sustained; at {last.rate_per_s:.3g} requests a "
            f"second {last.reason}"
        }
    settings, best = session.settings, max(held, key=lambda probe: probe.rate_per_s)
    above = min([probe.rate_per_s for probe in tried if not probe.held], default=highest_per_s)
    return {
        "sustained_per_s": Metric(value=best.rate_per_s, low=best.rate_per_s, high=above, n=best.n),
        "sustained_p99_ms": percentile(session.probes[best.rate_per_s].latencies_ms, 0.99),
        "throughput_per_s": Metric(
            value=best.rate_per_s * settings.maximum_replicas,
            low=best.rate_per_s * settings.maximum_replicas,
            high=above * settings.maximum_replicas,
            n=best.n,
        ),
        **_price(best, settings),
    }


def _price(best: Probe, settings: CostSettings) -> dict[str, Any]:
    """What 1,000 predictions cost: as a day of production is paid for, and at a rate that never rests.

    The first is what is judged. Production pays for its replicas around the clock, at 10,000 predictions a
    day for one request every nine seconds; the second is the least that it could ever be.
    """
    needed = math.ceil(settings.predictions_per_day / SECONDS_A_DAY / best.rate_per_s)
    replicas = max(settings.minimum_replicas, needed)
    a_day = replicas * HOURS_A_DAY * settings.price_per_hour
    return {
        "replicas": replicas,
        "cost_per_1000": Metric(value=a_day / settings.predictions_per_day * 1000, n=best.n),
        "cost_per_1000_busy": settings.price_per_hour / (best.rate_per_s * SECONDS_AN_HOUR) * 1000,
    }
