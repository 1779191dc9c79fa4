"""The behaviour of a model as it is stored."""

from materializers.evaluation.behaviour import Behaviour, Invariance
from materializers.evaluation.metric import Metric

SHARE = Metric(value=0.97, low=0.93, high=0.99, n=200)


def test_every_number_is_there_by_its_name() -> None:
    """An invariance for each transformation, and what is missing with its reason."""
    section = Behaviour(
        pictures=200,
        invariances=tuple(
            Invariance(transformation=name, kept=SHARE, probability_change=SHARE) for name in ("flip", "png")
        ),
        covering=SHARE,
        twice=SHARE,
        another_batch=SHARE,
        missing={"minimum_functionality": "no list"},
    )
    found = [(each.metric, each.subject, each.value, each.reason) for each in section.measured()]
    assert found == [
        ("invariance", "flip", SHARE, None),
        ("invariance", "png", SHARE, None),
        ("directional_covering", None, SHARE, None),
        ("minimum_functionality", None, None, "no list"),
        ("predicted_classes", None, None, None),
        ("same_answer_twice", None, SHARE, None),
        ("same_answer_in_another_batch", None, SHARE, None),
    ]


def test_what_was_not_assessed_says_so_under_every_name() -> None:
    """A policy that requires one of them reads why there is none."""
    found = list(Behaviour(not_assessed="evaluate.behaviour.pictures is 0").measured())
    assert len(found) == 6
    assert {each.reason for each in found} == {"evaluate.behaviour.pictures is 0"}


def test_it_is_read_back_as_it_was_written() -> None:
    """As part of a report's JSON."""
    section = Behaviour(pictures=3, covering=SHARE, easy_wrong=("a" * 64,), missing={"invariance": "none"})
    assert Behaviour.model_validate_json(section.model_dump_json()) == section
