"""Look into a model directory for what does not belong there or could execute.

A serving process reads two files, and neither may carry code: an ONNX model can name files outside it and
operators that somebody's own library brings, and a pickle, which executes when it is loaded, can hide in
fields that nobody reads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materializers.evaluation.security import UnexpectedFile
from serving.model_directory import (
    FILES,
    METADATA_FILE,
    MODEL_FILE,
    ModelDirectoryError,
    parse_metadata,
)

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Operators that onnxruntime itself brings, by the ONNX standard."""
BYTES_PER_MB = 2**20
METADATA_BYTES = 2**20
ARCHIVES = {
    b"PK\x03\x04": "a zip archive, as torch saves its pickles",
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x89HDF": "HDF5, as Keras saves models with code",
}
"""How files begin that hold something else; ustar stands further behind."""
PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
PICKLE_ENDS = b"."
"""The opcode STOP, without which a pickle is none; beside the beginning it tells one from chance."""
TAR_MAGIC, TAR_PLACE = b"ustar", 257


def scan_directory(
    directory: Path, *, domains: tuple[str, ...], largest_mb: int
) -> tuple[UnexpectedFile, ...]:
    """Everything in a model directory that does not belong there.

    Args:
        directory: to be served.
        domains: whose operators the model may use.
        largest_mb: MiB that a model may have.

    Returns:
        What was found, by file; empty where there are exactly the two files and nothing in them.
    """
    found: list[UnexpectedFile] = []
    with os.scandir(directory) as entries:
        regular = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    for name in sorted({*FILES, *regular}):
        reasons = _misplaced(name, regular)
        if not reasons:
            reasons = _contents(directory / name, domains, largest_mb)
        found += [UnexpectedFile(file=name, reason=reason) for reason in reasons]
    return tuple(found)


def hidden_content(data: bytes) -> str | None:
    """What bytes are that should be weights or text: a pickle, or an archive; None where they are neither."""
    if data.startswith(PICKLES) and data.endswith(PICKLE_ENDS):
        return "a pickle, which executes when it is loaded"
    if data[TAR_PLACE : TAR_PLACE + len(TAR_MAGIC)] == TAR_MAGIC:
        return "a tar archive"
    return next((kind for magic, kind in ARCHIVES.items() if data.startswith(magic)), None)


def _misplaced(name: str, regular: dict[str, bool]) -> list[str]:
    if name not in regular:
        return ["it is missing"]
    if name not in FILES:
        return [f"only {' and '.join(FILES)} belong there"]
    return [] if regular[name] else ["it is a link or a folder, not a regular file"]


def _contents(path: Path, domains: tuple[str, ...], largest_mb: int) -> list[str]:
    """What is wrong with one of the two files."""
    largest = METADATA_BYTES if path.name == METADATA_FILE else largest_mb * BYTES_PER_MB
    size = path.stat().st_size
    if size > largest:
        return [f"it has {size:,} bytes, at most {largest:,} may be"]
    data = path.read_bytes()
    kind = hidden_content(data)
    if kind is not None:
        return [f"it is {kind}"]
    if path.name == MODEL_FILE:
        return list(_in_model(data, domains))
    try:
        parse_metadata(data)
    except ModelDirectoryError as error:
        return [str(error)]
    return []


def _in_model(data: bytes, domains: tuple[str, ...]) -> Iterator[str]:
    """What an ONNX file has that a network does not need."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError:
        yield "it is no ONNX model"
        return
    if not model.graph.node:
        yield "it holds no network"
    yield from _foreign_operators(model, domains)
    for place, message in _messages(model, "model"):
        if isinstance(message, onnx.TensorProto):
            yield from _in_tensor(place, message)
        yield from _in_texts(place, message)
    model.DiscardUnknownFields()
    unknown = len(data) - model.ByteSize()
    if unknown > 0:
        yield f"{unknown:,} of its bytes are no part of an ONNX model"


def _foreign_operators(model: ModelProto, domains: tuple[str, ...]) -> Iterator[str]:
    """Operators that neither the standard nor the model itself defines."""
    import onnx

    own = {(function.domain, function.name) for function in model.functions}
    foreign = {
        f"{message.domain}.{message.op_type}"
        for _, message in _messages(model, "model")
        if isinstance(message, onnx.NodeProto)
        and message.domain not in domains
        and (message.domain, message.op_type) not in own
    }
    for name in sorted(foreign):
        yield f"its operator {name} comes from a library of somebody's own"


def _in_tensor(place: str, tensor: TensorProto) -> Iterator[str]:
    """Weights that lie elsewhere, or more bytes than there are weights."""
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        yield f"{place} {tensor.name!r} lies in another file"
    if len(tensor.raw_data) > (expected := _weight_bytes(tensor)):
        yield f"{place} {tensor.name!r} has {len(tensor.raw_data):,} bytes for {expected:,} of weights"
    if kind := hidden_content(tensor.raw_data):
        yield f"{place} {tensor.name!r} is {kind}"


def _weight_bytes(tensor: TensorProto) -> int:
    """The bytes that a tensor of this shape and type has at most; none of a type that is none."""
    from onnx.helper import tensor_dtype_to_np_dtype

    try:
        each = int(tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, ValueError, TypeError):
        return 0
    return int(prod(tensor.dims)) * each


def _in_texts(place: str, message: Any) -> Iterator[str]:
    """Texts and bytes, other than weights, that are something else."""
    for field, value in message.ListFields():
        if field.name == "raw_data" or field.type not in (field.TYPE_BYTES, field.TYPE_STRING):
            continue
        for text in [value] if isinstance(value, bytes | str) else value:
            if kind := hidden_content(text.encode() if isinstance(text, str) else text):
                yield f"{place}.{field.name} is {kind}"


def _messages(message: Any, place: str) -> Iterator[tuple[str, Any]]:
    """A protobuf message and all messages inside, each with where it stands."""
    yield place, message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in value if field.is_repeated else [value]:
            yield from _messages(each, field.name)
