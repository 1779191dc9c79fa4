"""Keys of watermarks, kept as a user keeps them."""

from zenml.client import Client

from steps.training.watermark.settings import WatermarkSettings
from steps.training.watermark.trigger_set import fingerprint_of


def kept_key(client: Client, name: str, key: str) -> WatermarkSettings:
    """Settings of a watermark whose key is in a secret of this name."""
    client.create_secret(name, {"key": key})
    return WatermarkSettings(key=f"{{{{{name}.key}}}}", fingerprint=fingerprint_of(key), pictures=10)
