"""A pytest plugin beside nbval: every output of a chapter is compared, and so are its marks; its solutions run.

nbval starts one kernel for a notebook and runs its cells in order. Here its cells compare everything that is shown as
text (`comparing.py`), unless they are tagged "varies"; after the last cell, in the same kernel, come the marks of the
Markdown cells and then the solutions of the exercises (`prose.py`), in the order of the page.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams

from scripts.comparing import differences
from scripts.prose import Mark, disagreement, marks, solutions
from scripts.rules import VARIES
from scripts.run_chapters import normalise_outputs

EVALUATE = """
import json as _json
_values = []
for _expression in {expressions!r}:
    try:
        _value = eval(_expression)
        _values.append(_value if isinstance(_value, (str, bool, int, float)) else float(_value))
    except Exception as _error:
        _values.append([f"{{type(_error).__name__}}: {{_error}}"])
print(_json.dumps(_values))
del _json, _values, _expression
"""


class ChapterFile(IPyNbFile):  # type: ignore[misc]
    """A notebook whose every output is compared."""

    def collect(self) -> Iterator[pytest.Item]:
        count = 0
        for cell in super().collect():
            yield ChapterCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )
            count += 1
        prose = [(i, cell.source) for i, cell in enumerate(self.nb.cells) if cell.cell_type == "markdown"]
        for i, source in prose:
            if found := marks(source):
                yield MarksOf.make(self, f"Marks of cell {i}", count, found)
                count += 1
        for i, source in prose:
            for number, code in enumerate(solutions(source), start=1):
                yield Extra.make(self, f"Solution {number} in cell {i}", count, code)
                count += 1


class ChapterCell(IPyNbCell):  # type: ignore[misc]
    """A cell whose output is compared unless it is tagged "varies"."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.options["check"] = VARIES not in self.cell.metadata.get("tags", [])

    def runtest(self) -> None:
        if self.cell.execution_count is None:
            self.raise_cell_error("The stored chapter was not executed: there is nothing to compare with")
        super().runtest()

    def compare_outputs(self, test: list[Any], ref: list[Any], skip_compare: object = None) -> bool:
        tolerance = self.cell.metadata.get("xferkit", {}).get("tolerance", {})
        found = differences(ref, coalesce_streams(normalise_outputs(test, None)), tolerance)
        self.comparison_traceback = found
        return not found


class Extra(IPyNbCell):  # type: ignore[misc]
    """Code that runs after the last cell, in the same kernel."""

    @classmethod
    def make(cls, parent: ChapterFile, name: str, number: int, code: str) -> Extra:
        cell = nbformat.v4.new_code_cell(code, execution_count=0)
        options = {"check": False, "skip": False, "check_exception": False}
        return cls.from_parent(parent, name=name, cell_num=number, cell=cell, options=options)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.name}::{self.name}"


class MarksOf(Extra):
    """The marks of one Markdown cell."""

    found: list[Mark]

    @classmethod
    def make(cls, parent: ChapterFile, name: str, number: int, found: Any) -> MarksOf:
        item = super().make(parent, name, number, EVALUATE.format(expressions=[mark.expression for mark in found]))
        assert isinstance(item, MarksOf)
        item.found = found
        return item

    def runtest(self) -> None:
        super().runtest()
        printed = "".join(output.text for output in self.test_outputs if output.get("name") == "stdout")
        values = json.loads(printed.strip().splitlines()[-1])
        wrong = []
        for mark, value in zip(self.found, values, strict=True):
            if isinstance(value, list):
                wrong.append(f"={mark.expression}: {value[0]}")
            elif said := disagreement(mark, value):
                wrong.append(said)
        if wrong:
            self.raise_cell_error("Numbers in the text are not those of the run", "\n".join(wrong))


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
    collected = yield
    return [ChapterFile.from_parent(parent, path=file_path) if type(c) is IPyNbFile else c for c in collected]
