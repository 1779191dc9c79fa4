"""From a delivery to a dataset that may be trained on: ingest, validate, split."""
