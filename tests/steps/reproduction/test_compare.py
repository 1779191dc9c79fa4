"""A version that was trained again is set beside the one that is stored: bytes decide, sentences explain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

from materializers.classifier import WEIGHTS, Classifier
from materializers.errors import Refused
from materializers.evidence import RegisteredVersion
from materializers.reproduction import Reproduction, WeightsDifference
from steps.reproduction.compare import INPUTS, WORST, compare_trainings, compare_weights
from tests.materializers.examples import MODEL, NOON
from tests.steps.training.examples import trained

NOT_REPRODUCIBLE = "Equal inputs and other bytes: training is not reproducible here."


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, Classifier]:
    """Two trainings that differ in the seed alone."""
    folder = tmp_path_factory.mktemp("pair")
    one, other = trained(folder / "one", epochs=1), trained(folder / "other", epochs=1, seed=1)
    known = {"lock": "cd" * 32, "platform": "x86_64 AVX2, cpu"}
    return said_as(one, **known), said_as(other, **known)


def entry(classifier: Classifier, **tags: str) -> RegisteredVersion:
    """The registry's entry of a classifier, but for ``tags``."""
    record = classifier.record
    about = {
        "model_digest": record.model_digest,
        "data_version": record.data,
        "splits_digest": record.splits,
        "configuration_digest": record.configuration,
        "code_digest": record.code,
    }
    return RegisteredVersion(model_name=MODEL, version=3, created=NOON, aliases=(), tags=about | tags)


def said_as(classifier: Classifier, **record: Any) -> Classifier:
    """The same files with a record that says something else."""
    return replace(classifier, record=classifier.record.model_copy(update=record))


def otherwise_said(pair: tuple[Classifier, Classifier]) -> Classifier:
    """The second one, whose record says that it was trained as the first."""
    return said_as(pair[1], **{each.field: getattr(pair[0].record, each.field) for each in INPUTS})


def compared(recorded: Classifier, here: Classifier, **tags: str) -> Reproduction:
    """Both, set side by side."""
    return compare_trainings(recorded, here, entry=entry(recorded, **tags), run="training-1")


def test_the_same_bytes_are_equal(pair: tuple[Classifier, Classifier]) -> None:
    """Model, weights, and all that went in."""
    report = compared(pair[0], pair[0])
    assert report.outcome == "equal"
    assert [each.name for each in report.results if not each.same] == []
    assert len(report.reasons) == 1
    assert "equal" in report.reasons[0]
    assert (report.model_name, report.version, report.run) == (MODEL, 3, "training-1")


def test_other_bytes_from_equal_inputs_are_training_that_is_not_reproducible(
    pair: tuple[Classifier, Classifier],
) -> None:
    """It is said, with by how much, and with what nobody recorded."""
    report = compared(pair[0], otherwise_said(pair))
    assert report.outcome == "differs"
    assert report.weights is not None
    assert report.weights.differing > 0
    assert f"{report.weights.differing} of {report.weights.tensors} tensors differ" in report.reasons[0]
    assert NOT_REPRODUCIBLE in report.reasons


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": "ab" * 32}, "the store holds abababababab."),
        ({"splits": "ab" * 32}, "the store holds abababababab."),
        ({"configuration": "ab" * 32}, "the model's record abababababab."),
        ({"code": "ab" * 32}, "The code is another one: dddddddddddd was recorded, here it is abababababab."),
        ({"lock": "ab" * 32}, "The locked libraries are others: cdcdcdcdcdcd then, abababababab now."),
        (
            {"platform": "x86_64 AVX512, cpu"},
            "The platform is another one: x86_64 AVX2, cpu then, x86_64 AVX512, cpu now; the bytes may "
            "differ by this alone.",
        ),
        ({"settings": {"seed": 5}}, "now."),
        ({"threads": 7}, "The number of threads is another one: 1 then, 7 now."),
        ({"seed": 5}, "The seed is another one: 0 then, 5 now."),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_input_that_differs_has_its_sentence(
    pair: tuple[Classifier, Classifier], changed: dict[str, Any], said: str
) -> None:
    """It explains other bytes, and takes nothing from equal ones."""
    same = compared(pair[0], said_as(pair[0], **changed))
    assert same.outcome == "equal"
    assert same.reasons[1].endswith(said)
    other = compared(pair[0], said_as(otherwise_said(pair), **changed))
    assert other.outcome == "differs"
    assert other.reasons[1].endswith(said)
    assert NOT_REPRODUCIBLE not in other.reasons


def test_what_format_1_lacks_is_not_recorded_and_may_be_the_reason(
    pair: tuple[Classifier, Classifier],
) -> None:
    """Neither equal nor other, and named where the bytes differ."""
    early = said_as(pair[0], format_version=1, settings=None, lock=None, platform=None)
    equal, other = compared(early, pair[0]), compared(early, otherwise_said(pair))
    assert [each.name for each in equal.inputs if each.same is None] == ["settings", "lock", "platform"]
    assert (equal.outcome, len(equal.reasons)) == ("equal", 1)
    assert other.reasons[1:] == (
        NOT_REPRODUCIBLE,
        "Not recorded, so that another one may be the reason: settings, lock, platform.",
    )


def test_settings_are_compared_by_their_digest(pair: tuple[Classifier, Classifier]) -> None:
    """In whatever order their keys were written."""
    first, again, other = (
        said_as(pair[0], settings=settings)
        for settings in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})
    )
    assert "settings" in {each.name for each in compared(first, again).inputs if each.same}
    assert "settings" not in {each.name for each in compared(first, other).inputs if each.same}


def test_a_stored_model_that_was_altered_is_told_from_one_that_is_not_reproduced(
    pair: tuple[Classifier, Classifier],
) -> None:
    """The registry says which of both it is."""
    registered = {"model_digest": pair[1].record.model_digest}
    report = compared(pair[0], pair[1], **registered)
    assert report.outcome == "differs"
    assert "again to the model that was registered" in report.reasons[0]
    assert "It was altered or damaged; it is not released." in report.reasons[1]
    assert NOT_REPRODUCIBLE not in report.reasons


def test_a_serving_directory_that_is_none_differs(
    pair: tuple[Classifier, Classifier], tmp_path: Path
) -> None:
    """It is no fault of the comparison."""
    damaged = replace(pair[0], directory=tmp_path)
    (tmp_path / "serving").mkdir()
    (tmp_path / WEIGHTS).write_bytes(b"no tensors")
    report = compared(damaged, pair[0])
    assert (report.outcome, report.weights) == ("differs", None)
    assert "no model: " in report.reasons[1]


def test_weights_that_cannot_be_read_differ(pair: tuple[Classifier, Classifier], tmp_path: Path) -> None:
    """The sentence has no figures and says why."""
    damaged = replace(pair[0], directory=tmp_path)
    (tmp_path / "serving").symlink_to(pair[0].serving_directory)
    (tmp_path / WEIGHTS).write_bytes(b"no tensors")
    assert compared(damaged, pair[0]).reasons[1].endswith("was exported from: they were altered.")
    assert "the weights in the store cannot be read" in compared(damaged, pair[1]).reasons[0]


def test_an_entry_that_lacks_a_tag_is_refused(pair: tuple[Classifier, Classifier]) -> None:
    """Somebody altered it."""
    whole = entry(pair[0])
    without = whole.model_copy(update={"tags": {"model_digest": whole.tag("model_digest")}})
    with pytest.raises(Refused, match="lacks the tag 'data_version'"):
        compare_trainings(pair[0], pair[0], entry=without, run="training-1")


def numbers(*values: float) -> npt.NDArray[np.float32]:
    """A tensor of one axis."""
    return np.array(values, dtype=np.float32)


def difference(
    folder: Path, before: dict[str, npt.NDArray[Any]], after: dict[str, npt.NDArray[Any]]
) -> WeightsDifference:
    """What differs between two files with these tensors."""
    save_file(before, folder / "before")
    save_file(after, folder / "after")
    found = compare_weights(folder / "before", folder / "after")
    assert found is not None
    return found


def test_differences_are_the_largest_of_each_tensor(tmp_path: Path) -> None:
    """Absolute, and in times of the largest magnitude of the recorded tensor; the worst comes first."""
    before = {"a": numbers(1, -4), "b": numbers(0.5), "c": numbers(7)}
    after = {"a": numbers(1, -3), "b": numbers(0.75), "c": numbers(7)}
    found = difference(tmp_path, before, after)
    assert (found.tensors, found.differing, found.absolute, found.relative) == (3, 2, 1.0, 0.5)
    assert [(each.name, each.absolute, each.relative) for each in found.worst] == [
        ("b", 0.25, 0.5),
        ("a", 1.0, 0.25),
    ]


def test_tensors_without_a_counterpart_are_named(tmp_path: Path) -> None:
    """Missing on a side, or there in another shape or type."""
    before = {"gone": numbers(0), "shape": numbers(0, 0), "type": numbers(0), "same": numbers(0)}
    after: dict[str, npt.NDArray[Any]] = {
        "new": numbers(0),
        "shape": numbers(0, 0, 0),
        "type": np.zeros(1),
        "same": numbers(0),
    }
    found = difference(tmp_path, before, after)
    assert found.unmatched == ("gone", "new", "shape", "type")
    assert (found.tensors, found.differing, found.same) == (1, 0, False)


@pytest.mark.parametrize(
    ("before", "after", "absolute", "relative"),
    [
        ((np.nan, 1), (np.nan, 2), 1.0, 1.0),
        ((np.nan,), (1,), np.inf, np.inf),
        ((np.inf, 2), (np.inf, 3), 1.0, 0.5),
        ((0.0,), (-0.0,), 0.0, 0.0),
        ((0.0,), (1.0,), 1.0, np.inf),
    ],
    ids=["both no number", "one no number", "both infinite", "signs of zero", "from zero"],
)
def test_what_is_no_finite_number_is_compared_too(
    tmp_path: Path, before: tuple[float, ...], after: tuple[float, ...], absolute: float, relative: float
) -> None:
    """The bytes differ in all of these."""
    found = difference(tmp_path, {"a": numbers(*before)}, {"a": numbers(*after)})
    assert (found.differing, found.absolute, found.relative) == (1, absolute, relative)


def test_a_report_names_the_worst_tensors_and_counts_all(tmp_path: Path) -> None:
    """A network has hundreds."""
    count = WORST + 5
    before = {f"t{number:03d}": numbers(1) for number in range(count)}
    after = {name: numbers(2 + number) for number, name in enumerate(before)}
    found = difference(tmp_path, before, after)
    assert (found.differing, len(found.worst)) == (count, WORST)
    assert found.worst[0].name == f"t{count - 1:03d}"
