"""Key pairs for a machine of one person: one of the gate, one of whoever acts.

They show that signing works, and nothing stored is altered unseen; who can read this folder can sign. A team
has keys of its own, as docs/security.md says.
"""

from __future__ import annotations

import os
from pathlib import Path

from materializers.errors import ServiceUnreachable
from materializers.signatures import make_key_pair

KINDS = ("gate", "actor")
OWNER_ONLY = 0o600


def missing_keys(folder: Path) -> list[str]:
    """Which pairs are not there, neither half of them."""
    return [kind for kind in KINDS if not any(path.exists() for path in _pair(folder, kind))]


def make_keys(folder: Path, kind: str) -> None:
    """Make a pair: ``KIND.pem``, which its owner alone can read, and ``KIND.pub.pem``.

    Raises:
        ServiceUnreachable: the folder cannot be written.
    """
    private, public = make_key_pair()
    private_path, public_path = _pair(folder, kind)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        public_path.write_text(public, encoding="ascii")
        # The private half last: a pair that is whole has it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(private_path, flags, OWNER_ONLY), "w", encoding="ascii") as file:
            file.write(private)
    except OSError as error:
        raise ServiceUnreachable(
            f"The demo keys cannot be written to {folder}: {error}. Make room, or another folder: demo_keys "
            "in the stack file"
        ) from error


def _pair(folder: Path, kind: str) -> tuple[Path, Path]:
    return folder / f"{kind}.pem", folder / f"{kind}.pub.pem"
