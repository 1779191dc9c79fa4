"""What an account signs counts as its own, and nothing else does."""

import pytest

from materializers.errors import Refused
from materializers.signatures import PrivateKey, Signer, TrustedKeys, make_key_pair
from materializers.signed_report import SignedReport
from tests.materializers.examples import approval, audit_entry

PRIVATE, PUBLIC = make_key_pair()
ANNA = Signer("anna", PrivateKey.from_pem(PRIVATE, named="anna"))
TRUSTED = TrustedKeys(gate=make_key_pair()[1], actors={"anna": PUBLIC})
UNSIGNED = [audit_entry(actor="anna"), approval(actor="anna").model_copy(update={"signature": ""})]
each_kind = pytest.mark.parametrize("unsigned", UNSIGNED, ids=["audit entry", "approval"])


@each_kind
def test_what_its_actor_signed_is_verified(unsigned: SignedReport) -> None:
    """Stored and read again; a second signature is another one and holds as well."""
    for signed in (unsigned.signed_by(ANNA), unsigned.signed_by(ANNA)):
        stored = type(unsigned).model_validate_json(signed.model_dump_json())
        stored.verify_signature(TRUSTED)
        assert stored.signed_digest == unsigned.signed_digest != stored.digest


@each_kind
def test_nothing_is_said_without_a_signature(unsigned: SignedReport) -> None:
    """An empty one is none."""
    with pytest.raises(Refused, match="is not what 'anna' signed"):
        unsigned.verify_signature(TRUSTED)


@each_kind
def test_what_was_altered_after_it_was_signed_is_refused(unsigned: SignedReport) -> None:
    """Any field; the signature is of all of them."""
    altered = unsigned.signed_by(ANNA).model_copy(update={"reason": "another"})
    with pytest.raises(Refused, match="is not what 'anna' signed"):
        altered.verify_signature(TRUSTED)


@each_kind
def test_nobody_signs_for_another_account(unsigned: SignedReport) -> None:
    """The account that acted is the one that signs."""
    berta = Signer("berta", ANNA.key)
    with pytest.raises(ValueError, match="'berta' cannot sign what 'anna' did"):
        unsigned.signed_by(berta)


def test_the_signature_of_one_statement_is_none_of_another() -> None:
    """An approval's signature says nothing in an audit entry, though account and digest are the same."""
    entry = UNSIGNED[0]
    lent = entry.model_copy(update={"signature": ANNA.sign("approval", entry.signed_digest)})
    with pytest.raises(Refused, match=r"The audit entry .* is not what 'anna' signed"):
        lent.verify_signature(TRUSTED)
