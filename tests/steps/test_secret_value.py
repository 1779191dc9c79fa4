"""Values that a setting names instead of holding them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from materializers.errors import UsageError
from steps.secret_value import is_reference, secret_value

if TYPE_CHECKING:
    from zenml.client import Client


@pytest.mark.parametrize(
    ("text", "whether"),
    [("{{shop.key}}", True), ("{{ shop.key }}", True), ("shop.key", False), ("{{shop}}", False), ("", False)],
)
def test_a_reference_names_a_secret_and_a_key_of_it(text: str, whether: bool) -> None:
    """Whatever else stands in a setting is its value."""
    assert is_reference(text) is whether


def test_the_value_is_the_secrets(zenml_client: Client) -> None:
    """Looked up by its whole name; what is not there is made by the command that is told."""
    zenml_client.create_secret("looked_up", {"key": "of the shop"})
    found = secret_value("{{looked_up.key}}", setting="train.x", value="KEY")
    assert found == "of the shop"
    for missing in ("{{looked_up.other}}", "{{looked.key}}"):
        name, key = missing.strip("{}").split(".")
        with pytest.raises(UsageError, match=rf"train\.x is .*zenml secret create {name} --{key}=KEY"):
            secret_value(missing, setting="train.x", value="KEY")
