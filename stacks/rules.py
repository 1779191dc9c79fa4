"""What no stack file may say, whatever its flavors are.

A secret in plain text, an endpoint of the network without TLS, and, in a stack that runs elsewhere, a path of
this machine: each would work on the machine of whoever wrote the file, and harm or fail on the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from materializers.errors import UsageError
from stacks.http_service import is_loopback
from stacks.stack_file import KeyPath, StackFile, nearest

SECRET_KEY = re.compile(
    r"(?:^|_)(?:secret|password|passwd|token|api_?key|access_key|credentials?)(?:_|$)|^(?:\w+_)?urls$"
)
"""Settings that hold a secret; the addresses of an alerter's targets have tokens in them."""
NAMES_A_SECRET = re.compile(r"(?:_name|^authentication_secret|^api_key_secret|^s3_secret|^token_secret)$")
"""Keys that hold the name of a secret that ZenML or Kubernetes keeps, not the secret."""
SECRETS_BY_NAME = ("environment_secrets", "step_secrets")
"""The variables below them name the secrets of Kubernetes that hold their values."""
IN_THE_OPEN = "environment"
"""The variables below it are written into each step's container as they are."""
MAY_BE_A_VALUE = frozenset({"urls", "warning_urls", "critical_urls"})
"""Where what a variable holds is taken as it is: not every address of a target has a token in it."""
SECRET_REFERENCE = re.compile(r"\{\{\s*[^\s.}]+\.[^\s}]+\s*\}\}")
OWN_REFERENCE = re.compile(r"\{\{\s*[^\s.{}]*\.[^\s{}]*\s*\}\}")
"""What the file itself says of a reference; variables may give the secret's name and its key."""
REFER = (
    "write {{SECRET.KEY}} after: zenml secret create SECRET --KEY=… (or ${NAME}, where NAME holds such a "
    "reference)"
)
PLAIN_SCHEMES = frozenset({"http", "ws", "grpc", "redis", "mysql", "postgresql", "ftp"})
IN_CONTAINER = re.compile(r"mount_?path$", re.IGNORECASE)
"""Keys whose paths lie in a step's container."""
LOCAL_PATH = re.compile(r"(?:/|~|\./|\.\./|file:|sqlite:)")
RUNS_HERE = frozenset({"local", "local_docker", "shutterline-local"})
"""Orchestrators whose steps see this machine's files."""


def is_remote(stack: StackFile) -> bool:
    """Whether the steps of the stack run on other machines."""
    return stack.components.orchestrator.flavor not in RUNS_HERE


def check_rules(stack: StackFile, *, server: str | None = None) -> None:
    """Refuse what no stack file may say.

    Args:
        stack: the file.
        server: the address of the ZenML server that it would be registered in.

    Raises:
        UsageError: naming the line, what stands there, and what to write in its place.
    """
    addresses: set[str] = set()
    remote = is_remote(stack)
    if server is not None and _is_plain(server):
        addresses.add(_origin(server))
        _check_plain("the ZenML server", server, stack.without_tls)
    for kind, component in stack.present().items():
        for keys, value in leaves(component.configuration):
            where = stack.where("components", kind, "configuration", *keys)
            own = stack.own_text("components", kind, "configuration", *keys)
            _check_secret(where, keys, value, own)
            if _is_plain(value):
                addresses.add(_origin(value))
                _check_plain(where, value, stack.without_tls)
            if remote and not IN_CONTAINER.search(keys[-1]) and LOCAL_PATH.match(value):
                raise UsageError(
                    f"{where}: {value!r} is a path of this machine, and the steps of {stack.name!r} run "
                    "elsewhere: write an address that they reach, such as s3://bucket/folder"
                )
    for address in stack.without_tls:
        if address not in addresses:
            raise UsageError(
                f"{stack.where('without_tls', address)}: no component asks {address!r}: "
                f"{nearest(address, addresses)}"
            )


def leaves(configuration: Mapping[str, Any], above: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Each text of a configuration, with the keys that lead to it; an item of a list counts as its number."""
    for key, value in configuration.items():
        keys = (*above, str(key))
        if isinstance(value, list):
            yield from leaves({str(number): item for number, item in enumerate(value)}, keys)
        elif isinstance(value, dict):
            yield from leaves(value, keys)
        elif isinstance(value, str):
            yield keys, value


def names_a_secret(key: str) -> bool:
    """Whether a setting of this name holds a secret, and not only the name of one."""
    return bool(SECRET_KEY.search(key.lower())) and not NAMES_A_SECRET.search(key.lower())


def _check_secret(where: str, keys: KeyPath, value: str, own: str) -> None:
    """Refuse a secret that would be kept in plain text; ``own`` is what of the value the file itself says."""
    key, above = keys[-1], keys[:-1]
    if not value or any(name in above for name in SECRETS_BY_NAME):
        return
    has_password = any("://" in text and urlsplit(text).password for text in (value, own))
    if not names_a_secret(key):
        if has_password:
            raise UsageError(
                f"{where}: the address holds a password in plain text: give the user and the password as "
                f"settings of their own: {REFER}"
            )
        return
    if IN_THE_OPEN in above:
        raise UsageError(
            f"{where}: {key!r} would stand in plain text in each step's container: name the secret of "
            f"Kubernetes that holds it: {SECRETS_BY_NAME[0]}: {{{key}: SECRET.KEY}}"
        )
    mend = f"in a setting of the component itself, {REFER}" if above else REFER
    if own and not OWN_REFERENCE.fullmatch(own):
        raise UsageError(f"{where}: {key!r} stands there in plain text: {mend}")
    if SECRET_REFERENCE.fullmatch(value):
        if above:
            raise UsageError(f"{where}: ZenML looks up no secret below {above[0]!r}: {mend}")
    elif key not in MAY_BE_A_VALUE or has_password:
        raise UsageError(
            f"{where}: {key!r} comes from the environment, and ZenML would keep it in plain text: {mend}"
        )


def _is_plain(value: str) -> bool:
    """Whether it is an address outside this machine that is asked without TLS."""
    parts = urlsplit(value) if "://" in value else None
    if parts is None or parts.scheme.partition("+")[0] not in PLAIN_SCHEMES or not parts.hostname:
        return False
    return not is_loopback(parts.hostname)


def _origin(value: str) -> str:
    """Scheme, host and port of an address, without what it may hold of a user."""
    parts = urlsplit(value)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _check_plain(where: str, value: str, allowed: Mapping[str, str]) -> None:
    address = _origin(value)
    if address not in allowed:
        raise UsageError(
            f"{where}: {address} would be asked without TLS, so that anyone on the way reads along: give an "
            "address with TLS, or allow this one with a reason, at the top of the file: "
            f"without_tls: {{'{address}': why}}"
        )
