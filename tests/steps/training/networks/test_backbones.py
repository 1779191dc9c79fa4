"""Backbones by name: what they answer, and the blocks that they are made of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from materializers.errors import UsageError
from steps.training.networks.backbones import EfficientNetLite0, SameConv2d, blocks, build_backbone

# Architecture, side of the pictures, length of the vector, number of blocks.
FAMILIES = [
    ("small_cnn", 16, 128, 3),
    ("efficientnet_lite0", 32, 1280, 18),
    ("convnext_tiny", 32, 768, 22),
    ("densenet121", 32, 1024, 8),
    ("efficientnet_b0", 32, 1280, 18),
    ("googlenet", 32, 1024, 12),
    ("inception_v3", 75, 2048, 16),
    ("mnasnet0_5", 32, 1280, 20),
    ("mobilenet_v2", 32, 1280, 19),
    ("mobilenet_v3_small", 32, 1024, 14),
    ("regnet_y_400mf", 32, 440, 10),
    ("resnet18", 32, 512, 9),
    ("resnet50", 32, 2048, 17),
    ("shufflenet_v2_x0_5", 32, 1024, 18),
    ("squeezenet1_1", 32, 512, 9),
    ("swin_t", 32, 768, 16),
    ("vit_b_32", 32, 768, 13),
]


@pytest.mark.parametrize(("architecture", "side", "features", "count"), FAMILIES)
def test_each_family_answers_with_one_vector_a_picture(
    architecture: str, side: int, features: int, count: int
) -> None:
    """Without its classification layer it gives a vector of the length it says, while it learns too."""
    backbone = build_backbone(architecture, side, side)
    vectors = backbone.module.train()(torch.rand(2, 3, side, side))
    assert vectors.shape == (2, features)
    assert backbone.features == features
    assert len(blocks(backbone.module)) == count


@pytest.mark.parametrize("architecture", ["alexnet", "vgg11", "wide_resnet50_2"])
def test_a_large_family_says_the_length_of_its_vector(architecture: str) -> None:
    """Those too whose classification layer is the last of several."""
    backbone = build_backbone(architecture, 64, 64)
    assert backbone.features == {"wide_resnet50_2": 2048}.get(architecture, 4096)


@pytest.mark.parametrize("architecture", ["efficientnet_lite0", "mobilenet_v3_small", "swin_t", "vit_b_32"])
def test_the_blocks_are_the_backbone_from_the_input_to_the_head(architecture: str) -> None:
    """Each parameter of a layer is in one block, in the order of the network; none is in two."""
    module = build_backbone(architecture, 32, 32).module
    in_blocks = [id(p) for block in blocks(module) for layer in block for p in layer.parameters()]
    free = {"class_token", "encoder.pos_embedding"}  # a transformer's own, of no layer
    own = [id(p) for name, p in module.named_parameters() if name not in free]
    assert in_blocks == own


def test_a_normalisation_belongs_to_the_block_before_it() -> None:
    """The stem of a ResNet is one block, its first residual block another."""
    first, second, *_ = blocks(build_backbone("resnet18", 32, 32).module)
    assert [type(layer).__name__ for layer in first] == ["Conv2d", "BatchNorm2d"]
    assert [type(layer).__name__ for layer in second] == ["BasicBlock"]


class Undecided(nn.Module):
    """Answers with a list."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 1000) for _ in range(layers))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [pixels]


@pytest.mark.parametrize(
    ("layers", "said"), [(0, "0 of its layers"), (2, "2 of its layers"), (1, "one vector")]
)
def test_a_network_that_cannot_be_a_backbone_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, layers: int, said: str
) -> None:
    """No classification layer, more than one, or an answer that is no vector."""
    monkeypatch.setattr("torchvision.models.get_model", lambda name, **_: Undecided(layers))
    with pytest.raises(UsageError, match=f"train.architecture resnet18 cannot be used: .*{said}"):
        build_backbone("resnet18", 32, 32)


@pytest.mark.parametrize(
    ("size", "kernel", "pads"),
    [
        ((224, 224), 3, (0, 1, 0, 1)),
        ((112, 112), 5, (1, 2, 1, 2)),
        ((7, 8), 3, (0, 1, 1, 1)),
        ((7, 7), 5, (2, 2, 2, 2)),
    ],
)
def test_a_stride_pads_as_tensorflow_does(
    size: tuple[int, int], kernel: int, pads: tuple[int, int, int, int]
) -> None:
    """The odd pixel lies right and below, and the output is half of the input, rounded up."""
    convolution = SameConv2d(1, 1, kernel, size, stride=2)
    assert convolution.pads == pads
    height, width = size
    assert convolution(torch.zeros(1, 1, height, width)).shape[2:] == (-(-height // 2), -(-width // 2))


def test_without_a_stride_the_padding_is_the_same_on_all_sides() -> None:
    """The convolution is then torch's own, to the bit."""
    convolution = SameConv2d(2, 2, 5, (9, 8))
    pixels = torch.rand(1, 2, 9, 8)
    expected = nn.functional.conv2d(pixels, convolution.weight, padding=2)
    assert torch.equal(convolution(pixels), expected)


def test_lite0_has_the_layers_of_the_paper() -> None:
    """Its 4.65 million parameters without the classifier's, 16 blocks, places halved five times."""
    network = EfficientNetLite0(224, 224)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008 - 1_281_000
    assert len(network.blocks) == 16
    last: dict[str, torch.Tensor] = {}
    network.conv_head.register_forward_hook(lambda layer, given, result: last.update(places=result))
    network.eval()(torch.zeros(1, 3, 224, 224))
    assert last["places"].shape == (1, 1280, 7, 7)
