"""Taking networks apart and putting them together: a new head, copied layers, weights in between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xferkit._checks import check_count, check_number
from xferkit.models.classifier import Classifier, feature_dim, unwrap, wrapped_name


@dataclass
class CopyReport:
    """What `copy_weights` did with every tensor of both networks."""

    copied: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"copied {len(self.copied)}, skipped {len(self.skipped)}, mismatched {len(self.mismatched)} tensors"]
        lines += [f"  skipped    {name}: {why}" for name, why in self.skipped.items()]
        lines += [
            f"  mismatched {name}: {src} in the source, {dst} here" for name, (src, dst) in self.mismatched.items()
        ]
        return "\n".join(lines)


def replace_head(model: Classifier, num_classes: int) -> Classifier:
    """Give the network a fresh linear head from D features to `num_classes` scores, in place, and return it.

    The head lies on the device and in the precision of the network's first parameter. Other networks than a
    `Classifier` have ways of their own: timm's `reset_classifier(num_classes)`, or a new `fc` in torchvision's ResNets.

    Raises:
        ValueError: fewer than two classes.
        TypeError: no whole number, no `Classifier`, or a head without a linear layer to read D from.
    """
    num_classes = check_count(num_classes, what="num_classes", least=2)
    net = unwrap(model)
    if not isinstance(net, Classifier):
        raise TypeError(f"replace_head takes a Classifier, not {type(net).__name__}: replace its last layer yourself.")
    dim, like = feature_dim(net), next(net.parameters())
    net.head = nn.Linear(dim, num_classes, device=like.device, dtype=like.dtype)
    net.classes = None
    return model


@torch.no_grad()
def copy_weights(src: nn.Module, dst: nn.Module, *, layers: Iterable[str] | None = None) -> CopyReport:
    """Copy tensors (parameters and stored buffers) of the same name and shape from one network to another.

    A tensor is never cut, padded or broadcast: another shape means another layer, and the report says so. Every tensor
    of either network stands in the report, in exactly one of its three lists. Values are converted to the destination's
    device and precision; a tensor of another kind (whole numbers for real ones, real for complex) is skipped. Names are
    those of the networks themselves, without what `DataParallel`, `torch.compile` or averaging puts before them.

    Args:
        layers: name prefixes such as "features.stage1" that may be copied; None means all.
    Raises:
        ValueError: nothing is copied (the message holds the report), a prefix in `layers` matches no tensor of `src`,
            or a network lies on the `meta` device and has no values.
        TypeError: `layers` is a single string.
    """
    if isinstance(layers, str):
        raise TypeError(f"layers={layers!r} must be a list of prefixes, such as [{layers!r}].")
    source, target = plain_state(src), plain_state(dst)
    if any(t.is_meta for t in [*source.values(), *target.values()]):
        raise ValueError("a network on the meta device has no values to copy, nor room for any: use .to_empty first.")
    prefixes = None if layers is None else [layer.rstrip(".") for layer in layers]

    def asked_for(name: str) -> bool:
        return prefixes is None or any(name == p or name.startswith(p + ".") for p in prefixes)

    for prefix in prefixes or []:
        if not any(name == prefix or name.startswith(prefix + ".") for name in source):
            raise ValueError(
                f"no tensor of the source begins with {prefix!r}. It has: {', '.join(list(source)[:8])}, …"
            )
    report = CopyReport()
    for name in dict.fromkeys([*source, *target]):
        if not asked_for(name):
            report.skipped[name] = "not asked for"
        elif name not in target:
            report.skipped[name] = "only in the source"
        elif name not in source:
            report.skipped[name] = "only in the destination"
        elif source[name].shape != target[name].shape:
            report.mismatched[name] = (tuple(source[name].shape), tuple(target[name].shape))
        elif _kind(source[name]) != _kind(target[name]):
            report.skipped[name] = f"{source[name].dtype} in the source, {target[name].dtype} here"
        else:
            target[name].copy_(source[name])
            report.copied.append(name)
    if not report.copied:
        raise ValueError(f"no tensor was copied: the networks share no name and shape that was asked for.\n{report}")
    return report


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict under the names that the tensors have without wrappers, around the network or inside it."""
    wrappers = [
        (f"{name}." if name else "", inner)
        for name, part in model.named_modules(remove_duplicate=False)
        if (inner := wrapped_name(part)) is not None
    ]
    plain = {}
    for name, tensor in model.state_dict().items():
        for outer, inner in reversed(wrappers):  # from the inside out, so that the outer names still fit
            if name.startswith(outer):
                if not name.startswith(f"{outer}{inner}."):
                    break  # the wrapper's own, such as a count of averaged networks
                name = outer + name[len(outer) + len(inner) + 1 :]
        else:
            plain[name] = tensor
    return plain


def _kind(t: Tensor) -> str:
    return "real" if t.is_floating_point() else "complex" if t.is_complex() else str(t.dtype)


def interpolate_weights(a: nn.Module, b: nn.Module, alpha: float) -> dict[str, Tensor]:
    """The state dict (1 − α)·a + α·b of two networks of one architecture; counters are taken from `b` for α ≥ ½.

    Args:
        alpha: 0 gives `a`, 1 gives `b`; values outside [0, 1] extrapolate.
    Returns:
        New tensors on the device and in the precision of `a`, under the names of a network without wrappers.
    Raises:
        ValueError: names, shapes or kinds of the two networks' tensors differ, or α is not finite.
    """
    alpha = check_number(alpha, what="alpha")
    state_a, state_b = plain_state(a), plain_state(b)
    different = [n for n in state_a.keys() | state_b.keys() if n not in state_a or n not in state_b]
    different += [
        n
        for n in state_a.keys() & state_b.keys()
        if state_a[n].shape != state_b[n].shape or _kind(state_a[n]) != _kind(state_b[n])
    ]
    if different:
        raise ValueError(f"the networks differ in {len(different)} tensors, for example {sorted(different)[:3]}.")
    if not state_a:
        raise ValueError("the networks have no tensors: there is nothing to interpolate.")
    mixed = {}
    for name, ours in state_a.items():
        theirs = state_b[name].to(ours)
        if ours.is_floating_point() or ours.is_complex():
            mixed[name] = torch.lerp(ours, theirs, alpha)
        else:
            mixed[name] = (theirs if alpha >= 0.5 else ours).clone()
    return mixed
