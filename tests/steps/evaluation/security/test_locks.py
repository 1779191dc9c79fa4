"""What the lock files pin is read as it stands there."""

from __future__ import annotations

import hashlib

import pytest

from steps.evaluation.security.locks import PROJECT, canonical_name, lock_digests, pinned
from steps.evaluation.security.settings import SecuritySettings

LOCKS = SecuritySettings().locks


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_is_read(lock: str) -> None:
    """Each line with ``==`` at its beginning, once; hashes and comments are none."""
    lines = (PROJECT / lock).read_text(encoding="utf-8").splitlines()
    wanted = [line.split(" ")[0].split(";")[0] for line in lines if line[:1].isalnum() and "==" in line]
    assert ["==".join(pin) for pin in pinned(lock)] == wanted
    assert "onnxruntime" in dict(pinned(lock))


def test_a_lock_is_known_by_its_bytes() -> None:
    """As ``sha256sum`` has them, by the path that the settings name."""
    digests = lock_digests(LOCKS)
    assert digests == {lock: hashlib.sha256((PROJECT / lock).read_bytes()).hexdigest() for lock in LOCKS}
    assert len(set(digests.values())) == len(LOCKS) == 3


def test_a_lock_that_is_not_there_is_no_empty_one() -> None:
    """Whoever asks has to say so."""
    with pytest.raises(FileNotFoundError):
        lock_digests(("gone.lock",))
    with pytest.raises(FileNotFoundError):
        pinned("gone.lock")


@pytest.mark.parametrize(
    ("written", "name"), [("Typing_Extensions", "typing-extensions"), ("zope.interface", "zope-interface")]
)
def test_a_package_has_one_name_however_it_is_written(written: str, name: str) -> None:
    """An accepted advisory's as well as a lock's (PEP 503)."""
    assert canonical_name(written) == canonical_name(name) == name
