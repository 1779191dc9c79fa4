"""Look up what a setting names instead of holding it: a value of one of ZenML's secrets."""

from __future__ import annotations

from materializers.errors import ServiceUnreachable, UsageError


def is_reference(text: str) -> bool:
    """Whether a text is ``{{SECRET.KEY}}``."""
    from zenml.utils.secret_utils import is_secret_reference

    return bool(is_secret_reference(text))


def secret_value(reference: str, *, setting: str, value: str) -> str:
    """The value that a reference stands for.

    Args:
        reference: ``{{SECRET.KEY}}``.
        setting: that holds it, for the messages.
        value: what the secret has to hold, as a command may have it.

    Raises:
        UsageError: there is no such secret, or it has no such key.
        ServiceUnreachable: ZenML does not give it to this account.
    """
    from zenml.client import Client
    from zenml.exceptions import ZenMLBaseException
    from zenml.utils.secret_utils import parse_secret_reference

    name, key = parse_secret_reference(reference)
    try:
        return str(Client().get_secret(name, allow_partial_name_match=False).secret_values[key])
    except KeyError as error:
        raise UsageError(
            f"{setting} is {reference}, which ZenML has not: zenml secret create {name} --{key}={value}"
        ) from error
    except ZenMLBaseException as error:
        raise ServiceUnreachable(f"ZenML does not give {reference} of {setting}: {error}") from error
