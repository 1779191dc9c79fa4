"""A service as the local stack runs it: trained, passed by the gate, released, behind Envoy, with capture."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.main.home import SHRUNK_MODEL, Home, cut_folder
from benchmarks.serving.memory import memory_mb
from serving.launching import PREDICTIONS
from stacks.local_deployer import processes

PER_CLASS = 30
NO_LIMITS = (
    "policy.rules.accuracy.limit=0.0",
    "policy.rules.precision.requirement=advisory",
    "policy.rules.recall.requirement=advisory",
    "policy.rules.f1_macro.requirement=advisory",
    "train.learning.loss_limit=1000",
)
"""A network with random weights costs what another does, and would neither learn nor pass."""


@dataclass(frozen=True)
class Live:
    """What is served.

    Args:
        url: where predictions are asked for, at the ingress.
        site: of the deployer's processes.
    """

    url: str
    site: Path

    def processes(self) -> list[psutil.Process]:
        """The ingress, the service and its workers, and what ships captures."""
        return [process for some in processes.running(self.site).values() for process in some]

    def cpu_s(self) -> float:
        """CPU seconds of all processes so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def memory_mb(self) -> float:
        """What is resident now, 10⁶ bytes, added up; what processes share counts once."""
        return memory_mb(self.processes())

    def handles(self) -> int:
        """Open files and connections of all processes."""
        return sum(process.num_fds() for process in self.processes())

    def pin(self, cores: Sequence[int]) -> None:
        """Let all processes, with every thread that they have, run on these cores alone."""
        for process in self.processes():
            for thread in process.threads():
                with contextlib.suppress(psutil.Error):
                    psutil.Process(thread.id).cpu_affinity(list(cores))


@contextlib.contextmanager
def live(folder: Path, architecture: str, side: int) -> Iterator[Live]:
    """Train, release in staging and serve, until the block is left.

    Args:
        folder: for a home of its own.
        architecture: with random weights, frozen, but for ``small_cnn``.
        side: of the pictures, pixels.

    Raises:
        RuntimeError: it was not released; with what the command said.
    """
    folder.mkdir(parents=True)
    delivery = cut_folder(folder / "delivery", PER_CLASS)
    settings = [
        f"train.architecture={architecture}",
        *_backbone(architecture, folder),
        f"train.preprocessing={{height: {side}, width: {side}}}",
        "train.epochs=2",
        *NO_LIMITS,
    ]
    flags = [part for setting in settings for part in ("--set", setting)]
    with Home(folder) as home:
        told = home.run("--train", "--deploy", "--source", str(delivery), *flags)
        if told.exit_code:
            raise RuntimeError(f"{architecture} is not live: {told.results} {told.log[-2000:]}")
        port = home.environment["SHUTTERLINE_PORT"]
        yield Live(f"http://127.0.0.1:{port}/seldon/staging/{SHRUNK_MODEL}{PREDICTIONS}", home.site)


def _backbone(architecture: str, folder: Path) -> list[str]:
    """Settings by which the head alone learns, on random weights; ``small_cnn`` learns as a whole."""
    if architecture == "small_cnn":
        return ["train.freeze_backbone=false"]
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    weights = folder / "weights.safetensors"
    save_file(torchvision.models.get_model(architecture, weights=None).state_dict(), weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return [
        "train.freeze_backbone=true",
        f"train.weights={weights}",
        f"train.weights_sha256={digest}",
    ]
