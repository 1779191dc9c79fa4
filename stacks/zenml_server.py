"""The ZenML server that a stack is registered in: which one it is, and whether it may carry the stack."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from materializers.errors import ServiceUnreachable, UsageError
from stacks.http_service import HttpService, is_loopback, without_user

NO_AUTHENTICATION = "NO_AUTH"
NO_SECRETS = "none"
IN_ITS_DATABASE = "sql"


class Connection(NamedTuple):
    """Where the ZenML client keeps what it registers.

    Attributes:
        address: of a server; None for a database of this machine.
        verify: how its certificate is checked, as :class:`HttpService` has it.
    """

    address: str | None
    verify: bool | str


def connection() -> Connection:
    """Give what `zenml login`, or ``ZENML_STORE_URL``, connected the client to; nothing is asked."""
    from zenml.config.global_config import GlobalConfiguration
    from zenml.enums import StoreType

    store = GlobalConfiguration().store_configuration
    if store.type != StoreType.REST:
        return Connection(None, verify=True)
    from zenml.zen_stores.rest_zen_store import RestZenStoreConfiguration

    rest = RestZenStoreConfiguration.model_validate(store.model_dump())
    return Connection(rest.url, verify=rest.verify_ssl)


def check_server(place: Connection, *, remote: bool) -> str | None:
    """Require a server that takes the client's credentials and, for a remote stack, that others reach.

    The one that `zenml login --local` starts asks nobody: on loopback it may carry a stack of this machine.

    Args:
        place: what the client is connected to.
        remote: the steps of the stack run on other machines.

    Returns:
        What was found; None for a database of this machine, which a stack of this machine may have.

    Raises:
        UsageError: a remote stack without such a server, or a server that asks nobody or keeps no secrets.
        ServiceUnreachable: it does not answer, or refuses the credentials.
    """
    if place.address is None:
        if remote:
            raise UsageError(
                "ZenML keeps what it knows in a database of this machine, and the steps of this stack run "
                "elsewhere: zenml login https://…, or export ZENML_STORE_URL and ZENML_STORE_API_KEY"
            )
        return None
    server = HttpService("ZenML", place.address, "the server that `zenml login` named", verify=place.verify)
    # Before ZenML's own client, which goes on asking a dead server for half a minute.
    told = server.json("/api/v1/info")
    if "secrets_store_type" not in told:
        raise UsageError(f"{server.shown} is not ZenML: zenml login https://… names another")
    own, asks_nobody = _is_local(told), told.get("auth_scheme") == NO_AUTHENTICATION
    if asks_nobody:
        _refuse_open_door(server, own=own)
    account = _account(server)
    if remote and own:
        raise UsageError(
            f"{server.shown} is the one that `zenml login --local` started, with the database of this "
            "machine, and steps elsewhere do not reach it: zenml login https://… names another"
        )
    if asks_nobody:
        account += ", without asking: it listens to this machine alone"
    return f"{server.shown} takes {account}; {_secrets(server, str(told['secrets_store_type']))}"


def _refuse_open_door(server: HttpService, *, own: bool) -> None:
    """Let a server ask nobody only where it is this machine's own and nobody else reaches it.

    Raises:
        UsageError: it is neither, or one of both.
    """
    if own and is_loopback(urlsplit(server.address).hostname):
        return
    if own:
        mend = "zenml logout --local, then zenml login --local without --ip-address"
    else:
        mend = "unset ZENML_SERVER_AUTH_SCHEME where it runs, and start it again"
    raise UsageError(f"{server.shown} asks nobody for credentials: {mend}")


def _is_local(told: dict[str, Any]) -> bool:
    """Whether ZenML takes the server for one of this machine; such a one has the client's own id."""
    from zenml.config.global_config import GlobalConfiguration

    return str(told.get("id")) == str(GlobalConfiguration().user_id)


def _account(server: HttpService) -> str:
    """Whom the server takes the client for.

    Raises:
        ServiceUnreachable: it refuses the client's credentials.
    """
    from zenml.client import Client
    from zenml.exceptions import AuthorizationException, ZenMLBaseException

    mend = f"make a new API key, export ZENML_STORE_API_KEY=…, or: zenml login {without_user(server.address)}"
    try:
        user = Client().zen_store.get_user()
    except AuthorizationException as error:
        raise ServiceUnreachable(
            f"{server.shown} refuses the credentials ({_line(error)}): {mend}"
        ) from error
    except (ZenMLBaseException, OSError, RuntimeError, KeyError) as error:
        raise ServiceUnreachable(
            f"{server.shown} does not tell who is logged in ({_line(error)}): {mend}"
        ) from error
    return f"the service account {user.name}" if user.is_service_account else f"the user {user.name}"


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _secrets(server: HttpService, kind: str) -> str:
    """Say how the server keeps secrets.

    Raises:
        UsageError: it keeps none.
    """
    if kind == NO_SECRETS:
        raise UsageError(
            f"{server.shown} keeps no secrets: set ZENML_SECRETS_STORE_TYPE where it runs, start it again"
        )
    if kind == IN_ITS_DATABASE:
        # It tells where secrets lie, not whether ZENML_SECRETS_STORE_ENCRYPTION_KEY is set.
        return "the encryption of its secrets is not checked: the server does not tell"
    return f"secrets are kept by {kind}"
