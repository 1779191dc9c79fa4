"""Which bodies of JSON are parsed at all."""

import json

import pytest

from serving.json_parts import MOST_PARTS, too_many_parts
from tests.serving.pictures import base64_of


def test_a_whole_batch_of_large_pictures_has_few_parts() -> None:
    """Base64 has none of what is counted; tags and a thousand numbers beside them are fine."""
    images = [base64_of(bytes(range(256)) * 4_000)] * 16
    message = {"jsonData": {"images": images}, "meta": {"tags": {"numbers": list(range(1_000))}}}
    assert not too_many_parts(json.dumps(message, indent=1).encode())


@pytest.mark.parametrize("part", ["{}", "[]", "1", '""', "[[[[]]]]", '{"a":{}}'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_many_of_anything_are_too_many(part: str, encoding: str) -> None:
    """In each encoding that a parser of JSON takes, in bytes and in text."""
    text = f"[{','.join([part] * (MOST_PARTS + 1))}]"
    assert too_many_parts(text)
    assert too_many_parts(text.encode(encoding))
