"""Features as data: the output of each stage of a network."""

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
