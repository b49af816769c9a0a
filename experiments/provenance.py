"""What a figure depends on beside its settings: the machine and the versions, the code, the pictures."""

from __future__ import annotations

import ast
import hashlib
import inspect
import platform
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import xferkit as xk
from xferkit._schema import NOT_RECORDED, canonical


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        if sys.platform == "linux":
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        if sys.platform == "darwin":
            ask = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, StopIteration, subprocess.SubprocessError):
        pass
    return platform.processor() or platform.machine() or NOT_RECORDED


def environment() -> dict[str, str | int]:
    """What a figure may depend on beside the job."""
    where = xk.device().type
    packages = ("torchvision", *(name for name in ("timm",) if name in sys.modules))
    found: dict[str, str | int] = {"xferkit": xk.__version__, "python": platform.python_version()}
    found |= {"torch": torch.__version__} | {name: version(name) for name in packages}
    found |= {"device": where, "processor": processor(), "threads": torch.get_num_threads()}
    return found | ({"gpu": torch.cuda.get_device_name()} if where == "cuda" else {})


def code_version(*parts: Any) -> str:
    """A hash of functions' and classes' code, without comments and docstrings, of plain values, and dicts of these."""
    texts = []
    for part in parts:
        if isinstance(part, dict):
            texts += [f"{name}: {code_version(value)}" for name, value in part.items()]
            continue
        if not callable(part):
            texts.append(canonical(part))
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        texts.append(ast.unparse(tree))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def fingerprint(data: Mapping[str, xk.Domain | xk.Split | nn.Module]) -> str:
    """A hash of every picture, label, group, class name and given weight, so that no result can outlive its data."""
    digest = hashlib.sha256()

    def add(*tensors: torch.Tensor | None) -> None:
        for tensor in tensors:
            if tensor is not None:
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())

    for name, part in sorted(data.items()):
        digest.update(name.encode())
        if isinstance(part, nn.Module):
            add(*part.state_dict().values())
        elif isinstance(part, xk.Split):
            digest.update(canonical(part.classes).encode() if part.classes else b"")
            add(part.x, part.y, part.groups)
        else:
            digest.update(canonical(part.classes).encode())
            for split in (part.train, part.val, part.test):
                add(split.x, split.y, split.groups)
    return digest.hexdigest()
