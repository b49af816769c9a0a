"""Bringing two domains together in feature space: by an adversary (`dann`) or by a map in closed form (`maps`)."""

from xferkit.alignment import dann, maps

__all__ = ["dann", "maps"]
