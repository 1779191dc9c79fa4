"""The artifact stores of the materializers' tests, on disk and in a bucket."""

from tests.materializers.conftest import bucket_store, disk, store

__all__ = ["bucket_store", "disk", "store"]
