"""Names and sizes are known without torchvision."""

import subprocess
import sys

import pytest

from steps.training.networks.names import OWN, TORCHVISION, check_name, check_size


def test_the_names_are_torchvisions() -> None:
    """The list that is written down is what the installed torchvision registers."""
    import torchvision

    assert tuple(torchvision.models.list_models(module=torchvision.models)) == TORCHVISION


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("resnet5O", "resnet50"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("smallcnn", "small_cnn"),
        ("mobilenetv3_small", "mobilenet_v3_small"),
    ],
)
def test_a_typo_names_the_nearest_right_one(typo: str, meant: str) -> None:
    """The refusal says what was probably meant."""
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        check_name(typo)


def test_a_name_that_nothing_is_like_says_what_there_is() -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="known are small_cnn, efficientnet_lite0 and torchvision's"):
        check_name("perceptron")


@pytest.mark.parametrize("name", [*OWN, "resnet50", "vit_b_16"])
def test_a_right_name_stays_as_it_is(name: str) -> None:
    """Nothing is changed about it."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("architecture", "height", "width", "said"),
    [
        ("small_cnn", 28, 7, "7 pixels; small_cnn needs 8"),
        ("resnet18", 31, 64, "31 pixels; resnet18 needs 32"),
        ("inception_v3", 74, 74, "74 pixels; inception_v3 needs 75"),
        ("alexnet", 62, 62, "62 pixels; alexnet needs 63"),
        ("maxvit_t", 256, 224, "256 × 224 pixels; maxvit_t needs pictures whose sides are a multiple of 224"),
        ("vit_b_16", 64, 32, "64 × 32 pixels; vit_b_16 needs squares whose side is a multiple of 16"),
        ("vit_h_14", 64, 64, "vit_h_14 needs squares whose side is a multiple of 14"),
    ],
)
def test_a_size_that_a_network_cannot_take_is_refused(
    architecture: str, height: int, width: int, said: str
) -> None:
    """The network, the size and what it needs are named, before anything is built."""
    with pytest.raises(ValueError, match=said):
        check_size(architecture, height, width)


@pytest.mark.parametrize(
    ("architecture", "height", "width"),
    [("small_cnn", 8, 8), ("resnet18", 32, 48), ("maxvit_t", 224, 448), ("vit_b_16", 64, 64)],
)
def test_a_size_that_a_network_can_take_passes(architecture: str, height: int, width: int) -> None:
    """The smallest and an odd one."""
    check_size(architecture, height, width)


def test_the_settings_are_read_without_torch() -> None:
    """Help and status answer at once: names and packages are checked without a heavy import."""
    program = "import sys; import steps.training.settings; print({'torch', 'torchvision'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
