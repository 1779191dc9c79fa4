"""What a registered version is for, how good it is, what it must not be used for, and who decided on it.

After Mitchell et al., Model Cards for Model Reporting (2019), as Markdown and as a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from materializers.approval import Approval
from materializers.evaluation.metric import Measured, Metric
from materializers.report import Record, Report, number, words
from materializers.rule_groups import grouped, open_rules
from materializers.verdict import Outcome, RuleResult

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

CELL_ESCAPES = str.maketrans({"|": r"\|", "\n": " ", "<": "&lt;"})
"""What would end a cell of a Markdown table, or be taken for HTML."""
LINE_ESCAPES = str.maketrans({"\n": " ", "<": "&lt;"})
"""The same of a line outside of tables."""
DIFFERENCE = "accuracy_difference_to_champion"
FIRST = (
    "accuracy",
    "f1_macro",
    DIFFERENCE,
    "corruption_relative_accuracy",
    "expected_calibration_error",
    "latency_p99_ms",
    "cost_per_1000",
)
"""Metrics that stand above all others."""


class CardData(Record):
    """What the model learnt from and was measured on."""

    version: str
    splits: str
    """Digests of the dataset and of the splits."""
    source_name: str
    pictures: dict[str, dict[str, int]]
    """By class, then by split."""


class Decision(Record):
    """What a person decided on the version."""

    decision: str
    by: str
    actor: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, approval: Approval) -> Decision:
        """What an approval, or a rejection, says."""
        return cls(**{name: getattr(approval, name) for name in cls.model_fields})


class ModelCard(Report):
    """The card of one registered version."""

    template: ClassVar[str] = "model_card.html"

    model_name: str
    version: int
    purpose: str
    architecture: str
    classes: tuple[str, ...]
    trained: dict[str, str]
    """How, in the words of the training's record."""
    data: CardData
    outcome: Outcome
    """The gate's."""
    compared_with: str | None = None
    """What its accuracy is a difference to, in words: the champion, or a baseline where there was none."""
    rules: tuple[RuleResult, ...]
    measured: tuple[Measured, ...]
    limits: tuple[str, ...]
    """What it must not be used for, where it is weak, and what nobody looked at, one sentence each."""
    decisions: tuple[Decision, ...] = ()
    digests: dict[str, str]

    @property
    def title(self) -> str:
        """Model and version."""
        return f"{self.model_name}, version {self.version}"

    def with_decision(self, approval: Approval) -> ModelCard:
        """The card after one more decision."""
        return self.model_copy(update={"decisions": (*self.decisions, Decision.of(approval))})

    def open_rules(self) -> list[RuleResult]:
        """The required rules that did not pass, what refuses first."""
        return open_rules(self.rules)

    def groups(self) -> dict[str, list[RuleResult]]:
        """All rules as they stand together."""
        return grouped(self.rules)

    def first_numbers(self) -> dict[str, Metric]:
        """The numbers that a reader asks for first, in words, as far as they were measured."""
        known = {one.metric: one.value for one in self.measured if one.subject is None}
        found = {self._in_words(name): known.get(name) for name in FIRST}
        return {name: value for name, value in found.items() if value is not None and value.value is not None}

    def _in_words(self, metric: str) -> str:
        """The name of a metric; that of the difference says to what, which is no champion the first time."""
        if metric == DIFFERENCE and self.compared_with is not None:
            return f"difference of accuracy to {self.compared_with}"
        return words(metric)

    def headline(self) -> dict[str, MetadataType]:
        """What it is and what the gate and the last person said of it."""
        last = self.decisions[-1].decision if self.decisions else "none"
        return {"version": self.version, "verdict": self.outcome, "decision": last}

    def markdown(self) -> str:
        """The card as Markdown."""
        parts = [
            f"# {self.title}",
            f"{self.purpose}\n\nThe gate: **{words(self.outcome)}**.{self._why()}",
            self._first(),
            "## Limits\n" + "\n".join(f"- {limit}" for limit in self.limits),
            "## Data\n" + self._data(),
            "## The gate's rules\n" + self._rules(),
            "## Measured on pictures that it did not learn from\n" + self._measured(),
            "## Training\n" + _table(("", ""), [("classes", ", ".join(self.classes)), *self.trained.items()]),
            "## Decisions of persons\n" + self._decisions(),
            "## Digests\n" + _table(("of", "digest"), list(self.digests.items())),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _why(self) -> str:
        lines = [f"- {rule.sentence()}".translate(LINE_ESCAPES) for rule in self.open_rules()]
        return "\n\n" + "\n".join(lines) if lines else ""

    def _first(self) -> str:
        rows = [(name, _with_interval(one.value, one.interval)) for name, one in self.first_numbers().items()]
        return _table(("first of all", "measured"), rows) if rows else ""

    def _data(self) -> str:
        splits = list(dict.fromkeys(name for counts in self.data.pictures.values() for name in counts))
        rows = [
            (label, *(f"{counts.get(name, 0):,}" for name in splits))
            for label, counts in self.data.pictures.items()
        ]
        return f"Source: {self.data.source_name}\n\n" + _table(("class", *splits), rows)

    def _rules(self) -> str:
        rows = [
            (
                words(rule.name),
                _with_interval(rule.measured, rule.interval),
                rule.required_of_it,
                rule.requirement,
                words(rule.outcome) + (f": {rule.reason}" if rule.reason else ""),
            )
            for rule in self.rules
        ]
        return _table(("rule", "measured", "limit", "requirement", "outcome"), rows)

    def _measured(self) -> str:
        rows = [
            (
                words(one.metric),
                one.subject or "model",
                "–" if one.value is None else _with_interval(one.value.value, one.value.interval),
                "–" if one.value is None else f"{one.value.n:,}",
                one.reason or "",
            )
            for one in self.measured
        ]
        return _table(("metric", "of", "value", "n", ""), rows)

    def _decisions(self) -> str:
        if not self.decisions:
            return "None so far."
        return "\n".join(
            f"- {each.decision} by {each.by} (logged in as {each.actor}), {each.at:%Y-%m-%d %H:%M} UTC: "
            f"{each.reason.translate(CELL_ESCAPES)}"
            for each in self.decisions
        )


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    shown = number(value)
    return shown if interval is None else f"{shown} [{number(interval[0])}, {number(interval[1])}]"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of Markdown, its cells escaped."""
    lines = [head, tuple("-" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.translate(CELL_ESCAPES) for cell in line)} |" for line in lines)
