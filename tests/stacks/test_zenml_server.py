"""The ZenML server of a stack: what is said of one that cannot carry it.

A real one, and a revoked API key, are in tests/kubeflow/test_registrar.py.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration

from benchmarks.main.home import free_port
from materializers.errors import ServiceUnreachable, UsageError
from stacks.zenml_server import Connection, check_server, connection
from tests.stacks.answers import Answer, answering

INFO = {"version": "0.98.0", "auth_scheme": "OAUTH2_PASSWORD_BEARER", "secrets_store_type": "sql"}


def refusal(place: Connection) -> tuple[str, int]:
    """What is said against a server for a remote stack, and the exit code."""
    with pytest.raises((UsageError, ServiceUnreachable)) as caught:
        check_server(place, remote=True)
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.exit_code


def test_a_database_of_this_machine_carries_a_local_stack_only(zenml_client: Client) -> None:
    """Steps elsewhere could not write what they did; the client of the tests has such a database."""
    assert connection() == Connection(None, verify=True)
    assert check_server(connection(), remote=False) is None
    said, code = refusal(connection())
    assert "a database of this machine" in said and "ZENML_STORE_API_KEY" in said
    assert code == 2


def test_a_dead_server_is_told_within_seconds() -> None:
    """ZenML's own client would go on asking for half a minute."""
    nobody = f"http://127.0.0.1:{free_port()}"
    said, code = refusal(Connection(nobody, verify=True))
    assert said.startswith(f"ZenML at {nobody} does not answer (")
    assert code == 4


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(404, "Not Found"), "is not ZenML: /api/v1/info came back with 404: Not Found"),
        (Answer(200, "<html>Dashboard</html>"), "a web page"),
        (Answer(200, {"version": "3"}), "is not ZenML: zenml login https://… names another"),
        (Answer(200, {**INFO, "auth_scheme": "NO_AUTH"}), "asks nobody for credentials"),
    ],
)
def test_a_server_that_cannot_carry_a_stack_is_refused(answer: Answer, said: str) -> None:
    """Another program, and one that lets everybody in; nothing is sent but that one question."""
    with answering({"/api/v1/info": answer}) as server:
        told, code = refusal(Connection(server.url, verify=True))
        assert [asked.path for asked in server.asked] == ["/api/v1/info"]
    assert f"ZenML at {server.url}" in told and said in told
    assert code == 2


def with_account(told: dict[str, Any], *, remote: bool = True) -> str | None:
    """Check a server that tells this of itself; who is logged in, the store of the tests says."""
    with answering({"/api/v1/info": Answer(200, {**INFO, **told})}) as server:
        return check_server(Connection(server.url, verify=True), remote=remote)


@pytest.mark.usefixtures("zenml_client")
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("sql", "the encryption of its secrets is not checked: the server does not tell"),
        ("aws", "kept by aws"),
    ],
)
def test_how_secrets_are_kept_is_said(kind: str, said: str) -> None:
    """Encryption in ZenML's own database is not told, and so not called good."""
    assert said in str(with_account({"secrets_store_type": kind}))


@pytest.mark.usefixtures("zenml_client")
def test_a_server_that_keeps_no_secrets_is_refused() -> None:
    """The stack's credentials lie in its secrets."""
    with pytest.raises(UsageError, match="keeps no secrets"):
        with_account({"secrets_store_type": "none"})


@pytest.mark.usefixtures("zenml_client")
def test_the_server_of_this_machine_carries_a_local_stack_only() -> None:
    """`zenml login --local` starts one that has the client's own id."""
    own = {"id": str(GlobalConfiguration().user_id)}
    assert "takes the user" in str(with_account(own, remote=False))
    with pytest.raises(UsageError, match="zenml login --local"):
        with_account(own)


OPEN = {"auth_scheme": "NO_AUTH"}


@pytest.mark.usefixtures("zenml_client")
def test_the_server_of_this_machine_may_ask_nobody() -> None:
    """As `zenml login --local` starts it: said for a local stack, and a remote one hears why it is none."""
    own = {"id": str(GlobalConfiguration().user_id), **OPEN}
    said = str(with_account(own, remote=False))
    assert "takes the user" in said and "without asking: it listens to this machine alone" in said
    with pytest.raises(UsageError, match="steps elsewhere do not reach it"):
        with_account(own)


@pytest.mark.usefixtures("zenml_client")
@pytest.mark.parametrize("remote", [False, True])
def test_a_shared_server_that_asks_nobody_is_refused(remote: bool) -> None:
    """On loopback too: a tunnel leads there, and whoever reaches its other end changes what is live."""
    with pytest.raises(UsageError, match="asks nobody for credentials: unset ZENML_SERVER_AUTH_SCHEME"):
        with_account({"id": str(uuid4()), **OPEN}, remote=remote)


@pytest.mark.usefixtures("zenml_client")
def test_the_server_of_this_machine_on_every_address_is_refused() -> None:
    """`zenml login --local --ip-address 0.0.0.0` lets the network in."""
    own = {"id": str(GlobalConfiguration().user_id), **OPEN}
    with answering({"/api/v1/info": Answer(200, {**INFO, **own})}) as server:
        everywhere = Connection(server.url.replace("127.0.0.1", "0.0.0.0"), verify=True)  # noqa: S104 - only asked
        with pytest.raises(UsageError, match="asks nobody for credentials: zenml logout --local, then"):
            check_server(everywhere, remote=False)
