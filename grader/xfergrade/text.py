"""Text that others wrote, made fit to print, and cut only where the cut shows."""

from __future__ import annotations

import re

# What a terminal, a spreadsheet or a page could take for an instruction: control characters, and all of Unicode's
# invisible format characters (those that reorder text among them) but the two joiners, which some scripts need.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-"
    "\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-"
    "\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


def clean_text(text: str, length: int = 600) -> str:
    """Text from a submission, fit to print: valid Unicode, no control characters, no addresses, at most `length`."""
    text = text.encode("utf-8", "replace").decode()
    return cut(_ADDRESS.sub("0x…", _UNWANTED.sub("", text.replace("\r\n", "\n"))), length)


def cut(text: str, length: int) -> str:
    """The first `length` characters; a cut shows, and where there is room it says what is missing."""
    if len(text) <= length:
        return text
    return text[:length] + ("…" if length < 200 else f"… [cut here: {len(text) - length:,} more characters]")


def number(value: float) -> str:
    """Points without a needless fraction."""
    return f"{round(value, 6):g}"
