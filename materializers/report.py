"""What every decision and every set of numbers is stored as: JSON, and a page for the dashboard.

The digest of a report covers its JSON alone. Its page and pictures lie beside, so that a picture can be
erased without breaking the evidence.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import (
    BaseModel,
    ConfigDict,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)
from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

from materializers.blobs import write_blob
from materializers.errors import DamagedArtifact

if TYPE_CHECKING:
    from zenml.metadata.metadata_types import MetadataType

PAGES = Path(__file__).parent / "pages"
PAGE_PICTURE_BYTES = 1_000_000
"""Pictures that a page shows; base64 makes them a third larger, and the dashboard loads a page at once."""

COMMAND = re.compile(r"\bpython run\.py(?! --(?:config|set product\.model=))")
"""One that does not say yet which model it is about."""

SHORTEST, LONGEST = 0.001, 10
"""Between these three decimals are enough."""


def canonical_json(value: object) -> str:
    """``value`` as JSON with sorted keys and no spaces, which is the same wherever it is written."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def json_digest(value: object) -> str:
    """The sha256 (hex) of ``value`` as canonical JSON, in UTF-8."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Record(BaseModel):
    """A frozen record that knows its keys.

    A number that is not finite is stored as a string and read back as it was, so that a digest is the same
    before and after.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    @property
    def digest(self) -> str:
        """The sha256 of the record's canonical JSON."""
        return json_digest(self.model_dump(mode="json"))


class Report(Record):
    """A record that is an artifact: stored as JSON, shown as a page.

    A subclass names its page, a Jinja template in ``materializers/pages/`` that sees ``report``,
    ``pictures`` (name → data URI) and ``left_out``, the number of pictures that the page has no room for,
    which is ``picture_bytes``.
    A subclass whose format grew names the formats that it reads and the fields that came later; a report of
    an earlier format is read with their defaults and written without them, so that its digest stays.
    """

    template: ClassVar[str]
    picture_bytes: ClassVar[int] = PAGE_PICTURE_BYTES
    formats: ClassVar[tuple[int, ...]] = (1,)
    """The formats that can be read; the last is the one that is written."""
    later_fields: ClassVar[dict[str, int]] = {}
    """Fields that the first format lacks, with the format that brought them."""

    format_version: int = 1
    _pictures: dict[str, bytes] = PrivateAttr(default_factory=dict)

    @field_validator("format_version")
    @classmethod
    def _known(cls, version: int) -> int:
        if version not in cls.formats:
            known = ", ".join(str(each) for each in cls.formats)
            raise ValueError(f"format {version} is unknown: {known} can be read")
        return version

    @model_serializer(mode="wrap")
    def _in_its_format(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields that the report's own format has."""
        later = {name for name, since in self.later_fields.items() if since > self.format_version}
        values: dict[str, Any] = write(self)
        return {name: value for name, value in values.items() if name not in later}

    @property
    def pictures(self) -> dict[str, bytes]:
        """PNG pictures by name, outside the digest."""
        return self._pictures

    def with_pictures(self, pictures: dict[str, bytes]) -> Self:
        """The same report with these PNG pictures beside it.

        Raises:
            ValueError: a name cannot be a file's.
        """
        for name in pictures:
            if not name or name.startswith(".") or "/" in name:
                raise ValueError(f"A picture cannot be named {name!r}: the name is a file's.")
        copy = self.model_copy()
        copy._pictures = {**self._pictures, **pictures}
        return copy

    def headline(self) -> dict[str, MetadataType]:
        """The few values that answer the first question in the dashboard's metadata."""
        return {}

    def page(self) -> str:
        """The report as one HTML page, pictures inside."""
        return render_page(self.template, self, self._pictures, room=self.picture_bytes)


def render_page(
    template: str, report: object, pictures: dict[str, bytes], *, room: int = PAGE_PICTURE_BYTES
) -> str:
    """One HTML page.

    Args:
        template: a Jinja template in ``materializers/pages/``.
        report: what it shows, under the name ``report``; its ``digest`` is shown below.
        pictures: PNG pictures by name; those that the page has no room for are left out and counted.
        room: for pictures, in bytes.
    """
    inline: dict[str, str] = {}
    for name, data in pictures.items():
        if len(data) <= room:
            room -= len(data)
            inline[name] = "data:image/png;base64," + base64.b64encode(data).decode()
    left_out = len(pictures) - len(inline)
    return _pages().get_template(template).render(report=report, pictures=inline, left_out=left_out)


@cache
def _pages() -> Environment:
    """Once: it takes longer to read a template than to fill it."""
    environment = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    for shown_as in (number, short, signed, percent, words, counted, name_model):
        environment.filters[shown_as.__name__] = shown_as
    return environment


def number(value: float | None) -> str:
    """A number as a page shows it: four digits, thousands apart; a dash for none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 (four digits are shown)


def short(value: float | None) -> str:
    """A number in fewer digits, where many stand beside each other: three decimals of what is below ten."""
    if value is None or not math.isfinite(value) or not SHORTEST <= abs(value) < LONGEST:
        return number(value)
    return f"{value:.3f}".rstrip("0").rstrip(".")


def signed(value: float | None) -> str:
    """A difference as a page shows it: with its sign."""
    if value is None or not math.isfinite(value) or value == 0:
        return number(value)
    return ("+" if value > 0 else "−") + short(abs(value))


def percent(value: float | None) -> str:
    """A share as a page shows it in a sentence."""
    return "–" if value is None else f"{number(round(100 * value, 1))} %"


def counted(count: int, noun: str) -> str:
    """A count with its noun in the right number."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def words(name: str) -> str:
    """A name of the code in words."""
    return name.replace("_", " ")


def name_model(text: str, model_name: str) -> str:
    """A text whose commands name the model: who reads it elsewhere has no ``--config`` of the run."""
    return COMMAND.sub(lambda found: f"{found[0]} --set product.model={shlex.quote(model_name)}", text)


class ReportMaterializer(BaseMaterializer):
    """Stores every :class:`Report`: ``report.json`` last, its page and pictures beside."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Report,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.DATA

    def save(self, report: Report) -> None:
        """Write pictures, then the JSON."""
        for name, data in report.pictures.items():
            write_blob(self.artifact_store, f"{self.uri}/pictures/{name}.png", data)
        write_blob(self.artifact_store, f"{self.uri}/report.json", report.model_dump_json(indent=2).encode())

    def load(self, data_type: type[Any]) -> Any:
        """Read the JSON and the pictures back.

        Raises:
            DamagedArtifact: the JSON is missing, unreadable or has other keys than the type.
        """
        try:
            with self.artifact_store.open(f"{self.uri}/report.json", "rb") as file:
                report: Report = data_type.model_validate_json(file.read())
        except (OSError, ValidationError, ValueError) as error:
            raise DamagedArtifact(
                f"The {data_type.__name__} at {self.uri} cannot be read ({error}). "
                "Make it again: python run.py --train --source PATH"
            ) from error
        folder = f"{self.uri}/pictures"
        if not self.artifact_store.exists(folder):
            return report
        pictures = {}
        for file_name in sorted(Path(str(name)).name for name in self.artifact_store.listdir(folder)):
            if file_name.startswith("."):  # what a killed save left
                continue
            with self.artifact_store.open(f"{folder}/{file_name}", "rb") as file:
                pictures[file_name.removesuffix(".png")] = file.read()
        return report.with_pictures(pictures)

    def save_visualizations(self, report: Report) -> dict[str, VisualizationType]:
        """Write the page."""
        uri = f"{self.uri}/page.html"
        write_blob(self.artifact_store, uri, report.page().encode())
        return {uri: VisualizationType.HTML}

    def extract_metadata(self, report: Report) -> dict[str, MetadataType]:
        """The digest and the headline."""
        return {"digest": report.digest, **report.headline()}

    def compute_content_hash(self, report: Report) -> str | None:
        """The report's digest."""
        return report.digest
