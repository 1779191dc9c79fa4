"""A policy gets every number of what a model withstands, and the reason for one that is missing."""

from materializers.evaluation.metric import Measured, Metric
from materializers.evaluation.robustness import AtSeverity, Attacked, Corrupted, Robustness


def metric(value: float | None) -> Metric:
    return Metric(value=value, n=200)


def corrupted(name: str, value: float | None) -> Corrupted:
    at = AtSeverity(severity=3, accuracy=metric(0.7), relative_accuracy=metric(value))
    return Corrupted(corruption=name, relative_accuracy=metric(value), severities=(at,))


def attacked(attack: str, value: float) -> Attacked:
    share = metric(0.1)
    return Attacked(
        attack=attack, epsilon_255=2, accuracy=metric(value), answers_changed=share, pictures_changed=share
    )


MEASURED = Robustness(
    accuracy=metric(0.95),
    relative_accuracy=metric(0.77),
    corruptions=(corrupted("blur", 0.9), corrupted("fog", 0.33)),
    attacked_accuracy=metric(0.97),
    attacks=(attacked("FGSM", 0.93), attacked("PGD", 0.9)),
)


def said(section: Robustness) -> list[tuple[str, str | None, float | None, str | None]]:
    """What a policy is told."""
    return [
        (one.metric, one.subject, None if one.value is None else one.value.value, one.reason)
        for one in section.measured()
    ]


def test_every_number_has_its_name_and_what_it_is_about() -> None:
    """One for the model, one for each corruption, one for each attack."""
    assert said(MEASURED) == [
        ("corruption_relative_accuracy", None, 0.77, None),
        ("corruption_relative_accuracy_of", "blur", 0.9, None),
        ("corruption_relative_accuracy_of", "fog", 0.33, None),
        ("adversarial_accuracy", "FGSM 2/255", 0.93, None),
        ("adversarial_accuracy", "PGD 2/255", 0.9, None),
    ]
    assert all(isinstance(one, Measured) and one.value is not None for one in MEASURED.measured())


def test_what_was_not_assessed_says_why_under_each_name() -> None:
    """A rule on any of them finds the reason."""
    assert said(Robustness(not_assessed="switched off")) == [
        ("corruption_relative_accuracy", None, None, "switched off"),
        ("corruption_relative_accuracy_of", None, None, "switched off"),
        ("adversarial_accuracy", None, None, "switched off"),
    ]


def test_corruptions_are_told_where_nothing_could_be_attacked() -> None:
    """The attacks' own reason stands with the attacks alone."""
    section = MEASURED.model_copy(update={"attacks": (), "attacks_not_assessed": "no gradients"})
    assert said(section)[-1] == ("adversarial_accuracy", None, None, "no gradients")
    assert said(section)[:3] == said(MEASURED)[:3]


def test_a_share_of_no_right_answer_says_so() -> None:
    """A number that is not defined is not passed over in silence."""
    section = Robustness(
        accuracy=metric(0.0), relative_accuracy=metric(None), corruptions=(corrupted("fog", None),)
    )
    reasons = [reason for name, _, _, reason in said(section) if name.startswith("corruption")]
    assert reasons == ["no picture of the sample is answered rightly as it is"] * 2


def test_it_is_read_back_as_it_was_written() -> None:
    """All of it is part of the report's digest."""
    assert Robustness.model_validate_json(MEASURED.model_dump_json()) == MEASURED
