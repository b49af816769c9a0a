"""The one format in which data crosses the sandbox's wall: a JSON tree for structure, raw bytes for arrays.

Nothing here can run code: a frame is a fixed header, JSON of a known shape, and little-endian array bytes. Whoever
reads checks every size and type before believing it. What cannot be said in this format (a module, an object, a
function) cannot cross.

    frame = b"XFG1" · length of the JSON (u32) · length of the blob (u32) · JSON · blob
    tree  = null | bool | int | str | finite float | {"float": "nan" | "inf" | "-inf"}
          | {"list": [tree…]} | {"tuple": [tree…]} | {"dict": [[key, tree]…]}
          | {"array": ["numpy" | "torch", dtype, shape, offset into the blob]}
"""

from __future__ import annotations

import json
import math
import struct
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADER = struct.Struct("<4sII")
MAGIC = b"XFG1"
DTYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()
)
MAX_DEPTH, MAX_NODES, MAX_NDIM, MAX_JSON = 20, 20_000, 8, 4_000_000
MAX_MARKS = 8 * MAX_NODES  # commas and brackets in a frame's JSON: an array's description has seven


class WireError(ValueError):
    """The data cannot be sent, or what arrived is not in the format."""


@dataclass(frozen=True, eq=False)
class TorchArray:
    """A tensor that came out of a sandbox: its numbers, without torch."""

    array: np.ndarray


def plain(value: Any) -> Any:
    """The same value with every `TorchArray` replaced by its NumPy array."""
    if isinstance(value, TorchArray):
        return value.array
    if isinstance(value, list | tuple):
        return type(value)(plain(v) for v in value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


# ------------------------------------------------------------------------------------------------------- writing


def encode(value: Any, blob: bytearray, *, depth: int = 0) -> Any:
    """The tree for `value`; array bytes are appended to `blob`.

    Raises:
        WireError: the value holds something that the format has no word for; the message says what.
    """
    if depth > MAX_DEPTH:
        raise WireError(f"the value is nested more than {MAX_DEPTH} deep")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise WireError("an integer has more than 63 bits")
        return int(value)
    if isinstance(value, float):
        value = float(value)
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(v, blob, depth=depth + 1) for v in value]}
    if isinstance(value, dict):
        if not all(isinstance(k, str) for k in value):
            raise WireError("a dict has keys that are not strings")
        return {"dict": [[k, encode(v, blob, depth=depth + 1)] for k, v in value.items()]}
    if isinstance(value, np.ndarray):
        return _encode_array(value, "numpy", blob)
    if isinstance(value, TorchArray):
        return _encode_array(value.array, "torch", blob)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        try:
            array = value.detach().cpu().contiguous().numpy()
        except (TypeError, RuntimeError) as error:
            raise WireError(f"a tensor of dtype {value.dtype} cannot be handed back: {error}") from error
        return _encode_array(array, "torch", blob)
    raise WireError(f"a {type(value).__name__} cannot be handed back; numbers, strings, lists, arrays and tensors can")


def _encode_array(array: np.ndarray, kind: str, blob: bytearray) -> Any:
    if array.dtype.name not in DTYPES:
        raise WireError(f"an array of dtype {array.dtype} cannot be handed back; numbers and booleans can")
    if array.ndim > MAX_NDIM:
        raise WireError(f"an array has {array.ndim} dimensions; at most {MAX_NDIM} can be handed back")
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    offset = len(blob)
    blob += data
    return {"array": [kind, array.dtype.name, list(array.shape), offset]}


def pack(message: dict[str, Any], blob: bytes | bytearray = b"") -> bytes:
    """A frame. `message` may hold trees that `encode` made with this blob."""
    body = json.dumps(message, ensure_ascii=True, allow_nan=False).encode()
    return HEADER.pack(MAGIC, len(body), len(blob)) + body + bytes(blob)


# ------------------------------------------------------------------------------------------------------- reading


def header(data: bytes, max_blob: int) -> tuple[int, int]:
    """The lengths (JSON, blob) that a frame's first bytes announce.

    Raises:
        WireError: not a frame, or longer than allowed.
    """
    magic, json_length, blob_length = HEADER.unpack(data)
    if magic != MAGIC:
        raise WireError("what came out of the sandbox is not in the agreed format")
    if json_length > MAX_JSON or blob_length > max_blob:
        raise WireError(f"the answer is too large: {json_length + blob_length:,} bytes")
    return json_length, blob_length


def unpack(body: bytes) -> dict[str, Any]:
    """The message of a frame, as plain JSON.

    Raises:
        WireError: not JSON, not an object, or nested too deep.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_MARKS:  # each part takes fifty times its size
        raise WireError("the answer has too many parts")
    try:
        message = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise WireError(f"the frame is not valid JSON: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise WireError("the frame is not an object")
    return message


def load(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Message and blob of one whole frame that `pack` made.

    Raises:
        WireError: not a frame.
    """
    length, _ = header(data[: HEADER.size], len(data))
    return json.loads(data[HEADER.size : HEADER.size + length]), data[HEADER.size + length :]


def _refuse(name: str) -> Any:
    raise ValueError(name)


def decode(tree: Any, blob: bytes, *, tensors: bool = False) -> Any:
    """The value that `tree` describes: plain Python and freshly made NumPy arrays.

    Args:
        tensors: give torch tensors as such (inside the sandbox, in a notebook); otherwise as `TorchArray`.
    Raises:
        WireError: the tree is not in the format, or points outside the blob.
    """
    return _Decoder(blob, tensors).value(tree, 0)


class _Decoder:
    def __init__(self, blob: bytes, tensors: bool) -> None:
        self.blob, self.tensors, self.nodes, self.taken = blob, tensors, 0, 0

    def value(self, tree: Any, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH + 1 or self.nodes > MAX_NODES:
            raise WireError("the answer has too many parts")
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        if not isinstance(tree, dict) or len(tree) != 1:
            raise WireError("the answer is not in the agreed format")
        ((kind, content),) = tree.items()
        if kind == "float" and content in ("nan", "inf", "-inf"):
            return float(content)
        if kind in ("list", "tuple", "dict", "array") and isinstance(content, list):
            if kind == "array":
                return self.array(content)
            if kind == "dict":
                pairs = [p for p in content if isinstance(p, list) and len(p) == 2 and isinstance(p[0], str)]
                if len(pairs) == len(content):
                    return {k: self.value(v, depth + 1) for k, v in pairs}
            else:
                values = [self.value(v, depth + 1) for v in content]
                return tuple(values) if kind == "tuple" else values
        raise WireError("the answer is not in the agreed format")

    def array(self, content: list[Any]) -> Any:
        if len(content) != 4:
            raise WireError("an array's description is not in the agreed format")
        kind, dtype, shape, offset = content
        sizes_are_counts = (
            isinstance(shape, list)
            and len(shape) <= MAX_NDIM
            and all(type(n) is int and 0 <= n <= 2**40 for n in [*shape, offset])
        )
        if kind not in ("numpy", "torch") or not isinstance(dtype, str) or dtype not in DTYPES or not sizes_are_counts:
            raise WireError("an array's description is not in the agreed format")
        count, item = math.prod(shape), np.dtype(dtype).newbyteorder("<")
        self.taken += count * item.itemsize
        if offset + count * item.itemsize > len(self.blob):
            raise WireError("an array's description points outside the data")
        if self.taken > len(self.blob):  # a small frame that describes the same bytes again and again
            raise WireError("the arrays hold more than the data")
        try:
            array = np.frombuffer(self.blob, item, count, offset).reshape(shape).astype(np.dtype(dtype))  # a copy
        except ValueError:  # a shape such as (2**40, 2**40, 0)
            raise WireError("an array's shape is too large") from None
        if kind == "numpy":
            return array
        if self.tensors:
            import torch

            return torch.from_numpy(array)
        return TorchArray(array)
