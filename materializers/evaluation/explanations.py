"""How well the explanations of a model's answers hold, and which of its features its answers rest on."""

from __future__ import annotations

from collections.abc import Iterator

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record

DELETION_MARGIN = "explanation_deletion_margin"
DELETION_MARGIN_GRAD_CAM = "explanation_deletion_margin_grad_cam"
WEIGHT_RANDOMIZATION = "explanation_weight_randomization"
"""What a policy knows the numbers by."""
NO_ORDER = "no explanation tells one pixel from another, so that there is nothing to compare"


class Deletion(Record):
    """What is left of an answer when the pixels go that an explanation puts first.

    A drop is the probability of the answered class, less what is left of it once the share ``share`` of the
    picture's pixels is that of the blurred picture; its mean over the pictures.
    """

    share: float
    random_draws: int
    integrated_gradients: Metric
    grad_cam: Metric | None
    random: Metric
    """Of pixels drawn at random; a picture's drop is the mean of ``random_draws``."""
    margin: Metric
    margin_grad_cam: Metric | None
    """The drop of Integrated Gradients, and of Grad-CAM, less that of random pixels of the same picture."""


class WeightRandomization(Record):
    """How far the same network with random weights, which learnt nothing, gives the same explanations.

    The rank correlation of both networks' Integrated Gradients, from −1 to 1; its mean over the pictures.
    """

    order: Metric
    """Of the pixels, from what speaks most for an answer to what speaks most against it: near 0 where
    explanations show what was learnt."""
    sizes: Metric
    """Of the sizes of the attributions alone, which depend on the picture too."""


class FeatureImportance(Record):
    """What one dimension of the embedding adds to the answers."""

    dimension: int
    """Its place in the embedding, from 0."""
    importance: float
    """The mean size of what it adds to the logit of the answered class, or takes from it, in logits."""
    share: float
    """Of the importance of all dimensions."""
    label: str
    """The answer that it adds most to."""


class Features(Record):
    """Which dimensions of the embedding the answers rest on."""

    dimensions: int
    total: float
    """The importance of all dimensions together, in logits."""
    first: tuple[FeatureImportance, ...]
    """The most important ones, in their order."""


class Explained(Record):
    """One picture of the sheet: its class, the answer and the answer's probability."""

    image_id: str
    true: str
    answered: str
    probability: float


class Explanations(Section):
    """Integrated Gradients and Grad-CAM on a sample of the test pictures."""

    pictures: int = 0
    """In the sample."""
    right: int = 0
    """Of them, that are answered right."""
    steps: int = 0
    """Gradients that Integrated Gradients took for one picture."""
    completeness_error: float | None = None
    """How far its sums are from the differences of the served logits that they should be, as a share of
    these; more steps make it smaller."""
    deletion: Deletion | None = None
    randomization: WeightRandomization | None = None
    features: Features | None = None
    grad_cam_not_assessed: str | None = None
    """Why there is no Grad-CAM, where there is none."""
    shown: tuple[Explained, ...] = ()
    """What the sheet shows: right answers, then wrong ones."""

    def measured(self) -> Iterator[Measured]:
        """The two margins, and the similarity to a network that learnt nothing."""
        deletion, randomization = self.deletion, self.randomization
        no_grad_cam = self.not_assessed or self.grad_cam_not_assessed
        alike = self.not_assessed
        if randomization is not None and not randomization.order.n:
            alike = NO_ORDER
        for name, value, reason in (
            (DELETION_MARGIN, deletion and deletion.margin, self.not_assessed),
            (DELETION_MARGIN_GRAD_CAM, deletion and deletion.margin_grad_cam, no_grad_cam),
            (WEIGHT_RANDOMIZATION, randomization and randomization.order, alike),
        ):
            yield Measured(metric=name, value=value, reason=reason)
