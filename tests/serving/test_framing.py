"""Where requests end, however their bytes arrive."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.framing import MOST_HEAD_BYTES, BadFraming, Framing, Received, authorization_of

HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\n"
LIMIT = 1000


def in_chunks(body: bytes, sizes: list[int]) -> bytes:
    """Write a body as chunks of these sizes, and the rest."""
    written, at = b"", 0
    for size in [*sizes, len(body)]:
        part = body[at : at + size]
        at += len(part)
        if part:
            written += b"%x;name=value\r\n%s\r\n" % (len(part), part)
    return written + b"0\r\n"


def taken(data: bytes, cuts: list[int]) -> list[Received]:
    """Feed data in pieces; what is taken meanwhile."""
    framing, found, at = Framing(lambda _: LIMIT), [], 0
    for cut in [*sorted(cuts), len(data)]:
        framing.feed(data[at:cut])
        at = max(at, cut)
        while (one := framing.take()) is not None:
            found.append(one)
    assert framing.size == 0
    return found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    bodies=st.lists(st.binary(max_size=LIMIT), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 400), max_size=4),
    trailer=st.sampled_from([b"", b"x-sum: 1\r\n"]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
    chunked=st.booleans(),
)
def test_requests_come_out_whole_however_they_are_cut(
    bodies: list[bytes], sizes: list[int], trailer: bytes, cuts: list[int], chunked: bool
) -> None:
    """With a length and in chunks, one after the other on a connection."""
    data = b""
    for body in bodies:
        if chunked:
            data += HEAD + b"Transfer-Encoding: Chunked\r\n\r\n" + in_chunks(body, sizes) + trailer + b"\r\n"
        else:
            data += HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    found = taken(data, [cut for cut in cuts if cut < len(data)])
    assert [one.body for one in found] == bodies
    assert all(one.head.startswith(HEAD) and one.head.endswith(b"\r\n\r\n") for one in found)
    assert not any(one.too_large for one in found)


def test_a_request_without_a_body_is_whole_with_its_head() -> None:
    """And an empty line before it is none of it."""
    (one,) = taken(b"\r\n\r\nGET /health/ping HTTP/1.1\r\nhost: x\r\n\r\n", [])
    assert one == Received(b"GET /health/ping HTTP/1.1\r\nhost: x\r\n\r\n", b"")


@pytest.mark.parametrize(
    "rest",
    [
        b"content-length: 1001\r\n\r\n",
        b"content-length: 999999999999999\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n3e9\r\n",
        b"transfer-encoding: chunked\r\n\r\n"
        + b"fa\r\n"
        + b"x" * 250
        + b"\r\nfa\r\n"
        + b"x" * 250
        + b"\r\nfff\r\n",
    ],
)
def test_a_body_over_the_limit_is_said_as_soon_as_it_is_clear(rest: bytes) -> None:
    """Nothing of it is waited for, and nothing is kept."""
    framing = Framing(lambda _: LIMIT)
    framing.feed(HEAD + rest)
    one = framing.take()
    assert one is not None
    assert (one.too_large, one.body) == (True, b"")


@pytest.mark.parametrize("body", [b"content-length: 9\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"])
def test_of_a_request_that_may_have_no_body_none_is_waited_for(body: bytes) -> None:
    """Its head decides, before anything else has arrived; the next request has a head of its own."""
    framing = Framing(lambda head: LIMIT if b"key" in head else 0)
    framing.feed(HEAD + body)
    assert framing.take() == Received(HEAD + body, b"", too_large=True)
    assert framing.body_size == 0
    framing = Framing(lambda head: LIMIT if b"key" in head else 0)
    framing.feed(HEAD + b"\r\n" + HEAD + b"key: 1\r\ncontent-length: 2\r\n\r\nx")
    assert framing.take() == Received(HEAD + b"\r\n", b"")
    assert framing.take() is None
    assert framing.body_size == 1
    framing.feed(b"y")
    whole = framing.take()
    assert whole is not None
    assert whole.body == b"xy"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"Authorization: Bearer abc\r\n", "Bearer abc"),
        (b"x: authorization: Bearer abc\r\n", None),
        (b"x-authorization: Bearer abc\r\n", None),
        (b"AUTHORIZATION:Bearer abc\r\n", "Bearer abc"),
        (b"", None),
    ],
)
def test_a_head_says_who_asks(line: bytes, said: str | None) -> None:
    """By the header of that name, and by no other."""
    assert authorization_of(HEAD + line + b"\r\n") == said


BAD = {
    "two lengths": b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
    "a length and chunks": b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    "another encoding": b"transfer-encoding: gzip, chunked\r\n\r\n",
    "a signed length": b"content-length: +1\r\n\r\nx",
    "a length with a line": b"content-length: 1_0\r\n\r\nx",
    "no length": b"content-length: \r\n\r\n",
    "a chunk of no size": b"transfer-encoding: chunked\r\n\r\n\r\n",
    "a chunk of a negative size": b"transfer-encoding: chunked\r\n\r\n-1\r\n",
    "a chunk of a written size": b"transfer-encoding: chunked\r\n\r\n0x1\r\nx\r\n",
    "a chunk that goes on": b"transfer-encoding: chunked\r\n\r\n1\r\nxx\r\n",
    "a size without an end": b"transfer-encoding: chunked\r\n\r\n" + b"1" * 300,
    "endless trailers": b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 9000,
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_two_readers_could_understand_differently_is_refused(name: str) -> None:
    """With a 400."""
    framing = Framing(lambda _: LIMIT)
    framing.feed(HEAD + BAD[name])
    with pytest.raises(BadFraming) as refused:
        framing.take()
    assert refused.value.code == 400


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_endless_headers_are_refused(end: bytes) -> None:
    """Whether or not they end at last."""
    framing = Framing(lambda _: LIMIT)
    framing.feed(HEAD + b"x: " + b"y" * MOST_HEAD_BYTES + end)
    with pytest.raises(BadFraming) as refused:
        framing.take()
    assert refused.value.code == 431


def test_a_client_that_waits_for_a_word_is_noticed() -> None:
    """Until its body is there."""
    framing = Framing(lambda _: LIMIT)
    framing.feed(HEAD + b"Expect: 100-Continue\r\ncontent-length: 1\r\n\r\n")
    assert framing.take() is None
    assert framing.expects_continue
    framing.feed(b"x")
    assert framing.take()
    assert not framing.expects_continue
