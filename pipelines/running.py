"""How steps run: what each container is given on a cluster, how often a fault is tried again, when it ends.

Where steps run in the calling process, retries count and the rest is ignored.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from zenml.config.retry_config import StepRetryConfig

from materializers.report import Record
from materializers.resources import QUANTITY
from steps.monitoring.triggers.settings import LearningSteps

StepName = Literal[
    "ingest",
    "validate",
    "split",
    "tune",
    "train",
    "evaluate",
    "gate",
    "register",
    "signals",
    "decide",
    "staging",
    "candidate",
    "release",
    "observe",
    "conclude",
    "champion",
    "predict",
    "join",
    "window",
    "assess",
    "tell",
    "react",
    "explain",
    "compare",
]
"""Every step that the stack is given to run."""
LEARNING_STEPS: tuple[StepName, ...] = ("tune", "train")
"""What a budget of GPU-hours is spent on."""


class Retries(Record):
    """How a fault is met; a refusal, or wrong use, is never tried again."""

    count: NonNegativeInt = 3
    delay_s: NonNegativeInt = 60
    factor: PositiveInt = 2
    """By how much each wait is longer than the one before."""

    def in_zenml(self) -> StepRetryConfig | None:
        """The same in ZenML's words; None for no retries."""
        if not self.count:
            return None
        return StepRetryConfig(max_retries=self.count, delay=self.delay_s, backoff=self.factor)


class StepResources(Record):
    """What the container of a step is given; None leaves it to the cluster."""

    cpu_request: PositiveFloat | None = None
    cpu_limit: PositiveFloat | None = None
    memory_request: str | None = Field(default=None, pattern=QUANTITY)
    memory_limit: str | None = Field(default=None, pattern=QUANTITY)
    gpus: NonNegativeInt | None = None
    node_pool: dict[str, str] | None = None
    """Labels that the node must have."""
    step_timeout_s: PositiveInt | None = None


LIGHT = StepResources(
    cpu_request=2,
    cpu_limit=4,
    memory_request="4G",
    memory_limit="8G",
    gpus=0,
    node_pool=None,
    step_timeout_s=3600,
)
LEARNING = StepResources(memory_request="32G", memory_limit="32G", gpus=1, node_pool={"gpu-type": "v100"})


class RunningSettings(Record):
    """How the steps of every pipeline run."""

    timeout_s: PositiveInt = 3600
    """Seconds after which a run that a client waits for is ended."""
    retries: Retries = Retries()
    step: StepResources = LIGHT
    """What every step is given, unless ``steps`` says otherwise."""
    steps: dict[StepName, StepResources] = {"tune": LEARNING, "train": LEARNING}  # noqa: RUF012 - pydantic copies it

    def resources_of(self, step: StepName) -> StepResources:
        """What a step is given."""
        own = self.steps.get(step)
        return self.step if own is None else self.step.model_copy(update=_given(own))

    @property
    def learning(self) -> LearningSteps:
        """The GPUs of the steps that a budget of GPU-hours is spent on, and when each is ended."""
        given = {name: self.resources_of(name) for name in LEARNING_STEPS}
        return LearningSteps(
            gpus={name: each.gpus or 0 for name, each in given.items()},
            timeouts_s={name: each.step_timeout_s for name, each in given.items() if each.step_timeout_s},
        )

    def options(self) -> dict[str, Any]:
        """The same in ZenML's words, as its ``with_options`` takes it."""
        common = {"timeout": self.timeout_s, **_given(self.step)}
        return {
            "retry": self.retries.in_zenml(),
            "settings": {"orchestrator": common},
            "steps": {
                name: {"settings": {"orchestrator": {**common, **_given(resources)}}}
                for name, resources in self.steps.items()
            },
        }


def _given(resources: StepResources) -> dict[str, Any]:
    """What was set, also where it was set to None."""
    return resources.model_dump(include=resources.model_fields_set)
