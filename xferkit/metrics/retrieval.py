"""Searching among features."""

from __future__ import annotations

import torch
from torch import Tensor

from xferkit._checks import check_count, check_features, check_labels


def retrieval_precision(query: Tensor, query_y: Tensor, gallery: Tensor, gallery_y: Tensor, k: int) -> Tensor:
    """Precision at k by cosine similarity: for each query, the share of its k nearest that have its label.

    Args:
        query: (N, D) features. Keep the query itself out of the gallery.
        query_y: integer labels (N,).
        gallery: (M, D) features.
        gallery_y: integer labels (M,), numbered as the queries' are.
        k: how many neighbours, from 1 to M.
    Returns:
        (N,) in [0, 1]; its mean is the P@k of the whole set.
    Raises:
        ValueError: k exceeds the gallery, widths or lengths differ, features are not finite, or a row is all zeros (it
            has no direction, so no cosine).
        TypeError: no real floating-point features, no integer labels, or k is no whole number.
    """
    k = check_count(k, what="k")
    for name, z, y in (("query", query, query_y), ("gallery", gallery, gallery_y)):
        check_features(z, what=f"{name} features")
        check_labels(y, len(z), what=f"{name} labels")
    if k > len(gallery) or query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"k={k}, queries {tuple(query.shape)}, gallery {tuple(gallery.shape)}: need k ≤ M and equal widths."
        )
    similarity = _directions(query, "query") @ _directions(gallery, "gallery").T.to(query.device)
    nearest = similarity.topk(k, dim=1).indices
    return (gallery_y.to(query.device)[nearest] == query_y.to(query.device)[:, None]).float().mean(1)


def _directions(z: Tensor, name: str) -> Tensor:
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    largest = z.abs().amax(1, keepdim=True)
    if empty := int((largest == 0).sum()):
        raise ValueError(f"{empty} of {len(z)} {name} rows are all zeros: they have no direction to compare.")
    return torch.nn.functional.normalize(z / largest, dim=1)  # first by the largest, so that no square underflows
