"""The gate's policy: which rule has which limit, and which rules must hold.

The values are the product's; a configuration states its own in ``configs/``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from materializers.report import Record
from materializers.verdict import Requirement

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


class ShareRule(Record):
    """A share, from 0 to 1, that must reach its limit."""

    requirement: Requirement
    limit: Share


class LatencyRule(Record):
    """A time that must stay within its limit, milliseconds."""

    requirement: Requirement
    limit: Milliseconds


class PassedRule(Record):
    """Something that has passed, 1, or has not, 0."""

    requirement: Requirement
    limit: Annotated[float, Field(strict=True, ge=1, le=1)] = 1.0


def _share(requirement: Requirement, limit: float) -> ShareRule:
    return ShareRule(requirement=requirement, limit=limit)


class Rules(Record):
    """Every rule of the gate, by name."""

    data_validation: PassedRule = PassedRule(requirement="required")
    learning: PassedRule = PassedRule(requirement="required")
    """The training was not given up; ``train.learning`` says when it is."""
    accuracy: ShareRule = _share("required", 0.85)
    precision: ShareRule = _share("required", 0.80)
    """Of every class."""
    recall: ShareRule = _share("required", 0.80)
    """Of every class."""
    f1_macro: ShareRule = _share("required", 0.80)
    roc_auc_macro: ShareRule = _share("advisory", 0.85)
    latency_p99_ms: LatencyRule = LatencyRule(requirement="required", limit=500.0)

    @model_validator(mode="after")
    def _require_something(self) -> Self:
        if all(rule.requirement != "required" for _, rule in self):
            raise ValueError("no rule of the policy is required, so no model could pass; require one")
        return self


class Policy(Record):
    """What the gate requires of a model."""

    compare: Literal["point"] = "point"
    """Point estimates are compared with the limits; the intervals are shown beside them."""
    rules: Rules = Rules()
