"""Find phone numbers among prices, article numbers, EANs, dates, sizes and addresses of machines.

A number with its country's prefix speaks for itself. Without one it has to be valid in one of the regions
and to be grouped as people there group it. Digits without any grouping count only where a word or the
column's name says that they are a phone number, or as a mobile number with its leading zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from steps.data.personal_data.product_words import words

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

CANDIDATE = re.compile(
    r"(?<![\w.,/#+@-])(?P<number>(?:\+\s?|\(\+|00)?\(?\d(?:[\s()./-]{0,4}\d){6,17})"
    r"(?:\s*(?:extension|ext\.?|x|durchwahl)\s*\d{1,5})?(?![\w@]|[.,/-]\d)",
    re.IGNORECASE,
)
INTRODUCED = re.compile(
    r"(?:phone|telef\w*|tel|fon|fax|mobile?|cell|handy|whats\s?app|call|ruf\w*|rückfragen|sms)\W{0,3}$",
    re.IGNORECASE,
)
INTRODUCTION_LENGTH = 20
PHONE_COLUMNS = words("""
phone phones telephone telefon telefono tel mobile mobil handy cell cellphone fax whatsapp phonenumber
telefonnummer
""")
CODE_COLUMNS = words("""
sku ean gtin upc asin isbn barcode code article artikel artikelnummer item product style id image path file
price size dimensions ip digest hash time date captured updated created position order reference ref serial
lot batch
""")
TEXT_COLUMNS = words("""
comment description message note notes remark remarks text title
""")
NOT_PHONE = re.compile(
    r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}(?!\d).*"  # 2024-11-28, with or without a time
    r"|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d{2}(?!\d).*"  # 28.11.2024
    r"|\d{1,3}(?:\.\d{1,3}){3}"  # 192.168.10.12
    r"|\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{1,2})?"  # 1.299.000,00
    r"|\d+\.\d+|\d+[-/]\d{1,2}"  # 52.520008, 1000000-2
    r"|\d \d{6} \d{6}|\d \d{5} \d{5} \d"  # an EAN or UPC as it is printed
)
LEAST_INTERNATIONAL = 12
"""Digits of a number such as 00491711234567; zeros pad article numbers too."""


def holds_phones(column: str) -> bool:
    """Whether a column is called as one of phone numbers."""
    return bool(_words(column) & PHONE_COLUMNS)


def holds_codes(column: str) -> bool:
    """Whether a column is called as one of article numbers, prices, times or sizes."""
    return bool(_words(column) & CODE_COLUMNS) and not _words(column) & TEXT_COLUMNS


def find_phone_numbers(
    text: str, regions: Sequence[str], *, of_phones: bool = False, of_codes: bool = False
) -> list[tuple[int, int]]:
    """Where phone numbers stand.

    Args:
        text: a value of a column.
        regions: where a number without a country's prefix may be from, ISO 3166 in capitals.
        of_phones: the column is called as one of phone numbers.
        of_codes: the column is called as one of codes; there only a prefix, ``+`` or a word counts.

    Returns:
        Start and end of each, in order.
    """
    found = []
    for candidate in CANDIDATE.finditer(text):
        before = text[max(0, candidate.start() - INTRODUCTION_LENGTH) : candidate.start()]
        introduced = of_phones or bool(INTRODUCED.search(before))
        number = candidate["number"]
        opened = number.startswith("(") and number.count("(") > number.count(")")  # the text's bracket
        if _is_phone(number[opened:], regions, introduced=introduced, of_codes=of_codes):
            found.append((candidate.start() + opened, candidate.end()))
    return found


def _is_phone(number: str, regions: Sequence[str], *, introduced: bool, of_codes: bool) -> bool:
    digits = re.sub(r"\D", "", number)
    if "+" in number[:2]:
        return _possible(number)
    if not introduced and (of_codes or NOT_PHONE.fullmatch(number)):
        return False
    grouped = digits != number
    if digits.startswith("00"):
        enough = introduced or grouped or len(digits) >= LEAST_INTERNATIONAL
        return enough and _possible("+" + digits[2:], valid=True)
    if introduced:
        return any(_valid(number, region) is not None for region in regions)
    if not grouped:
        return _is_bare_mobile(digits, regions)
    return any(_grouped_as_there(number, region) for region in regions)


def _possible(number: str, *, valid: bool = False) -> bool:
    """Whether a number with its country's prefix can be one; fictional ones have no owner and count too."""
    from phonenumbers import NumberParseException, is_possible_number, is_valid_number, parse

    try:
        parsed = parse(number, None)
    except NumberParseException:
        return False
    return bool(is_valid_number(parsed) if valid else is_possible_number(parsed))


def _valid(number: str, region: str) -> PhoneNumber | None:
    """The number as one of ``region``, when that gave such numbers out."""
    from phonenumbers import NumberParseException, is_valid_number_for_region, parse

    try:
        parsed = parse(number, region)
    except NumberParseException:
        return None
    return parsed if is_valid_number_for_region(parsed, region) else None


def _is_bare_mobile(digits: str, regions: Sequence[str]) -> bool:
    """``07400123456``: a leading zero and a mobile number behind it."""
    from phonenumbers import PhoneNumberType, number_type

    if not digits.startswith("0") or len(digits) not in (10, 11):
        return False
    numbers = (_valid(digits, region) for region in regions)
    return any(number is not None and number_type(number) == PhoneNumberType.MOBILE for number in numbers)


def _grouped_as_there(number: str, region: str) -> bool:
    """Whether a number is valid in a region and written as there.

    With a leading zero or a bracket its first group, the area, has to be the region's; without, all groups.
    """
    groups: tuple[str, ...] = tuple(re.findall(r"\d+", number))
    marked = number.startswith(("0", "("))
    if not marked and tuple(map(len, groups)) not in _groupings(region):
        return False
    parsed = _valid(number, region)
    if parsed is None:
        return False
    from phonenumbers import PhoneNumberFormat, format_number

    written: tuple[str, ...] = tuple(re.findall(r"\d+", format_number(parsed, PhoneNumberFormat.NATIONAL)))
    if marked:
        return groups[0] == written[0]
    return groups == written or groups == (str(parsed.country_code), *written)


@cache
def _groupings(region: str) -> frozenset[tuple[int, ...]]:
    """The lengths of the groups of the region's numbers, with its trunk prefix before them and without."""
    from itertools import product

    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None:
        return frozenset()
    lengths: set[tuple[int, ...]] = set()
    for form in metadata.number_format:
        groups = re.findall(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)", form.pattern or "")
        lengths.update(product(*(_lengths(group) for group in groups)))
    country = len(str(metadata.country_code))
    return frozenset(lengths | {(country, *each) for each in lengths})


def _lengths(group: str) -> list[int]:
    r"""How many digits a group such as ``\d{2,4}`` or ``[2-9]\d{8}`` takes."""
    parts = re.findall(r"(?:\\d|\[[^\]]*\]|\d)(?:\{(\d+)(?:,(\d+))?\})?", group)
    least = sum(int(low or 1) for low, _ in parts)
    most = sum(int(high or low or 1) for low, high in parts)
    return list(range(least, most + 1))


def _words(column: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    return set(re.findall(r"[^\W\d_]+", spaced.lower()))
