"""The predictor: torch's answers in both environments, whatever is in the batch; no other model loads."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.model_directory import ModelDirectoryError, read_metadata, write_metadata
from serving.predictor import PictureError, Prediction, Predictor, probabilities
from serving.preprocess import Limits
from serving.strip_metadata import strip_metadata
from tests.serving.conftest import CLASSES, ExportedModel, in_serving_environment
from tests.serving.pictures import encode, exif, gradient

SCORES = """
import json, pathlib, sys
import numpy as np
from serving.predictor import Predictor
predictor = Predictor.load(pathlib.Path(sys.argv[1]), expected_digest=sys.argv[2])
images = np.load(sys.argv[3])
print(json.dumps({n: [part.tolist() for part in predictor.scores(images[:n])] for n in (1, 2, 7)}))
"""


@pytest.fixture(scope="module")
def predictor(exported: ExportedModel) -> Predictor:
    return Predictor.load(exported.directory, expected_digest=exported.digest)


@pytest.fixture
def copied(exported: ExportedModel, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported.directory, tmp_path / "model"))


@pytest.fixture(scope="module")
def elsewhere(
    exported: ExportedModel, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, list[NDArray[np.float32]]]:
    """What the serving environment answers for batches of 1, 2 and 7."""
    images = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(images, exported.images)
    answers = in_serving_environment(SCORES, str(exported.directory), exported.digest, str(images))
    return {int(n): [np.asarray(part, np.float32) for part in parts] for n, parts in answers.items()}


@pytest.mark.parametrize("n", [1, 2, 7])
def test_exported_and_trained_network_agree_in_both_environments(
    exported: ExportedModel, predictor: Predictor, elsewhere: dict[int, list[NDArray[np.float32]]], n: int
) -> None:
    """Logits and embeddings are torch's to 1e-4, here and in the serving environment."""
    for logits, embeddings in (predictor.scores(exported.images[:n]), elsewhere[n]):
        assert logits.shape == (n, len(CLASSES))
        np.testing.assert_allclose(logits, exported.logits[:n], atol=1e-4)
        np.testing.assert_allclose(embeddings, exported.embeddings[:n], atol=1e-4)


def test_answer_does_not_depend_on_the_batch(exported: ExportedModel, predictor: Predictor) -> None:
    """Alone, among seven, in batches of two or of three: the same scores to 1e-5."""
    alone = np.concatenate([predictor.scores(exported.images[i : i + 1])[0] for i in range(7)])
    for batch_size in (2, 3, 64):
        together = predictor.scores(exported.images, batch_size=batch_size)[0]
        np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(alone, axis=0).max() > 1e-3  # the pictures differ, so that a mix-up would show


def test_scores_are_float32(exported: ExportedModel, predictor: Predictor) -> None:
    """Logits and embeddings have the types that they are documented with."""
    logits, embeddings = predictor.scores(exported.images)
    assert logits.dtype == embeddings.dtype == np.float32
    assert embeddings.shape == exported.embeddings.shape


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 28, 28, 3), np.float32),
        np.zeros((28, 28, 3), np.uint8),
        np.zeros((1, 3, 28, 28), np.uint8),
    ],
)
def test_images_of_another_shape_or_type_are_refused(predictor: Predictor, images: Any) -> None:
    """What ``decode`` did not make is not scored."""
    with pytest.raises(ValueError, match="uint8"):
        predictor.scores(images)


def test_same_picture_twice_gives_the_same_answer(predictor: Predictor) -> None:
    """A prediction is a function of the picture."""
    picture = encode(gradient(28, 28), "JPEG")
    first, second = predictor.predict([picture, picture])
    assert first == second == predictor.predict([picture])[0]


def test_bad_picture_does_not_spoil_the_others(predictor: Predictor) -> None:
    """Each picture has its answer in its place."""
    pictures = [encode(gradient(28, 28, 1)), encode(gradient(90, 40, 2))]
    first, text, second, large = predictor.predict(
        [pictures[0], b"text", pictures[1], encode(gradient(200, 200))], Limits(max_pixels=10_000)
    )
    assert [first, second] == [predictor.predict([picture])[0] for picture in pictures]
    assert isinstance(text, PictureError)
    assert isinstance(large, PictureError)
    assert (text.reason, large.reason) == ("not_an_image", "too_many_pixels")


def test_a_stored_picture_is_answered_as_it_was_delivered(predictor: Predictor) -> None:
    """With its stored orientation it is the picture that came, and without one what its file says counts."""
    delivered = encode(gradient(90, 40), "JPEG", exif=exif(6))
    stored = strip_metadata(delivered).data
    right, lying, told = predictor.predict([stored, stored, delivered], orientations=[6, 1, None])
    assert right == told == predictor.predict([delivered])[0]
    assert lying == predictor.predict([stored])[0] != right
    with pytest.raises(ValueError, match="shorter"):
        predictor.predict([stored, delivered], orientations=[6])


def test_no_pictures_no_answers(predictor: Predictor) -> None:
    """An empty request is not an error of the predictor."""
    assert predictor.predict([]) == []


def test_prediction_is_the_likeliest_class(exported: ExportedModel, predictor: Predictor) -> None:
    """Label and probabilities are the softmax of torch's logits, by class name."""
    (answer,) = predictor.predict([encode(gradient(28, 28, 0))])
    assert isinstance(answer, Prediction)
    expected = np.exp(exported.logits[0]) / np.exp(exported.logits[0]).sum()
    assert answer.label == CLASSES[int(expected.argmax())]
    assert list(answer.probabilities) == list(CLASSES)
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-4)
    assert answer.probability == answer.probabilities[answer.label] == max(answer.probabilities.values())


def test_below_the_threshold_it_abstains(exported: ExportedModel, predictor: Predictor, copied: Path) -> None:
    """A model abstains when the top probability is below its threshold, and not when it is exactly there."""
    picture = encode(gradient(28, 28))
    (answer,) = predictor.predict([picture])
    assert isinstance(answer, Prediction)
    for threshold, abstained in ((answer.probability, False), (answer.probability + 1e-9, True)):
        metadata = read_metadata(exported.directory).model_copy(update={"abstention_threshold": threshold})
        write_metadata(copied, metadata)
        (again,) = Predictor.load(copied).predict([picture])
        assert isinstance(again, Prediction)
        assert again.abstained is abstained


def test_temperature_of_the_metadata_is_applied(exported: ExportedModel, copied: Path) -> None:
    """A temperature of 2 halves the logits."""
    write_metadata(copied, read_metadata(exported.directory).model_copy(update={"temperature": 2.0}))
    (answer,) = Predictor.load(copied).predict([encode(gradient(28, 28, 0))])
    assert isinstance(answer, Prediction)
    expected = np.exp(exported.logits[0] / 2) / np.exp(exported.logits[0] / 2).sum()
    np.testing.assert_allclose(list(answer.probabilities.values()), expected, atol=1e-4)


def test_probabilities_sum_to_one_and_stay_finite() -> None:
    """Large logits do not overflow, and a higher temperature flattens."""
    logits = np.array([[1000.0, 0.0, -1000.0], [1.0, 1.0, 1.0]], np.float32)
    sharp, flat = probabilities(logits, 1.0), probabilities(logits, 1000.0)
    np.testing.assert_allclose(sharp.sum(axis=1), 1)
    np.testing.assert_allclose(sharp[0], [1, 0, 0])
    assert flat[0, 0] < 0.7


def test_other_digest_is_refused_with_both_named(exported: ExportedModel, copied: Path) -> None:
    """One changed byte, and the error names the digest that is there and the one that was released."""
    content = bytearray((copied / "model.onnx").read_bytes())
    content[-1] ^= 1
    (copied / "model.onnx").write_bytes(content)
    with pytest.raises(ModelDirectoryError) as refused:
        Predictor.load(copied, expected_digest=exported.digest)
    assert exported.digest in str(refused.value)
    assert len({word for word in str(refused.value).replace(";", "").split() if len(word) == 64}) == 2


def test_what_is_no_network_is_refused(copied: Path) -> None:
    """Bytes that onnxruntime cannot load are one clear error."""
    (copied / "model.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelDirectoryError, match=r"model\.onnx cannot be loaded"):
        Predictor.load(copied)


@pytest.mark.parametrize(
    ("change", "named"),
    [({"classes": ["bags", "tops"]}, "2 classes"), ({"classes": ["a", "b", "c", "d"]}, "4 classes")],
)
def test_network_that_contradicts_its_metadata_is_refused(
    copied: Path, change: dict[str, object], named: str
) -> None:
    """A class more or less would put every answer under another name."""
    content = json.loads((copied / "metadata.json").read_text())
    (copied / "metadata.json").write_text(json.dumps(content | change))
    with pytest.raises(ModelDirectoryError, match=named):
        Predictor.load(copied)


def test_network_of_another_input_size_is_refused(copied: Path) -> None:
    """The preprocessing makes what the network takes, or nothing is loaded."""
    content = json.loads((copied / "metadata.json").read_text())
    content["preprocessing"]["height"] = 32
    (copied / "metadata.json").write_text(json.dumps(content))
    with pytest.raises(ModelDirectoryError, match="32"):
        Predictor.load(copied)
