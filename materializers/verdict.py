"""The gate's verdict on one model, and how anyone can derive it again.

A verdict holds what was measured and what the limit was, so its outcome is never taken on trust: whoever acts
on it derives the outcome again from the numbers (:func:`verify_verdict`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from materializers.errors import Refused
from materializers.report import Record, Report
from materializers.rule_groups import grouped, is_open, open_rules

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

Outcome = Literal["passed", "refused", "not_assessed"]
Requirement = Literal["required", "advisory"]
Direction = Literal[">=", "<="]
Compare = Literal["point", "lower", "upper"]
"""What of a number is compared with its limit: itself, or a bound of its 95 % interval."""


class RuleResult(Record):
    """One rule of the policy, applied to one subject (the model, one of its classes, a group of pictures).

    What came with format 2 of the verdict is written where it says something, so that a result of format 1
    keeps its digest.
    """

    rule: str
    subject: str | None = None
    requirement: Requirement
    direction: Direction
    limit: float
    measured: float | None
    interval: tuple[float, float] | None = None
    n: int | None = None
    outcome: Outcome
    reason: str | None = None
    compare: Compare = "point"
    min_n: int = 0

    @model_serializer(mode="wrap")
    def _as_short_as_it_says(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = write(self)
        for name, default in (("compare", "point"), ("min_n", 0)):
            if values[name] == default:
                del values[name]
        return values

    @property
    def name(self) -> str:
        """The rule, with its subject where it has one."""
        return f"{self.rule} of {self.subject}" if self.subject else self.rule

    @property
    def decisive(self) -> float | None:
        """The number that is compared with the limit; None where there is none."""
        if self.min_n and (self.n is None or self.n < self.min_n):
            return None
        if self.compare == "point" or self.measured is None:
            return self.measured
        if self.interval is None:
            return None
        return self.interval[0] if self.compare == "lower" else self.interval[1]

    @property
    def required_of_it(self) -> str:
        """What the number, or a bound of it, must be."""
        bound = "" if self.compare == "point" else f"{self.compare} bound "
        return f"{bound}{self.direction} {self.limit:g}"

    def sentence(self) -> str:
        """What was measured beside its limit, in words."""
        measured = "not assessed" if self.measured is None else f"{self.measured:.4g}"
        bound = (
            ""
            if self.compare == "point" or self.decisive is None
            else f", {self.compare} bound {self.decisive:.4g}"
        )
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.name}: {measured}{bound}, limit {self.direction} {self.limit:g}{why}"


class EvidenceDigests(Record):
    """What a verdict was reached on; each is a hex digest."""

    model: str
    report: str
    policy: str
    data: str
    code: str


class Opponent(Record):
    """A version that the judged model was compared with."""

    version: int
    model: str
    """Digest of its model directory."""

    def __str__(self) -> str:
        return f"version {self.version} (model {self.model[:12]})"


class JudgedReport(Report):
    """A report that rules were applied to, with what came of each."""

    outcome: Outcome
    rules: tuple[RuleResult, ...]

    def headline(self) -> dict[str, MetadataType]:
        """The outcome and the rules that did not pass."""
        return {"outcome": self.outcome, "reasons": self.reasons()}

    def open_rules(self) -> list[RuleResult]:
        """The required rules that did not pass, what refuses first."""
        return open_rules(self.rules)

    def reasons(self) -> list[str]:
        """A sentence for each required rule that did not pass, in the order of the policy."""
        return [rule.sentence() for rule in self.rules if is_open(rule)]


class Verdict(JudgedReport):
    """Whether one model may be released, rule by rule."""

    template: ClassVar[str] = "verdict.html"
    formats: ClassVar[tuple[int, ...]] = (1, 2)
    later_fields: ClassVar[dict[str, int]] = {"champion": 2}

    format_version: int = 2
    model_name: str
    compared: Literal["point", "rule"]
    """Format 1 compared every point estimate; now each rule says what of its number is compared."""
    evidence: EvidenceDigests
    champion: Opponent | None = None
    """What was in production when it was judged; None: nothing was."""

    @property
    def judge_again(self) -> str:
        """How its model gets a new verdict, on the same data: an approval is of one verdict."""
        return (
            "judge it again, after which production needs a new approval: python run.py --train --data "
            f"{self.evidence.data[:16]}"
        )

    def groups(self) -> dict[str, list[RuleResult]]:
        """All rules as they stand together."""
        return grouped(self.rules)


def judge(measured: float | None, limit: float, direction: Direction) -> Outcome:
    """Compare one number with its limit; a missing or non-finite number or limit is ``not_assessed``."""
    if measured is None or not math.isfinite(measured) or not math.isfinite(limit):
        return "not_assessed"
    holds = measured >= limit if direction == ">=" else measured <= limit
    return "passed" if holds else "refused"


def derive_outcome(rules: Sequence[RuleResult]) -> Outcome:
    """The outcome that the rules' numbers give, whatever the rules say of themselves.

    ``refused`` when a required rule is; else ``not_assessed`` when a required rule is, or when nothing is
    required at all; else ``passed``.
    """
    required = [judge(r.decisive, r.limit, r.direction) for r in rules if r.requirement == "required"]
    if "refused" in required:
        return "refused"
    return "not_assessed" if "not_assessed" in required or not required else "passed"


def verify_verdict(verdict: Verdict, *, model_digest: str, recorded: dict[str, str | None]) -> None:
    """Check that a verdict is the recorded one, is about this model, and passed.

    Args:
        verdict: the verdict as it is stored now.
        model_digest: digest of the model directory as it is now.
        recorded: for each place that recorded the verdict's digest, what it holds (None: nothing).

    Raises:
        Refused: naming the first thing that does not agree.
    """
    if not recorded:
        raise Refused(
            "Nothing recorded the verdict. Train again to get one: python run.py --train --source PATH"
        )
    for place, digest in recorded.items():
        if digest != verdict.digest:
            raise Refused(
                f"The verdict has digest {verdict.digest[:12]}, but the {place} recorded "
                f"{digest[:12] if digest else 'none'}: it was altered or belongs to another model. "
                "Train again to get a verdict: python run.py --train --source PATH"
            )
    if verdict.evidence.model != model_digest:
        raise Refused(
            f"The verdict is about model {verdict.evidence.model[:12]}, the model present is "
            f"{model_digest[:12]}: it was changed after the gate. Train again: "
            "python run.py --train --source PATH"
        )
    derived = derive_outcome(verdict.rules)
    if derived != verdict.outcome:
        raise Refused(
            f"The verdict says {verdict.outcome}, its own numbers give {derived}. "
            "Train again to get a verdict: python run.py --train --source PATH"
        )
    require_passed(verdict)


def require_passed(verdict: Verdict) -> None:
    """Check what a verdict says of itself.

    Raises:
        Refused: it did not pass; with each rule that decided it.
    """
    if verdict.outcome != "passed":
        raise Refused(
            f"The gate's verdict is {verdict.outcome}: {'; '.join(verdict.reasons())}. Nobody can overrule "
            "it; train another model: python run.py --train --source PATH"
        )
