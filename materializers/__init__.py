"""The data types that pass between steps, each beside its storage."""
