"""Tokens, certificates, and which addresses need them."""

import ssl
from pathlib import Path

import pytest

from serving.access import NoAccessError, Tls, Tokens, is_loopback
from tests.serving.certificates import Authority

OLD, NEW = "an-old-token-of-a-test", "a-new-token-of-a-test"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    file = tmp_path / "tokens"
    file.write_text(f"{OLD}\n\n  {NEW}  \n")
    return Tokens.read(file)


@pytest.mark.parametrize("header", [f"Bearer {OLD}", f"bearer {NEW}", f"BEARER  {NEW}"])
def test_each_token_of_the_file_is_admitted(tokens: Tokens, header: str) -> None:
    """Two at a time, so that one can take the other's place without a gap."""
    assert tokens.admit(header)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", OLD, f"Basic {OLD}", f"Bearer {OLD}x", f"Bearer {OLD[:-1]}", "Bearer ä"],
)
def test_anything_else_is_not(tokens: Tokens, header: str) -> None:
    """No header, another scheme, a part of a token, letters that no token has."""
    assert not tokens.admit(header)
    assert not tokens.admit(None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no token"),
        (b" \n\n", "holds no token"),
        (b"short", "shorter than 16 characters"),
        (b"a token with spaces in it", "has a space"),
        ("ein-längeres-token-als-sechzehn".encode(), "other letters than ASCII's"),
        (b"x" * 5000, "more than 4,096 bytes"),
    ],
)
def test_a_file_without_a_usable_token_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """What is wrong is said, and the token is not."""
    file = tmp_path / "tokens"
    file.write_bytes(content)
    with pytest.raises(NoAccessError, match=said) as refused:
        Tokens.read(file)
    assert "short" not in str(refused.value).replace("shorter", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """As a wrong path of a mount is."""
    with pytest.raises(NoAccessError, match=f"{tmp_path}/none: No such file"):
        Tokens.read(tmp_path / "none")


def test_certificates_make_a_context_that_demands_one(tmp_path: Path) -> None:
    """TLS 1.2 at least, and no client without a certificate."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("service")
    context = Tls(certificate, key, authority.certificate).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_files_that_are_no_certificates_are_refused(tmp_path: Path) -> None:
    """Another one's key, a missing file, a text."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("service")
    _, other_key = authority.issue("other")
    text = tmp_path / "text"
    text.write_text("text")
    for files in (
        (certificate, other_key, authority.certificate),
        (certificate, key, tmp_path / "none"),
        (text, key, authority.certificate),
    ):
        with pytest.raises(NoAccessError, match="no certificate, key and authority"):
            Tls(*files).context()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_is_known(host: str) -> None:
    """Addresses and the name."""
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "2001:db8::1", "nowhere.invalid", "\0"])  # noqa: S104
def test_anything_else_is_not_loopback(host: str) -> None:
    """Every address of the machine, the network's, and a name that nothing is known of."""
    assert not is_loopback(host)
