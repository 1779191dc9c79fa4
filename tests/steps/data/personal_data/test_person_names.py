"""Tests of steps/data/personal_data/person_names.py."""

import pytest

from steps.data.personal_data.person_names import find_names, fold, holds_persons


def names_in(text: str, *, of_persons: bool = False) -> list[str]:
    """The found parts of a text."""
    return [text[start:end] for start, end in find_names(text, of_persons=of_persons)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("called Jürgen Groß about it", ["Jürgen Groß"]),
        ("Mrs. Smith and Herr Weiß complained", ["Smith", "Weiß"]),
        ("Photo: Jean-Luc Moreau", ["Jean-Luc Moreau"]),
        ("given to Sofie van den Berg in June", ["Sofie van den Berg"]),
        ("William J. Carter", ["William J. Carter"]),
        ("MARY O'CONNOR", ["MARY O'CONNOR"]),
        ("Emma Brown", []),  # a dress called Emma, in brown
    ],
)
def test_a_name_is_found_whole(text: str, found: list[str]) -> None:
    """With particles, initials and accents, without the word that introduces it."""
    assert names_in(text) == found


@pytest.mark.parametrize(
    ("column", "holds"),
    [
        ("photographer", True), ("customer_name", True), ("First Name", True), ("contactPerson", True),
        ("product_name", False), ("name", False), ("customer_id", False), ("customer_group", False),
        ("colour", False),
    ],
)  # fmt: skip
def test_a_column_says_that_it_holds_persons(column: str, holds: bool) -> None:
    """By a word of its name, unless another word says otherwise."""
    assert holds_persons(column) is holds


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Schmidt, Anna", ["Schmidt, Anna"]),
        ("thandiwe nkosi", ["thandiwe nkosi"]),
        ("Emma Brown", ["Emma Brown"]),
        ("Anna", ["Anna"]),
        ("Otto GmbH", []),
        ("Studio Street", []),
        ("n/a", []),
        ("K-4471", []),
    ],
)
def test_a_column_of_persons_holds_names_in_any_writing(value: str, found: list[str]) -> None:
    """But companies and codes are none."""
    assert names_in(value, of_persons=True) == found


def test_names_are_folded_as_the_census_writes_them() -> None:
    """Accents, strokes and apostrophes go."""
    assert [fold(name) for name in ("Łukasz", "Søren", "Groß", "O'Connor", "Yılmaz")] == [
        "lukasz", "soren", "gross", "oconnor", "yilmaz",
    ]  # fmt: skip
