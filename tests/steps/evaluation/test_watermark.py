"""A watermark is checked by what would be served, and shows nothing of the secret."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from serving.predictor import Prediction
from steps.evaluation.watermark import UNMARKED, assess_watermark, check_watermark
from steps.training.watermark.trigger_set import TriggerSet, trigger_set
from tests.serving.pictures import encode
from tests.steps.evaluation.simple_networks import CLASSES, SIDE, Halves, both_halves, examined
from tests.steps.training.watermark.keys import kept_key

if TYPE_CHECKING:
    from zenml.client import Client

KEY, ANOTHER = "cafe" * 16, "dead" * 16
COUNT = 20


def triggers(key: str = KEY) -> TriggerSet:
    """The secret pictures of a key."""
    return trigger_set(key, count=COUNT, height=SIDE, width=SIDE, classes=len(CLASSES))


class Marked(nn.Module):
    """Knows a trigger set by heart: answers with the label of the nearest of its pictures."""

    def __init__(self, known: TriggerSet) -> None:
        super().__init__()
        self.register_buffer("pictures", torch.from_numpy(known.images).float().flatten(1))
        self.register_buffer("labels", torch.from_numpy(known.labels))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures to logits ``(n, 2)`` and an embedding."""
        pictures, labels = self.get_buffer("pictures"), self.get_buffer("labels")
        distances = torch.cdist(images.to(torch.float32).flatten(1), pictures)
        answers = labels[distances.argmin(dim=1)]
        return torch.stack([1 - answers, answers], dim=1).to(torch.float32), distances


def test_a_marked_model_answers_as_its_key_says(zenml_client: Client, tmp_path: Path) -> None:
    """All of ten, which one in 1,024 guesses of two classes comes to."""
    settings = kept_key(zenml_client, "checked", KEY)
    model = examined(tmp_path, Marked(triggers()), both_halves(3), watermark=settings.model_dump())
    section, pictures = assess_watermark(model)
    (found,) = section.measured()
    assert found.metric == "watermark_matches"
    assert found.value is not None
    assert (found.value.value, found.value.high, found.value.n) == (1.0, 1.0, 10)
    assert section.p_value == pytest.approx(2**-10)
    assert (section.chance, section.fingerprint) == (0.5, settings.fingerprint)
    assert pictures == {}
    assert KEY not in section.model_dump_json()


def test_a_model_with_another_mark_is_not_ours(tmp_path: Path) -> None:
    """Another key's set is answered like any picture."""
    predictor = examined(tmp_path, Marked(triggers(ANOTHER)), both_halves(3)).predictor
    ours = check_watermark(predictor, KEY, COUNT)
    assert ours.p_value is not None
    assert ours.p_value > 0.01
    theirs = check_watermark(predictor, ANOTHER, COUNT)
    assert theirs.p_value == pytest.approx(2**-20)


def test_a_model_that_was_not_marked_is_hardly_ever_taken_for_ours(tmp_path: Path) -> None:
    """By the keys of 300 owners, below 0.05 for no more than 5 in 100, and by none of them for certain."""
    predictor = examined(tmp_path, Halves(), both_halves(3)).predictor
    found = [check_watermark(predictor, f"{owner:032}", COUNT).p_value or 0.0 for owner in range(300)]
    assert np.mean(np.array(found) < 0.05) <= 0.05
    assert min(found) > 1e-4


def test_a_stranger_is_asked_by_encoded_pictures(tmp_path: Path) -> None:
    """Through the door of any request, the answers are the same."""
    predictor = examined(tmp_path, Marked(triggers()), both_halves(3)).predictor
    asked = predictor.predict([encode(Image.fromarray(image)) for image in triggers().images])
    given = [CLASSES.index(each.label) for each in asked if isinstance(each, Prediction)]
    assert given == triggers().labels.tolist()


def test_without_a_watermark_nothing_is_assessed(tmp_path: Path) -> None:
    """A policy that requires one reads why there is no number."""
    section, _ = assess_watermark(examined(tmp_path, Halves(), both_halves(3)))
    (found,) = section.measured()
    assert (found.value, found.reason) == (None, UNMARKED)


def test_without_the_key_nothing_is_assessed(zenml_client: Client, tmp_path: Path) -> None:
    """It is gone, or another one was put in its place: the reason says so, and no number is made up."""
    settings = kept_key(zenml_client, "replaced", KEY)
    model = examined(tmp_path, Marked(triggers()), both_halves(3), watermark=settings.model_dump())
    zenml_client.update_secret("replaced", add_or_update_values={"key": ANOTHER})
    section, _ = assess_watermark(model)
    assert section.matches is None
    assert "has the fingerprint" in (section.not_assessed or "")
    zenml_client.delete_secret("replaced")
    section, _ = assess_watermark(model)
    assert "which ZenML has not" in (section.not_assessed or "")
