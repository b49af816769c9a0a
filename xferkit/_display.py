"""Showing a text: as HTML or Markdown in a notebook, as plain text anywhere else."""

from __future__ import annotations

import re


def show(text: str, markdown: str, metadata: dict[str, object] | None = None, *, html: str = "") -> None:
    """Display all forms where IPython runs; print the plain one where it does not."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(text)
        return
    if get_ipython() is None:
        print(text)
        return
    forms = {"text/plain": text, "text/markdown": markdown} | ({"text/html": html} if html else {})
    display(forms, raw=True, metadata=metadata or {})


def literal(text: object) -> str:
    """Text for one line of Markdown, with nothing in it read as markup except dollar maths."""
    return re.sub(r"([\\`*_<>\[\]{}|#])", r"\\\1", " ".join(str(text).split()))
