"""A linear probe: logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit.data import Split
from xferkit.models import Classifier
from xferkit.train import predict


def fit_logistic(z: Tensor, y: Tensor, num_classes: int, *, l2: float) -> nn.Linear:
    """Multinomial logistic regression by L-BFGS on the whole set.

    Minimises mean cross-entropy + (l2 / 2)·‖W‖², which is scikit-learn's `LogisticRegression` with C = 1 / (N · l2);
    the bias is not penalised. Features are standardised inside, for the optimizer's sake, and the result is folded
    back, so the layer reads raw features; the penalty is on the weights of the standardised ones.

    Args:
        z: (N, D) features.
        y: int64 (N,).
    """
    mean, std = z.mean(0), z.std(0, correction=0).clamp_min(1e-6)
    x = (z - mean) / std
    # The penalised W lies in the span of the rows. With fewer rows than dimensions, coordinates in an orthonormal basis
    # of that span are the same problem, only smaller.
    basis = torch.linalg.qr(x.T).Q if len(x) < x.shape[1] else None  # (D, N)
    if basis is not None:
        x = x @ basis  # (N, N)
    weight = torch.zeros(num_classes, x.shape[1], device=z.device, requires_grad=True)
    bias = torch.zeros(num_classes, device=z.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y) + 0.5 * l2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    layer = nn.Linear(z.shape[1], num_classes, device=z.device)
    with torch.no_grad():
        scaled = (weight if basis is None else weight @ basis.T) / std  # (C, D)
        layer.weight.copy_(scaled)
        layer.bias.copy_(bias - scaled @ mean)
    return layer


def linear_probe(
    model: Classifier, train: Split, val: Split, *, l2s: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0)
) -> tuple[Classifier, float]:
    """Replace the head by a logistic regression on frozen features; the penalty is chosen on `val`.

    The features are computed once, in evaluation mode, so the encoder is untouched.

    Returns:
        The same network with its new head, and the penalty chosen.
    """
    num_classes = int(max(train.y.max(), val.y.max())) + 1
    z_train, z_val = predict(model, train).features, predict(model, val).features
    heads = {l2: fit_logistic(z_train, train.y, num_classes, l2=l2) for l2 in l2s}
    with torch.no_grad():
        right = {l2: (head(z_val).argmax(1) == val.y).float().mean().item() for l2, head in heads.items()}
    best = max(l2s, key=lambda l2: right[l2])
    model.head = heads[best].to(next(model.parameters()).device)
    return model, best
