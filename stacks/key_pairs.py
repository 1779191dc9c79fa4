"""Key pairs: the registrar makes demo pairs for a machine of one person, a command makes those of a team.

    python -m stacks.key_pairs FOLDER NAME …   make NAME.pem and NAME.pub.pem in FOLDER

Whoever can read a private key can sign; docs/security.md says where each one belongs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from materializers.errors import ServiceUnreachable, ShutterlineError, UsageError
from materializers.signatures import make_key_pair

DEMO_KEYS = ("gate", "actor")
"""The pairs of a machine of one person: the gate's, and that of whoever acts."""
OWNER_ONLY = 0o600


def missing_keys(folder: Path) -> list[str]:
    """Which demo pairs are not there, neither half of them."""
    return [name for name in DEMO_KEYS if not any(path.exists() for path in _pair(folder, name))]


def make_keys(folder: Path, name: str) -> None:
    """Make a pair: ``NAME.pem``, which its owner alone can read, and ``NAME.pub.pem``.

    Raises:
        UsageError: one of the files is there; a key is never replaced.
        ServiceUnreachable: the folder cannot be written.
    """
    private, public = make_key_pair()
    private_path, public_path = _pair(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with public_path.open("x", encoding="ascii") as file:
            file.write(public)
        # The private half last: a pair that is whole has it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(private_path, flags, OWNER_ONLY), "w", encoding="ascii") as file:
            file.write(private)
    except FileExistsError as error:
        raise UsageError(
            f"{error.filename} is there, and no key is replaced: what it signed would not count any more. "
            "Give another name, or move it away"
        ) from error
    except OSError as error:
        raise ServiceUnreachable(
            f"The key pair {name} cannot be written to {folder}: {error}. Make room, or give another folder"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pairs that the command line asks for and give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stacks.key_pairs", description="Make key pairs.")
    parser.add_argument("folder", type=Path, help="where they are written")
    parser.add_argument("names", nargs="+", metavar="NAME", help="of the gate, or of an account")
    options = parser.parse_args(arguments)
    try:
        for name in options.names:
            make_keys(options.folder, name)
            sys.stdout.write(f"{options.folder / name}.pem and {name}.pub.pem\n")
    except ShutterlineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _pair(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}.pub.pem"


if __name__ == "__main__":
    sys.exit(main())
