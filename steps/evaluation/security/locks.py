"""The lock files: every library that a model is made with and served by, whichever protocol asks."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)", re.MULTILINE)
"""A line of a lock file that pins a package."""


def lock_digests(locks: tuple[str, ...]) -> dict[str, str]:
    """The sha256 (hex) of each lock file, by its path relative to the project.

    Raises:
        OSError: one cannot be read.
    """
    return {lock: hashlib.sha256((PROJECT / lock).read_bytes()).hexdigest() for lock in locks}


def pinned(lock: str) -> list[tuple[str, str]]:
    """The packages of a lock file with their versions.

    Raises:
        OSError: it cannot be read.
    """
    return PIN.findall((PROJECT / lock).read_text(encoding="utf-8"))


def canonical_name(package: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()
