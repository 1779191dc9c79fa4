"""Explanations of a model's answers: which pixels and features they rest on, and whether that is so."""
