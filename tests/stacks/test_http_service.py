"""How a service is asked over HTTP, and what is said when it does not answer as hoped."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from stacks.http_service import HttpService, bearer, connect, is_loopback, without_user
from tests.stacks.answers import Answer, Answering, Asked, Routes, answering
from tests.stacks.tls import SecuredServer, secured_server

TOKEN = "marked-token-7f3a"
USER = ("ada", "marked-password-91c2")


def service(address: str, **changes: object) -> HttpService:
    """A service with both kinds of credentials."""
    given = {"headers": bearer(TOKEN), "accounts": "the token"} | changes
    return HttpService("Oracle", address, "oracle_url", **given)  # type: ignore[arg-type]


def repeated(asked: Asked) -> Answer:
    """A server that says back what it was asked with, as debugging ones do."""
    return Answer(403, {"message": f"no\nrights for {asked.authorization} (token {TOKEN})"})


ROUTES: Routes = {
    "/good": Answer(200, {"answer": 42}),
    "/under/good": Answer(200, {"answer": 43}),
    "/list": Answer(200, [1]),
    "/page": Answer(200, "<!doctype html><HTML>Welcome</HTML>"),
    "/wrong": Answer(401, {"error": "unknown token"}),
    "/echo": repeated,
    "/login": Answer(302, "", {"location": f"https://sso.shop.example/auth?state={TOKEN}"}),
    "/broken": Answer(500, "x" * 1000),
}


@pytest.fixture(scope="module")
def oracle() -> Iterator[Answering]:
    """A server with an answer of each kind."""
    with answering(ROUTES) as server:
        yield server


def refusal(server: HttpService, path: str) -> tuple[str, int]:
    """What is said, on one line, and the exit code."""
    with pytest.raises((UsageError, ServiceUnreachable)) as caught:
        server.json(path)
    said = str(caught.value)
    assert "\n" not in said and TOKEN not in said and USER[1] not in said
    return said, caught.value.exit_code


def test_the_credentials_are_sent_unless_the_question_is_anonymous(oracle: Answering) -> None:
    """A token as a header, a user with a password by basic authentication."""
    assert service(oracle.url).json("/good", query={"size": "1"}) == {"answer": 42}
    assert oracle.asked[-1].query == {"size": "1"}
    assert oracle.asked[-1].authorization == f"Bearer {TOKEN}"
    service(oracle.url, headers={}, user=USER).json("/good")
    assert str(oracle.asked[-1].authorization).startswith("Basic ")
    assert service(oracle.url).answer("/good", anonymous=True).is_success
    assert oracle.asked[-1].authorization is None


def test_a_path_of_the_address_stays(oracle: Answering) -> None:
    """A service behind a path of its host is asked below that path."""
    assert service(f"{oracle.url}/under/").json("/good") == {"answer": 43}


def test_a_user_in_the_address_is_neither_sent_nor_said(oracle: Answering) -> None:
    """Else a question that was meant to be anonymous would be none."""
    address = oracle.url.replace("://", f"://{':'.join(USER)}@")
    service(address).answer("/good", anonymous=True)
    assert oracle.asked[-1].authorization is None
    said, _ = refusal(service(address), "/wrong")
    assert f"Oracle at {oracle.url} refuses" in said


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/wrong", 4, "refuses the credentials (401: unknown token): check the token"),
        ("/echo", 4, "refuses the credentials (403: no rights for Bearer *** (token ***)): check the token"),
        ("/login", 4, "sends to https://sso.shop.example/auth (302): a login page or another address"),
        ("/broken", 4, f"has failed (500: {'x' * 160}…): look at its log"),
        ("/nothing", 2, "is not Oracle: /nothing came back with 404: 404 page not found: correct oracle_url"),
        ("/page", 2, "is not Oracle: /page came back with 200: a web page: correct oracle_url"),
        ("/list", 2, "is not Oracle: /list came back with 200: [1]: correct oracle_url"),
    ],
)
def test_an_answer_that_is_none_is_explained(oracle: Answering, path: str, code: int, said: str) -> None:
    """Which service, which address, what came back, what to do; nothing of a secret that is repeated."""
    told, exit_code = refusal(service(oracle.url), path)
    assert f"Oracle at {oracle.url} {said}" in told
    assert exit_code == code


def test_a_password_that_is_repeated_is_not_said() -> None:
    """Also not as the header that carried it."""
    with answering({"/echo": lambda asked: Answer(403, f"{asked.authorization} {USER[1]}")}) as server:
        said, _ = refusal(service(server.url, headers={}, user=USER), "/echo")
    assert "YWRh" not in said  # base64 of the user


def test_nobody_there_is_told_at_once() -> None:
    """With the address and the setting that holds it."""
    address = f"http://127.0.0.1:{free_port()}"
    said, code = refusal(service(address), "/good")
    assert said.startswith(f"Oracle at {address} does not answer (")
    assert "Connection refused" in said and "check oracle_url" in said
    assert code == 4


def test_a_server_that_never_answers_is_left() -> None:
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceUnreachable, match="does not answer"):
            service(address).answer("/good", timeout_s=0.2)


@pytest.mark.parametrize("address", ["", "oracle.shop.example", "ftp://oracle.shop.example", "https://"])
def test_an_address_that_is_none_is_wrong_use(address: str) -> None:
    """The setting is named, nothing is asked."""
    said, code = refusal(service(address), "/good")
    assert said == f"oracle_url is {address!r}: write an address with https:// and a host"
    assert code == 2


def test_the_loopback_is_not_asked_through_a_proxy(
    oracle: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the network has another loopback."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert service(oracle.url).json("/good") == {"answer": 42}
    with connect(oracle.url) as client:
        assert client.get("/good").json() == {"answer": 42}


AUTHORITIES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture
def secured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecuredServer]:
    """A server whose certificate the environment does not name."""
    for name in AUTHORITIES:
        monkeypatch.delenv(name, raising=False)
    with secured_server(tmp_path) as server:
        yield server


def test_a_certificate_counts_when_its_authority_is_known(secured: SecuredServer) -> None:
    """By PEM text or a file; without it the answer is not asked for, and the reason is said."""
    said, code = refusal(service(secured.url), "/good")
    assert "certificate" in said.lower() and code == 4
    pem = secured.certificate.read_text()
    for verify in (pem, f"# our authority\n{pem}", str(secured.certificate), False):
        assert service(secured.url, verify=verify).json("/good") == {}
        with connect(secured.url, verify=verify) as client:
            assert client.get("/good").json() == {}


@pytest.mark.parametrize("name", AUTHORITIES[:2])
def test_the_environment_names_the_authorities(
    secured: SecuredServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As ZenML's and MLflow's own clients take them, though it is this machine that is asked."""
    monkeypatch.setenv(name, str(secured.certificate))
    assert service(secured.url).json("/good") == {}
    with connect(secured.url) as client:
        assert client.get("/good").json() == {}


@pytest.mark.parametrize("name", AUTHORITIES[:2])
def test_authorities_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A file that is not there is wrong use, not a server that does not answer."""
    for one in AUTHORITIES:
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, "nowhere.pem")
    said, code = refusal(service("https://oracle.shop.example"), "/good")
    assert f"{name}=nowhere.pem" in said and code == 2
    with pytest.raises(UsageError, match="given as text"):
        connect("https://oracle.shop.example", verify="-----BEGIN CERTIFICATE-----\nnone")


def test_what_belongs_to_this_machine_is_known() -> None:
    """Names and addresses of the loopback, and no others."""
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]")))
    assert not any(map(is_loopback, (None, "", "10.0.0.1", "localhost.shop.example")))


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    """No user, no query, no fragment; the rest stays."""
    shown = without_user(f"https://{':'.join(USER)}@shop.example:8443/path?token={TOKEN}#part")
    assert shown == "https://shop.example:8443/path"
