"""The aliases under which the model registry names versions."""

CHALLENGER, CHAMPION = "challenger", "champion"
STAGING, PREVIOUS = "staging", "previous"
