"""Networks: what they answer, what of them learns, and what they are known by."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from materializers.errors import UsageError
from serving.model_directory import Preprocessing
from steps.training.fitting.loop import fit
from steps.training.inputs.batches import Pictures
from steps.training.networks.network import (
    HeadOnly,
    Network,
    backbone_digest,
    build_head,
    build_network,
    unfreeze_last,
)
from tests.steps.training.examples import CLASSES, dataset, settings

PICTURES = (
    torch.arange(2 * 32 * 32 * 3, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(2, 32, 32, 3)
)


@pytest.mark.parametrize(
    ("architecture", "features"), [("small_cnn", 128), ("resnet18", 512), ("resnet50", 2048)]
)
def test_each_architecture_gives_logits_and_an_embedding(architecture: str, features: int) -> None:
    """A network answers uint8 pictures with one logit a class and its backbone's vector."""
    chosen = settings(architecture=architecture, preprocessing=Preprocessing(height=32, width=32))
    logits, embedding = build_network(chosen, 4).eval()(PICTURES)
    assert logits.shape == (2, 4)
    assert embedding.shape == (2, features)


def test_the_network_normalises_with_the_configured_statistics() -> None:
    """The backbone sees (value / 255 - mean) / deviation for each colour."""
    network = build_network(settings(mean=(0.1, 0.2, 0.3), deviation=(0.5, 0.25, 1.0)), 3)
    network.backbone = torch.nn.Flatten()
    network.head = torch.nn.Sequential()
    white = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    seen = network(white)[1].reshape(3, -1)
    expected = torch.tensor([0.9 / 0.5, 0.8 / 0.25, 0.7]).reshape(3, 1).expand_as(seen)
    torch.testing.assert_close(seen, expected)


def frozen(architecture: str = "small_cnn", side: int = 16) -> Network:
    """A network whose backbone is frozen, as pretrained weights would leave it."""
    torch.manual_seed(7)
    preprocessing = Preprocessing(height=side, width=side)
    chosen = settings(architecture=architecture, preprocessing=preprocessing, freeze_backbone=True)
    return build_network(chosen, len(CLASSES))


def changed_by_training(network: Network) -> set[str]:
    """Train for an epoch, and name the tensors that are not as they were."""
    chosen = settings(freeze_backbone=True, epochs=1)
    before = copy.deepcopy(network.state_dict())
    pictures = dataset(4)
    given = Pictures(pictures, pictures.index["image_id"].tolist(), CLASSES, chosen)
    fit(network, given, given, chosen)
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


def test_a_frozen_backbone_stays_as_it_was() -> None:
    """Training moves the head and leaves the backbone alone, its batch statistics too."""
    changed = changed_by_training(frozen())
    assert changed == {"head.1.weight", "head.1.bias", "head.4.weight", "head.4.bias"}


def test_the_last_block_learns_and_the_others_stay() -> None:
    """Weights and batch statistics of the last block move, no other of the backbone."""
    network = frozen()
    unfreeze_last(network, 1)
    changed = {name for name in changed_by_training(network) if name.startswith("backbone.")}
    normalised = {f"backbone.9.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
    assert changed == {"backbone.8.weight", "backbone.9.num_batches_tracked", *normalised}


def test_the_statistics_of_frozen_blocks_are_not_learnt() -> None:
    """In training mode a frozen block answers as in evaluation, a learning one does not."""
    network = frozen("resnet18", 32)
    unfreeze_last(network, 2)
    network.train()
    modes = {name for name, layer in network.backbone.named_modules() if layer.training and name}
    assert {name.split(".")[0] for name in modes} == {"layer4"}
    network.eval()
    assert not any(layer.training for layer in network.modules())


def test_unfreezing_fewer_blocks_freezes_the_others_again() -> None:
    """The last word counts, and none at all is the frozen backbone."""
    network = frozen()
    counts = []
    for count in (3, 1, 0):
        unfreeze_last(network, count)
        counts.append(sum(parameter.requires_grad for parameter in network.backbone.parameters()))
    assert counts == [9, 3, 0]


def test_all_blocks_are_the_whole_backbone() -> None:
    """What belongs to no layer, such as a transformer's positions, then learns too."""
    network = frozen("vit_b_32", 32)
    unfreeze_last(network, 12)
    assert not network.backbone.get_parameter("class_token").requires_grad
    unfreeze_last(network, 13)
    assert all(parameter.requires_grad for parameter in network.backbone.parameters())


def test_more_blocks_than_there_are_is_refused() -> None:
    """How many there are is named, and nothing has changed."""
    network = frozen()
    with pytest.raises(UsageError, match=r"blocks is 4, and the backbone has 3.*fine_tuning.blocks=3"):
        unfreeze_last(network, 4)
    assert not any(parameter.requires_grad for parameter in network.backbone.parameters())


@pytest.mark.parametrize(
    ("head", "layers"),
    [
        ("mlp", [nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]),
        ("linear", [nn.Dropout, nn.Linear]),
        ("ridge", []),
    ],
)
def test_each_head_turns_features_into_logits(head: str, layers: list[type[nn.Module]]) -> None:
    """One logit a class; the closed form gets a bare linear layer to fit."""
    built = build_head(settings(head=head, freeze_backbone=True, dropout=0.25), features=6, classes=4)
    assert built(torch.zeros(2, 6)).shape == (2, 4)
    assert [type(layer) for layer in built.children()] == layers
    assert isinstance(built, nn.Sequential if layers else nn.Linear)
    assert {layer.p for layer in built.modules() if isinstance(layer, nn.Dropout)} <= {0.25}


def test_the_head_alone_answers_as_the_network() -> None:
    """On the features that the network gives for pictures, to the bit."""
    network = frozen("small_cnn", 32).eval()
    logits, features = network(PICTURES)
    assert torch.equal(network.embed(PICTURES), features)
    alone = HeadOnly(network.head).eval()(features)
    assert torch.equal(alone[0], logits)
    assert torch.equal(alone[1], features)


def test_what_the_head_learns_alone_the_network_knows() -> None:
    """Both share the parameters."""
    network = frozen()
    head = HeadOnly(network.head)
    with torch.no_grad():
        head.head[4].bias.fill_(3.0)  # type: ignore[index]
    assert torch.equal(network.get_parameter("head.4.bias"), torch.full((3,), 3.0))


def test_the_digest_of_a_backbone_ignores_the_head() -> None:
    """Two heads on the same backbone share its features."""
    network = frozen()
    before = backbone_digest(network)
    nn.init.zeros_(network.get_parameter("head.4.weight"))
    assert backbone_digest(network) == before
    assert backbone_digest(frozen()) == before


@pytest.mark.parametrize("name", ["backbone.0.weight", "backbone.2.running_var", "mean", "deviation"])
def test_the_digest_of_a_backbone_notices_every_tensor(name: str) -> None:
    """Weights, batch statistics, and what pictures are normalised with."""
    network = frozen()
    before = backbone_digest(network)
    network.state_dict()[name].view(-1)[0] += 1e-3
    assert backbone_digest(network) != before
