"""The model directory: two files, one digest, and metadata that refuses what it does not know."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.model_directory import (
    ModelDirectoryError,
    ModelMetadata,
    Preprocessing,
    model_digest,
    read_metadata,
    write_metadata,
)

METADATA = ModelMetadata(
    format_version=1,
    architecture="small_cnn",
    classes=("bags", "tops", "Träger"),
    preprocessing=Preprocessing(version=1, height=28, width=32),
    runtime="onnxruntime",
    temperature=1.25,
    abstention_threshold=0.4,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.onnx").write_bytes(b"a network")
    write_metadata(made, METADATA)
    return made


def test_metadata_comes_back_as_it_was_written(directory: Path) -> None:
    """Writing and reading loses nothing, and writing twice gives the same bytes."""
    first = (directory / "metadata.json").read_bytes()
    write_metadata(directory, read_metadata(directory))
    assert read_metadata(directory) == METADATA
    assert (directory / "metadata.json").read_bytes() == first


def test_digest_is_what_sha256sum_prints(directory: Path) -> None:
    """Anyone can compute the digest that a verdict names, with two commands of any Linux."""
    listing = subprocess.run(
        ["sha256sum", "metadata.json", "model.onnx"], cwd=directory, capture_output=True, check=True
    )
    assert model_digest(directory) == hashlib.sha256(listing.stdout).hexdigest()


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json"])
def test_one_changed_byte_changes_the_digest(directory: Path, name: str) -> None:
    """Each file's bytes are in the digest."""
    before = model_digest(directory)
    content = bytearray((directory / name).read_bytes())
    content[3] ^= 1
    (directory / name).write_bytes(content)
    assert model_digest(directory) != before


def test_digest_does_not_depend_on_the_place(directory: Path, tmp_path: Path) -> None:
    """A moved directory is the same model."""
    before = model_digest(directory)
    assert model_digest(directory.rename(tmp_path / "elsewhere")) == before


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json"])
def test_missing_file_is_refused(directory: Path, name: str) -> None:
    """A directory without one of its files has no digest."""
    (directory / name).unlink()
    with pytest.raises(ModelDirectoryError, match=name):
        model_digest(directory)


def test_missing_directory_is_refused(tmp_path: Path) -> None:
    """A directory that is not there is refused by name."""
    with pytest.raises(ModelDirectoryError, match="nowhere"):
        model_digest(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["weights.pkl", "model.onnx.data", ".hidden"])
def test_unexpected_file_is_refused(directory: Path, name: str) -> None:
    """Nothing travels along with a model."""
    (directory / name).write_bytes(b"")
    with pytest.raises(ModelDirectoryError, match=name):
        model_digest(directory)


def test_subdirectory_is_refused(directory: Path) -> None:
    """A folder inside is unexpected, and so is one in a file's place."""
    (directory / "more").mkdir()
    with pytest.raises(ModelDirectoryError, match="more"):
        model_digest(directory)
    (directory / "more").rmdir()
    (directory / "model.onnx").unlink()
    (directory / "model.onnx").mkdir()
    with pytest.raises(ModelDirectoryError, match="link or a folder"):
        model_digest(directory)


def test_link_is_refused(directory: Path, tmp_path: Path) -> None:
    """A link in a file's place could point elsewhere tomorrow."""
    (directory / "model.onnx").rename(tmp_path / "network")
    (directory / "model.onnx").symlink_to(tmp_path / "network")
    with pytest.raises(ModelDirectoryError, match="link or a folder"):
        model_digest(directory)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format_version": 2}, "format_version"),
        ({"temprature": 1.0}, "temprature"),
        ({"temperature": 0}, "temperature"),
        ({"abstention_threshold": 1.5}, "abstention_threshold"),
        ({"classes": ["bags"]}, "classes"),
        ({"classes": ["bags", "bags"]}, "classes"),
        ({"preprocessing": {"version": 2, "height": 28, "width": 28}}, "preprocessing.version"),
        ({"preprocessing": {"version": 1, "height": 28}}, "preprocessing.width"),
    ],
)
def test_unusable_metadata_is_refused_by_key(directory: Path, change: dict[str, object], named: str) -> None:
    """The error names the key that is wrong."""
    content = json.loads((directory / "metadata.json").read_text())
    (directory / "metadata.json").write_text(json.dumps(content | change))
    with pytest.raises(ModelDirectoryError, match=named):
        read_metadata(directory)


def test_metadata_that_is_no_json_is_refused(directory: Path) -> None:
    """Half a file is refused."""
    (directory / "metadata.json").write_text('{"format_version": 1')
    with pytest.raises(ModelDirectoryError, match="JSON"):
        read_metadata(directory)


def test_metadata_cannot_be_changed_in_memory() -> None:
    """What was read from a digested file stays what it was."""
    with pytest.raises(ValidationError, match="frozen"):
        setattr(METADATA, "temperature", 2.0)  # noqa: B010 - mypy refuses the plain way too
