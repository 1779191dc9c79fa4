"""Benchmarks: each claim measured beside its peer and its limit, on the machine that is named."""
