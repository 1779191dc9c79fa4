"""What the corruptions look like and what they cost, as two small PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from materializers.evaluation.metric import Metric
from materializers.evaluation.robustness import Corrupted
from materializers.picture_sheet import Box, encode_chart, encode_sheet
from steps.evaluation.robustness.corruptions import corrupt, picture_seed

if TYPE_CHECKING:
    from steps.evaluation.examined import Examined
    from steps.evaluation.robustness.settings import RobustnessSettings

CELL, SIDE, NAMES, HEAD = 66, 64, 72, 16
"""Pixels: the side of a cell and of the thumbnail in it, the width of the names, the height of the head."""
COLOURS = 64
"""Of the sheet: noise cannot be compressed, and with all its colours a photograph takes 4 times as much."""


def corruption_sheet(examined: Examined, position: int, settings: RobustnessSettings) -> bytes:
    """One picture under each corruption, a row each, as it is and at each severity.

    Args:
        examined: holds the picture.
        position: of it in ``examined.image_ids``.
        settings: the corruptions and severities.

    Returns:
        A PNG that says which picture it shows, so that it can be erased from it.
    """
    image_id = examined.image_ids[position]
    images, seed = examined.pixels([position]), picture_seed(image_id, settings.seed)
    columns = len(settings.severities) + 1
    size = (NAMES + columns * CELL, HEAD + len(settings.corruptions) * CELL)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(("clean", *map(str, settings.severities))):
        pen.text((NAMES + column * CELL + CELL // 2, HEAD // 2), name, "black", anchor="mm")
    for row, corruption in enumerate(settings.corruptions):
        top = HEAD + row * CELL
        pen.text((NAMES - 6, top + CELL // 2), corruption, "black", anchor="rm")
        shown = [images, *(corrupt(images, corruption, one, [seed]) for one in settings.severities)]
        for column, (picture,) in enumerate(shown):
            sheet.paste(_thumbnail(Image.fromarray(picture)), (NAMES + column * CELL, top))
    places: list[Box] = [(NAMES, HEAD, *size)]
    return encode_sheet(sheet.quantize(COLOURS), {image_id: places})


def severity_curves(corruptions: Sequence[Corrupted], mean: Metric) -> bytes:
    """The relative accuracy by severity, a line for each corruption.

    Args:
        corruptions: what was measured.
        mean: the relative accuracy over all of them.
    """
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for one in corruptions:
        points = sorted((at.severity, at.relative_accuracy.value) for at in one.severities)
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            markersize=3,
            linewidth=1.2,
            label=one.corruption,
        )
    if mean.value is not None:
        axes.axhline(mean.value, color="grey", linestyle=":", linewidth=1, label=f"mean {mean.value:.2f}")
    axes.set(xlabel="severity", ylabel="accuracy, of that on clean pictures", ylim=(0, None))
    axes.set_xticks([at.severity for at in corruptions[0].severities])
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return encode_chart(figure)


def _thumbnail(picture: Image.Image) -> Image.Image:
    """Scaled into a cell; pixels of a small picture stay squares, so that one sees what became of them."""
    smaller = max(picture.size) < SIDE
    return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST if smaller else Image.Resampling.BOX)
