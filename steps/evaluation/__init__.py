"""From a classifier to its numbers, and from its numbers to a verdict."""
