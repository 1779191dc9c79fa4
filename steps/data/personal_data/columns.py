"""Find e-mail addresses, phone numbers and names of persons in the columns of a delivery, and mask them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from steps.data.personal_data.person_names import find_names, fold, holds_persons
from steps.data.personal_data.phone_numbers import find_phone_numbers, holds_codes, holds_phones
from steps.data.personal_data.product_words import words
from steps.data.personal_data.settings import PersonalDataSettings

Kind = Literal["e-mail", "phone", "name"]
Span = tuple[int, int]

KINDS: tuple[Kind, ...] = ("e-mail", "phone", "name")
PACKAGES: dict[Kind, str] = {"phone": "phonenumbers", "name": "names"}
"""What a kind needs; without it the kind is not looked for, and ``missing_packages`` says so."""
EXAMPLES = 3
PERSONS_SHARE = 0.3
"""Of the distinct values; in a generated catalogue it is 0, in names of persons of many countries 0.87."""
LEAST_DISTINCT = 5
SAMPLE = 1000

EMAIL = re.compile(
    r"(?<![\w.+-])[^\W_](?:[\w.!#$%&'*+/=?^`{|}~-]{0,62}[\w!#$%&'*+/=?^`{|}~-])?"
    r"(?:@|\s?[(\[]\s?(?:at|@|ät)\s?[)\]]\s?)"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?(?:\.|\s?[(\[]\s?(?:dot|punkt|\.)\s?[)\]]\s?)){1,8}"
    r"[^\W\d_](?:[\w-]{0,61}[^\W_])",
    re.IGNORECASE,
)
"""``local@domain.tld``: letters of any script, and ``local (at) domain (dot) tld``."""
FILE_ENDINGS = words("""
avif bmp csv gif heic jpeg jpg json mp4 pdf png svg tif tiff txt webp xml zip
""")
"""``logo@2x.png`` is a file."""

# What a value must hold to be read at all; RE2 runs over a whole column at once.
MAY_HOLD: dict[Kind, str] = {
    "e-mail": r"@|(?i:[(\[]\s?(?:at|ät)\s?[)\]])",
    "phone": r"\d(?:[\s()./+-]{0,4}\d){6}",
    "name": r"\p{Lu}[\p{L}'’-]*\.?[\s:]+(?:\p{Ll}+\s){0,3}\p{Lu}",
}


@dataclass(frozen=True)
class Finding:
    """Personal data of one kind in one column; ``examples`` are masked, for reports are kept."""

    column: str
    kind: Kind
    rows: int
    examples: tuple[str, ...]


def missing_packages() -> dict[Kind, str]:
    """The kinds that are not looked for, each with the package that is not installed."""
    return {kind: package for kind, package in PACKAGES.items() if find_spec(package) is None}


def text_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that hold text."""
    return [str(name) for name in frame.columns if pd.api.types.is_string_dtype(frame[name].dtype)]


def scan_columns(
    frame: pd.DataFrame,
    columns: Sequence[str] | None = None,
    settings: PersonalDataSettings | None = None,
) -> list[Finding]:
    """Look through columns of text.

    Args:
        frame: one row a picture.
        columns: which columns; all of text when None.
        settings: regions of phone numbers, and the columns whose values may be names.

    Returns:
        One finding for each column and kind that has any. Kinds of :func:`missing_packages` have none.
    """
    settings = settings or PersonalDataSettings()
    kinds = [kind for kind in KINDS if kind not in missing_packages()]
    allowed = _allowed_names(frame, settings)
    findings = []
    for column in text_columns(frame) if columns is None else columns:
        values = _values(frame[column])
        for kind in kinds:
            find = _finder(kind, frame[column], settings, allowed)
            if find is None:
                continue
            found = {value: spans for value in _candidates(values, kind, column) if (spans := find(value))}
            if found:
                rows = sum(values[value] for value in found)
                some = list(found.items())[:EXAMPLES]
                examples = tuple(_masked_example(kind, value[slice(*spans[0])]) for value, spans in some)
                findings.append(Finding(column, kind, rows, examples))
    return findings


def mask_columns(
    frame: pd.DataFrame, findings: Sequence[Finding], settings: PersonalDataSettings | None = None
) -> pd.DataFrame:
    """Replace what was found, and nothing else, by ``[e-mail]``, ``[phone]`` or ``[name]``.

    Args:
        frame: the frame that was scanned.
        findings: what the scan returned.
        settings: the scan's.

    Returns:
        A copy.
    """
    settings = settings or PersonalDataSettings()
    allowed = _allowed_names(frame, settings)
    masked = frame.copy()
    for finding in sorted(findings, key=lambda finding: KINDS.index(finding.kind)):
        column, kind = finding.column, finding.kind
        find = _finder(kind, frame[column], settings, allowed)
        if find is None:
            continue
        candidates = _candidates(_values(masked[column]), kind, column)
        new = {value: _replaced(value, spans, f"[{kind}]") for value in candidates if (spans := find(value))}
        values = [new.get(value, value) for value in masked[column]]
        masked[column] = pd.Series(values, masked.index, dtype=frame[column].dtype)
    return masked


def find_emails(text: str) -> list[Span]:
    """Where e-mail addresses stand."""
    return [
        found.span()
        for found in EMAIL.finditer(text)
        if found.group().rpartition(".")[2].lower() not in FILE_ENDINGS
    ]


def _finder(
    kind: Kind, values: pd.Series, settings: PersonalDataSettings, allowed: frozenset[str]
) -> Callable[[str], list[Span]] | None:
    """What finds a kind in the values of a column; None where the column may hold it."""
    column = str(values.name)
    if kind == "e-mail":
        return find_emails
    if kind == "phone":
        return partial(
            find_phone_numbers,
            regions=settings.regions,
            of_phones=holds_phones(column),
            of_codes=holds_codes(column),
        )
    if column in settings.allowed_columns:
        return None
    of_persons = holds_persons(column) or _are_persons(values, allowed)
    return partial(find_names, of_persons=of_persons, allowed=allowed)


def _are_persons(values: pd.Series, allowed: frozenset[str]) -> bool:
    """Whether so many values of a column are names by the lists that the rest are names too."""
    distinct = values.dropna().unique()[:SAMPLE]
    sure = sum(find_names(str(value), allowed=allowed) == [(0, len(str(value)))] for value in distinct)
    return len(distinct) >= LEAST_DISTINCT and sure >= PERSONS_SHARE * len(distinct)


def _values(column: pd.Series) -> dict[str, int]:
    """Each value once, with the rows that have it."""
    return {str(value): int(count) for value, count in column.dropna().value_counts(sort=False).items()}


def _candidates(values: dict[str, int], kind: Kind, column: str) -> dict[str, int]:
    """The values that may hold a kind; a column of persons may write a name in any way."""
    if not values or (kind == "name" and holds_persons(column)):
        return values
    array = pa.array(values.keys(), pa.large_string())
    may = pc.match_substring_regex(array, MAY_HOLD[kind]).to_pylist()
    return {value: count for (value, count), chosen in zip(values.items(), may, strict=True) if chosen}


def _allowed_names(frame: pd.DataFrame, settings: PersonalDataSettings) -> frozenset[str]:
    """The values of the allowed columns, folded: a brand in a title is no person."""
    present = [column for column in settings.allowed_columns if column in frame]
    return frozenset(
        " ".join(fold(str(value)).split()) for column in present for value in frame[column].dropna().unique()
    )


def _replaced(value: str, spans: Sequence[Span], mask: str) -> str:
    for start, end in sorted(spans, reverse=True):
        value = value[:start] + mask + value[end:]
    return value


def _masked_example(kind: Kind, found: str) -> str:
    """So much of a value that a person finds it again, and nobody can use it."""
    if kind == "e-mail":
        return f"{found[0]}…@…"
    if kind == "phone":
        return f"{found[:2]}…"
    return " ".join(f"{word[0]}…" for word in found.split())
