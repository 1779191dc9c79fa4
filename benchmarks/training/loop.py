"""The training loop beside a plain script, beside other loops, and its pictures beside a DataLoader's."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.generated import jpeg
from benchmarks.dataset.photographs import photographs
from benchmarks.dataset.timing import ROUNDS, medians
from benchmarks.warm import PROJECT
from materializers.image_dataset import ImageDataset, Picture
from serving.model_directory import Preprocessing
from serving.strip_metadata import strip_metadata
from steps.training.fitting.checkpoints import Checkpoints
from steps.training.fitting.loop import fit, reproducible
from steps.training.inputs.augment import augment
from steps.training.inputs.batches import Pictures
from steps.training.networks.network import build_network
from steps.training.settings import Augmentation, TrainSettings
from tests.materializers.stores import disk_store

SAMPLE = PROJECT / "data" / "first-delivery.zip"
CLASSES = ("tops", "trousers", "dresses", "footwear", "bags")
VALIDATED = 5
"""One picture of so many chooses the epoch."""
PLAIN_EPOCHS, PIPELINE_EPOCHS, PIPELINE_SIDE = 5, 5, 64
PHOTOGRAPHS, QUICK_PHOTOGRAPHS = 400, 100
MOST_OF_PLAIN, LEAST_OF_LOADER = 1.1, 2.0
PEERS = (
    "pytorch-lightning==2.6.6",
    "lightning-utilities==0.15.3",
    "torchmetrics==1.9.0",
    "transformers==5.24.0",
    "accelerate==1.15.0",
    "huggingface-hub==2.4.0",
    "tokenizers==0.23.3",
    "regex",
    "httpx2",
    "httpcore2",
    "truststore",
    "hf-xet",
    "typer",
    "shellingham",
)
"""What the two other loops need and the project has not; torch is the project's."""


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about the loop; quick: in one round, on fewer pictures, and without the two other loops."""
    rounds = 1 if quick else ROUNDS
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        claims = [
            _beside_plain(folder / "plain", rounds),
            *_beside_loader(rounds, QUICK_PHOTOGRAPHS if quick else PHOTOGRAPHS),
        ]
    finally:
        torch.set_num_threads(threads)
    return claims if quick else claims + _beside_loops(folder / "peers", rounds)


def _sample() -> ImageDataset:
    with zipfile.ZipFile(SAMPLE) as archive:
        rows = pd.read_csv(io.BytesIO(archive.read("labels.csv"))).itertuples()
        return ImageDataset.from_pictures(
            Picture(archive.read(str(row.image_path)), str(row.label), 28, 28, 1, str(row.image_path))
            for row in rows
        )


def _sides(settings: TrainSettings) -> tuple[Pictures, Pictures]:
    """Training and validation pictures of the sample."""
    dataset = _sample()
    image_ids = [str(image_id) for image_id in dataset.index["image_id"]]
    learnt = [one for number, one in enumerate(image_ids) if number % VALIDATED]
    return (
        Pictures(dataset, learnt, CLASSES, settings),
        Pictures(dataset, image_ids[::VALIDATED], CLASSES, settings),
    )


def _beside_plain(folder: Path, rounds: int) -> Claim:
    """CPU of the product's loop, checkpoints included, beside that of a script with nothing but the training.

    Both learn from pictures in memory; decoding them, imports and ZenML's bookkeeping are left out.
    """
    settings = TrainSettings(
        architecture="small_cnn",
        freeze_backbone=False,
        preprocessing=Preprocessing(height=28, width=28),
        augmentation=Augmentation(flip=0, rotation=0, crop=1, brightness=0, contrast=0),
        learning_rate=0.002,
        epochs=PLAIN_EPOCHS,
        threads=1,
    )
    learnt, checked = _sides(settings)
    folder.mkdir(parents=True)
    store, begun = disk_store(folder), iter(range(10**6))

    def ours() -> None:
        with reproducible(0, 1):
            network = build_network(settings, len(CLASSES))
            fit(
                network,
                learnt,
                checked,
                settings,
                checkpoints=Checkpoints(store, str(next(begun))).phase("all"),
            )

    def plain() -> None:
        with reproducible(0, 1):
            network = build_network(settings, len(CLASSES))
            _plain_script(network, _whole(learnt), _whole(checked), settings)

    taken = medians({"ours": ours, "plain": plain}, rounds=rounds)
    return at_most(
        f"small_cnn on {len(learnt):,} pictures of the sample, {PLAIN_EPOCHS} epochs: CPU, a plain script's",
        taken["ours"] / taken["plain"],
        MOST_OF_PLAIN,
        "×",
    )


def _whole(pictures: Pictures) -> tuple[Tensor, Tensor]:
    ((images, labels),) = pictures.batches(torch.arange(len(pictures)), len(pictures))
    return images, labels


def _plain_script(
    network: nn.Module,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    settings: TrainSettings,
) -> None:
    """The same network and epochs as anybody would write them; the best epoch's weights are kept."""
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    best, kept = -1.0, copy.deepcopy(network.state_dict())
    for _ in range(settings.epochs):
        network.train()
        for rows in torch.split(torch.randperm(len(train[0])), settings.batch_size):
            loss = functional.cross_entropy(network(train[0][rows])[0], train[1][rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        network.eval()
        right = 0
        with torch.inference_mode():
            for rows in torch.split(torch.arange(len(validation[0])), settings.batch_size):
                logits = network(validation[0][rows])[0]
                right += int((logits.argmax(1) == validation[1][rows]).sum())
        if right > best:
            best, kept = right, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)


class Photographs(Dataset[tuple[Tensor, int]]):
    """What a torchvision tutorial does: Pillow opens a picture, v2 transforms change it, anew each epoch."""

    def __init__(self, encoded: list[bytes], side: int) -> None:
        from torchvision.transforms import v2

        self._encoded = encoded
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(side, scale=(0.8, 1.0)),
                v2.RandomHorizontalFlip(),
                v2.RandomRotation(15),
                v2.ColorJitter(brightness=0.2, contrast=0.2),
                v2.PILToTensor(),
            ]
        )

    def __len__(self) -> int:
        """How many there are."""
        return len(self._encoded)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """One picture ``(3, side, side)`` uint8, and its class."""
        with Image.open(io.BytesIO(self._encoded[number])) as image:
            return self._transform(image.convert("RGB")), number % len(CLASSES)


def _beside_loader(rounds: int, count: int) -> list[Claim]:
    """CPU of five epochs of input, decoding and changing pictures, and of the whole training with it.

    One thread and no worker process each, so that CPU time counts everything. Most of the whole is the
    network, which costs both the same.
    """
    encoded = [strip_metadata(data).data for data in photographs()[:count]] or [jpeg(n) for n in range(count)]
    settings = TrainSettings(
        architecture="small_cnn",
        freeze_backbone=False,
        preprocessing=Preprocessing(height=PIPELINE_SIDE, width=PIPELINE_SIDE),
        epochs=PIPELINE_EPOCHS,
        threads=1,
    )
    dataset = ImageDataset.from_pictures(
        Picture(data, CLASSES[number % len(CLASSES)], *_size(data), 1, str(number))
        for number, data in enumerate(encoded)
    )
    image_ids = [str(image_id) for image_id in dataset.index["image_id"]]

    def our_input() -> None:
        learnt = Pictures(dataset, image_ids, CLASSES, settings)
        generator = torch.Generator().manual_seed(0)
        for _ in range(settings.epochs):
            order = torch.randperm(len(learnt), generator=generator)
            for images, _labels in learnt.batches(order, settings.batch_size):
                augment(images, settings.augmentation, generator)

    def loaders_input() -> None:
        loader = _loader(encoded, settings)
        for _ in range(settings.epochs):
            for _batch in loader:
                pass

    def ours() -> None:
        with reproducible(0, settings.threads):
            learnt = Pictures(dataset, image_ids, CLASSES, settings)
            few = Pictures(dataset, image_ids[:VALIDATED], CLASSES, settings)
            fit(build_network(settings, len(CLASSES)), learnt, few, settings)

    def by_loader() -> None:
        with reproducible(0, settings.threads):
            _by_loader(build_network(settings, len(CLASSES)), _loader(encoded, settings), settings)

    ways = {"our input": our_input, "its input": loaders_input, "ours": ours, "its": by_loader}
    seconds = medians(ways, rounds=rounds)
    speed = {name: len(image_ids) * PIPELINE_EPOCHS / taken for name, taken in seconds.items()}
    what = f"{len(image_ids)} photographs at {PIPELINE_SIDE} px, {PIPELINE_EPOCHS} epochs, a CPU second:"
    beside = "beside torchvision over Pillow in a DataLoader"
    return [
        at_least(
            f"{what} pictures that are decoded and changed {beside}",
            speed["our input"],
            LEAST_OF_LOADER * speed["its input"],
            "pictures",
            peer=speed["its input"],
        ),
        at_least(
            f"{what} pictures that small_cnn learns from {beside}",
            speed["ours"],
            speed["its"],
            "pictures",
            peer=speed["its"],
        ),
    ]


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


def _loader(encoded: list[bytes], settings: TrainSettings) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(Photographs(encoded, PIPELINE_SIDE), batch_size=settings.batch_size, shuffle=True)


def _by_loader(network: nn.Module, loader: DataLoader[tuple[Tensor, int]], settings: TrainSettings) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    network.train()
    for _ in range(settings.epochs):
        for images, labels in loader:
            loss = functional.cross_entropy(network(images.permute(0, 2, 3, 1))[0], labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _beside_loops(folder: Path, rounds: int) -> list[Claim]:
    """CPU a step beside Lightning and Hugging Face's Trainer, in a process that has both."""
    into = ("--python", sys.executable, "--target", str(folder))
    subprocess.run(["uv", "pip", "install", "--quiet", "--no-deps", *into, *PEERS], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training.loop_peers", str(folder), str(rounds)],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    taken = json.loads(done.stdout.splitlines()[-1])
    return [
        at_most(f"CPU of a step beside {name}", taken["ours"], taken[name], "ms", peer=taken[name])
        for name in ("Lightning", "Hugging Face")
    ]
