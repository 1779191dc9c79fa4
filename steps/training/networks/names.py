"""The names that ``train.architecture`` takes and the pictures that each can work on.

Written down, so that a typo is found without importing torchvision, which takes seconds.
"""

from __future__ import annotations

import difflib

SMALL_CNN, EFFICIENTNET_LITE0 = "small_cnn", "efficientnet_lite0"
OWN = (SMALL_CNN, EFFICIENTNET_LITE0)
TORCHVISION = tuple(
    """
    alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169
    densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4
    efficientnet_b5 efficientnet_b6 efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s
    googlenet inception_v3 maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2
    mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf
    regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf
    regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50
    resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
    shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b
    swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14
    vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
    """.split()  # noqa: SIM905 - as literals they are a page
)
"""The classifiers of torchvision 0.29, by their registered names; a test compares them."""
SMALLEST_SIDE = {SMALL_CNN: 8, "alexnet": 63, "inception_v3": 75}
"""Below it nothing is left after the network's poolings, pixels."""
SMALLEST_OTHER_SIDE = 32
"""The same of every other network."""
WINDOWS = {"maxvit_t": 224}
"""Each side is a multiple of it, pixels: windows of 7 places, after a factor of 32."""


def check_name(architecture: str) -> str:
    """The same name, which is one of :data:`OWN` or :data:`TORCHVISION`.

    Raises:
        ValueError: no network has it; the nearest one is named.
    """
    known = (*OWN, *TORCHVISION)
    if architecture in known:
        return architecture
    near = difflib.get_close_matches(architecture.lower(), known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"no network is called so; {meant}known are {', '.join(OWN)} and torchvision's classifiers"
    )


def check_size(architecture: str, height: int, width: int) -> None:
    """Find out whether a network can work on pictures of this size.

    Args:
        architecture: its name.
        height: of the pictures, pixels.
        width: the same.

    Raises:
        ValueError: they are too small, or not what its windows or patches need.
    """
    smallest = SMALLEST_SIDE.get(architecture, SMALLEST_OTHER_SIDE)
    side = min(height, width)
    if side < smallest:
        raise ValueError(
            f"preprocessing gives pictures of {side} pixels; {architecture} needs {smallest} at least"
        )
    transformer = architecture.startswith("vit_")
    step = int(architecture.rpartition("_")[2]) if transformer else WINDOWS.get(architecture, 1)
    if height % step or width % step or (transformer and height != width):
        square = "squares whose side is" if transformer else "pictures whose sides are"
        raise ValueError(
            f"preprocessing gives pictures of {height} × {width} pixels; {architecture} needs {square} a "
            f"multiple of {step}"
        )
