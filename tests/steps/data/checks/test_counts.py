"""Tests of steps/data/checks/counts.py: what each check says at its limit and beyond it."""

import pandas as pd
import pytest

from materializers.data_report import Check, Corrections, Screening, SetAside
from steps.data.checks.counts import (
    check_absent_classes,
    check_class_balance,
    check_groups_of_one_label,
    check_groups_per_class,
    check_label_conflicts,
    check_missing_values,
    check_needed_values,
    check_pictures_per_class,
    check_rows,
    check_set_aside,
    check_several_classes,
    check_stored_labels,
    check_unknown_labels,
    check_unknown_pictures,
)
from steps.data.checks.limits import CheckLimit
from steps.data.screening import FORGOTTEN


def refusing(limit: float) -> CheckLimit:
    """A limit beyond which a check refuses."""
    return CheckLimit(limit=limit, severity="refuse")


def index_of(labels: list[str | None], groups: list[str | None] | None = None) -> pd.DataFrame:
    """An index with a row a label."""
    names = [f"{number:04d}" for number in range(len(labels))]
    frame = pd.DataFrame({"image_id": names, "label": labels, "group": groups or [None] * len(labels)})
    return frame.assign(source=[f"shop/{name}.png" for name in names]).astype("string[pyarrow]")


def screening_of(rows: int, **found: object) -> Screening:
    """What reading ``rows`` rows found."""
    nothing: dict[str, object] = {"duplicate_rows": 0, "conflicts": (), "missing_values": {}, "set_aside": ()}
    return Screening.model_validate({"source_name": "shop", "rows": rows, **nothing, **found})


def aside(count: int) -> tuple[SetAside, ...]:
    """Truncated pictures."""
    return tuple(
        SetAside(path=f"{number}.png", label="toys", reason="truncated", detail="x")
        for number in range(count)
    )


AT_THE_LIMIT = {
    "rows": check_rows(index_of(["a"] * 100), refusing(100)),
    "needed values": check_needed_values(index_of(["a"]), refusing(0)),
    "set aside": check_set_aside(screening_of(100, set_aside=aside(5)), refusing(0.05)),
    "unknown labels": check_unknown_labels(index_of(["x"] * 5), screening_of(100), refusing(0.05)),
    "absent classes": check_absent_classes({"a": 1, "b": 1}, refusing(0)),
    "several classes": check_several_classes({"a": 1, "b": 1}, refusing(2)),
    "pictures per class": check_pictures_per_class({"a": 7, "b": 0}, refusing(7)),
    "groups per class": check_groups_per_class(index_of(["a"] * 3), refusing(3)),
    "class balance": check_class_balance({"a": 20, "b": 1, "c": 0}, refusing(20)),
    "groups of one label": check_groups_of_one_label(index_of(["a", "a"], ["g", "g"]), refusing(0)),
    "label conflicts": check_label_conflicts(screening_of(9, conflicts=("a.png",)), refusing(1)),
    "unknown pictures": check_unknown_pictures(screening_of(9), refusing(0)),
    "missing values": check_missing_values(screening_of(100, missing_values={"p": 9}), refusing(0.1))[0],
}
BEYOND = {
    "rows": (check_rows(index_of(["a"] * 99), refusing(100)), "99 pictures can be used; at least 100"),
    "needed values": (
        check_needed_values(index_of(["a", None]), refusing(0)),
        "1 picture in the dataset without label or path; 0 may be. Correct the delivery.",
    ),
    "set aside": (
        check_set_aside(screening_of(100, set_aside=aside(6)), refusing(0.05)),
        "6 pictures set aside (truncated 6): 6.0% of the delivery's 100 rows; at most 5.0% may be. "
        "Correct the delivery, or raise validate.set_aside.limit.",
    ),
    "unknown labels": (
        check_unknown_labels(index_of(["x"] * 6), screening_of(100), refusing(0.05)),
        "(x): 6.0% of the delivery's 100 rows; at most 5.0% may be. Correct the delivery, add the label to "
        "product.classes, or raise validate.unknown_labels.limit.",
    ),
    "absent classes": (
        check_absent_classes({"a": 1, "b": 0}, refusing(0)),
        "Pictures of 1 of 2 configured classes (missing: b); of all there must be some.",
    ),
    "several classes": (
        check_several_classes({"a": 1, "b": 0}, refusing(2)),
        "Classes with pictures: 1; at least 2 are needed to tell apart.",
    ),
    "pictures per class": (
        check_pictures_per_class({"a": 6, "b": 9}, refusing(7)),
        "Every class needs at least 7 pictures; a has 6. Deliver more pictures",
    ),
    "groups per class": (
        check_groups_per_class(index_of(["a"] * 4, ["g", "g", "h", "h"]), refusing(3)),
        "Every class needs at least 3 groups; a has 2.",
    ),
    "class balance": (
        check_class_balance({"a": 21, "b": 1}, refusing(20)),
        "a has 21 pictures, b 1: 21.0 times as many; at most 20.0 times is expected. Deliver more pictures "
        "of b,",
    ),
    "groups of one label": (
        check_groups_of_one_label(index_of(["a", "b"], ["g", "g"]), refusing(0)),
        "1 group with pictures of more than one label (g); 0 may be. Look at them",
    ),
    "label conflicts": (
        check_label_conflicts(screening_of(9, conflicts=("a.png", "b.png")), refusing(1)),
        "2 rows with another label for a picture than an earlier row has (a.png, b.png); the later row "
        "stands; 1 may be.",
    ),
    "unknown pictures": (
        check_unknown_pictures(
            screening_of(9, changes=Corrections(asked=4, unknown=("ab" * 32, "shop/shoes/x.jpg"))),
            refusing(0),
        ),
        "No stored picture matches 2 of 4 corrections (abababababab, shop/shoes/x.jpg); 0 may be without. "
        "Name pictures by their image_id, as the index of the dataset has it, or by the image_path of their "
        "delivery, and deliver with --continuous",
    ),
    "missing values": (
        check_missing_values(screening_of(100, missing_values={"p": 10}), refusing(0.1))[0],
        "Column p has no value in 10 rows, 10.0%; under 10.0% is expected. Fill it in labels.csv",
    ),
}


@pytest.mark.parametrize("check", AT_THE_LIMIT.values(), ids=AT_THE_LIMIT)
def test_a_delivery_at_the_limit_passes(check: Check) -> None:
    """The limit is the last value that is allowed; a gap in a column has to stay below it."""
    assert check.outcome == "passed"


@pytest.mark.parametrize(("check", "said"), BEYOND.values(), ids=BEYOND)
def test_a_delivery_beyond_the_limit_is_refused(check: Check, said: str) -> None:
    """The sentence has what was measured, the limit and the mend."""
    assert check.outcome == "refused"
    assert said in check.reason
    assert check.measured is not None


def test_forgotten_pictures_that_come_again_are_no_fault_of_a_delivery() -> None:
    """They count neither as set aside nor as rows that could hide what is, and are told apart."""
    gone = tuple(
        SetAside(path=f"gone/{number}.png", label="toys", reason=FORGOTTEN, detail="x")
        for number in range(60)
    )
    check = check_set_aside(screening_of(100, set_aside=(*gone, *aside(2))), refusing(0.05))
    assert (check.outcome, check.measured) == ("passed", 2 / 40)
    assert "2 pictures set aside (truncated 2): 5.0% of the delivery's 40 rows" in check.reason
    assert "Not counted: 60 forgotten pictures." in check.reason
    check = check_set_aside(screening_of(100, set_aside=(*gone, *aside(3))), refusing(0.05))
    assert (check.outcome, check.measured) == ("refused", 3 / 40)
    assert check_set_aside(screening_of(60, set_aside=gone), refusing(0.05)).outcome == "passed"


def test_stored_pictures_of_an_unconfigured_class_warn_and_never_refuse() -> None:
    """Count, classes and both remedies; of none there is nothing to say."""
    check = check_stored_labels(pd.Series(["hats", "belts", "hats"]), "python run.py --continuous --data ab")
    assert (check.outcome, check.refuses, check.measured) == ("warned", False, 3)
    for said in (
        "3 stored pictures left out, of a class that is not configured (belts, hats); 0 is expected.",
        "Name the class in product.classes to learn from them, and type python run.py --continuous --data ab",
        "or name it in product.class_changes.retired to give them up.",
    ):
        assert said in check.reason
    assert check_stored_labels(pd.Series([], dtype=str), "").outcome == "passed"


def test_classes_of_one_size_are_said_to_be() -> None:
    """The largest class is not compared with itself."""
    check = check_class_balance({"tops": 720, "bags": 720}, refusing(20))
    assert check.reason == "Each class has 720 pictures; at most 20.0 times is expected."
    assert check_class_balance({"tops": 1}, refusing(20)).reason.startswith("Each class has 1 picture;")


def test_one_is_no_plural() -> None:
    """Of one picture and one row the sentence says so."""
    check = check_unknown_labels(index_of(["x"]), screening_of(1), refusing(0.05))
    assert check.reason.startswith(
        "1 picture with a label that is not configured (x): 100.0% of the delivery's 1 row; at most"
    )
    assert check_rows(index_of(["x"]), refusing(100)).reason.startswith("1 picture can be used;")


def test_needed_columns_have_a_check_of_their_own() -> None:
    """A gap in path or label sets the picture aside; it is not counted twice."""
    gaps = {"image_path": 60, "label": 60, "price": 1}
    names = [
        check.name for check in check_missing_values(screening_of(100, missing_values=gaps), refusing(0.1))
    ]
    assert names == ["missing_values: price"]


def test_no_pictures_at_all_fall_over_nowhere() -> None:
    """A delivery of nothing but bad pictures is told so by the rows."""
    empty = index_of([])
    assert check_rows(empty, refusing(1)).outcome == "refused"
    assert check_groups_per_class(empty, refusing(3)).outcome == "refused"
    assert check_class_balance({"a": 0}, refusing(20)).outcome == "passed"
    assert check_set_aside(screening_of(0), refusing(0.05)).measured == 0
