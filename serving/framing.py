"""Where one HTTP/1.1 request ends and the next begins, in bytes as they arrive.

A request is handed on when all of it is there, so that no thread waits for a slow client. What two readers
could understand differently (two lengths, a length that is no number, an unknown encoding) is refused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from serving.reasons import Reason

MOST_HEAD_BYTES = 32 * 1024
MOST_SIZE_LINE = 256
"""Of a chunk's size, with its extensions."""
END_OF_HEAD = b"\r\n\r\n"
AUTHORIZATION = re.compile(rb"\r\nauthorization:[ \t]*([^\r\n]*)", re.IGNORECASE)
HEADERS = re.compile(rb"\r\n(content-length|transfer-encoding|expect):[ \t]*([^\r\n]*)", re.IGNORECASE)
LENGTH = re.compile(rb"[0-9]{1,15}")
CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?")


class BadFraming(ValueError):
    """Bytes that are no request: HTTP's ``code``, a ``reason`` as a code, ``message``."""

    def __init__(self, code: int, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


def authorization_of(head: bytes) -> str | None:
    """What a request's head says under ``Authorization``; None: nothing."""
    found = AUTHORIZATION.search(head)
    return None if found is None else found[1].decode("latin-1")


class _TooLarge(Exception):
    """The body exceeds the limit."""


@dataclass(frozen=True)
class Received:
    """A request.

    Args:
        head: its first line and headers, with the empty line.
        body: decoded if it came in chunks.
        too_large: the body exceeds the limit; nothing of it is here, and the rest of it was not read.
    """

    head: bytes
    body: bytes
    too_large: bool = False


class Framing:
    """The bytes of one connection. ``feed`` what arrives, ``take`` requests until there is none.

    Args:
        most_of: how large a body a request may have, by its head, asked once the head is there; of 0 nothing
            of a body is waited for.
    """

    def __init__(self, most_of: Callable[[bytes], int]) -> None:
        self._most_of = most_of
        self._most = 0
        self._bytes = bytearray()
        self._searched = 0
        self._head: bytes | None = None
        self._length: int | None = None
        self._chunks = bytearray()
        self._in_trailers = False
        self.expects_continue = False
        """Whether the client waits for a word before it sends the body."""

    @property
    def size(self) -> int:
        """Bytes that are kept here."""
        return len(self._bytes) + len(self._chunks) + len(self._head or b"")

    @property
    def body_size(self) -> int:
        """Bytes that are kept here of a body. A head is none: it is bounded for itself."""
        return 0 if self._head is None else len(self._bytes) + len(self._chunks)

    def feed(self, data: bytes) -> None:
        """Take over what arrived."""
        self._bytes += data

    def take(self) -> Received | None:
        """Give the next request, if all of it is there, or if it is larger than the limit.

        Raises:
            BadFraming: it is none.
        """
        if self._head is None and not self._take_head():
            return None
        head, too_large = self._head or b"", False
        try:
            body = self._chunked() if self._length is None else self._of_length(self._length)
        except _TooLarge:
            body, too_large = b"", True
        if body is None:
            return None
        self._head, self._length, self._searched = None, None, 0
        self._chunks, self._in_trailers, self.expects_continue = bytearray(), False, False
        return Received(head, body, too_large)

    def _take_head(self) -> bool:
        while self._bytes.startswith(b"\r\n"):  # some clients send an empty line after a body
            del self._bytes[:2]
        end = self._bytes.find(END_OF_HEAD, max(0, self._searched - len(END_OF_HEAD)))
        if (end if end >= 0 else len(self._bytes)) > MOST_HEAD_BYTES:
            raise BadFraming(
                431, "request_header_fields_too_large", f"the headers exceed {MOST_HEAD_BYTES:,} bytes"
            )
        if end < 0:
            self._searched = len(self._bytes)
            return False
        end += len(END_OF_HEAD)
        head = bytes(self._bytes[:end])
        self._understand(head)
        del self._bytes[:end]
        self._head, self._most = head, self._most_of(head)
        return True

    def _understand(self, head: bytes) -> None:
        found: dict[bytes, bytes] = {}
        for name, value in HEADERS.findall(head):
            if name.lower() in found:
                raise BadFraming(400, "bad_request", f"the header {name.decode()} is there twice")
            found[name.lower()] = value.strip()
        length, encoding = found.get(b"content-length"), found.get(b"transfer-encoding")
        if encoding is not None and (length is not None or encoding.lower() != b"chunked"):
            raise BadFraming(
                400, "bad_request", "the body must have a length or come in chunks, not otherwise"
            )
        if length is not None and not LENGTH.fullmatch(length):
            raise BadFraming(400, "bad_request", "the header content-length is no number")
        self._length = None if encoding is not None else int(length or 0)
        self.expects_continue = found.get(b"expect", b"").lower() == b"100-continue"

    def _of_length(self, length: int) -> bytes | None:
        """The body; None: there is more to come."""
        if length > self._most:
            raise _TooLarge
        if len(self._bytes) < length:
            return None
        body = bytes(memoryview(self._bytes)[:length])
        del self._bytes[:length]
        return body

    def _chunked(self) -> bytes | None:
        """The body, decoded; None: there is more to come."""
        if not self._most:  # not even trailers are waited for
            raise _TooLarge
        at = 0
        try:
            while not self._in_trailers:
                line = self._bytes.find(b"\r\n", at, at + MOST_SIZE_LINE)
                stated = CHUNK_SIZE.fullmatch(self._bytes, at, line) if line >= 0 else None
                if stated is None:
                    if line >= 0 or len(self._bytes) - at >= MOST_SIZE_LINE:
                        raise BadFraming(400, "bad_request", "a chunk of the body has no size")
                    return None
                size, start = int(stated[1], 16), line + 2
                end = start + size
                if len(self._chunks) + size > self._most:
                    raise _TooLarge
                if size == 0:
                    at, self._in_trailers = line, True
                elif len(self._bytes) < end + 2:
                    return None
                elif self._bytes[end : end + 2] != b"\r\n":
                    raise BadFraming(400, "bad_request", "a chunk of the body is longer than it says")
                else:
                    self._chunks += self._bytes[start:end]
                    at = end + 2
            # What trailers say is left out; the empty line after them ends the body.
            done = self._bytes.find(END_OF_HEAD, at)
            if done < 0 and len(self._bytes) - at > MOST_HEAD_BYTES:
                raise BadFraming(400, "bad_request", f"the trailers exceed {MOST_HEAD_BYTES:,} bytes")
            at = at if done < 0 else done + len(END_OF_HEAD)
            return None if done < 0 else bytes(self._chunks)
        finally:
            del self._bytes[:at]
