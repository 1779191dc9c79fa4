"""What pictures are scored by: the answer's probability, and the similarity of the embedding."""

import numpy as np
import pytest

from steps.evaluation.examined import Examined
from steps.evaluation.unknown_pictures.assess import assess_unknown_pictures
from steps.evaluation.unknown_pictures.scoring import Scorer, known_embeddings
from steps.evaluation.unknown_pictures.settings import UnknownPicturesSettings

QUICK = UnknownPicturesSettings(pictures=60, bootstrap_resamples=100)


def test_embeddings_are_compared_with_those_of_validation_pictures_alone(base: Examined) -> None:
    """The test pictures of the drift reference are what is to be told apart; noise is unlike any."""
    bank = known_embeddings(base.classifier)
    reference = base.classifier.reference()
    assert reference is not None
    assert not isinstance(bank, str)
    assert len(bank) == (reference.rows["split"] == "validation").sum() < len(reference)
    found, _ = assess_unknown_pictures(base, QUICK)
    assert found.far is not None
    assert found.far.embedding_auroc is not None
    assert found.far.embedding_auroc.n == 120
    scorer = Scorer(base.predictor, bank, 1)
    positions = base.sample(20, 0)
    nearest = scorer(base.pixels(positions), ["known"] * 20).alike
    assert nearest is not None
    _, embeddings = base.predictor.scores(base.pixels(positions))
    cosines = (embeddings @ bank.T) / np.outer(
        np.linalg.norm(embeddings, axis=1), np.linalg.norm(bank, axis=1)
    )
    assert nearest == pytest.approx(cosines.max(axis=1), abs=1e-5)
