"""Write book/bibliography.md from book/references.bib: plain Markdown, with an anchor for each key.

python scripts/build_bibliography.py           write the page
python scripts/build_bibliography.py --check   only say whether it is up to date (exit code 1 if not)
python scripts/build_bibliography.py KEY       print the link for a chapter, to paste

A citation is a Markdown link whose text is the label: `[Kumar et al. 2022](../book/bibliography.md#kumar2022lpft)`.
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import cache
from itertools import groupby
from pathlib import Path

from pybtex.database import Entry, Person, parse_file
from pybtex.richtext import Text

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "book" / "references.bib"
PAGE = ROOT / "book" / "bibliography.md"
HEAD = """# Bibliography

What the chapters cite, by author and year. This page is made by `scripts/build_bibliography.py` from
`book/references.bib`.
"""


def plain(text: Text) -> str:
    """LaTeX's accents and braces resolved, dashes as they are set."""
    return str(text).replace("--", "–").strip()


def field(entry: Entry, name: str) -> str:
    """A field as plain text, empty where the entry has none."""
    return plain(Text.from_latex(entry.fields[name])) if name in entry.fields else ""


def last_name(person: Person) -> str:
    return " ".join(plain(part) for part in (*person.rich_prelast_names, *person.rich_last_names))


def full_name(person: Person) -> str:
    first = " ".join(plain(part) for part in (*person.rich_first_names, *person.rich_middle_names))
    return f"{first} {last_name(person)}".strip()


def joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def who(entry: Entry) -> str:
    """The authors as a citation names them: all of two, the first of more."""
    names = [last_name(person) for person in entry.persons["author"]]
    return f"{names[0]} et al." if len(names) > 2 else joined(names)


@cache
def entries(source: Path = SOURCE) -> dict[str, tuple[Entry, str]]:
    """Key → entry and label, by author and year. Labels that would be alike get a letter: 2016a, 2016b.

    Raises:
        ValueError: an entry lacks author, title or year.
    """
    found = parse_file(str(source), bib_format="bibtex").entries
    for key, entry in found.items():
        missing = [name for name in ("title", "year") if not field(entry, name)]
        if missing or not entry.persons.get("author"):
            raise ValueError(f"{source.name}: {key} lacks {', '.join(missing) or 'author'}.")

    def stem(key: str) -> str:
        return f"{who(found[key])} {field(found[key], 'year')}"

    order = sorted(found, key=lambda key: (stem(key).casefold(), field(found[key], "title").casefold()))
    labelled = {}
    for label, group in groupby(order, key=stem):
        keys = list(group)
        for letter, key in zip("abcdefghij" if len(keys) > 1 else [""], keys, strict=False):
            labelled[key] = (found[key], label + letter)
    return labelled


def link_of(entry: Entry) -> str:
    """Where the work is to be had, as a Markdown link; empty where the file does not say."""
    if doi := entry.fields.get("doi"):
        return f"[doi:{doi}](https://doi.org/{doi})"
    if url := entry.fields.get("url"):
        return f"[{re.sub(r'^https?://(www[.])?', '', url).rstrip('/')}]({url})"
    named = re.search(r"arXiv:(\d{4}\.\d{4,5})", f"{entry.fields.get('howpublished')} {entry.fields.get('note')}")
    return f"[arXiv:{named[1]}](https://arxiv.org/abs/{named[1]})" if named else ""


def venue_of(entry: Entry) -> str:
    """Where it appeared: journal or proceedings, volume, pages."""
    said = [field(entry, name) for name in ("journal", "booktitle", "series", "publisher")]
    if volume := field(entry, "volume"):
        said.append(volume + (f" ({field(entry, 'number')})" if "number" in entry.fields else ""))
    if pages := field(entry, "pages"):
        said.append(f"pages {pages}")
    return ", ".join(part for part in said if part)


def line(key: str, source: Path = SOURCE) -> str:
    """One entry of the page."""
    entry, label = entries(source)[key]
    authors = joined([full_name(person) for person in entry.persons["author"]])
    parts = [f"*{field(entry, 'title')}*", venue_of(entry), link_of(entry)]
    text = ". ".join([authors, *(part for part in parts if part)])
    return f'<a id="{key}"></a>**{label}.** {text}.'.replace("?*.", "?*")


def cite(key: str) -> str:
    """A citation as chapters have it."""
    return f"[{entries()[key][1]}](../book/bibliography.md#{key})"


def build() -> str:
    """The page's text."""
    return "\n".join([HEAD, *(line(key) + "\n" for key in entries())])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("keys", nargs="*", help="print the citation of these keys and write nothing")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    options = parser.parse_args(arguments)
    if options.keys:
        print("\n".join(cite(key) for key in options.keys))
        return 0
    text = build()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        print("book/bibliography.md is up to date.")
        return 0
    if options.check:
        print("book/bibliography.md is out of date: run python scripts/build_bibliography.py")
        return 1
    PAGE.write_text(text, encoding="utf-8", newline="\n")
    print("book/bibliography.md written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
