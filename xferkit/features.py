"""Features as data: the output of each stage of a network, computed once and kept on disk."""

from __future__ import annotations

import platform
import random
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

from xferkit import _cache
from xferkit._checks import check_count
from xferkit._fingerprint import Fingerprint
from xferkit._loop import shapes_noted
from xferkit.data import Split
from xferkit.train import EVALUATION_BATCH, evaluation_mode, network_and_pictures, pixels_for


@torch.no_grad()
def extract_features(
    model: nn.Module, x: Tensor | Split, *, layers: Sequence[str] | None = None, batch_size: int = EVALUATION_BATCH
) -> dict[str, Tensor]:
    """The output of stages of `model.features`, averaged over space where it is a map: {name: (N, D)}.

    The features are float32 tensors on the CPU, new ones at each call.

    What was extracted before is read from the folder `XFERKIT_CACHE` (by default ~/.cache/xferkit/features; "off" keeps
    nothing). An entry is found again only if weights, code and settings of the stages up to its own, pictures, batch
    size, device, number of threads and versions are the same, so that it holds what would be computed now, to the last
    bit. Networks with hooks of your own, or with code that cannot be followed, are computed each time. The folder keeps
    2 GB, those read last; delete it whenever you like.

    Args:
        model: a `Classifier`, also inside `DataParallel` or `torch.compile` (the network inside is asked).
        x: uint8 (N, 3, H, W) with N ≥ 1, or a split, whose labels are not read.
        layers: names of stages, such as ["stage3"]; None means the last one alone.
    Raises:
        ValueError: a name that is no stage of this network, no names, a stage that gives neither a map nor vectors; or
            as in `predict`.
        TypeError: one name in place of a list, or as in `predict`.
    """
    net, pictures, where, dtype = network_and_pictures(model, x)
    size = check_count(batch_size, what="batch_size")
    names = [name for name, _ in net.features.named_children()]
    if isinstance(layers, str):
        raise TypeError(f"layers={layers!r} must be a list of names: [{layers!r}].")
    wanted = names[-1:] if layers is None else list(dict.fromkeys(layers))
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(f"no stage {unknown} in this network. Choose from: {', '.join(names)}.")
    if not wanted:
        raise ValueError(f"layers is empty. Choose from: {', '.join(names)}.")
    stages = _stages(net.features, wanted)
    with evaluation_mode(net):
        keys = _keys(stages, pictures, wanted, where, dtype, size)
        found = {name: z for name, key in keys.items() if (z := _cache.load(key)) is not None}
        if missing := [name for name in wanted if name not in found]:
            before = _random_state(where)
            with shapes_noted(net, pictures):
                found |= _compute(stages, pictures, missing, where, dtype, size)
            # A network that draws numbers or changes itself when asked gives something else next time.
            if _random_state(where) == before and keys == _keys(stages, pictures, wanted, where, dtype, size):
                for name in keys.keys() & missing:
                    _cache.save(keys[name], found[name])
    return {name: found[name] for name in wanted}


Stages = list[tuple[str, nn.Module]]


def _stages(features: nn.Module, wanted: Sequence[str]) -> Stages:
    """The stages up to the last one wanted; all in one where they are not simply called one after another."""
    stages = list(features.named_children())
    own = {**features._forward_hooks, **features._forward_pre_hooks}.values()
    hooked = any(getattr(hook, "__module__", "") != "xferkit.tuning.freezing" for hook in own)
    if type(features).forward is nn.Sequential.forward and "forward" not in vars(features) and not hooked:
        return stages[: 1 + max(i for i, (name, _) in enumerate(stages) if name in wanted)]
    if list(wanted) != [stages[-1][0]]:
        raise ValueError(
            f"model.features ({type(features).__name__}) has a forward pass or hooks of its own, so its stages cannot "
            "be read one by one: ask for the last one alone."
        )
    return [(stages[-1][0], features)]


def _compute(
    stages: Stages, pictures: Tensor, layers: Sequence[str], where: torch.device, dtype: torch.dtype, size: int
) -> dict[str, Tensor]:
    chunks: dict[str, list[Tensor]] = {name: [] for name in layers}
    for chunk in pictures.split(size):
        z = pixels_for(chunk, where, dtype)
        for name, stage in stages:
            z = stage(z)
            if name in chunks:
                if z.ndim not in (2, 4):
                    raise ValueError(f"{name} gives {tuple(z.shape)}: neither a map (B, C, H, W) nor vectors (B, D).")
                chunks[name].append((z.mean((2, 3)) if z.ndim == 4 else z).float().cpu())
    return {name: torch.cat(parts) for name, parts in chunks.items()}


def _keys(
    stages: Stages, pictures: Tensor, layers: Sequence[str], where: torch.device, dtype: torch.dtype, size: int
) -> dict[str, str]:
    """A digest for each layer of all that its output depends on; nothing where that cannot be said."""
    everywhere = nn.modules.module
    watched = everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks
    if not _cache.is_on() or watched or torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack():
        return {}
    so_far, keys = Fingerprint(), {}
    try:
        so_far.add(_environment(where), str(dtype), size, pictures, pixels_for, _compute)
        for name, stage in stages:
            so_far.add(name, stage)
            if name in layers:
                keys[name] = so_far.digest()
    except Exception:  # NotDescribable, or whatever an unusual object does when it is looked at
        return {}
    return keys


@cache
def _versions() -> str:
    names = ("torch", "torchvision", "timm", "numpy")
    return f"{[version(name) for name in names]} {platform.python_version()} {platform.machine()}"


def _environment(where: torch.device) -> str:
    """Whatever else changes a result, if only in its last bits."""
    kind = where.type
    settings = [
        torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(), torch.backends.mkldnn.enabled,
        torch.backends.cpu.get_cpu_capability(), torch.is_autocast_enabled(kind),
        torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None,
    ]  # fmt: skip
    if kind == "cuda":
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        settings += [torch.cuda.get_device_name(where), cudnn.version(), cudnn.enabled, cudnn.deterministic]
        settings += [cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32]
    return f"{_versions()} {kind} {settings}"


def _random_state(where: torch.device) -> tuple[object, ...]:
    on_gpu = torch.cuda.get_rng_state(where).numpy().tobytes() if where.type == "cuda" else b""
    return torch.get_rng_state().numpy().tobytes(), on_gpu, random.getstate(), str(np.random.get_state(legacy=False))
