"""The smallest ZenML run: something for a verdict's digest to be recorded on."""

from zenml import pipeline, step


@step(enable_cache=False)
def judge_nothing() -> int:
    """Do nothing."""
    return 0


@pipeline(enable_cache=False)
def judged() -> None:
    """One step."""
    judge_nothing()
