"""The public keys that a stack file names, as its model deployer has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from materializers.errors import UsageError
from materializers.signatures import TrustedKeys


def trusted_keys(gate: str | None, actors: Mapping[str, str]) -> TrustedKeys:
    """Read the public keys.

    Args:
        gate: whose signature a model and its verdict need, as PEM text or the path of a PEM file.
        actors: by account, whose signatures count on approvals and audit entries; each the same.

    Raises:
        UsageError: there is none of the gate, a file cannot be read, or holds no public key.
    """
    if not gate:
        raise UsageError(
            "The stack's model deployer names no gate_public_key, so that no model can be verified: make "
            "stack makes a pair for the local stack"
        )
    texts = {account: _text(key) for account, key in actors.items() if key}
    try:
        return TrustedKeys(gate=_text(gate), actors=texts)
    except ValueError as error:
        raise UsageError(
            f"The stack's model deployer has public keys that cannot be used: {error}"
        ) from error


def _text(key: str) -> str:
    """PEM text, as it is given or as its file has it."""
    if "-----BEGIN" in key:
        return key
    path = Path(key).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The public key {path} cannot be read ({error}): make stack makes a pair for the local stack"
        ) from error
