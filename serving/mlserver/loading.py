"""The model in this process: loaded once, however often MLServer asks its runtime to load."""

from functools import cache

from serving.mlserver.settings import Served
from serving.service import PictureClassifier


@cache
def loaded(served: Served) -> PictureClassifier:
    """Load a model and have it answer one picture.

    Raises:
        ModelDirectoryError: the digest is not the release's, or the model does not answer.
    """
    classifier = PictureClassifier(**served.model_dump())
    classifier.load()
    return classifier
