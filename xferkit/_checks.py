"""Guards at the doors of the package: each says what was wrong with an input and what to do about it.

They are here because a wrong input seldom stops PyTorch: a mask is read as positions, floats are truncated, labels of
shape (N, 1) are broadcast, NaN compares as false; and each of these gives a plausible number.
"""

from __future__ import annotations

from math import isfinite
from operator import index

import torch
from torch import Tensor


def check_pixels(x: Tensor, *, what: str = "pictures") -> None:
    """uint8 (N, 3, H, W), or a `TypeError` or `ValueError` that says what to do."""
    check_uint8(x, what=what)
    check_stored(x, what=what)
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"{what} must have the shape (N, 3, H, W), not {tuple(x.shape)}.")
    if 0 in x.shape[2:]:
        raise ValueError(f"{what} of the shape {tuple(x.shape)} have no pixels.")


def check_labels(y: Tensor, n: int | None = None, *, what: str = "labels", negative: bool = False) -> None:
    """Integers of shape (n,), none of them negative (which says that there is no label) unless that is allowed."""
    if not isinstance(y, Tensor):
        raise TypeError(f"{what} must be an int64 tensor (N,), not {type(y).__name__}.")
    if y.dtype == torch.bool or y.is_floating_point() or y.is_complex():
        raise TypeError(f"{what} are {y.dtype}, but must be integers (int64): one class index a picture.")
    if y.ndim != 1:
        raise ValueError(f"{what} must have the shape (N,), not {tuple(y.shape)}: flatten them, or take the argmax.")
    check_stored(y, what=what)
    if n is not None and len(y) != n:
        raise ValueError(f"{n} rows, but {len(y)} {what}: there must be one for each.")
    if not negative and len(y) and int(y.min()) < 0:
        raise ValueError(f"{what} hold {int(y.min())}: class indices start at 0. Leave out what is not to be judged.")


def check_floating(z: Tensor, *, what: str = "features") -> None:
    """Floating-point (N, D) by type and shape: no value is read, for which a training step on a GPU would wait."""
    if not isinstance(z, Tensor):
        raise TypeError(f"{what} must be a tensor (N, D), not {type(z).__name__}.")
    if not z.is_floating_point():
        raise TypeError(f"{what} are {z.dtype}, but must be real floating-point numbers.")
    if z.ndim != 2 or z.shape[1] == 0:
        raise ValueError(f"{what} must have the shape (N, D), not {tuple(z.shape)}.")
    check_stored(z, what=what)


def check_features(z: Tensor, *, what: str = "features", least: int = 1) -> None:
    """Finite floating-point (N, D) with at least `least` rows and one column."""
    check_floating(z, what=what)
    if len(z) < least:
        raise ValueError(f"{len(z)} rows of {what}: at least {least} are needed.")
    if not bool(torch.isfinite(z).all()):
        bad = int((~torch.isfinite(z)).any(1).sum())
        raise ValueError(f"{bad} of {len(z)} rows of {what} hold NaN or infinity: look where they come from first.")


def check_same_width(z_a: Tensor, z_b: Tensor, *, what: tuple[str, str]) -> None:
    """The same number of columns, by shape alone; `what` names the two, such as "source features"."""
    if z_a.shape[1:] != z_b.shape[1:]:
        shapes = f"{what[0]} and {what[1]} have the shapes {tuple(z_a.shape)} and {tuple(z_b.shape)}"
        raise ValueError(f"{shapes}: both must come from the same encoder, so the widths must agree.")


def check_same_length(*parts: object, what: str) -> None:
    """The same number of rows in each; `what` names them, such as "queries and their labels"."""
    sizes = [len(part) for part in parts]  # type: ignore[arg-type]
    if len(set(sizes)) > 1:
        raise ValueError(f"{what} have {' and '.join(map(str, sizes))} rows: they must belong together, row by row.")


def check_count(n: object, *, what: str, least: int = 1) -> int:
    """A whole number of at least `least`, as an int: NumPy's integers count, floats and truth values do not."""
    try:
        if isinstance(n, bool):
            raise TypeError
        value = index(n)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{what}={n!r} must be a whole number.") from None
    if value < least:
        raise ValueError(f"{what}={value} must be at least {least}.")
    return value


def check_uint8(x: Tensor, *, what: str = "pictures") -> None:
    """A uint8 tensor of any shape: the dtype alone says that pixels have not been scaled yet."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{what} must be a uint8 tensor (N, 3, H, W), not {type(x).__name__}: see torch.from_numpy.")
    if x.dtype != torch.uint8:
        raise TypeError(
            f"{what} are {x.dtype}, but must be uint8 in 0…255. xferkit scales pixels itself, in to_float, once: "
            "give the pictures as they were stored, neither divided by 255 nor passed through to_float."
        )


def check_stored(t: Tensor, *, what: str) -> None:
    """Values that can be read: not a `meta` tensor, which has a shape alone, and not a sparse one."""
    if t.is_meta or t.layout != torch.strided:
        raise ValueError(f"{what} hold no values to read (device {t.device}, {t.layout}): give an ordinary tensor.")


def check_generator(generator: object) -> None:
    """A `torch.Generator`; a seed is not one."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator={generator!r} must be a torch.Generator: torch.Generator().manual_seed(0) makes one of a seed."
        )


def check_number(x: object, *, what: str, positive: bool = False, least: float | None = None) -> float:
    """A finite real number (positive, or of at least `least`), as a float."""
    if isinstance(x, bool) or not hasattr(x, "__float__"):
        raise TypeError(f"{what}={x!r} must be a number.")
    value = float(x)
    if not isfinite(value) or (positive and value <= 0) or (least is not None and value < least):
        bound = " and positive" if positive else "" if least is None else f" and at least {least:g}"
        raise ValueError(f"{what}={value} must be finite{bound}.")
    return value


def check_share(x: object, *, what: str) -> float:
    """A real number in [0, 1), as a float."""
    value = check_number(x, what=what, least=0.0)
    if value >= 1:
        raise ValueError(f"{what}={value} must be a share, at least 0 and below 1.")
    return value


def check_same_classes(a: object, b: object, *, what: str) -> None:
    """Where both carry class names (`classes`), the same ones in the same order; `what` says what the two are."""
    ours, theirs = getattr(a, "classes", None), getattr(b, "classes", None)
    if ours is not None and theirs is not None and tuple(ours) != tuple(theirs):
        raise ValueError(f"{what} name different classes: {', '.join(ours)} and {', '.join(theirs)}.")
