"""A model directory with anything beside a plain network is found out."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from materializers.evaluation.security import UnexpectedFile
from serving.model_directory import ModelMetadata, Preprocessing, write_metadata
from steps.evaluation.security.scan import STANDARD_DOMAINS, hidden_content, scan_directory
from tests.steps.training.examples import trained

PICKLE = pickle.dumps({"weights": [1, 2, 3]})


def network() -> onnx.ModelProto:
    """A network of one layer."""
    weights = numpy_helper.from_array(np.ones((4, 2), np.float32), "weights")
    pictures = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    node = helper.make_node("MatMul", ["images", "weights"], ["logits"])
    return helper.make_model(helper.make_graph([node], "network", [pictures], [logits], [weights]))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model directory with nothing to complain of."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(network().SerializeToString())
    preprocessing = Preprocessing(height=2, width=2)
    write_metadata(
        folder, ModelMetadata(architecture="tiny", classes=("a", "b"), preprocessing=preprocessing)
    )
    return folder


def scanned(
    folder: Path, domains: tuple[str, ...] = STANDARD_DOMAINS, largest_mb: int = 2048
) -> tuple[UnexpectedFile, ...]:
    """What the scan finds by the shipped settings, or others."""
    return scan_directory(folder, domains=domains, largest_mb=largest_mb)


def found(folder: Path) -> list[tuple[str, str]]:
    """What the scan says, as file and reason."""
    return [(each.file, each.reason) for each in scanned(folder)]


def archive(kind: str) -> bytes:
    """A small archive."""
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as packed:
            packed.writestr("data.pkl", PICKLE)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "gzip" else "w") as packed_tar:
            packed_tar.addfile(tarfile.TarInfo("data.pkl"))
    return buffer.getvalue()


def test_a_model_that_training_exported_is_clean(tmp_path: Path) -> None:
    """The files that are really served, weights and all."""
    assert scanned(trained(tmp_path).serving_directory) == ()


def test_a_model_directory_is_two_files(model: Path) -> None:
    """Nothing to find in a plain one."""
    assert found(model) == []


@pytest.mark.parametrize("name", ["weights.pkl", ".hidden", "model.onnx.data", "custom_ops.so"])
def test_a_file_more_is_named(model: Path, name: str) -> None:
    """Whatever it is called and holds."""
    (model / name).write_bytes(b"anything")
    assert found(model) == [(name, "only metadata.json and model.onnx belong there")]


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    """A half is no model."""
    (model / name).unlink()
    assert found(model) == [(name, "it is missing")]


@pytest.mark.parametrize("how", ["link", "folder"])
def test_what_is_no_regular_file_is_named(model: Path, how: str, tmp_path: Path) -> None:
    """A link could lead anywhere."""
    original = (model / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    if how == "link":
        (model / "model.onnx").symlink_to(original)
    else:
        (model / "model.onnx").mkdir()
    assert found(model) == [("model.onnx", "it is a link or a folder, not a regular file")]


CONTENTS = {
    "a pickle": (PICKLE, "it is a pickle, which executes when it is loaded"),
    "an old pickle": (pickle.dumps([1], protocol=0), "it is no ONNX model"),
    "what torch saves": (archive("zip"), "it is a zip archive, as torch saves its pickles"),
    "a tar archive": (archive("tar"), "it is a tar archive"),
    "gzip": (archive("gzip"), "it is gzip"),
    "what Keras saves": (b"\x89HDF\r\n\x1a\n", "it is HDF5, as Keras saves models with code"),
    "text": (b"#!/bin/sh\nrm -rf .", "it is no ONNX model"),
    "nothing": (b"", "it holds no network"),
    "cut off": (network().SerializeToString()[:-9], "it is no ONNX model"),
}


@pytest.mark.parametrize(("content", "reason"), CONTENTS.values(), ids=CONTENTS)
def test_what_stands_in_the_place_of_a_network_is_named(model: Path, content: bytes, reason: str) -> None:
    """The name of a file says nothing of what it holds."""
    (model / "model.onnx").write_bytes(content)
    assert found(model) == [("model.onnx", reason)]


def test_metadata_that_says_more_is_named(model: Path) -> None:
    """A key that nobody reads today could be read tomorrow."""
    text = (model / "metadata.json").read_text()
    (model / "metadata.json").write_text(text.replace("{", '{"loader": "os.system", ', 1))
    ((name, reason),) = found(model)
    assert name == "metadata.json" and "loader" in reason


def custom_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Run", ["logits"], ["more"], domain="com.example"))


def custom_operator_in_a_branch(proto: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Run", [], ["out"], domain="com.example")], "then", [], [])
    proto.graph.node.append(
        helper.make_node("If", ["logits"], ["more"], then_branch=inner, else_branch=inner)
    )


def external_weights(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def pickled_metadata(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].attribute.append(helper.make_attribute("note", PICKLE))


def pickled_tensor(proto: onnx.ModelProto) -> None:
    hidden = TensorProto(name="extra", data_type=TensorProto.UINT8, dims=[len(PICKLE)], raw_data=PICKLE)
    proto.graph.initializer.append(hidden)


def pickled_strings(proto: onnx.ModelProto) -> None:
    hidden = TensorProto(name="extra", data_type=TensorProto.STRING, dims=[1], string_data=[PICKLE])
    proto.graph.initializer.append(hidden)


def bytes_behind_weights(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data += b"behind"


def unknown_type(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_type = 99


HIDDEN: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "an operator of somebody's own": (
        custom_operator,
        "its operator com.example.Run comes from a library of somebody's own",
    ),
    "the same in a branch": (
        custom_operator_in_a_branch,
        "its operator com.example.Run comes from a library of somebody's own",
    ),
    "weights elsewhere": (external_weights, "initializer 'weights' lies in another file"),
    "a pickle in an attribute": (
        pickled_metadata,
        "attribute.s is a pickle, which executes when it is loaded",
    ),
    "a pickle as weights": (
        pickled_tensor,
        "initializer 'extra' is a pickle, which executes when it is loaded",
    ),
    "a pickle as texts": (
        pickled_strings,
        "initializer.string_data is a pickle, which executes when it is loaded",
    ),
    "bytes behind the weights": (
        bytes_behind_weights,
        "initializer 'weights' has 38 bytes for 32 of weights",
    ),
    "weights of no type": (unknown_type, "initializer 'weights' has 32 bytes for 0 of weights"),
}


@pytest.mark.parametrize(("hide", "reason"), HIDDEN.values(), ids=HIDDEN)
def test_what_hides_in_a_network_is_named(
    model: Path, hide: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    """Whatever a network does not need is found, wherever it stands."""
    proto = network()
    hide(proto)
    (model / "model.onnx").write_bytes(proto.SerializeToString())
    assert found(model) == [("model.onnx", reason)]


def test_bytes_that_are_no_part_of_a_network_are_counted(model: Path) -> None:
    """A reader of ONNX skips what it does not know; somebody else may not."""
    field = b"\xfa\x7f\x10" + bytes(16)  # field 2047, 16 bytes long
    (model / "model.onnx").write_bytes(network().SerializeToString() + field)
    assert found(model) == [("model.onnx", "19 of its bytes are no part of an ONNX model")]


def test_a_function_that_the_model_brings_itself_is_allowed(model: Path) -> None:
    """It consists of operators that are looked at like all others."""
    proto = network()
    inner = helper.make_node("Relu", ["x"], ["y"])
    opset = helper.make_opsetid("", 20)
    proto.functions.append(helper.make_function("ours", "Double", ["x"], ["y"], [inner], [opset]))
    proto.graph.node.append(helper.make_node("Double", ["logits"], ["more"], domain="ours"))
    (model / "model.onnx").write_bytes(proto.SerializeToString())
    assert found(model) == []
    proto.functions[0].node[0].domain = "com.example"
    (model / "model.onnx").write_bytes(proto.SerializeToString())
    assert found(model) == [
        ("model.onnx", "its operator com.example.Relu comes from a library of somebody's own")
    ]


def test_a_domain_can_be_allowed(model: Path) -> None:
    """For who gives onnxruntime a library of their own, and knows it."""
    proto = network()
    custom_operator(proto)
    (model / "model.onnx").write_bytes(proto.SerializeToString())
    assert scanned(model, domains=("", "com.example")) == ()


def test_a_model_that_is_too_large_is_not_read(model: Path) -> None:
    """Its size and the limit are said."""
    with (model / "model.onnx").open("r+b") as file:
        file.truncate(2 * 2**20)
    (one,) = scanned(model, largest_mb=1)
    assert one.reason == "it has 2,097,152 bytes, at most 1,048,576 may be"


def test_random_weights_are_taken_for_nothing_else() -> None:
    """A pickle begins and ends as one: chance does both in one of four million tensors."""
    generator = np.random.default_rng(5)
    assert [k for _ in range(20_000) if (k := hidden_content(generator.bytes(64)))] == []
    assert hidden_content(PICKLE[:-1] + b"x") is None
