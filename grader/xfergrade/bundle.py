"""What travels with an assignment and what its checks say: shared by the student's side and the author's."""

from __future__ import annotations

from typing import Any

Bundle = tuple[dict[str, Any], bytes]


class CheckFailed(AssertionError):
    """A check did not pass. Notebooks show the message without the stack."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]
