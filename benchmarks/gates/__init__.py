"""The gates: how often they refuse what they should not, and pass what they should refuse."""
