"""Two models are compared on rows that neither learnt from."""

from __future__ import annotations

import pandas as pd

from materializers.splits import APART, TEST, TRAIN, VALIDATION, Splits
from steps.evaluation.comparison.rows import fair_rows


def splits(sides: dict[str, str], *, golden: str = "", remembered: dict[str, str] | None = None) -> Splits:
    """A letter a picture."""

    def rows(of: dict[str, str]) -> pd.DataFrame:
        golden_rows = [name in golden for name in of]
        return pd.DataFrame({"image_id": list(of), "split": list(of.values()), "label": "hat"}).assign(
            golden=golden_rows
        )

    return Splits(rows(sides), remembered=rows(remembered or {}))


def test_a_row_that_either_model_learnt_from_is_left_out() -> None:
    """Training and validation alike; what the other model was tested on, or never had, is fair."""
    ours = splits({"a": TEST, "b": TEST, "c": TEST, "d": TEST, "e": TRAIN, "f": VALIDATION, "g": APART})
    theirs = splits({"a": TRAIN, "b": VALIDATION, "c": TEST, "e": TEST, "g": TEST})
    fair = fair_rows(ours, theirs)
    assert fair.image_ids == ("c", "d")
    assert fair.left_out == 2


def test_golden_and_new_rows_are_told_apart() -> None:
    """Golden by the challenger's splits; new is what the other model's splits never placed."""
    ours = splits({"d": TEST, "c": TEST, "b": TEST, "a": TEST}, golden="ad")
    theirs = splits({"a": TEST, "b": TEST}, remembered={"d": TEST})
    fair = fair_rows(ours, theirs)
    assert fair.image_ids == ("a", "b", "c", "d")
    assert fair.golden.tolist() == [True, False, False, True]
    assert fair.new.tolist() == [False, False, True, False]


def test_a_picture_that_was_remembered_as_learnt_from_is_left_out() -> None:
    """It came from the splits before, whose training side it was on."""
    fair = fair_rows(splits({"a": TEST, "b": TEST}), splits({"a": TEST}, remembered={"b": TRAIN}))
    assert (fair.image_ids, fair.left_out) == (("a",), 1)


def test_beside_a_baseline_every_test_row_is_fair() -> None:
    """It learnt from nothing; nothing was before, so nothing is new."""
    fair = fair_rows(splits({"a": TEST, "b": TEST, "c": TRAIN}, golden="a"), None)
    assert (fair.image_ids, fair.left_out) == (("a", "b"), 0)
    assert fair.golden.tolist() == [True, False]
    assert not fair.new.any()


def test_nothing_may_be_left() -> None:
    """Then there are no rows, and no error."""
    fair = fair_rows(splits({"a": TEST}), splits({"a": TRAIN}))
    assert (fair.image_ids, len(fair.golden), len(fair.new), fair.left_out) == ((), 0, 0, 1)
