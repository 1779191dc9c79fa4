"""A model whose unknown pictures are looked at."""

import pytest

from steps.evaluation.examined import Examined
from tests.steps.evaluation.answered import examined
from tests.steps.training.examples import trained


@pytest.fixture(scope="package")
def base(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """A tiny model and its answers on 120 new pictures."""
    return examined(trained(tmp_path_factory.mktemp("model"), epochs=4), 40)
