"""Which submissions' code is alike: fingerprints of token sequences, as in Schleimer, Wilkerson and Aiken (2003).

Names, numbers and text are replaced by their kind, so that renaming hides nothing; comments and layout do not count.
What students were given, and what the public solution has, is left out of account.
"""

from __future__ import annotations

import hashlib
import keyword
import re
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from xfergrade.assignment import Loaded
from xfergrade.notebook import Notebook
from xfergrade.text import clean_text

K, WINDOW = 12, 6  # tokens in a fingerprint; the least hash of so many in a row is kept
COMMON = 0.3  # a fingerprint that more than this share of a class has says nothing about two of them
# Triple-quoted text first. Linear, on any source: a submission decides what is read here.
_TOKEN = re.compile(
    r"\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|#[^\n]*|[^\W\d]\w*|\d[\w.]*|\S"
)
LIMITS = """\
What this can show: pairs of submissions whose code has long stretches in common that neither the assignment nor its
published solution has. Renamed variables, other comments and another layout do not hide that.

What it cannot show: who wrote it first, whether anybody did wrong, or that those who are not listed wrote their own.
Short functions have few forms, and two students may find the same one. Code that was rewritten, or copied from the
published solution, or made by the same tool with other words, does not appear. Read both, and ask, before you say
anything.
"""


@dataclass(frozen=True)
class Pair:
    """Two submissions, and how much of the smaller one's own code is in the other."""

    first: str
    second: str
    share: float
    shared: int  # fingerprints


def tokens(source: str) -> list[str]:
    """Kinds of tokens: keywords and signs as they are, names, numbers and text by kind."""
    found: list[str] = []
    for token in _TOKEN.findall(source):
        if token.startswith("#"):
            continue
        if token[0] in "\"'" and len(token) > 1:
            found.append("text")
        elif token[0].isdigit():
            found.append("number")
        else:
            name = (token[0].isalpha() or token[0] == "_") and not keyword.iskeyword(token)
            found.append("name" if name else token)
    return found


def fingerprints(source: str) -> set[int]:
    """Hashes of runs of K tokens, thinned out so that every run of K + WINDOW − 1 equal tokens leaves a common one."""
    kinds = tokens(source)
    hashes = [
        int.from_bytes(hashlib.blake2b(" ".join(kinds[i : i + K]).encode(), digest_size=8).digest(), "big")
        for i in range(len(kinds) - K + 1)
    ]
    if len(hashes) <= WINDOW:
        return set(hashes)
    return {min(hashes[i : i + WINDOW]) for i in range(len(hashes) - WINDOW + 1)}


def _every(source: str) -> set[int]:
    """All of the hashes, for what is to be left out."""
    kinds = tokens(source)
    return {
        int.from_bytes(hashlib.blake2b(" ".join(kinds[i : i + K]).encode(), digest_size=8).digest(), "big")
        for i in range(len(kinds) - K + 1)
    }


def alike(loaded: Loaded, notebooks: dict[str, Notebook], at_least: int = 4) -> list[Pair]:
    """Pairs with something in common, those with the largest share first.

    Args:
        notebooks: by student.
        at_least: shared fingerprints below this number are no pair.
    """
    code = [cell_id for cell_id, _, own in loaded.source.run if own]
    known: set[int] = set()
    for cell_id, solution, _ in loaded.source.run:
        known |= _every(solution) | _every(loaded.source.stubs[cell_id])
    own: dict[str, set[int]] = {}
    for student, notebook in notebooks.items():
        sources = [notebook.code(cell_id) or "" for cell_id in code]
        own[student] = set().union(*(fingerprints(source) for source in sources)) - known
    counts = Counter(print_ for prints in own.values() for print_ in prints)
    usual = {p for p, count in counts.items() if count > max(3, COMMON * len(own))}
    own = {student: prints - usual for student, prints in own.items()}
    holders: dict[int, list[str]] = {}
    for student, prints in sorted(own.items()):
        for print_ in prints:
            holders.setdefault(print_, []).append(student)
    shared = Counter(pair for students in holders.values() for pair in combinations(students, 2))
    pairs = [
        Pair(a, b, count / min(len(own[a]), len(own[b])), count)
        for (a, b), count in shared.items()
        if count >= at_least
    ]
    return sorted(pairs, key=lambda p: (-p.share, -p.shared, p.first, p.second))


def report(loaded: Loaded, notebooks: dict[str, Notebook], most: int = 50) -> str:
    """The pairs as Markdown, with what the report can and cannot show above them."""
    pairs = alike(loaded, notebooks)
    lines = [f"# {loaded.spec.title}: code that is alike, {len(notebooks)} submissions", "", LIMITS]
    if not pairs:
        return "\n".join([*lines, "No two submissions have that much in common.", ""])
    lines += ["| | | share of the smaller | stretches in common |", "|---|---|---|---|"]
    for pair in pairs[:most]:
        names = [re.sub(r"([\\`*_\[\]|<>])", r"\\\1", clean_text(n, 80)) for n in (pair.first, pair.second)]
        lines.append(f"| {names[0]} | {names[1]} | {pair.share:.0%} | {pair.shared} |")
    if len(pairs) > most:
        lines += ["", f"{len(pairs) - most} more pairs are not shown."]
    return "\n".join(lines) + "\n"
