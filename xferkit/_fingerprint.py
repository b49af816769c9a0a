"""What a forward pass depends on, as one digest: weights, settings and the code itself.

Names are not enough: a class that was defined anew in a notebook keeps its name and computes something else. So the
code of each class is part of the digest, and the functions and constants that it refers to, as far as they are the
reader's. Whatever cannot be described raises `NotDescribable`, and nothing is cached.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import types
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# The versions of these stand for their code (torch's and torchvision's, timm's), which is not followed further.
TRUSTED = ("torch", "torchvision", "timm", "numpy")
# What a network's own `__dict__` holds beside its settings (parts and hooks are looked at on their own), and what
# freezing leaves there, which says nothing about a forward pass in evaluation mode.
_INNER = {*vars(nn.Module()), "train", "stopped_by_freeze"}
_AT_CONSTRUCTION = {"__init__", "__repr__", "extra_repr", "__new__"}


class NotDescribable(Exception):
    """Something that a result may depend on and that has no digest."""


class Fingerprint:
    """A digest to which values are added one by one; the same values in the same order give the same digest."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # ids are unique only among living objects

    def digest(self) -> str:
        return self._hash.copy().hexdigest()

    def add(self, *values: Any) -> None:
        for value in values:
            self._add(value)

    def _write(self, kind: str, content: bytes | str = b"") -> None:
        raw = content.encode() if isinstance(content, str) else content
        self._hash.update(f"{kind}:{len(raw)}:".encode())
        self._hash.update(raw)

    def _first_time(self, value: Any) -> bool:
        """Whether this object is met for the first time; cycles end here."""
        if (number := self._seen.get(id(value))) is not None:
            self._write("again", str(number))
            return False
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        return True

    def _add(self, value: Any) -> None:
        if type(value) in (type(None), bool, int, float, complex, str, bytes):
            self._write(type(value).__name__, repr(value))
        elif isinstance(value, Tensor):
            self._tensor(value)
        elif isinstance(value, nn.Module):
            self.module(value)
        elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            self._write("numpy", f"{value.dtype} {value.shape}")
            self._write("data", np.ascontiguousarray(value).tobytes())
        elif isinstance(value, enum.Enum):
            self._write("enum", f"{type(value).__qualname__}.{value.name}")
        elif isinstance(value, torch.dtype | torch.device | torch.memory_format | torch.layout | range | slice):
            self._write("torch", repr(value))
        elif type(value) in (tuple, list, torch.Size) or hasattr(value, "_fields"):
            self._write(type(value).__name__, str(len(value)))
            self.add(*value)
        elif isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
            self._write("dict", str(len(value)))
            for key in value:
                self.add(key, value[key])
        elif isinstance(value, set | frozenset):
            self._write("set", ",".join(sorted(_alone(each) for each in value)))
        else:
            self._code(value)

    def _tensor(self, value: Tensor) -> None:
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_quantized:
            raise NotDescribable(type(value).__name__)
        # The order in memory decides which kernel runs, and so the last bits.
        self._write("tensor", f"{value.dtype} {tuple(value.shape)} {value.stride()} {value.device.type}")
        if value.numel():
            flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            self._hash.update(flat.view(torch.uint8).numpy().data)

    def module(self, module: nn.Module) -> None:
        """A network: its classes' code, settings, weights and buffers, and what it contains."""
        if not self._first_time(module):
            return
        self.klass(type(module))
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for hook in hooks.values():  # those of `freeze` keep a part in evaluation mode; another may do anything
                if getattr(hook, "__module__", "") != "xferkit.tuning.freezing":
                    raise NotDescribable(f"the hook {hook!r}")
        inside: dict[str, Any] = module.__dict__
        for name in sorted(inside.keys() - _INNER):
            self.add(name, inside[name])
        for name, part in (*module._parameters.items(), *module._buffers.items(), *module._modules.items()):
            self.add(name, part)

    def klass(self, cls: type) -> None:
        for base in cls.__mro__:
            if base in (nn.Module, object):
                continue
            self._write("class", f"{base.__module__}.{base.__qualname__}")
            if not self._first_time(base):
                continue
            trusted = _trusted(base.__module__)
            for name, value in sorted(vars(base).items()):
                if isinstance(value, staticmethod | classmethod):
                    value = value.__func__
                if isinstance(value, property):
                    self.add(name, value.fget)
                elif isinstance(value, types.FunctionType):
                    if name not in _AT_CONSTRUCTION:
                        self.add(name, value)
                elif not (trusted or name.startswith("__") or name == "_abc_impl"):
                    self.add(name, value)

    def _code(self, value: Any) -> None:
        if isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.add(value.__func__, value.__self__)
        elif isinstance(value, functools.partial):
            self.add(value.func, value.args, value.keywords)
        elif isinstance(value, types.CodeType):
            self._write("code", value.co_code + repr(value.co_names).encode())
            self.add(value.co_consts)
        elif isinstance(value, type):
            self.klass(value) if not _trusted(value.__module__) else self._write("class", repr(value))
        elif isinstance(value, types.ModuleType):
            if not _trusted(value.__name__):
                raise NotDescribable(f"the module {value.__name__}")
            self._write("import", value.__name__)
        elif isinstance(value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType):
            self._write("builtin", value.__qualname__)
            owner = getattr(value, "__self__", None)
            if not (owner is None or isinstance(owner, type | types.ModuleType)):
                self.add(owner)
        elif isinstance(value, np.ufunc) or type(value).__module__ == "torch._ops":
            self._write("operator", str(value))
        else:
            raise NotDescribable(f"{type(value).__module__}.{type(value).__qualname__}")

    def _function(self, function: types.FunctionType) -> None:
        home = str(function.__globals__.get("__name__", ""))  # functools.wraps can make __module__ say anything
        self._write("function", f"{home}.{function.__qualname__}")
        if not self._first_time(function):
            return
        self.add(function.__code__, function.__defaults__, function.__kwdefaults__)
        if _trusted(home):
            return
        self.add(*(cell.cell_contents for cell in function.__closure__ or ()))
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self.add(name, function.__globals__[name])


def _alone(value: Any) -> str:
    one = Fingerprint()
    one.add(value)
    return one.digest()


def _trusted(module: str) -> bool:
    top = module.partition(".")[0]
    return top in TRUSTED or (top in sys.stdlib_module_names and top != "__main__")


def _names(code: types.CodeType) -> Iterable[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _names(const)
