"""The aliases under which the model registry names versions."""

CHALLENGER, CHAMPION = "challenger", "champion"
STAGING, PREVIOUS = "staging", "previous"


def live_alias(environment: str) -> str:
    """The registry alias that names the version which is live in an environment, or was last."""
    return CHAMPION if environment == "production" else STAGING
