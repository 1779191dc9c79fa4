"""Amounts of what a container is given, as Kubernetes writes them."""

QUANTITY = r"^[0-9]+(\.[0-9]+)?(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?$"
"""The pattern of an amount of memory: bytes, with a unit."""
