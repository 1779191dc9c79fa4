"""Why a picture cannot be used."""

from serving.reasons import UnusableReason


class BadPicture(ValueError):
    """A picture that cannot be used: ``reason``, a code, and ``message``, with the measure and the limit."""

    def __init__(self, reason: UnusableReason, message: str) -> None:
        super().__init__(message)
        self.reason: UnusableReason = reason
        self.message = message

    def __reduce__(self) -> tuple[type["BadPicture"], tuple[UnusableReason, str]]:
        """As it was made: the processes that examine pictures send it to their parent."""
        return BadPicture, (self.reason, self.message)
