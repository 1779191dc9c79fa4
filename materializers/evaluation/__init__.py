"""The parts of an evaluation report: one file a part, each the numbers that it holds."""
