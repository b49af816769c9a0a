"""Let _config.yml list the names that a strict build may leave unlinked.

Sphinx compares pairs as tuples, and YAML knows only lists, so that without this the list would have no effect.
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.config import Config


def to_tuples(app: Sphinx, config: Config) -> None:
    config.nitpick_ignore = {(role, name) for role, name in config.nitpick_ignore}  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", to_tuples, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
