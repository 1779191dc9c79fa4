"""Tests of steps/data/personal_data/phone_numbers.py."""

import pytest

from steps.data.personal_data.phone_numbers import find_phone_numbers, holds_codes, holds_phones
from steps.data.personal_data.settings import REGIONS


def phones_in(text: str, column: str = "note", regions: tuple[str, ...] = REGIONS) -> list[str]:
    """The found parts of a text."""
    of_phones, of_codes = holds_phones(column), holds_codes(column)
    spans = find_phone_numbers(text, regions, of_phones=of_phones, of_codes=of_codes)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Tel. (030) 23125 999!", ["(030) 23125 999"]),
        ("(+49 171 1234567)", ["+49 171 1234567"]),
        ("(1-415-555-2671)", ["1-415-555-2671"]),
        ("+1 415 555 2671 ext. 12 or 020 7946 0958", ["+1 415 555 2671 ext. 12", "020 7946 0958"]),
        ("call 4155552671", ["4155552671"]),
        ("07400123456", ["07400123456"]),
    ],
)
def test_a_number_is_found_whole(text: str, found: list[str]) -> None:
    """With its brackets and its extension, without the brackets around it."""
    assert phones_in(text) == found


def test_bare_digits_count_only_where_something_says_so() -> None:
    """A word before them, or the column's name."""
    assert phones_in("4155552671") == []
    assert phones_in("4155552671", "phone") == ["4155552671"]
    assert phones_in("4155552671", "customerMobile") == ["4155552671"]


def test_a_column_of_codes_holds_no_national_number() -> None:
    """An article number may look like one; a country's prefix never does."""
    assert phones_in("415-555-2671", "sku") == []
    assert phones_in("415-555-2671", "note") == ["415-555-2671"]
    assert phones_in("+1 415-555-2671", "sku") == ["+1 415-555-2671"]


def test_a_national_number_counts_in_its_region_only() -> None:
    """Regions are a setting."""
    assert phones_in("415-555-2671", regions=("DE",)) == []
    assert phones_in("06 12 34 56 78", regions=("FR",)) == ["06 12 34 56 78"]
    assert phones_in("06 12 34 56 78", regions=("US",)) == []
