"""What is entered by hand: never lost, read as people save it, and marked where the answer is another one now."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hostile.cases import ASSIGNMENT
from where import SOURCES

from xfergrade import Item
from xfergrade.assignment import AssignmentError, Loaded, load_assignment
from xfergrade.grade import _answers, without_question
from xfergrade.manual import CHANGED, Manual, slug
from xfergrade.notebook import MAX_TEXT, read_notebook
from xfergrade.outputs import gradescope, write_outputs
from xfergrade.records import Answer, Record
from xfergrade.tables import TableError, cell, read_table, without_protection

LOADED = load_assignment(ASSIGNMENT)
PATH = "manual.csv"


def record(student: str, text: str = "Because.", failure: str | None = None) -> Record:
    verdicts = ()
    return Record(student, "d", False, (), verdicts, (Answer("discussion", 2, text),), bool(text), failure)


def written(out: Path, *records: Record, loaded: Loaded = LOADED) -> Manual:
    return write_outputs(loaded, records, out)


def enter(out: Path, student: str, points: str, comment: str = "", item: str = "") -> None:
    columns, rows = read_table(out / PATH, ["id"])
    for row in rows:
        if row["id"] == slug(student) and row["item"] == item:
            row.cells.update(points=points, comment=comment)
    with open(out / PATH, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *([row[c] for c in columns] for row in rows)])


def grades(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_rows_of_students_who_are_not_in_todays_folder_stay(tmp_path: Path) -> None:
    written(tmp_path, record("asked"))
    enter(tmp_path, "asked", "2", "Well argued; see me about the tie.")
    written(tmp_path, record("joe"), record("zoe"))
    _, rows = read_table(tmp_path / PATH, ["id", "points", "comment"])
    assert {row["student"]: row["points"] for row in rows} == {"joe": "", "zoe": "", "asked": "2"}
    written(tmp_path, record("asked"), record("joe"))
    assert grades(tmp_path)["asked"]["points"] == "2"
    assert "see me about the tie" in (tmp_path / "feedback" / f"{slug('asked')}.html").read_text(encoding="utf-8")


def test_the_file_as_it_was_lies_beside_the_new_one(tmp_path: Path) -> None:
    written(tmp_path, record("jane"))
    enter(tmp_path, "jane", "1,5")
    by_hand = (tmp_path / PATH).read_bytes()
    written(tmp_path, record("jane"))
    assert [p.read_bytes() for p in (tmp_path / "backups").iterdir()] == [by_hand]
    written(tmp_path, record("jane"))
    assert len(list((tmp_path / "backups").iterdir())) == 1, "nothing new was entered"


def test_columns_and_rows_that_somebody_added_stay(tmp_path: Path) -> None:
    written(tmp_path, record("jane"))
    text = (tmp_path / PATH).read_text(encoding="utf-8").replace("answer,text", "answer,text,who", 1).rstrip("\n")
    (tmp_path / PATH).write_text(f"{text},ME\nsomebody-1,Somebody,discussion,,2,1,by post,,,,YOU\n", encoding="utf-8")
    manual = written(tmp_path, record("jane"))
    _, rows = read_table(tmp_path / PATH, ["id", "points", "comment", "who"])
    assert [(r["id"], r["points"], r["comment"], r["who"]) for r in rows] == [
        (slug("jane"), "", "", "ME"), ("somebody-1", "1", "by post", "YOU"),
    ]  # fmt: skip
    assert manual.strangers([record("jane")]) == [3]


def test_nothing_is_written_over_a_file_that_was_saved_meanwhile(tmp_path: Path) -> None:
    written(tmp_path, record("jane"))
    manual = Manual(LOADED, tmp_path / PATH)
    enter(tmp_path, "jane", "2")
    with pytest.raises(TableError, match="was saved while it was read"):
        manual.write([record("jane")])
    assert grades(tmp_path)["jane"]["discussion"] == ""
    written(tmp_path, record("jane"))
    assert grades(tmp_path)["jane"]["discussion"] == "2"


def test_answers_are_whole_and_without_the_question() -> None:
    """Every model answer of the course fits; what is cut says so."""
    seen = 0
    for folder in SOURCES:
        source = load_assignment(folder).source
        for made in source.content["cells"]:
            meta = made["metadata"].get("nbgrader")
            if meta and meta["grade"] and meta["solution"] and made["cell_type"] == "markdown":
                stub = source.stubs[meta["grade_id"]]
                answer = "\n".join(f"Sentence {i}, about figures." for i in range(300))
                text = without_question(stub.replace("YOUR ANSWER HERE", answer), stub)
                assert text == answer and len(text) > 2000
                seen += 1
    assert seen >= 8
    marked = {"nbgrader": {"grade_id": "discussion"}}
    long = {"cell_type": "markdown", "metadata": marked, "source": "x" * (MAX_TEXT + 7)}
    (answer,) = _answers(LOADED, read_notebook(json.dumps({"cells": [long]}).encode()))
    assert answer.text == "x" * MAX_TEXT + "… [cut here: 7 more characters]"


def test_an_answer_that_changed_after_it_had_points_is_marked_until_somebody_has_looked(tmp_path: Path) -> None:
    written(tmp_path, record("jane", "One."))
    enter(tmp_path, "jane", "2", "Good.")
    assert written(tmp_path, record("jane", "One.")).to_look_at() == []
    for _ in range(2):  # and again, while nobody has looked
        manual = written(tmp_path, record("jane", "Two."))
        assert manual.to_look_at() == [f"{slug('jane')} discussion"]
    assert "an answer changed after it had got points" in grades(tmp_path)["jane"]["notes"]
    assert "earlier version of this answer" in (tmp_path / "feedback" / f"{slug('jane')}.html").read_text()
    assert grades(tmp_path)["jane"]["discussion"] == "2", "points stay"
    text = (tmp_path / PATH).read_text(encoding="utf-8")
    (tmp_path / PATH).write_text(text.replace(CHANGED, ""), encoding="utf-8")
    assert written(tmp_path, record("jane", "Two.")).to_look_at() == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("first", ["", "sep"])
def test_files_are_read_as_spreadsheet_programs_save_them(
    tmp_path: Path, separator: str, encoding: str, first: str
) -> None:
    zoe = [slug("Zoë"), "discussion", "1,5", "Très bien; «oui»"]
    rows = [["ID", "Part", "POINTS", "comment"], zoe, ["", "", "", ""]]
    with open(tmp_path / PATH, "w", encoding=encoding, newline="") as file:
        file.write(f"sep={separator}\r\n" if first else "")
        csv.writer(file, delimiter=separator).writerows(rows)
    part = Manual(LOADED, tmp_path / PATH).part(record("Zoë"), "discussion")
    assert (part.points, part.comment) == (1.5, "Très bien; «oui»")


@pytest.mark.parametrize(
    ("written_so", "points"),
    [("1", 1), ("1.5", 1.5), ("1,5", 1.5), (" 2 ", 2), ("1 of 2", 1), ("1/2", 1), ("1.5 out of 2", 1.5), (".5", 0.5),
     ("1 point", 1), ("2 pts", 2), ("0", 0), ("", None)],
)  # fmt: skip
def test_points_as_people_write_them(tmp_path: Path, written_so: str, points: float | None) -> None:
    (tmp_path / PATH).write_text(f'id,part,points\n{slug("jane")},discussion,"{written_so}"\n')
    assert Manual(LOADED, tmp_path / PATH).part(record("jane"), "discussion").points == points


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("id,part,points\n{id},discussion,good\n", r"row 2 \(.*discussion\): 'good' is no number"),
        ("id,part,points\n\n{id},discussion,1 of 3\n", "row 3 .*'1 of 3', but there are 2 points"),
        ("id,part,points\n{id},discussion,3\n", "row 2 .*3 of 2 points"),
        ("id,part,points\n{id},discussion,-1\n", "row 2 .*'-1' is no number"),
        ("id,part,points\n{id},discussion,nan\n", "row 2 .*'nan' is no number"),
        ("id,part,points\n{id},discussion,1\n{id},discussion,2\n", "row 3 .*twice"),
        ("id;part\n{id};discussion\n", "row 1: there is no column 'points'"),
        ("", "is empty"),
        ("PK\x03\x04", "is a workbook"),
    ],
)
def test_what_cannot_be_read_names_file_and_row(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / PATH).write_text(content.format(id=slug("jane")))
    with pytest.raises(TableError, match=f"manual.csv.*{says}"):
        Manual(LOADED, tmp_path / PATH)


def test_a_short_row_has_nothing_in_its_last_columns(tmp_path: Path) -> None:
    (tmp_path / PATH).write_text(f"id,part,points,comment,text\n{slug('jane')},discussion,1\n{slug('joe')}\n")
    manual = Manual(LOADED, tmp_path / PATH)
    assert manual.part(record("jane"), "discussion").points == 1
    assert manual.part(record("joe"), "discussion").points is None


def test_who_has_nothing_to_grade_has_no_open_points(tmp_path: Path) -> None:
    written(tmp_path, record("empty", ""), record("jane"), record("failed", "", failure="no memory"))
    table = grades(tmp_path)
    assert {s: (r["discussion"], r["open_points"]) for s, r in table.items()} == {
        "empty": ("0", "0"), "jane": ("", "2"), "failed": ("", "10"),
    }  # fmt: skip
    page = (tmp_path / "feedback" / f"{slug('empty')}.html").read_text(encoding="utf-8")
    assert "so none of the 0 checks was run" in page and "<table>" not in page
    assert "not a zero" in (tmp_path / "feedback" / f"{slug('failed')}.html").read_text(encoding="utf-8")
    assert not (tmp_path / "gradescope" / slug("failed")).exists()


def test_the_page_has_a_total_with_the_points_by_hand(tmp_path: Path) -> None:
    written(tmp_path, record("jane"))
    page = tmp_path / "feedback" / f"{slug('jane')}.html"
    assert "parts with 2 points are not graded yet" in page.read_text(encoding="utf-8")
    enter(tmp_path, "jane", "1.5")
    written(tmp_path, record("jane"))
    assert "<strong>1.5 of 10 points</strong>." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["=1+1", "a;=1+1;", "a\n-x", "x\t@y", " +1", "\t=2", "plain", "a = b", "｜＝1|＝2"])
def test_no_cell_is_a_formula_whatever_the_separator(text: str) -> None:
    for part in [p for sep in (";", "\t", "\n", "|") for p in cell(text).split(sep)]:
        assert part.lstrip()[:1] not in tuple("=+-@＝＋－＠") or not part.strip()
    if text[:1] != "\t":
        assert without_protection(cell(text)) == text


@pytest.fixture
def with_rubric() -> Loaded:
    rubric = {"discussion": (Item("a case", 0.5), Item("why", 1.5))}
    return replace(LOADED, spec=replace(LOADED.spec, rubric=rubric))


def test_a_rubric_has_a_row_for_each_item(tmp_path: Path, with_rubric: Loaded) -> None:
    written(tmp_path, record("jane"), loaded=with_rubric)
    enter(tmp_path, "jane", "0.5", item="a case")
    written(tmp_path, record("jane"), loaded=with_rubric)
    assert grades(tmp_path)["jane"]["discussion"] == "", "an item is open"
    enter(tmp_path, "jane", "1", "Nearly.", item="why")
    manual = written(tmp_path, record("jane"), loaded=with_rubric)
    assert grades(tmp_path)["jane"]["discussion"] == "1.5"
    page = (tmp_path / "feedback" / f"{slug('jane')}.html").read_text(encoding="utf-8")
    assert "<td>a case</td>" in page and "Nearly." in page
    assert gradescope(record("jane"), manual)["tests"][0]["score"] == 1.5


def test_a_rubric_adds_up(tmp_path: Path) -> None:
    folder = shutil.copytree(ASSIGNMENT, tmp_path / ASSIGNMENT.name)
    checks = (folder / "checks.py").read_text()
    checks = checks.replace("import Accuracy,", "import Accuracy, Item,")
    for rubric, says in (('{"discussion": (Item("why", 1),)}', "does not add up"), ('{"x": ()}', "no parts")):
        made = checks.replace("    modules=(", f"    rubric={rubric},\n    modules=(")
        (folder / "checks.py").write_text(made)
        with pytest.raises(AssignmentError, match=says):
            load_assignment(folder)
