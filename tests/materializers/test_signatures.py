"""Only the holder of a listed key can sign, only what was signed verifies, and no private key is shown."""

import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import ValidationError

from materializers.errors import Refused, UsageError
from materializers.signatures import (
    ACTOR_KEY,
    GATE_KEY,
    PrivateKey,
    Signer,
    TrustedKeys,
    fingerprint,
    make_key_pair,
    public_keys,
    require_listed,
    verify,
)

DIGEST, OTHER = "a1" * 32, "b2" * 32
PRIVATE, PUBLIC = make_key_pair()
SIGNER = Signer("anna", PrivateKey.from_pem(PRIVATE, named="the test"))
TRUSTED = TrustedKeys(gate=PUBLIC, actors={"anna": PUBLIC, "berta": make_key_pair()[1]})


def test_what_an_account_signed_verifies() -> None:
    """The same account, statement and digest."""
    signature = SIGNER.sign("approval", DIGEST)
    verify(TRUSTED, account="anna", statement="approval", digest=DIGEST, signature=signature)


@pytest.mark.parametrize(
    ("account", "statement", "digest"),
    [("anna", "approval", OTHER), ("anna", "audit entry", DIGEST), ("berta", "approval", DIGEST)],
    ids=["another digest", "another statement", "another account"],
)
def test_a_signature_is_for_one_statement_of_one_account(account: str, statement: str, digest: str) -> None:
    """It cannot be moved to another report, another kind of report or another person."""
    signature = SIGNER.sign("approval", DIGEST)
    with pytest.raises(Refused, match=f"is not what '{account}' signed, or was signed with another key"):
        verify(TRUSTED, account=account, statement=statement, digest=digest, signature=signature)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "signature",
    ["", "no base64!", "AAAA", "ä", SIGNER.sign("approval", OTHER)],
    ids=["nothing", "no base64", "too short", "no ASCII", "of another digest"],
)
def test_what_is_no_signature_is_refused(signature: str) -> None:
    """Whatever stands in the place of a signature, the answer is one line."""
    with pytest.raises(Refused, match="is not what 'anna' signed") as refused:
        verify(TRUSTED, account="anna", statement="approval", digest=DIGEST, signature=signature)
    assert "\n" not in str(refused.value)


def test_an_account_without_a_listed_key_is_named() -> None:
    """Whoever signs is listed in the stack file, or it does not count."""
    signature = Signer("carla", SIGNER.key).sign("approval", DIGEST)
    with pytest.raises(Refused, match=r"as 'carla', an account without a public key .*listed: anna, berta"):
        verify(TRUSTED, account="carla", statement="approval", digest=DIGEST, signature=signature)


def test_what_an_earlier_key_signed_still_verifies() -> None:
    """A key is replaced by writing the new one before it."""
    new_private, new_public = make_key_pair()
    both = TrustedKeys(gate=PUBLIC, actors={"anna": new_public + PUBLIC})
    for key in (PRIVATE, new_private):
        signature = Signer("anna", PrivateKey.from_pem(key, named="the test")).sign("approval", DIGEST)
        verify(both, account="anna", statement="approval", digest=DIGEST, signature=signature)


def test_a_key_is_named_by_its_fingerprint() -> None:
    """Twelve digits that differ from key to key, the same for the pair's both halves."""
    assert fingerprint(PUBLIC) == fingerprint(SIGNER.key.public_pem)
    assert len(fingerprint(PUBLIC)) == 12
    assert fingerprint(PUBLIC) != fingerprint(make_key_pair()[1])


def test_a_private_key_never_shows_itself() -> None:
    """Neither printed, nor in a log line, nor pickled to another process."""
    inside = "".join(PRIVATE.splitlines()[1:-1])[60:100]
    for shown in (repr(SIGNER), str(SIGNER.key), f"{SIGNER.key!r}"):
        assert fingerprint(PUBLIC) in shown
        assert inside not in shown
    with pytest.raises(TypeError, match="not copied to another process"):
        pickle.dumps(SIGNER.key)


@pytest.mark.parametrize("variable", [GATE_KEY, ACTOR_KEY])
def test_a_key_is_found_as_text_or_as_a_file(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod is given the text of a secret, a person's shell the path of a file."""
    file = tmp_path / "key.pem"
    file.touch(mode=0o600)
    file.write_text(PRIVATE)
    for given in (PRIVATE, f"{file}\n"):
        monkeypatch.setenv(variable, given)
        assert PrivateKey.from_environment(variable).public_pem == PUBLIC


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_use_is_refused(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that others can read is nobody's signature; the message has the command."""
    file = tmp_path / "key.pem"
    file.write_text(PRIVATE)
    file.chmod(mode)
    monkeypatch.setenv(ACTOR_KEY, str(file))
    with pytest.raises(UsageError, match=f"with mode {mode:04o}.*chmod 600 {file}"):
        Signer.from_environment("anna")


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> str:
    """A private key as PEM, encrypted with a password where there is one."""
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()


P384 = ec.generate_private_key(ec.SECP384R1())
WRONG_KEYS = {
    "text": "-----BEGIN nothing that is a key, and no end of it either",
    "cut off": PRIVATE[: len(PRIVATE) // 2],
    "a public key": PUBLIC,
    "another curve": pem(P384),
    "RSA": pem(rsa.generate_private_key(65537, 2048)),
    "a password": pem(ec.generate_private_key(ec.SECP256R1()), b"secret"),
}


@pytest.mark.parametrize("given", WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_what_is_no_private_key_is_refused_without_repeating_it(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable and nothing of what it holds."""
    monkeypatch.setenv(GATE_KEY, given)
    with pytest.raises(UsageError, match=f"{GATE_KEY} holds no unencrypted private key") as refused:
        PrivateKey.from_environment(GATE_KEY)
    assert given[30:60] not in str(refused.value)


@pytest.mark.parametrize("given", ["", "  ", None])
def test_no_key_says_where_one_comes_from(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has none is told how to get one."""
    monkeypatch.delenv(ACTOR_KEY, raising=False)
    if given is not None:
        monkeypatch.setenv(ACTOR_KEY, given)
    with pytest.raises(UsageError, match=f"{ACTOR_KEY} names no private key; make stack makes"):
        Signer.from_environment("anna")


def test_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason the system gives."""
    monkeypatch.setenv(ACTOR_KEY, str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"none\.pem .*cannot be read: No such file"):
        Signer.from_environment("anna")


WRONG_TRUST = {
    "no key": ("", "there is no public key"),
    "a damaged key": (PUBLIC.replace("MFkw", "AAAA"), "cannot be read"),
    "another curve": (
        P384.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "not on the curve P-256",
    ),
    "a private key": (PRIVATE, "a private key stands where a public one belongs"),
    "both halves": (PUBLIC + PRIVATE, "a private key stands where a public one belongs"),
}


@pytest.mark.parametrize(("text", "reason"), WRONG_TRUST.values(), ids=WRONG_TRUST)
def test_a_stack_file_lists_public_keys_alone(text: str, reason: str) -> None:
    """A wrong key is named by its place, and its text is not repeated."""
    for place, given in {"gate": (text, {}), "actors": (PUBLIC, {"anna": text})}.items():
        with pytest.raises(ValidationError, match=reason) as refused:
            TrustedKeys(gate=given[0], actors=given[1])
        assert place in str(refused.value)
        assert PRIVATE.splitlines()[1] not in str(refused.value)


def test_an_unknown_key_of_the_list_is_refused() -> None:
    """A typo in the stack file is no account without a key."""
    with pytest.raises(ValidationError, match="actor"):
        TrustedKeys.model_validate({"gate": PUBLIC, "actor": {}})


def test_each_key_of_a_text_is_read() -> None:
    """In the order in which they stand."""
    other = make_key_pair()[1]
    assert public_keys(f"# anna\n{PUBLIC}\n\n{other}") == (PUBLIC, other)


def test_a_key_that_the_stack_does_not_list_signs_nothing_that_counts() -> None:
    """Both keys are named, before anything is written; the listed one, also as the older of two, may sign."""
    own, other = make_key_pair(), make_key_pair()
    signer = Signer("ada", PrivateKey.from_pem(own[0], named="ada's"))
    require_listed(signer, TrustedKeys(gate=other[1], actors={"ada": other[1] + own[1]}))
    for actors in ({"ada": other[1]}, {"bob": own[1]}):
        with pytest.raises(Refused, match=f"{fingerprint(own[1])} .SHUTTERLINE_ACTOR_KEY. would not count"):
            require_listed(signer, TrustedKeys(gate=other[1], actors=actors))
