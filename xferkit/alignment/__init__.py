"""Bringing two domains together in feature space: by an adversary (`dann`), a map in closed form (`maps`,
`subspaces`), or the statistics of normalisation layers (`batchnorm`)."""

from xferkit.alignment import batchnorm, dann, maps, subspaces

__all__ = ["batchnorm", "dann", "maps", "subspaces"]
