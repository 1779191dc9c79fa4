"""The gate's policy: which rule has which limit, which rules must hold, and what of a number is compared.

It is written in YAML, one line a rule; every number of it stands in ``configs/policy.yaml``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from materializers.report import Record
from materializers.verdict import Compare, Requirement
from steps.evaluation.catalogue import CATALOGUE, Entry
from steps.evaluation.comparison.settings import Anchor, ComparisonSettings

DIFFERENCES = ("accuracy_difference_to_champion", "accuracy_difference_to_anchor")
HARM = ("class_harm", "golden_harm", "new_rows_harm")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""What a rule may be called: ``--set`` takes it in a path, and it stands in one line of every message."""
MOST_ROWS = 1_000_000
"""More than any test set has."""
NEAR = 0.6
"""How alike (of 1) a name is to the metric that was probably meant."""


class Rule(Record):
    """One rule.

    A missing ``metric`` is the rule's own name.
    """

    metric: str
    subject: str | None = None
    """What of it alone, such as a class; None: each that it is measured of."""
    requirement: Requirement
    limit: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    min_n: Annotated[int, Field(strict=True, ge=0, le=MOST_ROWS)] = 0
    """With fewer rows than this the rule is not assessed."""
    compare: Compare = "point"
    """What is compared with the limit: the number itself, or a bound of its 95 % interval."""
    where_declared: bool = False
    """True: it is required only where the setting that it needs is given."""

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in CATALOGUE:
            raise ValueError(f"nothing measures {metric!r}; {_hint(metric, CATALOGUE)}")
        return metric

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        entry = self.entry
        if not entry.lowest <= self.limit <= entry.highest:
            raise ValueError(
                f"the limit of {self.metric} is {self.limit:g}; it must be from {entry.lowest:g} to "
                f"{entry.highest:g}"
            )
        if self.compare != "point" and not entry.interval:
            raise ValueError(
                f"{self.metric} has no interval, so that no bound of it is compared: compare: point"
            )
        if self.subject is not None and entry.subjects is None:
            raise ValueError(f"no part of {self.metric} can have a rule of its own: leave the subject out")
        if self.where_declared and not entry.needs:
            raise ValueError(f"{self.metric} is always measured: where_declared says nothing about it")
        return self

    @property
    def entry(self) -> Entry:
        """Its metric in the catalogue."""
        return CATALOGUE[self.metric]


class Policy(Record):
    """What the gate requires of a model."""

    comparison: ComparisonSettings = ComparisonSettings()
    """How a model is compared with what it would replace: part of the policy, whose change is approved."""
    anchor: Anchor = "first"
    """What small losses are summed up against: the first version that went to production, or the best."""
    rules: dict[str, Rule] = Field(min_length=1)

    @field_validator("rules", mode="before")
    @classmethod
    def _named(cls, rules: Any) -> Any:
        """Give each rule its name where it names no metric."""
        if not isinstance(rules, dict):
            return rules
        for name in rules:
            if not NAME.fullmatch(str(name)):
                raise ValueError(f"a rule is called by letters, digits, _ and -, 100 at most, not {name!r}")
        return {
            name: {"metric": name, **rule} if isinstance(rule, dict) else rule for name, rule in rules.items()
        }

    @model_validator(mode="after")
    def _require_something(self) -> Self:
        if all(rule.requirement != "required" for rule in self.rules.values()):
            raise ValueError("no rule of the policy is required, so no model could pass; require one")
        return self

    @model_validator(mode="after")
    def _one_number_each(self) -> Self:
        """What the comparison is made with is what the rules on it decide by."""
        comparison = self.comparison
        for name, rule in self.rules.items():
            place = f"policy.rules.{name}"
            if rule.metric in DIFFERENCES and rule.limit != -comparison.margin:
                raise ValueError(
                    f"{place}.limit is {rule.limit:g}, policy.comparison.margin {comparison.margin:g}: the "
                    "same margin stands in both, as a loss in the first"
                )
            if rule.metric in DIFFERENCES and rule.compare != "lower":
                raise ValueError(
                    f"{place}.compare is {rule.compare}: the test of policy.comparison.alpha is that of the "
                    "lower bound: compare: lower"
                )
            if rule.metric in HARM and rule.limit != comparison.harm_alpha:
                raise ValueError(
                    f"{place}.limit is {rule.limit:g}, policy.comparison.harm_alpha "
                    f"{comparison.harm_alpha:g}: the same error rate stands in both"
                )
        return self

    @property
    def min_tested(self) -> int:
        """The test pictures without which a required rule could never be assessed."""
        needed = (
            rule.min_n
            for rule in self.rules.values()
            if rule.requirement == "required" and rule.entry.of_test_pictures
        )
        return max(needed, default=0)

    def in_force(self, value_of: Callable[[str], Any]) -> Policy:
        """The policy under these settings: what is required only where it is declared, and is not, advises.

        Args:
            value_of: gives a setting, such as ``evaluate.slices.sensitive``.

        Raises:
            ValueError: a rule could never be assessed: what a required one needs is switched off, or nothing
                is measured of the subject that one names.
        """
        return self.model_copy(
            update={"rules": {name: _in_force(name, rule, value_of) for name, rule in self.rules.items()}}
        )


def _in_force(name: str, rule: Rule, value_of: Callable[[str], Any]) -> Rule:
    if rule.subject is not None and rule.entry.subjects is not None:
        known = value_of(rule.entry.subjects)
        if rule.subject not in known:
            raise ValueError(
                f"policy.rules.{name}.subject is {rule.subject!r}, which {rule.entry.subjects} does not "
                f"name; {_hint(rule.subject, known)}"
            )
    missing = [needed for needed in rule.entry.needs if not value_of(needed)]
    if rule.requirement != "required" or not missing:
        return rule
    if not rule.where_declared:
        raise ValueError(
            f"policy.rules.{name} is required and could never be assessed: {missing[0]} is off. Give it a "
            f"value, or: --set policy.rules.{name}.requirement=advisory"
        )
    return rule.model_copy(update={"requirement": "advisory"})


def _hint(name: str, known: Iterable[str]) -> str:
    """The name that was probably meant, or all there are."""
    listed = list(known)
    near = difflib.get_close_matches(name, listed, n=1, cutoff=NEAR)
    return f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(listed) or 'none'}"
