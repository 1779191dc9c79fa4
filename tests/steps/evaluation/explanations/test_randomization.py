"""A network that learnt nothing gives other explanations, and the comparison says so."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from materializers.classifier import Classifier
from steps.evaluation.explanations.attributions import integrated_gradients
from steps.evaluation.explanations.randomization import random_network, similarities, with_random_head
from steps.evaluation.torch_network import Logits, load_network
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


def test_the_same_seed_gives_the_same_random_network(classifier: Classifier) -> None:
    """Another one gives another, and torch's random state stays as it is."""
    before = torch.get_rng_state()
    first, again, other = (weights(random_network(classifier.record, seed)) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["network.backbone.0.weight"], other["network.backbone.0.weight"])


def test_nothing_that_was_learnt_is_left(classifier: Classifier) -> None:
    """No tensor that training changes is the trained one's; the normalisation of pictures is."""
    learnt, random = weights(load_network(classifier)), weights(random_network(classifier.record, 0))
    same = {name for name in learnt if torch.equal(learnt[name], random[name])}
    assert same == {"network.mean", "network.deviation"}


def test_a_random_head_leaves_the_trained_network_as_it_is(classifier: Classifier) -> None:
    """The mixed one has the trained backbone."""
    network = load_network(classifier)
    before = weights(network)
    random = random_network(classifier.record, 0)
    mixed = weights(with_random_head(network, random))
    for name, tensor in weights(network).items():
        assert torch.equal(tensor, before[name])
        source = weights(random) if name.startswith("network.head.") else before
        assert torch.equal(mixed[name], source[name])


def test_random_weights_give_other_explanations(classifier: Classifier, tmp_path: Path) -> None:
    """Less like the trained network's than those of one that learnt the same from another seed."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    answered = np.zeros(8, dtype=np.int64)
    network = load_network(classifier)
    ours = integrated_gradients(network, pixels, answered, steps=8)
    random = random_network(classifier.record, 0)
    for other in (random, with_random_head(network, random)):
        theirs = integrated_gradients(other, pixels, answered, steps=8)
        assert np.abs(similarities(ours, theirs)).mean() < 0.4
    assert similarities(ours, integrated_gradients(network, pixels, answered, steps=16)).min() > 0.9
