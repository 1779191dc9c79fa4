"""What a configuration says of a watermark, and what it must not."""

import pytest
from pydantic import ValidationError

from steps.training.settings import TrainSettings
from steps.training.watermark.settings import WatermarkSettings

FINGERPRINT = "0123456789abcdef"


@pytest.mark.parametrize("key", ["{{watermark.key}}", "{{ watermark.key }}"])
def test_a_key_is_named(key: str) -> None:
    """As ZenML names a value of a secret."""
    assert WatermarkSettings(key=key).key == key


@pytest.mark.parametrize("key", ["a" * 64, "", "{{watermark}}", "watermark.key", "{{a.b}}{{c.d}}"])
def test_a_key_does_not_stand_in_the_configuration(key: str) -> None:
    """The refusal says how to keep it, and pydantic's place for a wrong value has no key to show."""
    with pytest.raises(ValidationError, match=r"zenml secret create SECRET --KEY=\$\(openssl rand") as caught:
        TrainSettings.model_validate({"watermark": {"key": key}})
    (error,) = caught.value.errors()
    assert error["loc"] == ("watermark",)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pictures": 5}, "greater than or equal to 10"),
        ({"repeats": 0}, "greater than or equal to 1"),
        ({"fingerprint": "abc"}, "should match pattern"),
        ({"picture": 20}, "Extra inputs"),
    ],
)
def test_what_shows_nothing_is_refused(wrong: dict[str, object], said: str) -> None:
    """Too few pictures, none in an epoch, no fingerprint, a typo."""
    with pytest.raises(ValidationError, match=said):
        WatermarkSettings.model_validate({"key": "{{watermark.key}}", **wrong})


def test_without_a_watermark_the_settings_are_what_they_were_before_there_were_any() -> None:
    """So that digests of trainings, and checkpoints under them, stay; with one they differ by its key."""
    assert "watermark" not in TrainSettings().model_dump(mode="json")
    marked = TrainSettings(watermark=WatermarkSettings(key="{{watermark.key}}", fingerprint=FINGERPRINT))
    assert marked.model_dump(mode="json")["watermark"]["fingerprint"] == FINGERPRINT
    assert TrainSettings.model_validate(marked.model_dump(mode="json")) == marked
    assert marked.digest != TrainSettings().digest
