"""Planted personal data that is found, and false alarms on data that has none."""

from __future__ import annotations

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.photographs import photographs
from steps.data.personal_data.columns import scan_columns
from steps.data.personal_data.faces import HaarFaces
from steps.data.personal_data.pictures import Detector, examine_picture
from steps.data.personal_data.texts import RapidTexts
from tests.steps.data import personal_examples as planted

WRITTEN, OTHERS, CATALOGUE, EVERY = 100, 50, 5_000, 30
"""Planted addresses and numbers; names, faces and texts; rows of a catalogue; one photograph of so many."""
MOST_FACES, MOST_TEXTS = 0.05, 0.25
"""Shares of photographs of clothing; nearly all text that is read is printed on them: no false alarm."""


def measure() -> list[Claim]:
    """Rates in percent: each value the only one of its column, each picture by itself."""
    columns = {
        "e-mail addresses": ("e-mail", planted.emails(WRITTEN), 95),
        "phone numbers": ("phone", planted.phones(WRITTEN), 95),
        "names in sentences": ("name", planted.person_texts(OTHERS), 80),
        "names alone": ("name", planted.persons(OTHERS), 80),
    }
    claims = [
        _rate(name, planted.found_alone(values, kind), len(values), bar)
        for name, (kind, values, bar) in columns.items()
    ]
    pictures: dict[str, tuple[Detector, list[planted.Planted]]] = {
        "faces": (HaarFaces(), planted.faces(OTHERS)),
        "texts": (RapidTexts(), planted.texts(OTHERS)),
    }
    for name, (detector, examples) in pictures.items():
        found = sum(planted.hit(detector.find(each.image), each.box) for each in examples)
        claims.append(_rate(name, found, len(examples), 80))
    alarms = len(scan_columns(planted.catalogue(CATALOGUE)))
    claims.append(
        at_most(f"false alarms on a catalogue of {CATALOGUE:,} rows, in its columns", alarms, 0, "columns")
    )
    return claims + _false_alarms(photographs()[::EVERY])


def _false_alarms(some: list[bytes]) -> list[Claim]:
    if not some:
        return []
    found = [examine_picture(data, 1) for data in some]
    faces, texts = sum(bool(each.faces) for each in found), sum(bool(each.texts) for each in found)
    named = f"photographs of clothing, of {len(some)}"
    return [
        at_most(f"faces seen on {named}", faces, MOST_FACES * len(some), "pictures"),
        at_most(f"texts read on {named}", texts, MOST_TEXTS * len(some), "pictures"),
    ]


def _rate(name: str, found: int, planted_number: int, bar: float) -> Claim:
    return at_least(
        f"planted {name} that are found, of {planted_number}", 100 * found / planted_number, bar, "%"
    )
