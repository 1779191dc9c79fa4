"""How many parts a body of JSON has, told before anything is made of it.

A parser makes an object of every few bytes, in one call during which no other thread of the process runs: of
32 MB of ``{},{},…`` it takes seconds, and more than a gigabyte. Base64 has none of the counted characters.
"""

MOST_PARTS = 10_000
"""A batch of 16 pictures has some fifty, and ``meta`` a few more; so many are parsed in milliseconds."""
BEFORE_A_PART = "{[,"


def too_many_parts(body: bytes | str) -> bool:
    """Whether a body of JSON has more than ``MOST_PARTS`` objects, lists and members of them."""
    if isinstance(body, bytes):
        return sum(body.count(one.encode()) for one in BEFORE_A_PART) > MOST_PARTS
    return sum(map(body.count, BEFORE_A_PART)) > MOST_PARTS
