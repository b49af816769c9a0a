"""Searching among features."""

from __future__ import annotations

import torch
from torch import Tensor


def retrieval_precision(query: Tensor, query_y: Tensor, gallery: Tensor, gallery_y: Tensor, k: int) -> Tensor:
    """Precision at k by cosine similarity: for each query, the share of its k nearest that have its label.

    Args:
        query: (N, D); gallery: (M, D). Keep the query itself out of the gallery.
    Returns:
        (N,) in [0, 1]; its mean is the P@k of the whole set.
    Raises:
        ValueError: k exceeds the gallery, or the widths differ.
    """
    if not 1 <= k <= len(gallery) or query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"k={k}, queries {tuple(query.shape)}, gallery {tuple(gallery.shape)}: need k ≤ M and equal widths."
        )
    similarity = torch.nn.functional.normalize(query, dim=1) @ torch.nn.functional.normalize(gallery, dim=1).T
    nearest = similarity.topk(k, dim=1).indices
    return (gallery_y[nearest] == query_y[:, None]).float().mean(1)
