"""Whether a model is less sure of pictures that are none of its classes."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from materializers.evaluation.metric import Measured, Metric, Section
from materializers.report import Record


class Detection(Record):
    """How well some unknown pictures are told from test pictures.

    An area under the ROC curve (AUROC) is the share of pairs of a test picture and an unknown one in which
    the score is higher for the test picture; equal scores count half. 0.5 is a coin.
    """

    auroc: Metric
    """Of the probability of the answer, by which serving abstains."""
    embedding_auroc: Metric | None = None
    """Of how alike the embedding is to those of validation pictures."""
    answered: Metric
    """The share that gets an answer at the model's threshold, with Wilson's interval."""


class UnknownPictures(Section):
    """Detection of pictures that were made for it: near ones out of test pictures, far ones out of nothing.

    What it does not measure: real pictures of products that the model does not know. Nobody has them before
    somebody delivers them; a made picture is a stand-in whose kinds are named here.
    """

    known: int = 0
    """Test pictures that the unknown ones were compared with."""
    near: Detection | None = None
    far: Detection | None = None
    kinds: dict[str, Detection] = Field(default_factory=dict)
    """The same by kind of picture."""
    embedding_not_assessed: str | None = None
    """Why there is no score of embeddings."""

    def measured(self) -> Iterator[Measured]:
        """The AUROC of the probability, near and far."""
        for metric, found in (("near_ood_auroc", self.near), ("far_ood_auroc", self.far)):
            value = found.auroc if found is not None else None
            yield Measured(metric=metric, value=value, reason=self.not_assessed)
