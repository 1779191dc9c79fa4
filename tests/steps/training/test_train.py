"""The train step: the same inputs give the same bytes, and none give none."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from serving.model_directory import Preprocessing, model_digest, read_metadata
from steps.training.train import train
from tests.steps.training.examples import CLASSES, dataset, settings, splits, trained

ROOT = Path(__file__).resolve().parents[3]
TRAIN_ELSEWHERE = """
import sys
from pathlib import Path
from tests.steps.training.examples import trained
print(trained(Path(sys.argv[1]), epochs=1, threads=2).record.model_dump_json())
"""
SKIP_ELSEWHERE = """
import sys
from steps.training.settings import TrainSettings
from steps.training.train import train
assert train.entrypoint(None, None, ["a", "b"], TrainSettings(), "c", "d") is None
heavy = ("torch", "torchvision", "mlflow", "matplotlib", "onnxruntime")
print([name for name in heavy if name in sys.modules])
"""


def run_elsewhere(code: str, *arguments: str) -> str:
    """Run code in another process and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def digests(directory: Path) -> dict[str, str]:
    names = ("serving/model.onnx", "serving/metadata.json", "weights.safetensors")
    return {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}


def test_two_processes_train_to_the_same_bytes(tmp_path: Path) -> None:
    """Model, metadata and weights are byte for byte the same, and another seed's are not."""
    record = json.loads(run_elsewhere(TRAIN_ELSEWHERE, str(tmp_path / "there")))
    here = trained(tmp_path / "here", epochs=1, threads=2)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    assert here.record.model_dump(mode="json") == record
    other = trained(tmp_path / "other", epochs=1, threads=2, seed=1)
    assert other.record.model_digest != here.record.model_digest


def test_nothing_to_learn_from_is_nothing_learnt_and_nothing_imported() -> None:
    """A skipped training returns None and costs no heavy import."""
    assert run_elsewhere(SKIP_ELSEWHERE) == "[]"


def test_the_step_returns_a_classifier_whose_record_names_its_evidence() -> None:
    """Data, splits, configuration, code and model are named by their digests, and the files are there."""
    pictures = dataset()
    groups = splits(pictures)
    classifier = train.entrypoint(pictures, groups, CLASSES, settings(epochs=1), "conf", "code")
    record = classifier.record
    assert (record.data, record.splits) == (pictures.version, groups.digest)
    assert (record.configuration, record.code) == ("conf", "code")
    assert (record.architecture, record.classes) == ("small_cnn", tuple(CLASSES))
    metadata = read_metadata(classifier.serving_directory)
    assert metadata.classes == tuple(CLASSES)
    assert metadata.preprocessing == Preprocessing(height=16, width=16)
    assert (classifier.directory / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_files_go_when_nobody_holds_the_classifier() -> None:
    """The folder that training wrote does not stay behind."""
    pictures = dataset()
    classifier = train.entrypoint(pictures, splits(pictures), CLASSES, settings(epochs=1), "conf", "code")
    directory = classifier.directory
    assert directory.is_dir()
    del classifier
    assert not directory.exists()


def test_what_is_served_is_calibrated_on_validation_pictures(tmp_path: Path) -> None:
    """The network of two epochs is not sure enough: its temperature is below 1, and more likely for it."""
    classifier = trained(tmp_path, epochs=2)
    found = classifier.record.calibration
    assert found is not None
    metadata = read_metadata(classifier.serving_directory)
    assert (metadata.temperature, metadata.abstention_threshold) == (found.temperature, found.threshold)
    assert found.temperature != 1
    assert found.nll_after < found.nll_before
    assert classifier.record.model_digest == model_digest(classifier.serving_directory)


def test_the_reference_holds_validation_and_test_pictures_alone(tmp_path: Path) -> None:
    """Exactly their ids, each with its split; no picture that was learnt from."""
    reference = trained(tmp_path, epochs=1).reference()
    assert reference is not None
    groups = splits(dataset())
    for split in ("validation", "test"):
        rows = reference.rows[reference.rows["split"] == split]
        assert rows["image_id"].tolist() == groups.image_ids(split)
    assert not set(reference.rows["image_id"]) & set(groups.image_ids("train"))


def test_the_record_says_what_reproduces_it(tmp_path: Path) -> None:
    """All settings as they were used, the lock, and what the last digits depend on."""
    record = trained(tmp_path, epochs=1, learning_rate=0.005).record
    assert record.settings == settings(epochs=1, learning_rate=0.005).model_dump(mode="json")
    assert record.platform is not None
    assert "torch" in record.platform
    assert record.runtime is None  # it learnt from pictures
    classifier = train.entrypoint(
        dataset(), splits(dataset()), CLASSES, settings(epochs=1), "conf", "code", lock="locks"
    )
    assert classifier.record.lock == "locks"


def test_test_pictures_choose_nothing(tmp_path: Path) -> None:
    """A dataset without its test pictures trains to the same model: they are answered, and choose nothing."""
    pictures = dataset()
    groups = splits(pictures)
    seen = pictures.select(groups.image_ids("train") + groups.image_ids("validation"))
    assert len(seen) < len(pictures)
    models = [
        train.entrypoint(given, groups, CLASSES, settings(epochs=1), "conf", "code").record.model_digest
        for given in (pictures, seen)
    ]
    assert models[0] == models[1]
