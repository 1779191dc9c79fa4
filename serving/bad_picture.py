"""Why a picture cannot be used."""

from typing import Literal

Reason = Literal[
    "empty", "not_an_image", "truncated", "too_many_pixels", "too_many_bytes", "too_small", "odd_shape"
]


class BadPicture(ValueError):
    """A picture that cannot be used: ``reason``, a code, and ``message``, with the measure and the limit."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type["BadPicture"], tuple[Reason, str]]:
        """As it was made: the processes that examine pictures send it to their parent."""
        return BadPicture, (self.reason, self.message)
