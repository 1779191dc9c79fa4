"""Tests of steps/data/champion.py: a delivery against what the live model learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from zenml import pipeline, step

from materializers.data_report import Check
from materializers.errors import DamagedArtifact
from materializers.evidence import RegisteredVersion, registry_client
from materializers.image_dataset import ImageDataset, Picture
from serving.model_directory import ModelMetadata, Preprocessing
from serving.predictor import Predictor
from serving.preprocess import decode
from serving.strip_metadata import strip_metadata
from steps.data.champion import champion_of, drift_from_champion, embed
from steps.data.checks.delivery_drift import DRIFT_CHECKS, DriftSettings
from steps.data.picture_measures import measure
from steps.training.reference import BATCH
from tests.serving.pictures import encode, exif, gradient
from tests.stacks.local_deployer.conftest import write_model
from tests.whole.shop import altered

if TYPE_CHECKING:
    from zenml.client import Client

SIDE = 24
MIX = ("books", "toys")


def pictures(count: int, *, seed: int, lightness: int = 0, labels: Sequence[str] = MIX) -> ImageDataset:
    """Measured pictures of one colour with some noise; ``lightness`` is added to every level."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        pixels = rng.integers(40, 160, 3) + rng.integers(0, 40, (SIDE, SIDE, 3)) + lightness
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        measures = vars(measure(image, 1))
        label = labels[number % len(labels)]
        made.append(
            Picture(encode(image), label, SIDE, SIDE, 1, f"shop/{seed}/{number}.png", measures=dict(measures))
        )
    return ImageDataset.from_pictures(made)


TRAINED_ON = pictures(120, seed=1)
ALIKE = pictures(80, seed=2)
SHIFTED = pictures(80, seed=3, lightness=70)


@step(enable_cache=False)
def learns() -> Annotated[ImageDataset, "dataset"]:
    """Store what a champion learnt from, as ``validate`` does."""
    return TRAINED_ON


@pipeline(enable_cache=False)
def learnt() -> None:
    """The run of a champion."""
    learns()


@pytest.fixture(scope="module")
def champion(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> RegisteredVersion:
    """A live version: its run stored its data, and its model looks at the mean colour."""
    name = f"learnt-{uuid4().hex[:8]}"
    learnt.with_options(run_name=name)()
    directory = tmp_path_factory.mktemp("champion") / "model"
    digest = write_model(directory, 1)
    tags = {
        "zenml_run": str(local_stack.get_pipeline_run(name).id),
        "model_uri": str(directory),
        "model_digest": digest,
    }
    return RegisteredVersion(
        model_name="m", version=4, created=datetime.now(UTC), aliases=("champion",), tags=tags
    )


def settings(severity: str = "warn") -> DriftSettings:
    """The usual limits, and what happens beyond them."""
    usual = DriftSettings()
    return DriftSettings.model_validate(
        {
            **usual.model_dump(),
            **{name: {"limit": getattr(usual, name).limit, "severity": severity} for name in DRIFT_CHECKS},
        }
    )


def outcomes(checks: Sequence[Check]) -> dict[str, str]:
    """Name → outcome."""
    return {check.name: check.outcome for check in checks}


def test_a_delivery_like_the_training_data_passes(champion: RegisteredVersion) -> None:
    """Class mix, statistics and the champion's own embeddings are compared, each within its limit."""
    checks = drift_from_champion(ALIKE, champion, settings("refuse"))
    assert outcomes(checks) == dict.fromkeys(DRIFT_CHECKS, "passed")
    assert all(check.measured is not None for check in checks)


@pytest.mark.parametrize(("severity", "outcome"), [("warn", "warned"), ("refuse", "refused")])
def test_lighter_pictures_are_drift_by_the_policy(
    champion: RegisteredVersion, severity: str, outcome: str
) -> None:
    """Brightness and embeddings tell it; the class mix is as it was."""
    found = outcomes(drift_from_champion(SHIFTED, champion, settings(severity)))
    assert found == {
        "class_mix_drift": "passed",
        "picture_statistics_drift": outcome,
        "embedding_drift": outcome,
    }


def test_another_class_mix_is_drift_by_the_policy(champion: RegisteredVersion) -> None:
    """The pictures look as they did."""
    delivery = pictures(80, seed=4, labels=("books", "books", "books", "toys"))
    found = outcomes(drift_from_champion(delivery, champion, settings("refuse")))
    assert (found["class_mix_drift"], found["picture_statistics_drift"]) == ("refused", "passed")


def test_classes_that_were_renamed_or_retired_are_no_drift(champion: RegisteredVersion) -> None:
    """Both sides are compared under today's names."""
    delivery = pictures(80, seed=5, labels=("novels",))
    before = drift_from_champion(delivery, champion, settings())
    now = drift_from_champion(delivery, champion, settings(), renamed={"books": "novels"}, retired=("toys",))
    assert (outcomes(before)["class_mix_drift"], outcomes(now)["class_mix_drift"]) == ("warned", "passed")


@pytest.mark.parametrize("severity", ["warn", "refuse"])
def test_without_a_champion_nothing_is_assessed_and_nobody_refused(severity: str) -> None:
    """The first training has nothing that it could have drifted from."""
    checks = drift_from_champion(ALIKE, None, settings(severity))
    assert outcomes(checks) == dict.fromkeys(DRIFT_CHECKS, "not_assessed")
    assert not any(check.refuses for check in checks)
    assert {check.reason for check in checks} == {"There is no model in use yet that learnt from other data."}


def test_a_delivery_without_a_picture_is_not_assessed_and_not_refused(champion: RegisteredVersion) -> None:
    """Corrections alone are compared with nothing."""
    checks = drift_from_champion(ALIKE.select(()), champion, settings("refuse"))
    assert outcomes(checks) == dict.fromkeys(DRIFT_CHECKS, "not_assessed")
    assert not any(check.refuses for check in checks)


@pytest.mark.parametrize("severity", ["warn", "refuse"])
def test_a_delivery_that_brings_nothing_new_has_no_embeddings_compared(
    champion: RegisteredVersion, severity: str
) -> None:
    """The model is not even fetched, and nobody is refused for it; the cheap checks are made as ever."""
    broken = champion.model_copy(update={"tags": {**champion.tags, "model_uri": "/nowhere"}})
    before = TRAINED_ON.join(ALIKE)
    checks = drift_from_champion(ALIKE, broken, settings(severity), previous=before)
    assert outcomes(checks) == {
        "class_mix_drift": "passed",
        "picture_statistics_drift": "passed",
        "embedding_drift": "not_assessed",
    }
    assert not any(check.refuses for check in checks)
    assert "brings no picture that the dataset before lacks" in checks[-1].reason


def test_one_new_picture_has_the_embeddings_compared(champion: RegisteredVersion) -> None:
    """Also where all others were there."""
    before = ALIKE.without(ALIKE.index["image_id"].head(1))
    checks = drift_from_champion(ALIKE, champion, settings(), previous=before)
    assert outcomes(checks) == dict.fromkeys(DRIFT_CHECKS, "passed")


def test_a_champion_whose_data_are_gone_refuses_where_drift_would(champion: RegisteredVersion) -> None:
    """What must be assessed and cannot be is not taken as passed; the version is named."""
    lost = champion.model_copy(update={"tags": {**champion.tags, "zenml_run": str(uuid4())}})
    checks = drift_from_champion(ALIKE, lost, settings("refuse"))
    assert outcomes(checks) == dict.fromkeys(DRIFT_CHECKS, "not_assessed")
    assert all(check.refuses and "version 4" in check.reason for check in checks)
    assert not any(check.refuses for check in drift_from_champion(ALIKE, lost, settings("warn")))


@contextmanager
def damaged(client: Client, champion: RegisteredVersion, what: str) -> Iterator[Path]:
    """The champion's training data with a file that was cut or changed, for a while; its path."""
    uri = client.get_pipeline_run(champion.run_id).steps["learns"].outputs["dataset"][0].uri
    if what == "shard":
        path = (
            Path(client.active_stack.artifact_store.path) / f"datasets/shards/{min(TRAINED_ON.shards)}.arrow"
        )
    else:
        (path,) = Path(uri).glob("index-*.parquet")
    with altered(path, path.read_bytes()[:5000]):
        yield path


@pytest.mark.parametrize("severity", ["warn", "refuse"])
@pytest.mark.parametrize("what", ["index", "shard"])
def test_a_champion_whose_data_are_damaged_is_not_assessed(
    local_stack: Client,
    champion: RegisteredVersion,
    caplog: pytest.LogCaptureFixture,
    what: str,
    severity: str,
) -> None:
    """With the file's name, in the log too; refused where drift is. Without a shard the index tells."""
    with damaged(local_stack, champion, what) as path, caplog.at_level("WARNING", logger="shutterline"):
        checks = drift_from_champion(ALIKE, champion, settings(severity))
    missing = [check for check in checks if check.outcome == "not_assessed"]
    assert [check.name for check in missing] == list(DRIFT_CHECKS if what == "index" else DRIFT_CHECKS[2:])
    assert all(str(path) in check.reason and "version 4" in check.reason for check in missing)
    assert all(check.refuses == (severity == "refuse") for check in missing)
    assert str(path) in caplog.text


def test_of_few_pictures_the_model_is_not_even_fetched(champion: RegisteredVersion) -> None:
    """Nothing could be said of them."""
    broken = champion.model_copy(update={"tags": {**champion.tags, "model_uri": "/nowhere"}})
    checks = drift_from_champion(pictures(20, seed=6), broken, settings())
    assert outcomes(checks) == dict.fromkeys(DRIFT_CHECKS, "not_assessed")


def test_another_model_in_the_champions_place_is_not_used(champion: RegisteredVersion) -> None:
    """Its digest is that of the registry, or nothing is said by it."""
    other = champion.model_copy(update={"tags": {**champion.tags, "model_digest": "0" * 64}})
    with pytest.raises(DamagedArtifact, match=r"0000.*--rollback"):
        drift_from_champion(ALIKE, other, settings())


class Sees:
    """A predictor whose embedding is what it sees."""

    metadata = ModelMetadata(
        architecture="none", classes=("a", "b"), preprocessing=Preprocessing(height=8, width=8)
    )

    def scores(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Even logits, and the pixels."""
        assert len(images) <= BATCH
        return np.zeros((len(images), 2), np.float32), images.reshape(len(images), -1)


def test_embeddings_are_of_pictures_as_they_are_served() -> None:
    """In the order asked for, over the bounds of a batch, and upright: the orientation is in the index."""
    served = {f"s/{number}": encode(gradient(40, 30, number)) for number in range(BATCH + 8)}
    served["s/turned"] = encode(gradient(40, 30), "JPEG", exif=exif(6))
    dataset = ImageDataset.from_pictures(
        Picture(strip_metadata(data).data, "a", 40, 30, 6 if source == "s/turned" else 1, source)
        for source, data in served.items()
    )
    backwards = dataset.index[::-1]
    found = embed(cast(Predictor, Sees()), dataset, backwards["image_id"].tolist())
    expected = [decode(served[source], Sees.metadata.preprocessing).ravel() for source in backwards["source"]]
    np.testing.assert_array_equal(found, expected)


def test_the_version_in_production_comes_before_the_one_in_staging(local_stack: Client) -> None:
    """Without either there is none, whatever passed."""
    client = registry_client()
    client.create_registered_model("aliased")
    for identity in ("one", "two", "three"):
        client.create_model_version("aliased", source="nowhere", tags={"identity": identity})
    client.set_registered_model_alias("aliased", "challenger", "3")
    assert champion_of("aliased") is None
    client.set_registered_model_alias("aliased", "staging", "2")
    assert getattr(champion_of("aliased"), "version", None) == 2
    client.set_registered_model_alias("aliased", "champion", "1")
    assert getattr(champion_of("aliased"), "version", None) == 1
    assert champion_of("never-registered") is None
