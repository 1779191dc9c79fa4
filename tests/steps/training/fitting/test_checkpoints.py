"""A training that was killed ends with the same weights, byte for byte, as one that was not."""

from __future__ import annotations

import json
import logging
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from zenml.artifact_stores import BaseArtifactStore

from materializers.errors import NoRoom, ServiceUnreachable
from materializers.store_files import walk_files
from steps.training.fitting.checkpoints import Checkpoints, PhaseCheckpoints, Progress
from tests.bucket import BUCKET, BucketServer
from tests.materializers.stores import disk_store, s3_store, s3_store_at
from tests.steps.training.fitting.trains_and_dies import BATCH, COUNT, EPOCHS, kill_elsewhere, train

STEPS = EPOCHS * (COUNT // BATCH)
NOWHERE = Progress(
    over=False,
    epochs=(),
    best_epoch=0,
    best_score=(-1.0, 0.0),
    failure=None,
    learning_rate=0.1,
    scheduler={"best": float("inf"), "num_bad_epochs": 0},
    batches=2,
    steps=2,
    loss_sum=1 / 3,
)


class Stopped(Exception):
    """Stands for a kill where a process of its own would cost seconds."""


@pytest.fixture
def phase(tmp_path: Path) -> PhaseCheckpoints:
    """The checkpoints of one phase, on disk, none yet."""
    return Checkpoints(disk_store(tmp_path), "key").phase("head")


def stopped_after(steps: int, store: BaseArtifactStore, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
    """Train until so many checkpoints are written, then stop."""
    whole, written = PhaseCheckpoints.write, 0

    def write(self: PhaseCheckpoints, *arguments: Any, **named: Any) -> int:
        nonlocal written
        number = whole(self, *arguments, **named)
        written += 1
        if written == steps:
            raise Stopped
        return number

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(PhaseCheckpoints, "write", write)
        train(store, **how)


def write(phase: PhaseCheckpoints, value: float, before: int | None = None) -> int:
    return phase.write(NOWHERE, {"value": torch.tensor([value])}, before=before)


def value_of(phase: PhaseCheckpoints) -> float | None:
    found = phase.read()
    return None if found is None else found.tensors["value"].item()


def files_of(phase: PhaseCheckpoints) -> list[str]:
    return sorted(path.name for path in Path(phase.uri).iterdir())


def test_killed_at_ten_random_moments_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """With dropout, MixUp, sampling and RandAugment; whoever ends it has learnt only what was left."""
    assert kill_elsewhere(10, str(tmp_path)) >= 5
    found = train(disk_store(tmp_path))
    assert found.weights == train(None).weights
    assert found.learnt < STEPS


def test_another_machine_goes_on_with_the_bucket_alone(bucket_server: BucketServer) -> None:
    """The process that ends it has nothing of those that were killed but the store."""
    address, endpoint = f"s3://{BUCKET}/killed-trainings", bucket_server.endpoint
    assert kill_elsewhere(3, address, endpoint) >= 1
    found = train(s3_store_at(address, endpoint))
    assert found.weights == train(None).weights
    assert found.learnt < STEPS


@pytest.mark.parametrize(
    "how",
    [
        {"schedule": "cosine", "optimizer": "adamw", "weight_decay": 0.01, "gradient_clip": 0.5},
        {"class_balance": "weights", "label_smoothing": 0.1, "channels_last": True, "plateau_patience": 0},
        {"mixed_precision": True},
    ],
    ids=["cosine", "plateau", "bf16"],
)
def test_every_option_goes_on_exactly(
    how: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after each of several checkpoints in turn, it ends as an undisturbed one, epochs included."""
    expected = train(None, **how)
    store = disk_store(tmp_path)
    for steps in (3, 4, 5):
        stopped_after(steps, store, monkeypatch, **how)
    found = train(store, **how)
    assert (found.weights, found.fit) == (expected.weights, expected.fit)
    assert found.seen == expected.seen
    assert found.learnt < expected.learnt


def test_a_phase_that_is_over_is_not_trained_again(store: BaseArtifactStore) -> None:
    """Its weights, epochs and the state of chance come back; no batch is learnt, every epoch reported."""
    first = train(store, checkpoint_seconds=60)
    after_first = torch.get_rng_state()
    again = train(store, checkpoint_seconds=60)
    assert (again.weights, again.fit, again.seen) == (first.weights, first.fit, first.seen)
    assert (first.learnt, again.learnt) == (STEPS, 0)
    assert torch.equal(torch.get_rng_state(), after_first)


def test_what_is_written_comes_back_and_the_one_before_is_kept(store: BaseArtifactStore) -> None:
    """Two generations of two files; numbers that are not finite too; removed, nothing is left."""
    checkpoints = Checkpoints(store, "key")
    phase = checkpoints.phase("head")
    assert phase.read() is None
    number = None
    for value in (1.0, 2.0, 3.0):
        number = write(phase, value, number)
    found = phase.read()
    assert found is not None
    assert (found.number, found.progress, found.tensors["value"].item()) == (3, NOWHERE, 3.0)
    names = [file.uri.rpartition("/")[2] for file in walk_files(store, phase.uri)]
    assert sorted(names) == [
        "00000002.json",
        "00000002.safetensors",
        "00000003.json",
        "00000003.safetensors",
    ]
    assert checkpoints.phase("fine-tuning").read() is None


@pytest.mark.parametrize("ending", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_corrupt_checkpoint_gives_way_to_the_one_before(
    ending: str, damage: str, phase: PhaseCheckpoints, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the file and says why; the next one that is written keeps the good one beside it."""
    good = write(phase, 1.0)
    write(phase, 2.0, good)
    hurt(Path(phase.uri) / f"00000002.{ending}", damage)
    if (ending, damage) == ("json", "gone"):  # as if it was killed before it wrote the manifest
        assert value_of(phase) == 1.0
        assert not caplog.messages
    else:
        assert value_of(phase) == 1.0
        assert f"{phase.uri}/00000002.json is not used" in caplog.messages[0]
        assert f"goes on from {phase.uri}/00000001.json" in caplog.messages[1]
    write(phase, 3.0, good)
    assert [name for name in files_of(phase) if name.endswith("json")] == ["00000001.json", "00000003.json"]
    assert value_of(phase) == 3.0


@pytest.mark.parametrize(
    ("name", "value"), [("batches", 1), ("learning_rate", 0.003), ("steps", 3), ("loss_sum", 0.5)]
)
def test_a_number_that_changed_in_a_manifest_is_not_gone_on_from(
    name: str, value: float, phase: PhaseCheckpoints, caplog: pytest.LogCaptureFixture
) -> None:
    """It is valid JSON and a valid number: only the digest shows that a training would come out otherwise."""
    write(phase, 2.0, write(phase, 1.0))
    path = Path(phase.uri) / "00000002.json"
    manifest = json.loads(path.read_text())
    assert manifest["progress"][name] != value
    manifest["progress"][name] = value
    path.write_text(json.dumps(manifest))
    assert value_of(phase) == 1.0
    assert "does not have the digest" in caplog.messages[0]


def hurt(path: Path, damage: str) -> None:
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(data) // 2
        path.write_bytes(data[:middle] + (bytes([data[middle] ^ 1]) + data[middle + 1 :]) * (damage != "cut"))


def test_two_corrupt_checkpoints_are_a_new_beginning(
    phase: PhaseCheckpoints, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is named, and that it begins anew is said."""
    write(phase, 2.0, write(phase, 1.0))
    for path in Path(phase.uri).glob("*.safetensors"):
        hurt(path, "flipped")
    assert value_of(phase) is None
    assert len(caplog.messages) == 3
    assert "begins anew" in caplog.messages[-1]


def test_a_damaged_training_still_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest checkpoint is damaged: a few batches are learnt once more, and it says from where."""
    expected = train(None).weights
    store = disk_store(tmp_path)
    stopped_after(7, store, monkeypatch)
    hurt(max(tmp_path.rglob("*.safetensors")), "flipped")
    with caplog.at_level(logging.WARNING, "shutterline"):
        assert train(store).weights == expected
    assert any("goes on from" in message for message in caplog.messages)


def test_another_torch_or_format_is_not_gone_on_from(
    phase: PhaseCheckpoints, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both versions of torch are named; a format that is not known yet is no damage to run into later."""
    write(phase, 1.0)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "__version__", "1.0.0")
        assert phase.read() is None
    assert f"torch {torch.__version__} wrote it, this is 1.0.0" in caplog.messages[0]
    manifest = Path(phase.uri) / "00000001.json"
    manifest.write_text(manifest.read_text().replace('"format_version":2', '"format_version":1'))
    assert phase.read() is None


def test_a_full_disk_ends_the_training_and_the_checkpoint_before_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says where there is no room; with room, the same command ends with the same bytes."""
    expected = train(None).weights
    store = disk_store(tmp_path)
    stopped_after(7, store, monkeypatch)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(NoRoom, match="safetensors could not be written"):
            train(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.rglob("*.part"))
    found = train(store)
    assert found.weights == expected
    assert found.learnt == STEPS - 6  # the seventh checkpoint is that of the first epoch's end


def test_a_store_that_refuses_is_unreachable(bucket_server: BucketServer) -> None:
    """Whether it is listed or written to, and it says what could not be done."""
    phase = Checkpoints(s3_store(bucket_server.endpoint, secret="another"), "key").phase("head")
    with pytest.raises(ServiceUnreachable, match="could not list the checkpoints in s3://"):
        phase.read()
    with pytest.raises(ServiceUnreachable, match="could not list"):
        write(phase, 1.0)


def test_a_frozen_parameter_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What never changes is the caller's: the file holds what learns, and the statistics."""
    import tests.steps.training.fitting.trains_and_dies as training

    class Frozen(training.SmallModel):
        def __init__(self) -> None:
            super().__init__()
            self.backbone.requires_grad_(False)

    monkeypatch.setattr(training, "SmallModel", Frozen)
    store = disk_store(tmp_path)
    train(store)
    found = Checkpoints(store, "key").phase("all").read()
    assert found is not None
    names = {name for name in found.tensors if name.startswith("model.")}
    assert {"model.head.1.weight", "model.head.1.bias"} <= names
    assert "model.backbone.0.weight" not in names
