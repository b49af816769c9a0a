"""Features as data: taking them out of a network, mapping one cloud onto another, searching among them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xferkit.data import Split, to_float
from xferkit.models import Classifier
from xferkit.train import predict


@torch.no_grad()
def extract_features(
    model: Classifier, x: Tensor | Split, *, layers: Sequence[str] | None = None, batch_size: int = 256
) -> dict[str, Tensor]:
    """The output of each stage of `model.features`, averaged over space where it is a map: {name: (N, D)}, on the CPU.

    Args:
        x: uint8 (N, 3, H, W), or a split, whose labels are not read.
        layers: names of stages, such as "stage3"; None means the last one alone.
    Raises:
        ValueError: a name that is no stage of this network.
    """
    names = [name for name, _ in model.features.named_children()]
    wanted = [names[-1]] if layers is None else list(layers)
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(f"no stage {unknown} in this network. Choose from: {', '.join(names)}.")
    if wanted == [names[-1]]:
        return {names[-1]: predict(model, x, batch_size=batch_size).features}
    pictures = x.x if isinstance(x, Split) else x
    where = next(model.parameters()).device
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    chunks: dict[str, list[Tensor]] = {name: [] for name in wanted}
    try:
        for chunk in pictures.split(batch_size):
            z = to_float(chunk.to(where))
            for name, stage in model.features.named_children():
                z = stage(z)
                if name in chunks:
                    chunks[name].append((z.mean((2, 3)) if z.ndim == 4 else z).float().cpu())
    finally:
        for part, mode in modes:
            part.training = mode
    return {name: torch.cat(parts) for name, parts in chunks.items()}


# ------------------------------------------------------------------------------------------------- alignment maps


def _covariance(z: Tensor, ridge: float) -> Tensor:
    return torch.cov(z.T) + ridge * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive definite matrix, through its eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-12) ** exponent) @ vectors.T


def whiten(z: Tensor, *, ridge: float = 1e-3) -> Tensor:
    """Centre (N, D) features and give them the identity as covariance (up to `ridge`)."""
    return (z - z.mean(0)) @ _power(_covariance(z, ridge), -0.5)


def coral_map(z_s: Tensor, z_t: Tensor, *, ridge: float = 1.0) -> Tensor:
    """Source features with the target's mean and covariance (Sun et al. 2016, Algorithm 1, with means matched too).

    Args:
        z_s: (N_s, D).
        z_t: (N_t, D).
        ridge: added to both covariances' diagonals; the paper uses 1.
    Returns:
        (N_s, D), to train a classifier on that is then applied to raw target features.
    """
    white = (z_s - z_s.mean(0)) @ _power(_covariance(z_s, ridge), -0.5)
    return white @ _power(_covariance(z_t, ridge), 0.5) + z_t.mean(0)


def subspace_alignment(z_s: Tensor, z_t: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Both clouds in the target's PCA space, the source through M = P_sᵀ P_t (Fernando et al. 2013, Eqs. 1–3).

    Returns:
        (N_s, dim) and (N_t, dim).
    Raises:
        ValueError: `dim` exceeds the rank that the data can have.
    """
    if not 1 <= dim <= min(*z_s.shape, *z_t.shape):
        raise ValueError(f"dim={dim} must lie between 1 and {min(*z_s.shape, *z_t.shape)} for these features.")
    centred_s, centred_t = z_s - z_s.mean(0), z_t - z_t.mean(0)
    p_s, p_t = (torch.linalg.svd(z, full_matrices=False).Vh[:dim].T for z in (centred_s, centred_t))
    return centred_s @ p_s @ (p_s.T @ p_t), centred_t @ p_t


def fit_linear_map(z_s: Tensor, z_t: Tensor, *, ridge: float = 1e-2) -> Tensor:
    """T (D_s + 1, D_t) with [z_s, 1] T ≈ z_t, by ridge regression on pairs: row i of both shows the same thing.

    Raises:
        ValueError: the two have different numbers of rows, so they are no pairs.
    """
    if len(z_s) != len(z_t):
        raise ValueError(f"{len(z_s)} source rows and {len(z_t)} target rows: the map is learned from pairs.")
    a = torch.cat([z_s, torch.ones(len(z_s), 1, dtype=z_s.dtype)], 1)
    penalty = ridge * len(a) * torch.eye(a.shape[1], dtype=a.dtype)
    penalty[-1, -1] = 0  # the constant is free
    return torch.linalg.solve(a.T @ a + penalty, a.T @ z_t)


# ------------------------------------------------------------------------------------------------------ retrieval


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
