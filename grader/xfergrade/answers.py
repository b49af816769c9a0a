"""What goes into the sandbox and what comes out of it, as data. Nothing in it is believed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from xfergrade import wire


@dataclass(frozen=True)
class Answer:
    """What one step gave.

    Its status: "ok", "error" (it raised), "unsendable" (what it returned has no word in the format), "time", "ended"
    (the process died), "size", "skipped" (no time was left), "lost" (another input of its check ended the process),
    "missing" (nothing was handed in).
    """

    status: str
    value: Any = None
    error: dict[str, Any] | None = None
    skipped: tuple[str, ...] = ()  # what of a cell was not run, in words
    seconds: float = field(default=0, compare=False)

    def with_value(self, value: Any) -> Answer:
        """The same with another value."""
        return replace(self, value=value)


@dataclass(frozen=True)
class Stage:
    """Calls in a process of their own, with functions that the source's own cells define in place of the student's."""

    calls: tuple[str, ...]
    given: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A submission's cells, as (grade_id, code), and the names of the calls after them, "CHECK#CASE"."""

    cells: tuple[tuple[str, str], ...]
    calls: tuple[str, ...]
    stages: tuple[Stage, ...] = ()


def answer_of(message: dict[str, Any], blob: bytes, seconds: float) -> Answer:
    """A step's frame as an answer. Its fields say what kind it is; no text in it does.

    Raises:
        WireError: not in the agreed format.
    """
    if "unsendable" in message:
        return Answer("unsendable", error=clean_error({"message": message["unsendable"]}))
    if message.get("error") is not None:
        return Answer("error", error=clean_error(message["error"]))
    skipped = message.get("skipped")
    said = tuple(str(what)[:200] for what in skipped[:10]) if isinstance(skipped, list) else ()
    return Answer("ok", wire.decode(message.get("value"), blob), skipped=said, seconds=seconds)


def clean_error(error: Any) -> dict[str, Any]:
    """An exception's description as the untrusted side gave it, cut to size and to the types we expect."""
    fields = error if isinstance(error, dict) else {}
    text = {k: str(fields.get(k, ""))[:601] for k in ("type", "message", "cell")}
    line = fields.get("line")
    return {**text, "line": line if type(line) is int and 0 <= line < 10**6 else 0}
