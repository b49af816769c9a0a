"""A linear probe: logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit._checks import check_count, check_features, check_labels, check_number, check_same_classes
from xferkit.data import Split
from xferkit.features import extract_features
from xferkit.models.classifier import Classifier, unwrap
from xferkit.train import History, predict


def fit_logistic(z: Tensor, y: Tensor, num_classes: int, *, l2: float) -> nn.Linear:
    """Multinomial logistic regression by L-BFGS on the whole set.

    Minimises mean cross-entropy + (l2 / 2)·‖W‖², which is scikit-learn's `LogisticRegression` with C = 1 / (N · l2);
    the bias is not penalised. Features are standardised inside, for the optimizer's sake, and the result is folded
    back, so the layer reads raw features; the penalty is on the weights of the standardised ones. A constant feature
    gets next to no weight; where all are constant, the bias learns how frequent the classes are.

    Args:
        z: (N, D) features, N ≥ 2.
        y: integers (N,) from 0 to num_classes − 1; at least two classes occur.
        num_classes: C, the number of scores. A class without pictures gets a score too, a low one.
        l2: the penalty λ ≥ 0.
    Returns:
        A layer from (N, D) to (N, C), on the device of `z`; in float64 for float64 features, otherwise in float32.
    Raises:
        ValueError: shapes or lengths that do not fit, features that are not finite, labels outside the range, one class
            alone, or a negative penalty.
        TypeError: features that are no real floating-point numbers, or labels that are no integers.
    """
    check_features(z, what="features")
    check_labels(y, len(z))
    num_classes = check_count(num_classes, what="num_classes", least=2)
    l2 = check_number(l2, what="l2", least=0)
    if int(y.max()) >= num_classes:
        raise ValueError(f"labels go up to {int(y.max())}, but num_classes={num_classes}: labels start at 0.")
    if bool((y == y[0]).all()):
        raise ValueError(f"all {len(y)} labels are {int(y[0])}: a classifier needs pictures of two classes at least.")
    z = z.detach().to(torch.promote_types(z.dtype, torch.float32))
    y = y.to(z.device, torch.int64)
    mean, std = z.mean(0), z.std(0, correction=0)
    # Rounding gives a constant feature a deviation too; dividing by that would blow the rounding up.
    floor = (1e-6 * std.max()).clamp_min(8 * torch.finfo(z.dtype).eps * z.abs().amax(0)).clamp_min(1e-30)
    if not bool(torch.isfinite(mean).all() and torch.isfinite(std).all()):
        raise ValueError(f"features reach {z.abs().max().item():.3g}: too large for their precision, scale them down.")
    std = std.maximum(floor)
    x = (z - mean) / std
    # The penalised W lies in the span of the rows. With fewer rows than dimensions, coordinates in an orthonormal basis
    # of that span are the same problem, only smaller.
    basis = torch.linalg.qr(x.T).Q if len(x) < x.shape[1] else None  # (D, N)
    if basis is not None:
        x = x @ basis  # (N, N)
    with torch.inference_mode(False), torch.enable_grad():
        weight, bias = _minimise(x, y, num_classes, l2)
    layer = nn.Linear(z.shape[1], num_classes, device=z.device, dtype=z.dtype)
    with torch.no_grad():
        scaled = (weight if basis is None else weight @ basis.T) / std  # (C, D)
        layer.weight.copy_(scaled)
        layer.bias.copy_(bias - scaled @ mean)
    return layer


def _minimise(x: Tensor, y: Tensor, num_classes: int, l2: float) -> tuple[Tensor, Tensor]:
    x, y = x.clone(), y.clone()  # tensors of inference mode cannot be trained on
    weight = torch.zeros(num_classes, x.shape[1], device=x.device, dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(num_classes, device=x.device, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y) + 0.5 * l2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


def linear_probe(
    model: Classifier, train: Split, val: Split, *, l2s: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0)
) -> History:
    """Replace the head, in place, by a logistic regression on frozen features; the penalty is chosen on `val`.

    The features are computed once, in evaluation mode, so the encoder is untouched, and kept on disk for the next probe
    (see `extract_features`). The head gets a score for each of the class names that the parts carry, or, without names,
    for every number up to the highest label.

    Args:
        l2s: the penalties to try, as in `fit_logistic`.
    Returns:
        `l2`, `val_accuracy` and `val_loss` (nats) with one number a penalty, and `chosen_l2` with one: that of the
        highest accuracy; ties are settled by the loss, then by the order of `l2s`.
    Raises:
        ValueError: no penalties, class names that differ, one class alone in `train`, or as in `fit_logistic`.
        TypeError: no `Classifier`.
    """
    check_same_classes(train, val, what="training and validation part")
    if not len(l2s := list(l2s)):
        raise ValueError("l2s is empty: give at least one penalty to try.")
    if not isinstance(net := unwrap(model), Classifier):
        raise TypeError(f"linear_probe takes a Classifier, not {type(net).__name__}: it asks for features and head.")
    names = train.classes or val.classes
    num_classes = len(names) if names else int(max(train.y.max(), val.y.max())) + 1
    for part in (train, val):
        check_labels(part.y, len(part.x))
    z_train, z_val = _features(net, train), _features(net, val)
    y_train, y_val = train.y.to(z_train.device), val.y.to(z_val.device)
    history: History = {"l2": [], "val_accuracy": [], "val_loss": []}
    heads = []
    for l2 in l2s:
        heads.append(fit_logistic(z_train, y_train, num_classes, l2=l2))
        with torch.no_grad():
            logits = heads[-1](z_val)
        history["l2"].append(float(l2))
        history["val_accuracy"].append((logits.argmax(1) == y_val).float().mean().item())
        history["val_loss"].append(F.cross_entropy(logits, y_val).item())
    best = min(range(len(l2s)), key=lambda i: (-history["val_accuracy"][i], history["val_loss"][i]))
    like = next(net.parameters())
    net.head = heads[best].to(like.device, like.dtype)
    net.classes = names
    history["chosen_l2"] = [float(l2s[best])]
    return history


def _features(net: Classifier, part: Split) -> Tensor:
    """(N, D), from the cache on disk if they are there. A map, which extraction would average, stays a map: refused."""
    in_stages = any(True for _ in net.features.children())
    if in_stages and predict(net, part.x[:1]).features.ndim == 2:
        return next(iter(extract_features(net, part).values()))
    return predict(net, part).features
