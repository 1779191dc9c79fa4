"""The detection by the probability, by which serving abstains, is what rules may be about."""

from materializers.evaluation.metric import Metric
from materializers.evaluation.unknown_pictures import Detection, UnknownPictures
from tests.materializers.evaluation.sections import check_not_assessed


def detection(value: float) -> Detection:
    metric = Metric(value=value, low=value - 0.1, high=value + 0.1, n=600)
    return Detection(auroc=metric, embedding_auroc=Metric(value=0.99, n=600), answered=metric)


def test_near_and_far_are_handed_over_by_their_probability() -> None:
    """Not by the embedding, which serving does not look at."""
    near, far = UnknownPictures(known=300, near=detection(0.7), far=detection(0.8)).measured()
    assert (near.metric, near.value and near.value.value) == ("near_ood_auroc", 0.7)
    assert (far.metric, far.value and far.value.value) == ("far_ood_auroc", 0.8)


def test_what_is_not_assessed_is_handed_over_as_missing() -> None:
    """With the reason."""
    check_not_assessed(UnknownPictures, ["near_ood_auroc", "far_ood_auroc"])
