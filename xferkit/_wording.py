"""What a claim's sentence may not say by itself: how many, how much, how often. Conditions say that."""

from __future__ import annotations

import re

# Digits joined to letters are a name: stage6, ResNet-20, EfficientNet-Lite0.
NAME = re.compile(r"(?:[^\W\d_]+[-_])*[^\W\d_]+[-_]?\d+[^\W\d_]*")
NUMBER_WORDS = frozenset(
    "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands "
    "million millions dozen dozens half halves third thirds quarter quarters fifth fifths tenth tenths hundredth "
    "hundredths once twice thrice double doubles doubled triple triples tripled percent".split()
)
QUANTIFIERS = frozenset(
    "all always any both each either entirely every everything everywhere mostly most majority neither never none "
    "nothing nowhere".split()
)
PHRASES = re.compile(r"\bper cent\b|\bon average\b|%|(?<!the )(?<!other )(?<!which )\bone\b(?! another)")


def numbers_in(text: str) -> list[str]:
    """The digits, number words and shares in a text, names such as ResNet-20 left out."""
    found = []
    for word in re.findall(r"[^\s,;:()\[\]“”\"]+", text):
        word = re.sub(r"['’]s$", "", word.strip(".!?'’"))
        if re.search(r"\d|[⁰¹²³⁴-⁹₀-₉½⅓¼¾]", word) and not NAME.fullmatch(word):
            found.append(word)
        else:
            found += [part for part in re.split(r"[^\w]+", word) if part.lower() in NUMBER_WORDS]
    return found + PHRASES.findall(text.lower())


def quantifiers_in(text: str) -> list[str]:
    """The words of a text that say of how many cases it holds."""
    return [word for word in re.findall(r"\w+", text) if word.lower() in QUANTIFIERS]


def refuse_numbers(text: str, where: str, *, quantifiers: bool = True) -> None:
    """
    Raises:
        ValueError: the text says a number, or of how many cases it holds: only a condition may.
    """
    found = numbers_in(text) + (quantifiers_in(text) if quantifiers else [])
    if found:
        raise ValueError(
            f"{where} says {', '.join(map(repr, dict.fromkeys(found)))} by itself: {text!r}. Numbers, and words such "
            "as 'each' and 'twice', come from a condition, so that the sentence says what is tested: put {name} there."
        )
