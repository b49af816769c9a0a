"""Domains: labelled pictures with a train, a validation and a test part, and the batches made from them."""

from xferkit.data.batches import TensorLoader, paired_batches, to_float
from xferkit.data.domains import list_domains, load_domain
from xferkit.data.folders import image_folder
from xferkit.data.mnist_m import blend_mnist_m
from xferkit.data.split import Domain, Split, few_labels

__all__ = [
    "Domain", "Split", "TensorLoader", "blend_mnist_m", "few_labels", "image_folder", "list_domains", "load_domain",
    "paired_batches", "to_float",
]  # fmt: skip
