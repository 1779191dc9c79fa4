"""Processes that a test's own process spawned by multiprocessing."""

from __future__ import annotations

from contextlib import suppress

import psutil


def spawned_children() -> list[psutil.Process]:
    """Those that live; what has ended and nobody has read, of any test of this process, is none."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found
