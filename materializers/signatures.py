"""Signatures of digests: who signed what, provable with a public key that stands outside the store.

Two kinds of private keys sign. The gate's is there only where the gate runs, and signs a model with its
verdict (:mod:`materializers.model_signature`). An actor's is there where a person acts, or a run in its name,
and signs approvals and audit entries. Neither is ever stored by ZenML, MLflow or an artifact: a process is
given it by an environment variable. The public keys stand in the stack file (:class:`TrustedKeys`), so that
whoever can write to the stores alone cannot sign.

Keys are elliptic curve keys on P-256, signatures ECDSA with SHA-256 (FIPS 186-5).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import ConfigDict, field_validator

from materializers.errors import Refused, UsageError
from materializers.report import Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

GATE_KEY = "SHUTTERLINE_GATE_KEY"
"""The environment variable with the gate's private key, as PEM text or the path of a PEM file."""
ACTOR_KEY = "SHUTTERLINE_ACTOR_KEY"
"""The same of the account that acts."""
Statement = Literal["approval", "audit entry"]
"""What a signed digest is the digest of; a signature of the one is none of the other."""
CURVE = "secp256r1"
"""How the library calls P-256."""
FINGERPRINT_DIGITS = 12
PUBLIC_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----")
OTHERS = stat.S_IRWXG | stat.S_IRWXO
MEND = "make stack makes one pair of demo keys, docs/security.md says how to bring your own"


class PrivateKey:
    """A private key that signs, and never shows itself."""

    __slots__ = ("_key",)

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def from_pem(cls, text: str, *, named: str) -> Self:
        """Read a private key.

        Args:
            text: PEM, unencrypted.
            named: where it comes from, for the message.

        Raises:
            UsageError: it is no unencrypted private key on P-256. Nothing of the text is repeated.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(text.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != CURVE:
            raise UsageError(f"{named} holds no unencrypted private key on the curve P-256 in PEM: {MEND}")
        return cls(key)

    @classmethod
    def from_environment(cls, variable: str) -> Self:
        """The key that an environment variable gives, as PEM text or as the path of a PEM file.

        Raises:
            UsageError: there is none, it is no such key, or others than its owner may read its file.
        """
        given = os.environ.get(variable, "").strip()
        if not given:
            raise UsageError(f"Nothing can be signed here: {variable} names no private key; {MEND}")
        if given.startswith("-----BEGIN"):
            return cls.from_pem(given, named=variable)
        return cls.from_pem(_read_private(Path(given), variable), named=f"{given} ({variable})")

    @property
    def public_pem(self) -> str:
        """The public key that belongs to it, as PEM."""
        return _public_pem(self._key.public_key())

    @property
    def pem(self) -> str:
        """The private key itself, for a library that takes it as PEM; to be handed over, never to be kept."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature in DER; another one each time."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(message, ECDSA(SHA256()))

    def __repr__(self) -> str:
        return f"PrivateKey({fingerprint(self.public_pem)})"

    def __reduce__(self) -> str:
        raise TypeError(
            "A private key is not copied to another process: give it by its environment variable."
        )


class Signer:
    """One account with its private key."""

    __slots__ = ("account", "key")

    def __init__(self, account: str, key: PrivateKey) -> None:
        self.account = account
        self.key = key

    @classmethod
    def from_environment(cls, account: str) -> Self:
        """The account with the key of ``SHUTTERLINE_ACTOR_KEY``.

        Raises:
            UsageError: there is none; see :meth:`PrivateKey.from_environment`.
        """
        return cls(account, PrivateKey.from_environment(ACTOR_KEY))

    def sign(self, statement: Statement, digest: str) -> str:
        """Sign a digest as this account's statement.

        Args:
            statement: what it is the digest of.
            digest: in hex.

        Returns:
            The signature, as base64.
        """
        return base64.b64encode(self.key.sign(_message(statement, self.account, digest))).decode()

    def __repr__(self) -> str:
        return f"Signer({self.account!r}, {self.key!r})"


def require_listed(signer: Signer, trusted: TrustedKeys) -> None:
    """Check that what an account is about to sign will count.

    Raises:
        Refused: the stack file lists no key of the account, or another one.
    """
    listed = trusted.actors.get(signer.account, "")
    known = public_keys(listed) if listed else ()
    own = signer.key.public_pem
    if own not in known:
        names = ", ".join(map(fingerprint, known)) or "none"
        raise Refused(
            f"What {signer.account!r} signs with the key {fingerprint(own)} ({ACTOR_KEY}) would not count: "
            f"the stack file lists {names} for that account. Give the key that belongs to it, or list this "
            "one: docs/security.md"
        )


class TrustedKeys(Record):
    """The public keys that a stack file names; each is PEM text.

    A text may hold several keys, one after the other: a new key comes first, and what older ones signed still
    holds. An account that left stays listed as long as its entries are to be verified.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it may be a private key

    gate: str
    actors: dict[str, str]

    @field_validator("gate")
    @classmethod
    def _gate_is_public(cls, text: str) -> str:
        public_keys(text)
        return text

    @field_validator("actors")
    @classmethod
    def _actors_are_public(cls, texts: dict[str, str]) -> dict[str, str]:
        for text in texts.values():
            public_keys(text)
        return texts


def make_key_pair() -> tuple[str, str]:
    """A new private key and its public key, both as PEM."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    key = PrivateKey(generate_private_key(SECP256R1()))
    return key.pem, key.public_pem


def public_keys(text: str) -> tuple[str, ...]:
    """Each public key of a PEM text, as PEM.

    Raises:
        ValueError: there is none, one is not on P-256, or a private key stands beside.
    """
    return tuple(map(_public_pem, _load_public(text)))


def fingerprint(public_pem: str) -> str:
    """How messages name a public key: the first digits of the sha256 of its PEM text."""
    return hashlib.sha256(public_pem.encode()).hexdigest()[:FINGERPRINT_DIGITS]


def verify(trusted: TrustedKeys, *, account: str, statement: Statement, digest: str, signature: str) -> None:
    """Check that an account signed a digest.

    Args:
        trusted: the public keys that count.
        account: who is said to have signed.
        statement: what the digest is said to be of.
        digest: of what is there now, in hex.
        signature: as base64.

    Raises:
        Refused: the account has no key there, or none of its keys signed exactly this.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    if account not in trusted.actors:
        listed = ", ".join(sorted(trusted.actors)) or "none"
        raise Refused(
            f"The {statement} {digest[:12]} is signed as {account!r}, an account without a public key in the "
            f"stack file (listed: {listed})"
        )
    keys = _load_public(trusted.actors[account])
    try:
        signed = base64.b64decode(signature, validate=True)
    except ValueError:
        signed = b""
    for key in keys:
        with suppress(InvalidSignature):
            key.verify(signed, _message(statement, account, digest), ECDSA(SHA256()))
            return
    known = ", ".join(fingerprint(_public_pem(key)) for key in keys)
    raise Refused(
        f"The {statement} {digest[:12]} is not what {account!r} signed, or was signed with another key than "
        f"{known}, which the stack file lists"
    )


def _message(statement: Statement, account: str, digest: str) -> bytes:
    """What is signed: nothing that could be taken for another statement, account or digest."""
    return "\n".join(("shutterline signature 1", statement, digest, account)).encode()


def _load_public(text: str) -> list[EllipticCurvePublicKey]:
    """Each public key of a PEM text.

    Raises:
        ValueError: see :func:`public_keys`. Nothing of the text is repeated.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if "PRIVATE KEY" in text:
        raise ValueError("a private key stands where a public one belongs: make a new pair, it is known now")
    found = []
    for block in PUBLIC_KEY.findall(text):
        try:
            key = load_pem_public_key(block.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError("a public key cannot be read") from error
        if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != CURVE:
            raise ValueError("a public key is not on the curve P-256")
        found.append(key)
    if not found:
        raise ValueError("there is no public key in PEM (-----BEGIN PUBLIC KEY-----)")
    return found


def _public_pem(key: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _read_private(path: Path, variable: str) -> str:
    """The text of a file that its owner alone may read.

    Raises:
        UsageError: it is not there, cannot be read, or is open to others.
    """
    try:
        with path.expanduser().open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & OTHERS:
                raise UsageError(
                    f"{path} ({variable}) is a private key with mode {mode:04o}, so others than its owner "
                    f"may use it: chmod 600 {path}"
                )
            return file.read().decode("ascii", errors="replace")
    except OSError as error:
        raise UsageError(f"{path} ({variable}) cannot be read: {error.strerror}; {MEND}") from error
