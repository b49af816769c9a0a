"""What the pages' HTML lacks for a keyboard and a screen reader, mended once for every page.

The HTML comes from Sphinx, myst-nb and pandas; each of these rules names what it mends.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from sphinx.application import Sphinx

SCROLLS = '<div class="pst-scrollable-table-container">'
TABLE = re.compile(rf"({re.escape(SCROLLS)}\s*)?<table\b.*?</table>", re.DOTALL)
EMPTY_HEADER = re.compile(r"<th\b([^>]*)>\s*(?:<p>\s*</p>)?\s*</th>")
FOLD = re.compile(
    r'<summary aria-label="Toggle hidden content">\s*<p class="collapsed[^>]*>([^<]*)</p>\s*'
    r'<p class="expanded[^>]*>([^<]*)</p>\s*</summary>(?P<inside>.*?)</details>',
    re.DOTALL,
)
CODE = re.compile(r"<pre>(.*?)</pre>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")
# Chinese characters, with what stands between them, in text but not in code, tags or scripts.
CHINESE = re.compile(
    r"<(pre|script|style)\b.*?</\1>|<[^>]*>|([\u3400-\u9fff](?:[\u3400-\u9fff、，；]*[\u3400-\u9fff])?)", re.DOTALL
)


def wrap_table(match: re.Match[str]) -> str:
    """A table as wide as it likes, in a frame that scrolls; the theme frames only the tables of the text."""
    return match.group() if match.group(1) else f"{SCROLLS}{match.group()}</div>"


def name_fold(match: re.Match[str]) -> str:
    """A fold over code says what it hides: the first comment, if the code begins with one, and its length.

    The label that myst-nb gives every fold says less than the words in sight and would be read instead of them.
    """
    code = CODE.search(match["inside"]) if "source" in match.group(1) else None
    if code is None:
        shown, hidden = match.group(1), match.group(2)
    else:
        lines = unescape(TAG.sub("", code.group(1))).strip("\n").splitlines()
        comment = re.match(r"#\s*([^!%|].*)", lines[0]) if lines else None
        said = comment.group(1).strip().rstrip(".:") if comment and "NBVAL" not in lines[0] else ""
        count = f"{len(lines)} line{'s' if len(lines) != 1 else ''}"
        about = f": {escape(said)} ({count})" if said else f"{_purpose(lines)} ({count})"
        shown, hidden = f"Show the code{about}", f"Hide the code{about}"
    return (
        f'<summary><p class="collapsed admonition-title">{shown}</p>'
        f'<p class="expanded admonition-title">{hidden}</p></summary>{match["inside"]}</details>'
    )


def _purpose(lines: list[str]) -> str:
    """What code without a first comment is there for, as far as its calls say."""
    if all(re.match(r"import |from |\)|\s|$", line) for line in lines):
        return ": imports"
    calls = "\n".join(lines)
    if re.search(r"\bplt\.|\bax(?:es)?\b.*\.\w+\(|\.imshow\(|\bplots\.", calls):
        return " that draws this"
    return " that makes this table" if re.search(r"\bxk\.table\(|\.to_html\(|markdown_table\(", calls) else ""


def mark_chinese(match: re.Match[str]) -> str:
    """Terms in Chinese are read out, hyphenated and given a font as Chinese."""
    return f'<span lang="zh">{match.group(2)}</span>' if match.group(2) else match.group()


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def mend(body: str) -> str:
    """The HTML of a page's text, mended."""
    body = FOLD.sub(name_fold, body)
    # A corner of a table without words is no heading.
    body = EMPTY_HEADER.sub(r"<td\1></td>", body)
    body = TABLE.sub(wrap_table, body)
    return CHINESE.sub(mark_chinese, body)


def mend_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    if app.builder.format == "html" and context.get("body"):
        context["body"] = mend(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", mend_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
