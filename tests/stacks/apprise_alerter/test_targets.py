"""Addresses are told apart, and spoken of without their tokens."""

from __future__ import annotations

import pytest

from stacks.apprise_alerter.targets import scheme_of, split_urls, targets_of, understood


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("", []),
        (" json://a \n\tjson://b ", ["json://a", "json://b"]),
        ("json://a,json://b, json://c,", ["json://a", "json://b", "json://c"]),
        ("mailto://host?to=ada,grace,json://b", ["mailto://host?to=ada,grace", "json://b"]),
        ("json://a nonsense", ["json://a", "nonsense"]),
    ],
)
def test_white_space_and_commas_separate(text: str, urls: list[str]) -> None:
    """A comma inside an address stays in it."""
    assert split_urls(text) == urls


@pytest.mark.parametrize(
    ("url", "scheme"),
    [("Slack://T1/B2/xyz", "slack"), ("T1/B2/xyz", "no scheme"), ("a token!://x", "no scheme")],
)
def test_a_target_is_named_by_its_kind(url: str, scheme: str) -> None:
    """Nothing that stands where a token may stand is said."""
    assert scheme_of(url) == scheme


def test_an_unknown_address_is_named_by_kind_and_position(capfd: pytest.CaptureFixture[str]) -> None:
    """The others are kept, and Apprise itself prints nothing of what it refused."""
    urls = {"urls": "json://127.0.0.1 slck://T0planted slack://T0planted", "critical_urls": "planted"}
    known, unknown = understood(targets_of(urls))
    assert [each.name for each in known] == ["urls 1: json"]
    assert [each.wrong for each in unknown] == [
        "slck (target 2)",
        "slack (target 3)",
        "no scheme (target 1 of critical_urls)",
    ]
    assert "planted" not in "".join(each.name for each in unknown)
    assert "planted" not in "".join(capfd.readouterr())
