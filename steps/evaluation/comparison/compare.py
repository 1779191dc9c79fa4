"""Compare a challenger's answers with those of the model that it would replace.

Three questions, each with its own test. Overall: can one exclude that the challenger is worse by the margin?
A small test set cannot, so that the answer is no until there is evidence. Of golden set and new rows, and of
each class: is there significant harm? There the answer is no until harm is shown, or noise would refuse a
good model the more often, the more parts are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from materializers.evaluation.comparison import Against, Comparison, PairedRows
from materializers.evaluation.metric import Metric
from steps.evaluation.comparison.paired import harm_p, holm, inferiority_p, interval, power_if_equal
from steps.evaluation.comparison.settings import ComparisonSettings

Names = NDArray[np.object_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """The n rows that two models are compared on.

    Args:
        true: ``(n,)``, the names of their classes.
        golden: ``(n,)``, whether a row is of the golden set.
        new: ``(n,)``, whether a row is new since the other model.
    """

    true: Names
    golden: Flags
    new: Flags


@dataclass(frozen=True)
class Answers:
    """What one model answered.

    Args:
        predicted: ``(n,)``, the names of classes; None where it had no answer, which is wrong.
        classes: the names that it knows.
    """

    predicted: Names
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Other:
    """The model that a challenger is compared with.

    Args:
        answers: to the same rows.
        against: what it is.
        version: in the registry; None of a baseline.
        model: the digest of its directory; None of a baseline.
    """

    answers: Answers
    against: Against = "champion"
    version: str | None = None
    model: str | None = None


def majority_baseline(learnt: Sequence[str], classes: Collection[str], n: int) -> Other:
    """What a first model is compared with: always the class that most training rows have.

    Args:
        learnt: the labels of the challenger's training rows.
        classes: the names that the challenger knows.
        n: how many rows it is asked about.

    Raises:
        ValueError: there is no training row.
    """
    if not learnt:
        raise ValueError("Without a training row no class is the most frequent.")
    counts = Counter(learnt)
    label = min(counts, key=lambda name: (-counts[name], name))
    predicted = np.full(n, label, dtype=object)
    return Other(Answers(predicted, tuple(sorted(classes))), against="majority class")


def compare(
    rows: Rows,
    challenger: Answers,
    other: Other,
    settings: ComparisonSettings,
    *,
    retired: Collection[str] = (),
    left_out: int = 0,
    decisions: int = 0,
) -> Comparison:
    """Compare two models on the rows of the classes that both know.

    Args:
        rows: those that neither model learnt from.
        challenger: its answers to them.
        other: the other model and its answers.
        settings: margins and error rates.
        retired: classes that were given up by name.
        left_out: test rows that are not among them because the other model learnt from them.
        decisions: how often the test set was used for a verdict, with this one.

    Returns:
        Not assessed where there is no row to compare on.

    Raises:
        ValueError: the answers are not one a row.
    """
    lengths = {len(each) for each in (rows.true, rows.golden, rows.new)}
    if lengths | {len(challenger.predicted), len(other.answers.predicted)} != {len(rows.true)}:
        raise ValueError(f"There are {len(rows.true)} rows; flags and answers must be one a row.")
    both = sorted(set(challenger.classes) & set(other.answers.classes))
    dropped = tuple(sorted(set(other.answers.classes) - set(both)))
    about = Comparison(
        against=other.against,
        version=other.version,
        model=other.model,
        compared_classes=tuple(both),
        new_classes=tuple(sorted(set(challenger.classes) - set(both))),
        dropped_classes=dropped,
        retired_classes=tuple(name for name in dropped if name in retired),
        always_answered=_always_answered(other),
        left_out=left_out,
        decisions_on_this_test_set=decisions,
        **settings.model_dump(),
    )
    numbers = pd.Index(both, dtype=object).get_indexer(pd.Index(rows.true, dtype=object))
    if not (numbers >= 0).any():
        return about.model_copy(update={"not_assessed": _nothing(about)})
    return about.model_copy(update=_parts(rows, numbers, about, challenger, other, settings))


def _nothing(about: Comparison) -> str:
    """Why there is no row to compare on."""
    if not about.compared_classes:
        return f"no class is known to both the challenger and the {about.against}"
    return (
        f"no test row is left that neither the challenger nor the {about.against} learnt from "
        f"({about.left_out:,} were left out): deliver new pictures, a share of which split.shares.test sets "
        "aside for testing"
    )


def _parts(
    rows: Rows,
    numbers: NDArray[np.intp],
    about: Comparison,
    challenger: Answers,
    other: Other,
    settings: ComparisonSettings,
) -> dict[str, object]:
    """All rows, golden set, new rows and classes, by the names of the fields.

    Args:
        rows: all of them.
        numbers: ``(n,)``, of each row's class in ``about.compared_classes``; -1: not one that both know.
        about: what is known before the rows are looked at.
        challenger: its answers.
        other: the other model's.
        settings: margins and error rates.
    """
    kept, labels = numbers >= 0, about.compared_classes
    ours, theirs = (each.predicted == rows.true for each in (challenger, other.answers))

    def counted(right: Flags) -> NDArray[np.int64]:
        """Rows of all, of the golden set, new ones and of each class."""
        subsets = [np.count_nonzero(right & kept & chosen) for chosen in (kept, rows.golden, rows.new)]
        return np.array([*subsets, *np.bincount(numbers[right & kept], minlength=len(labels))])

    overall, golden, new, *by_class = _paired(
        n=counted(kept),
        lost=counted(theirs & ~ours),
        won=counted(ours & ~theirs),
        right=counted(ours),
        alpha=settings.alpha,
    )
    classes = dict(zip(labels, by_class, strict=True))
    enough = {
        label: part
        for label, part in classes.items()
        if part.n >= settings.min_n and label != about.always_answered
    }
    subsets = {name: part for name, part in (("golden", golden), ("new_rows", new)) if part.n}
    p = float(inferiority_p(overall.n, overall.only_reference, overall.only_challenger, settings.margin))
    discordant = overall.only_reference + overall.only_challenger
    return {
        "overall": overall.model_copy(update={"p": p}),
        **_judged(subsets, settings.subset_margin),
        "classes": classes | _judged(enough, settings.class_margin),
        "power": power_if_equal(overall.n, discordant, settings.margin, settings.alpha),
    }


def _always_answered(other: Other) -> str | None:
    """The class of a baseline, on which nothing can be better."""
    answered = other.answers.predicted
    return str(answered[0]) if other.against == "majority class" and len(answered) else None


def _paired(
    *,
    n: NDArray[np.int64],
    lost: NDArray[np.int64],
    won: NDArray[np.int64],
    right: NDArray[np.int64],
    alpha: float,
) -> list[PairedRows]:
    """The parts of the rows, from each one's counts ``(parts,)``; ``right`` are the challenger's."""
    lows, highs = interval(n, lost, won, alpha)
    return [
        PairedRows(
            n=size,
            only_reference=b,
            only_challenger=c,
            reference=(hits - c + b) / size if size else None,
            challenger=hits / size if size else None,
            difference=Metric(
                value=(c - b) / size if size else None,
                low=low if size else None,
                high=high if size else None,
                n=size,
            ),
            p=None,
        )
        for size, b, c, hits, low, high in zip(
            n.tolist(),
            lost.tolist(),
            won.tolist(),
            right.tolist(),
            lows.tolist(),
            highs.tolist(),
            strict=True,
        )
    ]


def _judged(parts: dict[str, PairedRows], margin: float) -> dict[str, PairedRows]:
    """The parts with the p-values of harm beyond the margin, adjusted over them."""
    counts = [(each.n, each.only_reference, each.only_challenger) for each in parts.values()]
    n, lost, won = np.array(counts, dtype=np.int64).reshape(-1, 3).T
    raw = harm_p(n, lost, won, margin)
    return {
        name: part.model_copy(update={"p": p, "adjusted": adjusted})
        for (name, part), p, adjusted in zip(parts.items(), raw.tolist(), holm(raw).tolist(), strict=True)
    }
