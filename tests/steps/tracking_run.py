"""An MLflow run on a store of its own, as the stack's experiment tracker opens one for a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def tracking_run(folder: Path) -> Iterator[str]:
    """Open a run whose store and artifacts lie in ``folder``; yields its id, and leaves no global behind."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        experiment = mlflow.create_experiment("test", artifact_location=(folder / "artifacts").as_uri())
        with mlflow.start_run(experiment_id=experiment) as run:
            yield run.info.run_id
    finally:
        mlflow.set_tracking_uri(before)
