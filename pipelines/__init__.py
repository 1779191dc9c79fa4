"""The pipelines: each file reads like a table of contents."""
