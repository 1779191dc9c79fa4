"""The gate's signature of a model together with its verdict.

One sigstore bundle (model-signing, https://github.com/sigstore/model-transparency) covers each file of the
model directory and the verdict, so that neither can be exchanged for another model's. It is made and verified
offline, with the gate's key pair of :mod:`materializers.signatures`.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from materializers.blobs import room_for
from materializers.errors import Refused
from materializers.report import canonical_json
from materializers.signatures import PrivateKey, TrustedKeys, fingerprint, public_keys
from materializers.verdict import Verdict

if TYPE_CHECKING:
    from model_signing.hashing import Config

VERDICT_FILE = "verdict.json"
"""The verdict's name beside the model's files: its canonical JSON, whose sha256 is its digest."""
CHANGED = re.compile(r"Hash mismatch for \\?'([^'\\]+)\\?'")
"""How the library names a file that is not the one that was signed. Which quotes stand around the whole, and
so whether these are escaped, hangs on the bytes of the digests."""
MEND = "Train again to get a model that the gate signed: python run.py --train --source PATH"


def sign_model(directory: Path, verdict: Verdict, key: PrivateKey) -> str:
    """Sign a model with its verdict, as the gate.

    Args:
        directory: the model directory; every file in it is signed.
        verdict: what the gate says of it.
        key: the gate's.

    Returns:
        The sigstore bundle, JSON.

    Raises:
        Refused: the directory holds something that is no file, or a verdict already.
    """
    from model_signing import signing

    with _laid_out(directory, verdict) as folder, _as_file(key.pem) as private:
        bundle = folder.parent / "bundle.json"
        signer = signing.Config().set_hashing_config(_hashing()).use_elliptic_key_signer(private_key=private)
        signer.sign(folder, bundle)
        return bundle.read_text()


def verify_model(directory: Path, verdict: Verdict, bundle: str, trusted: TrustedKeys) -> None:
    """Check that the gate signed exactly this model with exactly this verdict.

    Args:
        directory: the model directory as it is now.
        verdict: the verdict as it is stored now.
        bundle: what :func:`sign_model` returned.
        trusted: the public keys that count.

    Raises:
        Refused: it is signed with another key, is another model's, or something was altered.
    """
    reasons = [_difference(directory, verdict, bundle, gate) for gate in public_keys(trusted.gate)]
    if None in reasons:
        return
    keys = ", ".join(map(fingerprint, public_keys(trusted.gate)))
    raise Refused(
        f"The signature of model and verdict {verdict.digest[:12]} does not hold under the gate's public key "
        f"{keys} of the stack file: {reasons[0]}. {MEND}"
    )


def _difference(directory: Path, verdict: Verdict, bundle: str, public_pem: str) -> str | None:
    """What does not agree with one public key; None where all does."""
    from model_signing import verifying

    with _laid_out(directory, verdict) as folder:
        signature, public = folder.parent / "bundle.json", folder.parent / "gate.pem"
        signature.write_text(bundle, encoding="utf-8", errors="replace")
        public.write_text(public_pem)
        verifier = verifying.Config().set_hashing_config(_hashing())
        # The library prints what it thinks of older formats, and raises whatever a damaged bundle leads to.
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            try:
                verifier.use_elliptic_key_verifier(public_key=public).verify(folder, signature)
            except Exception as error:  # noqa: BLE001
                return _in_words(error)
    return None


def _in_words(error: Exception) -> str:
    """What the library found, for a person."""
    from cryptography.exceptions import InvalidSignature

    text = str(error)
    if isinstance(error, InvalidSignature):
        return "the signature was altered"
    if text.startswith("Key mismatch"):
        return "it was signed with another key"
    if text.startswith("Signature mismatch"):
        changed = sorted(CHANGED.findall(text))
        return f"{', '.join(changed)} differs from what was signed" if changed else "other files were signed"
    return "the signature cannot be read: it was cut off or altered"


def _hashing() -> Config:
    """sha256 of every file, whatever its name; the files may be links, as :func:`_laid_out` makes them."""
    from model_signing import hashing

    config: Config = hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    return config.set_allow_symlinks(True).set_ignored_paths(paths=(), ignore_git_paths=False)


@contextmanager
def _laid_out(directory: Path, verdict: Verdict) -> Iterator[Path]:
    """A folder with links to the model's files and the verdict beside them; its parent is free to write in.

    Raises:
        Refused: the directory cannot be read, holds something that is no file, or a verdict already.
        NoRoom: the disk is full.
    """
    with room_for("the verdict"), tempfile.TemporaryDirectory(prefix="shutterline-") as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        for file in _regular_files(directory):
            (folder / file.name).symlink_to(file.resolve())
        text = canonical_json(verdict.model_dump(mode="json"))
        (folder / VERDICT_FILE).write_text(text, encoding="utf-8")
        yield folder


def _regular_files(directory: Path) -> list[Path]:
    """The files of a model directory.

    Raises:
        Refused: it cannot be read, or holds something else.
    """
    try:
        files = sorted(directory.iterdir())
    except OSError as error:
        raise Refused(f"There is no model at {directory}: {error.strerror}. {MEND}") from error
    for file in files:
        if file.is_symlink() or not file.is_file() or file.name == VERDICT_FILE:
            raise Refused(f"The model directory holds {file.name!r}, which does not belong there. {MEND}")
    return files


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A path from which a text is read once, without writing it to a disk."""
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            pipe.write(text)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
