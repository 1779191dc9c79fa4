"""Find the names of persons in text: by the census's lists, and by what stands around a name.

A catalogue is full of words that are names elsewhere ("Calvin Klein Jeans", "Ruby Red"). So a name needs
more than capitals: both its parts in the lists, or one of them in a sentence, or a word such as "Mrs" before
it, or a column called ``photographer``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

from steps.data.personal_data.given_names import ELSEWHERE
from steps.data.personal_data.product_words import BRANDS, PHRASES, WORDS, words

TOKEN = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*\.?")
PARTICLES = words("""
al bin binti da das de del della den der di dos du el la le ten ter van vom von y zu zur
""")
HONORIFICS = words("""
mr mrs ms miss mister madam dr prof professor herr herrn frau mme mlle monsieur madame sr sra senor senora
signor signora sig dhr mevr pan pani
""")
INTRODUCTIONS = words("""
ansprechpartner attn author autor by client contact customer dear fotograf foto fotografin hello hi kontakt
kunde kundin liebe lieber model par photo photographer photograph von par sincerely
""")
"""Words before a person's name; what follows them needs only two capitals."""
FORMS = words("""
and by for from in mit of or the und with without a an on to aus fuer
""")
"""Small words that a title has too: they make no sentence."""

PERSON_COLUMNS = words("""
annotator ansprechpartner apellido author autor buyer client contact contributor creator customer editor
employee firstname forename fotograf fotografin fullname givenname kontakt kunde kundin labeller lastname
mitarbeiter nachname nombre owner patient person photographe photographer prenom recipient reviewer
retoucher stylist surname uploader user username vorname
""")
PERSON_COLUMN_PAIRS = frozenset({"first name", "last name", "full name", "given name", "family name"})
NOT_OF_PERSONS = words("""
city code comment count country date email gender group id language mail nr note number phone rating region
segment status tel text time type url website
""")
"""A column such as ``customer_group`` or ``customer_note`` holds no names alone."""
MOST_WORDS = 3
"""A title with more capitals in a row is no name."""
MOST_WORDS_IN_COLUMN = 5

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Word:
    """A word of a text: where it stands, and how the lists write it."""

    start: int
    end: int
    folded: str
    capital: bool
    parts: frozenset[str]
    """Of a name with a hyphen, each half and both as one word."""

    @property
    def particle(self) -> bool:
        """Whether it is small and stands inside a name."""
        return not self.capital and self.folded in PARTICLES


@cache
def fold(text: str) -> str:
    """Write as the census does, in small letters: no accents, apostrophes, hyphens or points."""
    text = text.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("ł", "l").replace("Ł", "L")
    text = text.replace("ı", "i").replace("đ", "d").replace("Đ", "D").replace("ð", "d").replace("þ", "th")
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z ]", "", plain)


@cache
def given_names() -> frozenset[str]:
    """Given names of the census of the United States of 1990 and of elsewhere, folded."""
    return _listed("dist.female.first") | _listed("dist.male.first") | ELSEWHERE


@cache
def surnames() -> frozenset[str]:
    """Surnames of the same census, folded."""
    return _listed("dist.all.last")


def _listed(file: str) -> frozenset[str]:
    lines = files("names").joinpath(file).read_text(encoding="ascii").splitlines()
    return frozenset(line.split(maxsplit=1)[0].lower() for line in lines)


def holds_persons(column: str) -> bool:
    """Whether a column is called as one that holds names of persons, such as ``customer_name``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    words = [fold(word) for word in re.findall(r"[^\W\d_]+", spaced)]
    pairs = {" ".join(pair) for pair in pairwise(words)}
    named = bool(PERSON_COLUMNS & set(words) or PERSON_COLUMN_PAIRS & pairs)
    return named and not NOT_OF_PERSONS & set(words)


def find_names(
    text: str, *, of_persons: bool = False, allowed: frozenset[str] = NOTHING
) -> list[tuple[int, int]]:
    """Where names of persons stand.

    Args:
        text: a value of a column.
        of_persons: the column is called as one that holds persons.
        allowed: folded names that are none of persons, such as the brands of the catalogue.

    Returns:
        Start and end of each, in order.
    """
    words = [_word(found) for found in TOKEN.finditer(text)]
    if of_persons and len(words) <= MOST_WORDS_IN_COLUMN and not any(sign.isdigit() for sign in text):
        return _whole_value(text, words, allowed)
    sentence = sum(not word.capital and word.folded not in FORMS | PARTICLES for word in words) > 0
    runs = _runs(text, words)
    # A value of nothing but two or three capitals needs a given name only; a title says more than that.
    alone = len(runs) == 1 and (runs[0][1][0].start, runs[0][1][-1].end) == (0, len(text))
    found = (_name_in(run, before, sentence, alone, allowed) for before, run in runs)
    return [span for span in found if span is not None]


def _word(found: re.Match[str]) -> Word:
    text = found.group()
    folded = fold(text)
    parts = frozenset({folded, *map(fold, text.split("-"))}) if "-" in text else frozenset({folded})
    return Word(found.start(), found.end(), folded, text[0].isupper(), parts)


def _whole_value(text: str, words: Sequence[Word], allowed: frozenset[str]) -> list[tuple[int, int]]:
    """The value of a column of persons: a name, unless it says something else."""
    title = [word for word in words if word.folded not in HONORIFICS]
    full = [word for word in title if not word.particle]
    if not full or _is_allowed(full, allowed) or fold(text).strip() in ("na", "nan", "null"):
        return []
    if len(full) == 1:
        known = full[0].folded in given_names() | surnames() or len(words) > len(full)
        return [(full[0].start, full[0].end)] if known and not _is_product(full[0], allowed) else []
    if all(_is_product(word, allowed) for word in full) or full[-1].folded in {"gmbh", "inc", "ltd", "ag"}:
        return []
    if any(_is_product(word, allowed) for word in full) and full[0].folded not in given_names():
        return []
    return [(title[0].start, title[-1].end)]


def _runs(text: str, words: Sequence[Word]) -> list[tuple[str, list[Word]]]:
    """Capitals in a row, with the word before each row (folded); particles may stand inside."""
    runs: list[tuple[str, list[Word]]] = []
    run: list[Word] = []
    before = ""
    for word in words:
        touching = bool(run) and text[run[-1].end : word.start] == " "
        if run and not (touching and (word.capital or word.particle)):
            runs.append((before, run))
            before, run = run[-1].folded, []
        if word.capital or run:
            run.append(word)
        else:
            before = word.folded
    if run:
        runs.append((before, run))
    return [(before, _without_last_particles(run)) for before, run in runs]


def _without_last_particles(run: list[Word]) -> list[Word]:
    while run[-1].particle:
        run = run[:-1]
    return run


def _name_in(
    run: list[Word], before: str, sentence: bool, alone: bool, allowed: frozenset[str]
) -> tuple[int, int] | None:
    """The name that a row of capitals is, less the words that introduce it."""
    if _is_allowed(run, allowed):
        return None
    polite, introduced = before in HONORIFICS, before in INTRODUCTIONS
    while run and run[0].folded in HONORIFICS | INTRODUCTIONS:
        polite = polite or run[0].folded in HONORIFICS
        introduced, run = True, run[1:]
    full = [word for word in run if not word.particle]
    if not full or len(full) > MOST_WORDS + (sentence or introduced):
        return None
    after_first = run[run.index(full[0]) + 1 :]
    last = full[-1].parts | {"".join(word.folded for word in after_first)}  # de Vries is listed as devries
    if polite:
        sure = not _is_product(full[-1], allowed) or bool(last & surnames())
    else:
        sure = len(full) > 1 and _is_name(full, last, introduced, sentence, alone, allowed)
    return (run[0].start, run[-1].end) if sure else None


def _is_name(
    full: Sequence[Word],
    last: frozenset[str],
    introduced: bool,
    sentence: bool,
    alone: bool,
    allowed: frozenset[str],
) -> bool:
    """Whether two or more capitals are a name: the more stands around them, the less the lists must know."""
    given = bool(full[0].parts & given_names()) and not _is_product(full[0], allowed)
    if any(_is_product(word, allowed) for word in full):
        return introduced and given
    if sentence:
        return introduced or given or bool(last & (given_names() | surnames()))
    return introduced or (given and (alone or bool(last & surnames())))


def _is_product(word: Word, allowed: frozenset[str]) -> bool:
    """Whether a word is one of catalogues."""
    folded = word.folded
    return bool({folded, folded.removesuffix("s"), folded.removesuffix("es")} & WORDS) or folded in allowed


def _is_allowed(run: Sequence[Word], allowed: frozenset[str]) -> bool:
    """Whether a brand, or a thing that is called like a person, is part of these words."""
    folded = [word.folded for word in run]
    phrases = {
        " ".join(folded[start:end])
        for start in range(len(folded))
        for end in range(start + 2, min(len(folded), start + 4) + 1)
    }
    return bool(phrases & (BRANDS | PHRASES | allowed))
