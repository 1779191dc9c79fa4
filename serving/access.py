"""Who may ask: on loopback everyone, elsewhere whoever has the token or a certificate.

``/health/*`` and ``/metrics`` are for everyone: they tell nothing of pictures, and probes and Prometheus send
no token.
"""

import hmac
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

OPEN_PREFIX = "/health/"
SCHEME = "bearer"
LEAST_TOKEN_LENGTH = 16
"""Characters; of random ones as many as nobody guesses."""
MOST_TOKEN_BYTES = 4096


class NoAccessError(ValueError):
    """The token or a certificate cannot be used, or there is none and the address is not loopback."""


@dataclass(frozen=True)
class Tls:
    """PEM files: the service's certificate and key, and the authority of its clients' certificates."""

    certificate: Path
    key: Path
    client_ca: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, for clients with a certificate alone.

        Raises:
            NoAccessError: a file is missing or holds something else.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
            context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            files = f"{self.certificate}, {self.key}, {self.client_ca}"
            raise NoAccessError(f"{files}: no certificate, key and authority: {error}") from error
        return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase; nobody is here to type it")


class Tokens:
    """The tokens that are accepted: usually one, and two while one takes the other's place."""

    def __init__(self, accepted: tuple[bytes, ...]) -> None:
        self._accepted = accepted

    @classmethod
    def read(cls, file: Path) -> "Tokens":
        """Read a file with a token a line.

        Raises:
            NoAccessError: it cannot be read, or holds none, or one that is short or is no ASCII.
        """
        try:
            with file.open("rb") as opened:
                content = opened.read(MOST_TOKEN_BYTES + 1)
        except OSError as error:
            raise NoAccessError(f"{file}: {error.strerror}") from error
        tokens = tuple(line.strip() for line in content.splitlines() if line.strip())
        if not tokens or len(content) > MOST_TOKEN_BYTES:
            raise NoAccessError(f"{file} holds no token, or more than {MOST_TOKEN_BYTES:,} bytes")
        if any(len(token) < LEAST_TOKEN_LENGTH or not token.isascii() or b" " in token for token in tokens):
            raise NoAccessError(
                f"a token in {file} is shorter than {LEAST_TOKEN_LENGTH} characters, or has a space or other "
                "letters than ASCII's; make one: openssl rand -hex 32"
            )
        return cls(tokens)

    def admit(self, authorization: str | None) -> bool:
        """Whether a header ``Authorization: Bearer …`` has a token; the time it takes tells nothing."""
        scheme, _, given = (authorization or "").partition(" ")
        token = given.strip().encode("utf-8", "replace")
        # All are compared, also after one that is right.
        right = [hmac.compare_digest(token, accepted) for accepted in self._accepted]
        return scheme.lower() == SCHEME and any(right)


def is_loopback(host: str) -> bool:
    """Whether an address, or every address of a name, is loopback."""
    try:
        found = {str(one[4][0]) for one in socket.getaddrinfo(host or None, None, flags=socket.AI_PASSIVE)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)
