"""How many parts a protobuf message has, told before anything is made of it.

The decoder, which is pure Python, takes microseconds and hundreds of bytes for each of them, and in a list of
nothing a part has two bytes. Strings and bytes are passed over: no picture is a part.
"""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

MOST_PARTS = 10_000
"""As of JSON (``serving.json_parts``); so many are counted and decoded in tenths of a second."""
VARINT, OF_LENGTH = 0, 2
SIZES = {1: 8, 3: 0, 4: 0, 5: 4}
"""Of the content of the other wire types: 64 and 32 bits, and the beginning and the end of a group."""
MOST_VARINT_BYTES = 10
TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


class BadWireFormat(ValueError):
    """The bytes are no message."""


def too_many_parts(message: bytes, kind: Descriptor) -> bool:
    """Whether a message of a kind has more than ``MOST_PARTS`` fields and numbers, its messages' included.

    Raises:
        BadWireFormat: the message breaks off, or what is in it reaches over its end.
    """
    count, inside = 0, [(0, len(message), kind)]
    while inside:
        place, end, kind = inside.pop()
        while place < end:
            start, place, field = _field(message, place, kind)
            if place > end:
                raise BadWireFormat("a field reaches over the end")
            count += 1
            if field is not None and field.message_type is not None:
                inside.append((start, place, field.message_type))
            elif field is not None and field.type not in TEXTS:
                count += place - start  # numbers, of which each may have one byte
            if count > MOST_PARTS:
                return True
    return False


def _field(message: bytes, place: int, kind: Descriptor) -> tuple[int, int, FieldDescriptor | None]:
    """Where a field's content begins and ends, and which it is where that may hold more of them."""
    tag, start = _varint(message, place)
    wire = tag & 7
    if wire == OF_LENGTH:
        size, start = _varint(message, start)
        return start, start + size, kind.fields_by_number.get(tag >> 3)
    if wire == VARINT:
        return start, _varint(message, start)[1], None
    if wire not in SIZES:
        raise BadWireFormat(f"there is no wire type {wire}")
    return start, start + SIZES[wire], None


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for index, byte in enumerate(message[place : place + MOST_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that it goes on
            return number, place + index + 1
    raise BadWireFormat("a number does not end")
