"""Ask a service of the stack over HTTP, and say in one sentence why it did not answer as hoped.

No address is said with what it may hold of a user, and no answer with a credential that it may repeat.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from materializers.errors import ServiceUnreachable, UsageError

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 10.0
SAID_CHARACTERS = 160
"""How much of an answer is repeated in a message."""
WHY = ("message", "error_message", "error", "detail", "errors", "error_code")
"""Where services write, in JSON, why they refuse."""
PEM = "-----BEGIN CERTIFICATE"
REFUSED = frozenset({401, 403})


def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ipaddress.ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def without_user(address: str) -> str:
    """The address without a user and password, a query or a fragment."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def trust(authorities: bool | str = True) -> ssl.SSLContext:
    """What the certificates of servers are held against.

    Args:
        authorities: a file of certificates, or PEM text; True for those that ZenML's own client takes:
            REQUESTS_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR where one is set, else those that are known
            everywhere. False for none: every certificate passes.

    Raises:
        UsageError: they cannot be read.
    """
    import httpx

    given = authorities if isinstance(authorities, str) else ""
    bundle = given or (os.environ.get("REQUESTS_CA_BUNDLE", "") if authorities else "")
    try:
        if PEM in given:
            return ssl.create_default_context(cadata=given)
        if not bundle:
            return httpx.create_ssl_context(verify=bool(authorities))
        if Path(bundle).is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        where = "given as text" if PEM in given else given[:SAID_CHARACTERS] or _where_authorities_are()
        raise UsageError(
            f"The certificates of the authorities to trust ({where}) cannot be read: {error}: give a file "
            "of certificates in PEM"
        ) from error


def _where_authorities_are() -> str:
    names = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return next((f"{name}={os.environ[name]}" for name in names if os.environ.get(name)), "of certifi")


def connect(
    address: str, *, verify: ssl.SSLContext | bool | str = True, timeout_s: float = TIMEOUT_S
) -> httpx.Client:
    """A client for one service, as every service of a stack is asked.

    The network's proxies lie in between where the environment names them, but not before this machine's
    loopback, which no proxy can reach.

    Args:
        address: of the service; paths are taken below it. A user in it is not sent.
        verify: what :func:`trust` made, or takes.
        timeout_s: for the connection, and for each part of an answer.

    Raises:
        UsageError: the known authorities cannot be read.
    """
    import httpx

    parts = urlsplit(address)
    if parts.scheme == "http":
        verify = False
    return httpx.Client(
        base_url=without_user(address),
        timeout=timeout_s,
        trust_env=not is_loopback(parts.hostname),
        verify=trust(verify) if isinstance(verify, str) or verify is True else verify,
    )


@dataclass(frozen=True)
class HttpService:
    """A service and what it is asked with.

    Attributes:
        name: what people call it.
        address: where it is asked; a user in it is not used.
        setting: which setting holds the address.
        headers: that carry the credentials.
        user: name and password, where it is asked for these.
        accounts: what to check when the credentials are refused.
        verify: the certificate by the known authorities, by those of a file or of PEM text, or not at all.
    """

    name: str
    address: str
    setting: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: tuple[str, str] | None = field(default=None, repr=False)
    accounts: str = "its credentials"
    verify: bool | str = True

    @property
    def shown(self) -> str:
        """The name and the address, as messages give them."""
        return f"{self.name} at {without_user(self.address)}"

    def answer(
        self,
        path: str,
        *,
        method: str = "GET",
        body: Any = None,
        anonymous: bool = False,
        query: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> httpx.Response:
        """Ask once, and give whatever came back.

        Args:
            path: below the address.
            method: GET, or POST for questions that have a body.
            body: sent as JSON.
            anonymous: leave the credentials out.
            query: parameters of the address.
            timeout_s: for the connection, and for each part of the answer.

        Raises:
            UsageError: the address is none, or the known authorities cannot be read.
            ServiceUnreachable: nobody answers, or the certificate is not to be trusted.
        """
        import httpx

        parts = urlsplit(self.address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"{self.setting} is {without_user(self.address)!r}: write an address with https:// and a host"
            )
        try:
            with connect(self.address, verify=self._trust, timeout_s=timeout_s) as client:
                headers = {} if anonymous else self._headers()
                return client.request(method, path, params=query, json=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = self._clean(str(error)) or type(error).__name__
            raise ServiceUnreachable(
                f"{self.shown} does not answer ({reason}): check {self.setting}, the network and the server"
            ) from error

    def json(
        self, path: str, *, method: str = "GET", body: Any = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Ask with the credentials, and give the JSON object that came back.

        Raises:
            UsageError: the address is none, or something else than the service answers there.
            ServiceUnreachable: nobody answers, or the credentials are refused, or the service has failed.
        """
        return self.content(self.answer(path, method=method, body=body, query=query))

    def content(self, response: httpx.Response) -> dict[str, Any]:
        """The JSON object of an answer that is a success.

        Raises:
            UsageError: something else than the service answers there.
            ServiceUnreachable: the credentials are refused, or the service has failed.
        """
        if not response.is_success:
            raise self.refusal(response)
        content = _object(response)
        if content is None:
            raise self._another(response)
        return content

    def refusal(self, response: httpx.Response) -> UsageError | ServiceUnreachable:
        """Say what an answer means that is no success."""
        status, said = response.status_code, self.said(response)
        if status in REFUSED:
            return ServiceUnreachable(
                f"{self.shown} refuses the credentials ({status}: {said}): check {self.accounts}"
            )
        if response.is_redirect:
            target = without_user(response.headers.get("location", ""))
            return ServiceUnreachable(
                f"{self.shown} sends to {target} ({status}): a login page or another address stands before "
                f"it: check {self.setting} and {self.accounts}"
            )
        if response.is_client_error:
            return self._another(response)
        return ServiceUnreachable(f"{self.shown} has failed ({status}: {said}): look at its log")

    def said(self, response: httpx.Response) -> str:
        """The reason that an answer gives, on one line and without the credentials."""
        if "<html" in response.text[:1000].lower():
            return "a web page"
        content = _object(response)
        reasons = [content[key] for key in WHY if content.get(key)] if content else [response.text]
        return self._clean(str(reasons[0] if reasons else "")) or response.reason_phrase

    def _another(self, response: httpx.Response) -> UsageError:
        return UsageError(
            f"{self.shown} is not {self.name}: {response.request.url.path} came back with "
            f"{response.status_code}: {self.said(response)}: correct {self.setting}"
        )

    def _clean(self, text: str) -> str:
        for secret in self._secrets():
            text = text.replace(secret, "***")
        line = " ".join(text.split())
        return line if len(line) <= SAID_CHARACTERS else f"{line[:SAID_CHARACTERS]}…"

    @cached_property
    def _trust(self) -> ssl.SSLContext | bool:
        """What certificates are held against, made once."""
        if self.verify is False or urlsplit(self.address).scheme == "http":
            return False
        return trust(self.verify)

    def _headers(self) -> dict[str, str]:
        """The headers that carry the credentials."""
        if self.user is None:
            return dict(self.headers)
        encoded = b64encode(":".join(self.user).encode()).decode()
        return {**self.headers, "Authorization": f"Basic {encoded}"}

    def _secrets(self) -> Iterator[str]:
        """Each credential, also as a header carries it."""
        if self.user is not None and self.user[1]:
            yield self.user[1]
        for value in self._headers().values():
            yield value.rpartition(" ")[2]


def bearer(token: str | None) -> dict[str, str]:
    """The header that carries a token; none where there is none."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def _object(response: httpx.Response) -> dict[str, Any] | None:
    """The JSON object of an answer, if it is one."""
    try:
        content = response.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
