"""Bringing two domains together in feature space: by an adversary (`dann`), a map in closed form (`maps`), or the
statistics of normalisation layers (`batchnorm`)."""

from xferkit.alignment import batchnorm, dann, maps

__all__ = ["batchnorm", "dann", "maps"]
