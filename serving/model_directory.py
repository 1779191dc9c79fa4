"""The model directory: ``model.onnx`` and ``metadata.json``, nothing else, named by one digest.

Training writes it, and evaluation, batch inference and the microservice run it. Its digest is what verdicts,
approvals and releases name, and ``(cd DIRECTORY; sha256sum metadata.json model.onnx | sha256sum)`` prints it.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

MODEL_FILE = "model.onnx"
METADATA_FILE = "metadata.json"
FILES = (METADATA_FILE, MODEL_FILE)


class ModelDirectoryError(ValueError):
    """The directory is not a model directory, or not the one that was asked for."""


class Preprocessing(BaseModel):
    """How an encoded picture becomes the network's input; part of the model and of its digest.

    The network takes ``(n, height, width, 3)`` uint8 and normalises inside ``model.onnx``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resample: Literal["bilinear", "bicubic", "box"] = "bilinear"
    # A JPEG is decoded at the smallest DCT scale that is still at least this many times the target; 0: in
    # full. At 2 a photograph of 12 million pixels takes a fifth of the time.
    decode_scale: int = Field(default=2, ge=0, le=16)
    layout: Literal["NHWC RGB uint8"] = "NHWC RGB uint8"


class ModelMetadata(BaseModel):
    """What ``metadata.json`` says about the model beside it.

    Column ``i`` of the logits is ``classes[i]``. An answer whose top probability, with the logits divided
    by ``temperature``, is below ``abstention_threshold`` is an abstention.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format_version: Literal[1] = 1
    architecture: str = Field(min_length=1)
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=2)
    preprocessing: Preprocessing
    runtime: Literal["onnxruntime"] = "onnxruntime"
    precision: Literal["fp32", "int8"] = Field(default="fp32", exclude_if=lambda one: one == "fp32")
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    abstention_threshold: float = Field(default=0.0, ge=0, le=1)

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("a class is named twice")
        return classes


def read_files(directory: Path) -> dict[str, bytes]:
    """Read the directory's two files, so that what is digested is what is loaded.

    Raises:
        ModelDirectoryError: a file is missing or unexpected, or an entry is a link or a folder.
    """
    try:
        with os.scandir(directory) as entries:
            regular = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    except OSError as error:
        raise ModelDirectoryError(f"no model directory at {directory}: {error.strerror}") from error
    for name in FILES:
        if name not in regular:
            raise ModelDirectoryError(f"{directory} has no {name}; it must hold {' and '.join(FILES)}")
    for name in sorted(regular):
        if name not in FILES:
            raise ModelDirectoryError(f"{directory} holds {name!r}; only {' and '.join(FILES)} belong there")
        if not regular[name]:
            raise ModelDirectoryError(f"{directory / name} is a link or a folder; it must be a regular file")
    try:
        return {name: (directory / name).read_bytes() for name in FILES}
    except OSError as error:
        raise ModelDirectoryError(f"{directory} cannot be read: {error.strerror}") from error


def digest_files(files: dict[str, bytes]) -> str:
    """Digest names and bytes: sha256, in hex, of what ``sha256sum`` prints for the files in name order."""
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def model_digest(directory: Path) -> str:
    """Digest the directory's names and bytes: sha256, in hex.

    Raises:
        ModelDirectoryError: a file is missing or unexpected, or an entry is a link or a folder.
    """
    return digest_files(read_files(directory))


def parse_metadata(content: bytes) -> ModelMetadata:
    """Parse the bytes of ``metadata.json``.

    Raises:
        ModelDirectoryError: it is not JSON, or a key is missing, unknown or out of range; the key is named.
    """
    try:
        return ModelMetadata.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelDirectoryError(f"{METADATA_FILE}: {key}: {first['msg']}") from error


def read_metadata(directory: Path) -> ModelMetadata:
    """Read ``metadata.json``.

    Raises:
        ModelDirectoryError: the directory or the file is not what it must be.
    """
    return parse_metadata(read_files(directory)[METADATA_FILE])


def write_metadata(directory: Path, metadata: ModelMetadata) -> None:
    """Write ``metadata.json``: the same metadata, the same bytes (sorted keys, UTF-8)."""
    text = json.dumps(metadata.model_dump(mode="json"), sort_keys=True, indent=1, ensure_ascii=False)
    (directory / METADATA_FILE).write_text(text + "\n", encoding="utf-8")
