"""How alike two networks' features of the same pictures are."""

from __future__ import annotations

import torch
from torch import Tensor

from xferkit._checks import check_features


def linear_cka(x: Tensor, y: Tensor, *, debiased: bool = False) -> float:
    """Linear centred kernel alignment ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) of centred features (Kornblith et al. 2019b, Eq. 4).

    1 for features that differ by a rotation, a common scale and a shift. With few rows and many dimensions unrelated
    features look alike too: 20 rows of 512 random numbers give about 0.96. The debiased form takes this out.

    Args:
        x: (N, D₁), y: (N, D₂): two networks' features of the same N inputs, row by row.
        debiased: put the unbiased estimator of HSIC (Song et al. 2012, Eq. 5) in the place of each of the three terms,
            as Nguyen et al. (2021, §3) do; needs N ≥ 4. Unrelated features then give about 0 whatever N is.
    Returns:
        Biased, a number in [0, 1]; debiased, in [−1, 1], below 0 by chance.
    Raises:
        ValueError: different numbers of rows, too few, features that are not finite, or the same for all rows (then
            the alignment is 0/0).
        TypeError: no real floating-point features.
    """
    for name, z in (("x", x), ("y", y)):
        check_features(z, what=name, least=4 if debiased else 2)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} rows: CKA compares features of the same inputs.")
    a, b = _centred(x, "x"), _centred(y, "y").to(x.device)
    if not debiased:
        return float((b.T @ a).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm()))
    k, l = _u_centred(a @ a.T), _u_centred(b @ b.T)  # noqa: E741
    scale = k.norm() * l.norm()
    if not float(scale) > 1e-12 * float((a @ a.T).norm() * (b @ b.T).norm()):
        raise ValueError("too few rows differ: without the bias nothing is left to compare.")
    return float((k * l).sum() / scale)


def _centred(z: Tensor, name: str) -> Tensor:
    """Centred and of length one, in double precision."""
    x = z.detach().double()
    largest = x.abs().amax()
    centred = x - x.mean(0)
    if float(centred.abs().amax()) <= torch.finfo(z.dtype).eps * float(largest):
        raise ValueError(f"{name} is the same for all {len(z)} inputs: has the encoder collapsed?")
    centred = centred / centred.abs().amax()
    return centred / centred.norm()


def _u_centred(gram: Tensor) -> Tensor:
    """A Gram matrix centred without its diagonal: ⟨K̃, L̃⟩ / (N (N − 3)) is the unbiased HSIC."""
    n = len(gram)
    k = gram.clone().fill_diagonal_(0)
    rows = k.sum(1) / (n - 2)
    rows = rows - rows.sum() / (2 * (n - 1))
    return (k - rows[:, None] - rows[None]).fill_diagonal_(0)
