"""Taking networks apart and putting them together: a new head, copied layers, weights in between."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xferkit.models import Classifier, feature_dim


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
    """Give the network a fresh linear head of shape (num_classes, D), in place, and return it.

    Raises:
        ValueError: fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}: a classifier needs at least two classes.")
    where = next(model.parameters()).device
    model.head = nn.Linear(feature_dim(model), num_classes, device=where)
    return model


@torch.no_grad()
def copy_weights(src: nn.Module, dst: nn.Module, *, layers: Iterable[str] | None = None) -> CopyReport:
    """Copy tensors (parameters and buffers) of the same name and shape from one network to another.

    A tensor is never cut, padded or broadcast: another shape means another layer, and the report says so. Every tensor
    of either network stands in the report, in exactly one of its three lists.

    Args:
        layers: name prefixes such as "features.stage1" that may be copied; None means all.
    Raises:
        ValueError: a prefix in `layers` matches no tensor of `src`.
    """
    source, target = src.state_dict(), dst.state_dict()
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
        else:
            target[name].copy_(source[name])
            report.copied.append(name)
    return report


def interpolate_weights(a: nn.Module, b: nn.Module, alpha: float) -> dict[str, Tensor]:
    """The state dict (1 − α)·a + α·b of two networks of one architecture; counters are taken from `b` for α ≥ ½.

    Args:
        alpha: 0 gives `a`, 1 gives `b`; values outside [0, 1] extrapolate.
    Raises:
        ValueError: names or shapes of the two networks differ.
    """
    state_a, state_b = a.state_dict(), b.state_dict()
    different = [n for n in state_a.keys() | state_b.keys() if n not in state_a or n not in state_b]
    different += [n for n in state_a.keys() & state_b.keys() if state_a[n].shape != state_b[n].shape]
    if different:
        raise ValueError(f"the networks differ in {len(different)} tensors, for example {sorted(different)[:3]}.")
    return {
        name: torch.lerp(state_a[name], state_b[name], alpha)
        if state_a[name].is_floating_point()
        else (state_b if alpha >= 0.5 else state_a)[name].clone()
        for name in state_a
    }
