"""What a mutant is: an assignment's solution with one plausible student mistake, and the checks it must lose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One mistake, made by replacing text in one cell of the solution."""

    name: str
    mistake: str  # what the student did, in a few words
    cell: str  # the grade_id of the solution cell
    old: str  # stands exactly once in that cell
    new: str
    loses: frozenset[str]  # ids of the checks that must fail; every other check must pass

    def apply(self, source: str) -> str:
        """The cell's text with the mistake in it."""
        assert source.count(self.old) == 1, f"{self.name}: {self.old!r} stands {source.count(self.old)} times"
        return source.replace(self.old, self.new)
