"""Checks of the data, one subject a file: pure functions that say what was measured beside its limit."""
