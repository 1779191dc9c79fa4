"""The address of an HTTP server, as a setting has it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

_WEB_ADDRESS = re.compile(r"https?://\S+")


def check_web_address(address: str) -> str:
    """The same address.

    Raises:
        PydanticCustomError: it is none, in words for whoever wrote it.
    """
    if not _WEB_ADDRESS.fullmatch(address):
        raise PydanticCustomError(
            "web_address",
            "it begins with http:// or https://, such as http://127.0.0.1:9090, and has no blanks",
        )
    return address


WebAddress = Annotated[str, AfterValidator(check_web_address)]
