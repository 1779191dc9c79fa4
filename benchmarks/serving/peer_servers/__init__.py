"""Servers of the same model by other programs; each module is loaded by that program."""
