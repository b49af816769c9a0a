"""A sentence that says what was tested: its numbers come from its conditions. For example::

    from xferkit.claims import above, claim

    claim(
        "lp-ft-leads-far-away",
        "On unseen styles LP-FT leads the probe by {lead}.",
        lead=above(lp_ft - probe, 2, over="seeds"),
        paper="+10 points", source="Kumar et al. 2022, abstract",
    )

shows a card with "On unseen styles LP-FT leads the probe by more than 2 points in each of 5 seeds.", what was observed,
how much of the margin was to spare, and the paper's figure. Where the run does not bear it out, the notebook stops.
"""

from __future__ import annotations

import html
import re
import string
from dataclasses import asdict, dataclass
from typing import Any

from xferkit._display import literal, show
from xferkit._wording import refuse_numbers
from xferkit.conditions import Condition, above, below, counted, equal, includes, true, within

__all__ = ["Claim", "ClaimError", "above", "below", "claim", "counted", "equal", "includes", "true", "within"]

CARD = (
    "border: 1px solid rgba(128, 128, 128, 0.45); border-left: 4px solid #1a7f5a; border-radius: 4px; "
    "padding: 0.5em 0.9em; margin: 0.4em 0; max-width: 46em"
)


@dataclass(frozen=True)
class Claim:
    """One checked sentence: what the chapter says, what the run showed, what was asked, what the paper reports."""

    id: str
    statement: str
    observed: str
    margin: str
    paper: str | None = None
    source: str | None = None

    def _ipython_display_(self) -> None:
        """Nothing more, as a cell's last value: `claim` has shown the card."""


class ClaimError(AssertionError):
    """A sentence of the book that this run does not bear out."""


def claim(id: str, sentence: str, *, paper: str | None = None, source: str | None = None, **conditions: Any) -> Claim:
    """State a result, and stop the notebook if the run does not bear it out.

    Args:
        id: short and unique in the course, such as "dann-closes-gap". It says no more than the conditions.
        sentence: one sentence about *our* run, with {name} where the words of the condition `name` stand. Digits,
            number words and words such as "each", "always" and "half" are refused outside of the braces.
        paper: what the paper reports, if anything. It is stored beside ours and never asserted.
        source: where the paper reports it, with table or section.
        **conditions: from `xferkit.conditions`, each of them named in the sentence.
    Raises:
        ClaimError: a condition does not hold.
        TypeError: a condition is none.
        ValueError: the sentence says a number by itself, names a condition that is not given or leaves one out; or the
            id is not made of lower-case words joined by hyphens.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
        raise ValueError(f"claim id {id!r}: use lower-case letters, digits and hyphens, such as 'dann-closes-gap'.")
    for name, condition in conditions.items():
        if not isinstance(condition, Condition):
            raise TypeError(f"claim {id}: {name}= must be a condition, such as above(gap, 7), not {condition!r:.60}.")
    statement = _filled(sentence, conditions, id)

    def gathered(field: str) -> str:
        said = {name: getattr(c, field) for name, c in conditions.items() if getattr(c, field)}
        if len(said) < 2:
            return "".join(said.values())
        return "; ".join(f"{name.replace('_', ' ')}: {text}" for name, text in said.items())

    record = Claim(id, statement, gathered("observed"), gathered("margin"), paper, source)
    if failed := [name for name, condition in conditions.items() if not condition.holds]:
        raise ClaimError(
            f"Claim {id} does not hold in this run: {', '.join(failed)}.\n  Sentence: {statement}\n"
            f"  Observed: {record.observed}\n  Margin:   {record.margin}\n"
            "The book must not say this. Look for the cause; if the result stands, change the sentence."
        )
    show(*_card(record), {"xferkit_claim": asdict(record)}, html=_card_html(record))
    return record


def _filled(sentence: str, conditions: dict[str, Condition], id: str) -> str:
    """The sentence with each condition's words."""
    parts = list(string.Formatter().parse(sentence))
    named = [name for _, name, _, _ in parts if name is not None]
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise ValueError(f"claim {id}: the conditions make their words, so write {{name}} and nothing more in braces.")
    if set(named) != set(conditions) or not named:
        raise ValueError(
            f"claim {id}: the sentence names {named or 'no condition'}, but the conditions are {list(conditions)}."
        )
    refuse_numbers(" … ".join(text for text, _, _, _ in parts), f"claim {id}: the sentence")
    if not sentence.rstrip().endswith("."):
        raise ValueError(f"claim {id}: a claim is one sentence, with a full stop.")
    return sentence.format(**{name: condition.words for name, condition in conditions.items()})


def _lines(record: Claim) -> list[tuple[str, str]]:
    paper = " ".join(filter(None, [record.paper, f"({record.source})" if record.paper and record.source else None]))
    return [
        (name, text)
        for name, text in (
            ("Observed here", record.observed),
            ("Margin", record.margin),
            ("Paper", paper),
            ("See", "" if record.paper else record.source or ""),
        )
        if text
    ]


def _card(record: Claim) -> tuple[str, str]:
    """As plain text and as Markdown."""
    lines = _lines(record)
    plain = [f"✓ {record.statement}", *(f"  {name}: {text}" for name, text in lines), f"  Claim: {record.id}"]
    marked = [f"✓ **{literal(record.statement)}**", *(f"*{name}:* {literal(text)}" for name, text in lines)]
    return "\n".join(plain), "\\\n".join([*marked, f"*Claim:* `{record.id}`"])


def _card_html(record: Claim) -> str:
    """Readable with its style (JupyterLab, the book), and without (GitHub takes it away)."""
    lines = [f"<em>{name}:</em> {html.escape(text)}" for name, text in _lines(record)]
    text = "<br>\n".join([*lines, f"<em>Claim:</em> <code>{record.id}</code>"])
    return (
        f'<div class="xferkit-claim" id="claim-{record.id}" style="{CARD}">\n'
        f'<p style="margin: 0 0 0.3em"><strong>✓ {html.escape(record.statement)}</strong></p>\n'
        f'<p style="margin: 0; font-size: 0.9em">{text}</p>\n</div>'
    )
