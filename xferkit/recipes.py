"""Ways to give a pretrained network a new task, each as short as its idea."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit.data import Split, TensorLoader
from xferkit.freezing import freeze, param_groups, unfreeze
from xferkit.models import Classifier
from xferkit.session import device
from xferkit.train import History, fit, predict, supervised_loss


def cosine(p: float, *, warmup: float = 0.1) -> float:
    """A linear rise over the first `warmup` of the run, then half a cosine down to 0 (a factor on the rate)."""
    if p < warmup:
        return (p + 0.01) / (warmup + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (p - warmup) / (1 - warmup)))


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


def _to_device(model: Classifier) -> None:
    # Channels last: depthwise convolutions run about 1.6 times as fast on a CPU.
    model.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]


def finetune(
    model: Classifier,
    train: Split,
    *,
    steps: int,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 1e-4,
    batch_size: int = 32,
    seed: int = 0,
    augment: Callable[[Tensor], Tensor] | None = None,
    progress: bool = False,
) -> History:
    """Train whatever is not frozen, by AdamW with a cosine schedule, starting from the head the network has.

    Args:
        head_lr, layer_decay, weight_decay: as in `param_groups`.
        augment: float (B, 3, H, W) ↦ the same shape, applied to each training batch.
    """
    _to_device(model)
    generator = torch.Generator().manual_seed(seed)
    batches = TensorLoader(train.x, train.y, min(batch_size, len(train)), shuffle=True, generator=generator)
    groups = param_groups(model, lr, head_lr=head_lr, layer_decay=layer_decay, weight_decay=weight_decay)

    def loss_fn(net: Classifier, batch: tuple[Tensor, Tensor], p: float) -> Tensor:
        x, y = batch
        return supervised_loss(net, (x if augment is None else augment(x), y), p)

    return fit(model, batches, loss_fn, torch.optim.AdamW(groups), steps, schedule=cosine, progress=progress)


def lp_ft(
    model: Classifier, train: Split, val: Split, *, steps: int, lr: float, seed: int = 0, progress: bool = False
) -> History:
    """Linear probe first, then fine-tune everything from that head (Kumar et al. 2022, §3.4).

    A random head sends large gradients into the features while it is still wrong; a probed head does not.
    """
    linear_probe(model, train, val)
    return finetune(model, train, steps=steps, lr=lr, seed=seed, progress=progress)


def gradual_unfreeze(
    model: Classifier,
    train: Split,
    *,
    steps: int,
    lr: float,
    head_lr: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> History:
    """Train the head, then unfreeze one more stage from the top each time (Howard and Ruder 2018, §3.3).

    The steps are shared equally among the rounds; each round has a fresh optimizer and a constant rate.

    Returns:
        One history over all rounds.
    """
    _to_device(model)
    generator = torch.Generator().manual_seed(seed)
    batches = TensorLoader(train.x, train.y, min(32, len(train)), shuffle=True, generator=generator)
    freeze(model.features)
    stages = [part for part in model.features.children() if any(True for _ in part.parameters())]
    history: History = {}
    rounds = len(stages) + 1
    for k in range(rounds):
        if k > 0:
            unfreeze(stages[-k])
        share = steps // rounds + (1 if k < steps % rounds else 0)
        if share:
            optimizer = torch.optim.AdamW(param_groups(model, lr, head_lr=head_lr, weight_decay=1e-4))
            for name, numbers in fit(model, batches, supervised_loss, optimizer, share, progress=progress).items():
                history.setdefault(name, []).extend(numbers)
    return history
