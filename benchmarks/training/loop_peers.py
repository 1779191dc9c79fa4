"""A step of our loop, of Lightning's and of Hugging Face's Trainer, in one process.

``python -m benchmarks.training.loop_peers FOLDER ROUNDS`` takes the two from FOLDER and prints CPU
milliseconds a step of each as JSON. The model is so small that a step is mostly the loop.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.dataset.timing import medians
from steps.training.fitting.loop import fit
from steps.training.inputs.examples import Rows
from steps.training.settings import TrainSettings

STEPS, BATCH, LENGTH, HIDDEN, CLASSES = 400, 32, 256, 64, 10
RATE = 0.001


class Head(nn.Module):
    """Two linear layers with dropout, as a head on features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(LENGTH, HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(HIDDEN, CLASSES)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of features ``(n, 256)``, and the features."""
        return self.layers(features), features


def batches() -> list[tuple[Tensor, Tensor]]:
    """What the peers learn from: made before, so that no time goes into putting examples together."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS, BATCH, LENGTH, generator=generator)
    labels = torch.randint(0, CLASSES, (STEPS, BATCH), generator=generator)
    return list(zip(inputs, labels, strict=True))


def ours(given: list[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    """Our loop, which puts its batches together and counts what is right besides."""
    inputs, labels = (torch.cat(parts) for parts in zip(*given, strict=True))
    rows, few = Rows(inputs, labels, CLASSES), Rows(inputs[:BATCH], labels[:BATCH], CLASSES)
    settings = TrainSettings(batch_size=BATCH, epochs=1, learning_rate=RATE, threads=1)
    return lambda: fit(Head(), rows, few, settings)


def lightning(given: list[tuple[Tensor, Tensor]]) -> Callable[[], object]:
    """Lightning without logger, checkpoints, bars and summary."""
    import pytorch_lightning as pl  # type: ignore[import-not-found]

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = Head()

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return functional.cross_entropy(self.head(batch[0])[0], batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

    def work() -> None:
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(), DataLoader(given, batch_size=None))  # type: ignore[arg-type]

    return work


def hugging_face(given: list[tuple[Tensor, Tensor]], folder: str) -> Callable[[], object]:
    """Hugging Face's Trainer without logs, checkpoints and bars, with Adam."""
    from transformers import Trainer, TrainingArguments  # type: ignore[import-not-found]

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = Head()

        def forward(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits, _ = self.head(features)
            return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    named = [{"features": inputs, "labels": labels} for inputs, labels in given]

    class Fed(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> DataLoader[Any]:
            return DataLoader(named, batch_size=None)  # type: ignore[arg-type]

    def work() -> None:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            max_grad_norm=0.0,
        )
        module = Module()
        optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
        constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
        Fed(model=module, args=arguments, train_dataset=named, optimizers=(optimizer, constant)).train()

    return work


def main(folder: str, rounds: int) -> None:
    """Measure in turn and print."""
    sys.path.append(folder)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    given = batches()
    ways = {
        "ours": ours(given),
        "Lightning": lightning(given),
        "Hugging Face": hugging_face(given, f"{folder}/output"),
    }
    taken = medians(ways, rounds=rounds)
    print(json.dumps({name: 1000 * seconds / STEPS for name, seconds in taken.items()}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
