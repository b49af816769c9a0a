"""Showing a text: as Markdown in a notebook, as plain text anywhere else."""

from __future__ import annotations


def show(text: str, markdown: str, metadata: dict[str, object] | None = None) -> None:
    """Display both forms where IPython runs; print the plain one where it does not."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(text)
        return
    if get_ipython() is None:
        print(text)
        return
    display({"text/plain": text, "text/markdown": markdown}, raw=True, metadata=metadata or {})
