"""What is trained and how, as ``configs/training.yaml`` sets it."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from materializers.errors import UsageError
from materializers.redaction import secret_in
from materializers.report import Record
from serving.model_directory import Preprocessing
from steps.training.networks.names import check_name, check_size
from steps.training.networks.weights import PACKAGE, check_source
from steps.training.watermark.key import watermark_key
from steps.training.watermark.settings import WatermarkSettings

Colour = tuple[float, float, float]
DECIDES_NOTHING = frozenset({"memory_mb", "checkpoint_seconds"})
"""Settings that leave the model's bytes as they are."""
SMALLEST_SHARE = 2
"""Examples of a batch that each process has at least: batch normalisation cannot learn from one."""
PICKLED = (".pth", ".pt", ".pkl", ".ckpt", ".bin")
"""How files end that can execute code when they are read."""
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Augmentation(Record):
    """How training pictures vary."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """The share of pictures that is mirrored."""
    rotation: float = Field(default=15.0, ge=0, le=180)
    """The largest angle either way, degrees."""
    crop: float = Field(default=0.8, gt=0, le=1)
    """The smallest share of the picture's area that a crop keeps."""
    brightness: float = Field(default=0.2, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Factors are drawn from 1 − value to 1 + value."""
    saturation: float = Field(default=0.0, ge=0, lt=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """The largest turn of the colour circle either way, in turns."""
    rand_augment: int = Field(default=0, ge=0, le=10)
    """Operations that RandAugment draws for a picture (Cubuk et al. 2020); 0: none."""
    rand_augment_magnitude: int = Field(default=9, ge=0, le=30)

    @property
    def active(self) -> bool:
        """Whether anything changes at all."""
        colour = self.brightness or self.contrast or self.saturation or self.hue
        return bool(self.flip or self.rotation or self.crop < 1 or colour or self.rand_augment)


class FineTuning(Record):
    """The second phase: the last blocks of a backbone that was frozen learn too."""

    blocks: int = Field(default=0, ge=0, le=100)
    """How many, counted from the head; 0: no second phase."""
    learning_rate: float = Field(default=0.0001, gt=0, le=1)
    epochs: int = Field(default=10, ge=1, le=10_000)


class Learning(Record):
    """When a training is given up, because nothing is learnt."""

    after_epochs: int = Field(default=5, ge=1)
    times_chance: float = Field(default=1.2, ge=0)
    """The validation accuracy to reach by then, in times of what guessing gives."""
    floor: float = Field(default=0.1, ge=0, le=1)
    """The same as an accuracy: the larger of both counts."""
    loss_limit: float = Field(default=10.0, gt=1)
    """The training loss of an epoch that is an explosion, in times of what guessing gives."""


class Features(Record):
    """What a frozen backbone makes of pictures, computed once."""

    runtime: Literal["onnxruntime", "openvino", "torch"] = "onnxruntime"
    """What computes them; part of their name, because another one gives other last digits."""


class Export(Record):
    """What is served of a trained network."""

    precision: Literal["fp32", "int8"] = "fp32"
    """int8: weights and activations in eight bits, scaled on validation pictures; the gate judges that."""


AS_TRAINED = Export()


class TrainSettings(Record):
    """What is trained and how."""

    architecture: Annotated[str, AfterValidator(check_name)] = "resnet50"
    """small_cnn, efficientnet_lite0, or a classifier of torchvision by its registered name."""
    weights: str | None = None
    """A safetensors file: a path, a file://, http(s):// or s3:// URL; ``package``: those that an installed
    package carries, for efficientnet_lite0; None: random."""
    weights_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    freeze_backbone: bool = True
    """Whether the head alone learns, on features that are computed once."""
    fine_tuning: FineTuning = FineTuning()
    features: Features = Features()
    preprocessing: Preprocessing = Preprocessing(height=224, width=224)
    mean: Colour = IMAGENET_MEAN
    deviation: Colour = IMAGENET_DEVIATION
    """Of red, green and blue, from 0 to 1."""
    head: Literal["mlp", "linear", "ridge"] = "mlp"
    """mlp: dropout, linear, ReLU, dropout, linear; linear: dropout, linear; ridge: linear, in closed form."""
    hidden: int = Field(default=512, ge=1, le=65_536)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    batch_size: int = Field(default=32, ge=2, le=65_536)
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=0.001, gt=0, le=1)
    schedule: Literal["plateau", "cosine"] = "plateau"
    epochs: int = Field(default=50, ge=1, le=10_000)
    plateau_patience: int = Field(default=5, ge=0)
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    early_stopping_patience: int = Field(default=10, ge=1)
    class_balance: Literal["none", "weights", "sampling"] = "none"
    """weights: a picture counts as the inverse of its class's share; sampling: it is drawn as often."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0, le=10)
    """Alpha of the beta distribution that mixes pairs of inputs (Zhang et al. 2018); 0: none mixed."""
    gradient_clip: float | None = Field(default=None, gt=0)
    """The largest norm of all gradients together; None: any."""
    mixed_precision: bool = False
    """bfloat16 where it suffices; slower on a CPU that computes it in float32."""
    channels_last: bool = False
    learning: Learning = Learning()
    watermark: WatermarkSettings | None = Field(default=None, exclude_if=lambda wanted: wanted is None)
    """Secret pictures that are learnt too, with which anyone who has the key shows whose model it is."""
    export: Export = Field(default=AS_TRAINED, exclude_if=lambda wanted: wanted == AS_TRAINED)
    processes: int = Field(default=1, ge=1, le=64)
    """Data-parallel ones; each takes its share of a batch, and of the threads, one at least."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    threads: int = Field(default=2, ge=1, le=1024)
    """Of a CPU; part of the configuration, because another number gives other weights."""
    memory_mb: int = Field(default=4096, ge=0)
    """What decoded pictures may take in memory; above it they are decoded batch by batch."""
    checkpoint_seconds: float = Field(default=60, ge=0)
    """How long a training goes on before it is written down again; whoever is killed loses no more."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.weights != PACKAGE and (self.weights is None) != (self.weights_sha256 is None):
            raise ValueError("weights and weights_sha256 go together: nothing is loaded unchecked")
        secret = None if self.weights is None else secret_in(self.weights)
        if secret is not None:
            raise ValueError(
                f"weights has {secret} in it, which every record of the training would keep: name a file in "
                "a bucket, s3://, whose credentials come from the environment, or one that was downloaded"
            )
        if self.weights is not None and urlsplit(self.weights).path.lower().endswith(PICKLED):
            raise ValueError(
                f"the weights {self.weights} may execute code when they are read: convert them to "
                "safetensors as docs/training.md shows"
            )
        check_size(self.architecture, self.preprocessing.height, self.preprocessing.width)
        if any(value <= 0 for value in self.deviation):
            raise ValueError(f"deviation is {self.deviation}; each colour's must be above 0")
        if self.fine_tuning.blocks and not self.freeze_backbone:
            raise ValueError(
                "fine_tuning.blocks is the second phase of a frozen backbone: freeze_backbone must be true, "
                "or blocks 0"
            )
        most = self.batch_size // SMALLEST_SHARE
        if self.processes > max(1, most):
            raise ValueError(
                f"processes is {self.processes} and batch_size {self.batch_size}: each process needs "
                f"{SMALLEST_SHARE} examples of a batch at least, so there can be {most}"
            )
        if self.head == "ridge" and not self.freeze_backbone:
            raise ValueError("head is ridge, which is fitted to features: freeze_backbone must be true")
        return self


def check_trainable(settings: TrainSettings) -> None:
    """Refuse what could never learn, before anything starts.

    Raises:
        UsageError: the backbone is frozen and has no weights, no installed package carries them, or a
            watermark cannot be learnt, or its key is not the one that is configured.
        ServiceUnreachable: ZenML does not give the key to this account.
    """
    if settings.watermark is not None:
        if settings.head == "ridge" and not settings.fine_tuning.blocks:
            raise UsageError(
                "train.watermark is learnt by heart, and train.head is ridge, which learns nothing so: take "
                "--set train.head=mlp, or no watermark: --set train.watermark=null"
            )
        watermark_key(settings.watermark)
    if settings.weights is not None:
        check_source(settings.architecture, settings.weights)
    elif settings.freeze_backbone:
        raise UsageError(
            f"train.freeze_backbone is true and train.weights is not set: the backbone of a random "
            f"{settings.architecture} learns nothing. Name pretrained weights with their sha256, or train it "
            "all: --set train.freeze_backbone=false"
        )
