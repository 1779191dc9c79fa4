"""Whoever can write to store, registry and run record cannot make a signature that holds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from materializers.signatures import PrivateKey, make_key_pair
from tests.whole.shop import (
    IMPOSSIBLE,
    Shop,
    altered,
    digest_of,
    made_to_pass,
    refused_release,
    tag_edited,
)


def signed_by_another_gate(shop: Shop, version: int, verdict: bytes) -> bytes:
    """What a gate with a key pair of its own makes of a version's model and a verdict, as it is stored."""
    from materializers.model_signature import sign_model
    from materializers.verdict import Verdict

    private, _ = make_key_pair()
    judged = Verdict.model_validate_json(verdict)
    bundle = sign_model(shop.stored(version, "model"), judged, PrivateKey.from_pem(private, named="mine"))
    return json.dumps(bundle).encode()


@contextlib.contextmanager
def forged_everywhere(shop: Shop, version: int) -> Iterator[bytes]:
    """A refused version made to pass in store, registry and run record; only its signature is left."""
    from zenml import log_metadata
    from zenml.client import Client

    stored, tags = shop.stored(version, "verdict"), shop.versions()[version]
    forged = made_to_pass(stored)

    def recorded(digest: str, outcome: str) -> None:
        run = Client().get_pipeline_run(tags["zenml_run"])
        log_metadata(metadata={"verdict_digest": digest, "verdict": outcome}, run_id_name_or_prefix=run.id)

    with (
        altered(stored, forged),
        tag_edited(shop, version, "verdict_digest", digest_of(forged)),
        tag_edited(shop, version, "verdict", "passed"),
    ):
        recorded(digest_of(forged), "passed")
        try:
            yield forged
        finally:
            recorded(tags["verdict_digest"], tags["verdict"])


def test_the_signature_of_another_version_is_refused(untouched: Shop) -> None:
    """It is about another model and another verdict."""
    other = untouched.stored(1, "signature").read_bytes()
    with altered(untouched.stored(2, "signature"), other):
        assert "differs from what was signed" in refused_release(untouched, 2)


def test_the_signature_of_another_gate_is_refused(untouched: Shop) -> None:
    """The same model and verdict, signed with a key that the stack file does not name."""
    verdict = untouched.stored(2, "verdict").read_bytes()
    with altered(untouched.stored(2, "signature"), signed_by_another_gate(untouched, 2, verdict)):
        assert "it was signed with another key" in refused_release(untouched, 2)


@pytest.mark.parametrize(
    ("put", "said"),
    [
        (b"null", "The gate signed no model of version 2"),
        (b'""', "the signature cannot be read"),
        (b'"{}"', "the signature cannot be read"),
        (b"[1]", "cannot be read: its signature is no text"),
        (b"{", "cannot be read: its signature is no JSON"),
    ],
)
def test_what_is_no_signature_is_refused(untouched: Shop, put: bytes, said: str) -> None:
    """Neither a version that was never signed nor one whose signature was taken away is served."""
    with altered(untouched.stored(2, "signature"), put):
        assert said in refused_release(untouched, 2)


def test_a_verdict_that_is_forged_everywhere_is_refused_by_its_signature(untouched: Shop) -> None:
    """Store, registry and run agree that a refused version passed: the gate never signed that."""
    with forged_everywhere(untouched, 3) as forged:
        assert "verdict.json differs from what was signed" in refused_release(untouched, 3, IMPOSSIBLE)
        with altered(untouched.stored(3, "signature"), signed_by_another_gate(untouched, 3, forged)):
            assert "it was signed with another key" in refused_release(untouched, 3, IMPOSSIBLE)


def test_a_policy_that_was_loosened_since_does_not_let_a_refused_version_pass(untouched: Shop) -> None:
    """Version 3 was refused by a stricter policy than today's: what it was refused for stands."""
    assert "The gate's verdict is refused: accuracy:" in refused_release(untouched, 3)
