"""A network that learnt nothing gives other explanations, and the comparison says so."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from materializers.classifier import Classifier
from steps.evaluation.explanations.attributions import blurred, integrated_gradients
from steps.evaluation.explanations.randomization import similarities
from steps.evaluation.torch_network import Logits, load_network, untrained_network
from tests.steps.training.examples import trained


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A tiny classifier."""
    return trained(tmp_path_factory.mktemp("model"), epochs=6, learning_rate=0.01)


def weights(network: Logits) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_it_is_spearmans_rank_correlation() -> None:
    """Of each picture, with equal values too."""
    generator = np.random.default_rng(0)
    ours = generator.integers(0, 9, (5, 6, 6)).astype(np.float64)
    theirs = ours + generator.normal(size=ours.shape) * np.arange(5)[:, None, None]
    expected = [
        spearmanr(one.ravel(), other.ravel()).statistic for one, other in zip(ours, theirs, strict=True)
    ]
    np.testing.assert_allclose(similarities(ours, theirs), expected)


def test_a_map_without_an_order_is_left_out() -> None:
    """It is the same everywhere, and says nothing that could be like something."""
    ours = np.random.default_rng(0).normal(size=(3, 4, 4))
    theirs = ours.copy()
    theirs[1] = 7
    assert similarities(ours, theirs).tolist() == pytest.approx([1, 1])


def test_the_same_seed_gives_the_same_untrained_network(classifier: Classifier) -> None:
    """Another one gives another, and torch's random state stays as it is."""
    before = torch.get_rng_state()
    first, again, other = (weights(untrained_network(classifier.record, seed)) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["network.backbone.0.weight"], other["network.backbone.0.weight"])


def test_nothing_that_was_learnt_is_left(classifier: Classifier) -> None:
    """No tensor that training changes is the trained one's; the normalisation of pictures is."""
    learnt, random = weights(load_network(classifier)), weights(untrained_network(classifier.record, 0))
    same = {name for name in learnt if torch.equal(learnt[name], random[name])}
    assert same == {"network.mean", "network.deviation"}


def test_random_weights_give_other_explanations(classifier: Classifier) -> None:
    """Those of the trained network, taken with more steps, are the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    missing, answered = blurred(pixels), np.zeros(8, dtype=np.int64)
    network = load_network(classifier)
    ours = integrated_gradients(network, pixels, missing, answered, steps=8)
    theirs = integrated_gradients(untrained_network(classifier.record, 0), pixels, missing, answered, steps=8)
    assert np.abs(similarities(ours, theirs)).mean() < 0.3
    assert similarities(ours, integrated_gradients(network, pixels, missing, answered, steps=16)).min() > 0.9
