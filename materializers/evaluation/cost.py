"""What serving a model costs: how fast one replica answers, how much, in how much memory, for what price."""

from __future__ import annotations

from collections.abc import Iterator

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record

UNMEASURED = "it was not measured"


class Probe(Record):
    """One rate that was offered to a replica, in the search for the highest that it sustains."""

    rate_per_s: float
    """Requests a second, on average."""
    n: int
    """Requests that were sent; fewer than were meant to be where the first of them had decided it."""
    p50_ms: float | None
    p99_ms: float | None
    """None: so many failed that there is none."""
    held: bool
    reason: str | None = None
    """Why the replica did not sustain it."""


class Noise(Record):
    """How quiet the machine was while the times were taken."""

    cores: int
    calibration_ms: float
    """Median time of a fixed piece of work, of one thread."""
    spread: float
    """By how much of the median its 95th percentile lies above it: what a time varies by of itself."""
    drift: float
    """By how much of the median before, the median afterwards differs from it."""
    load_before: float
    load_after: float
    """Load averages of one minute; the measurement itself is in the second one."""
    others_busy: float | None
    """The share of all the cores' time that other processes took; None: unknown, as for a remote service."""
    late_p99_ms: float
    """99th percentile of how late a request was sent although a thread waited for its time: the part of a
    latency that is the measuring machine's own."""
    client_ms: float
    """CPU time of the sending process for one request; it shares the cores with a replica beside it."""

    def sentence(self) -> str:
        """How far the times can be trusted, for a page."""
        change = f"{abs(self.drift):.0%} {'more' if self.drift > 0 else 'less'} time after the measurement"
        said = (
            f"The same piece of work took up to {self.spread:.0%} longer from one time to the next, and "
            f"{change} than before it: times that differ by less do not differ. 99 of 100 requests were sent "
            f"within {self.late_p99_ms:.2f} ms of their moment, which is part of their latency."
        )
        if self.others_busy is None:
            return said
        return f"{said} Other processes took {self.others_busy:.0%} of the time of the {self.cores} cores."


class Cost(Section):
    """One replica under load, in a process of its own in the serving environment, warm.

    Percentiles are order statistics, and so are the ends of their intervals: whatever the distribution, how
    many of n requests lie below a percentile is binomial (Hahn and Meeker, Statistical Intervals, 1991, 5.2).
    An end that n requests cannot bound is None: below 368 of them the 99th percentile has no upper one. At
    ten requests a second those take 37 s, longer than an evaluation has. What bounds it instead is
    ``sustained_p99_ms``, which has 400: a replica is no slower when less is asked of it. A request that
    failed has no latency and counts as slower than any other.
    """

    requests: int = 0
    """Everything that was sent, with the warm-up."""
    offered_per_s: float | None = None
    """The rate that one replica gets when the product's peak is shared by production's maximum replicas."""
    latency_p50_ms: Metric | None = None
    latency_p99_ms: Metric | None = None
    """From the moment at which a request was to be sent to its answer, at ``offered_per_s``."""
    request_errors: Metric | None = None
    """The share of the requests at ``offered_per_s`` without an answer of 200; Wilson's interval."""
    highest_per_s: float | None = None
    """Requests a second that it answers when the next is sent as soon as one of a few is answered."""
    sustained_per_s: Metric | None = None
    """The highest rate it was seen to sustain; ``n`` requests were sent at it. ``low`` and ``high`` are no
    confidence interval but bracket it: this rate held, and the lowest that was tried above it did not."""
    sustained_p99_ms: Metric | None = None
    """At ``sustained_per_s``."""
    p99_limit_ms: float | None = None
    """What "sustained" means: the 99th percentile stays within it."""
    tried: tuple[Probe, ...] = ()
    maximum_replicas: int | None = None
    throughput_per_s: Metric | None = None
    """``sustained_per_s`` of every one of the maximum replicas."""
    memory_mb: Metric | None = None
    """Most resident memory (RSS, 10⁶ bytes) of the replica's processes that was seen, added up. What two of
    them share counts twice, so that it is never less than what a container is charged; ``n`` readings."""
    start_up_s: Metric | None = None
    """From the start of the process to its being ready, which it is after its first prediction."""
    model_mb: Metric | None = None
    """The model directory, 10⁶ bytes; ``n`` files."""
    price_per_hour: float | None = None
    """Of one replica, dollars."""
    replicas: int | None = None
    """How many run all day: the least that production has, or as many as the day's predictions need."""
    cost_per_1000: Metric | None = None
    """Dollars: the ``replicas`` for a day, divided by the thousands of predictions of a day."""
    cost_per_1000_busy: float | None = None
    """Dollars, if a replica answered at ``sustained_per_s`` all the time: the least it could ever be."""
    noise: Noise | None = None
    not_sustained: str | None = None
    """Why there is no ``sustained_per_s``, in one sentence."""
    not_of_a_process: str | None = None
    """Why there is no start-up and no size, and maybe no memory, in one sentence; the gate judged those of
    the same model, so that their rules are listed and decide nothing."""

    def measured(self) -> Iterator[Measured]:
        """Every number that a policy may have a rule on."""
        why = self.not_assessed
        failed = "so many requests failed that it is not defined"
        for name, reason in (
            ("latency_p50_ms", failed),
            ("latency_p99_ms", failed),
            ("request_errors", UNMEASURED),
            ("throughput_per_s", self.not_sustained or UNMEASURED),
            ("memory_mb", self.not_of_a_process or UNMEASURED),
            ("start_up_s", self.not_of_a_process or UNMEASURED),
            ("cost_per_1000", self.not_sustained or UNMEASURED),
            ("model_mb", self.not_of_a_process or UNMEASURED),
        ):
            value: Metric | None = getattr(self, name)
            known = value is not None and value.value is not None
            spared = not known and why is None and reason == self.not_of_a_process
            yield Measured(metric=name, value=value, reason=None if known else why or reason, spared=spared)
