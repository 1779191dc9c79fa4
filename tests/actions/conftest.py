"""The artifact stores of the materializers' tests, and a stack with an audit log of its own."""

from tests.materializers.conftest import bucket_store, disk, store
from tests.steps.registry.conftest import artifacts, tracker

__all__ = ["artifacts", "bucket_store", "disk", "store", "tracker"]
