"""The numbers of the explanations, as the gate and the report take them."""

from materializers.evaluation.explanations import Deletion, Explanations, WeightRandomization
from materializers.evaluation.metric import Metric


def metric(value: float) -> Metric:
    return Metric(value=value, low=value - 0.1, high=value + 0.1, n=32)


def deletion(*, grad_cam: bool) -> Deletion:
    return Deletion(
        share=0.2,
        random_draws=5,
        integrated_gradients=metric(0.5),
        grad_cam=metric(0.3) if grad_cam else None,
        random=metric(0.1),
        margin=metric(0.4),
        margin_grad_cam=metric(0.2) if grad_cam else None,
    )


def section(*, grad_cam: bool = True) -> Explanations:
    return Explanations(
        pictures=32,
        right=30,
        steps=32,
        deletion=deletion(grad_cam=grad_cam),
        randomization=WeightRandomization(order=metric(0.05), sizes=metric(0.6)),
        grad_cam_not_assessed=None if grad_cam else "no layer for it",
    )


def test_a_policy_sees_the_margins_and_the_similarity() -> None:
    """The margin, not the drop; the order of the pixels, not that of the sizes."""
    found = {each.metric: (each.value, each.reason) for each in section().measured()}
    assert found == {
        "explanation_deletion_margin": (metric(0.4), None),
        "explanation_deletion_margin_grad_cam": (metric(0.2), None),
        "explanation_weight_randomization": (metric(0.05), None),
    }


def test_a_network_without_grad_cam_says_why_and_has_the_other_numbers() -> None:
    """A vision transformer is explained by Integrated Gradients alone."""
    found = {each.metric: each for each in section(grad_cam=False).measured()}
    without = found.pop("explanation_deletion_margin_grad_cam")
    assert (without.value, without.reason) == (None, "no layer for it")
    assert all(each.value is not None and each.reason is None for each in found.values())


def test_a_similarity_of_nothing_says_so() -> None:
    """The explanations of a network that ignores its input have no order."""
    nothing = Metric(value=None, n=0)
    compared = section().model_copy(
        update={"randomization": WeightRandomization(order=nothing, sizes=nothing)}
    )
    found = {each.metric: each.reason for each in compared.measured()}
    assert "tells one pixel from another" in (found.pop("explanation_weight_randomization") or "")
    assert set(found.values()) == {None}


def test_what_was_not_assessed_has_the_reason_for_each_number() -> None:
    """No number is made up."""
    measured = list(Explanations(not_assessed="it was switched off").measured())
    assert len(measured) == 3
    assert {(each.value, each.reason) for each in measured} == {(None, "it was switched off")}


def test_it_is_read_back_as_it_was_written() -> None:
    """Through JSON, with the same digest."""
    again = Explanations.model_validate_json(section().model_dump_json())
    assert again == section()
    assert again.digest == section().digest
