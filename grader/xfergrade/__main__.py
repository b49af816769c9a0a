"""The commands: secret, release, check, grade, report, gradebook, similarity."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xfergrade.assignment import Loaded

TRUST = (
    "Grading WITHOUT isolation: each submission can read and delete your files, use the network, read the others' work "
    "and the checks, and go on running. Answers are still compared outside its process, but a submission that finds "
    "the expected ones, or the output folder, can give itself any grade. Use this for work that you trust, or in a "
    "container that you throw away."
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m xfergrade", description="Release, check and grade the coursework.")
    commands = top.add_subparsers(dest="command", required=True)
    make = commands.add_parser("secret", help="make the instructor's secret; keep it outside the repository")
    make.add_argument("file", type=Path)
    new = commands.add_parser("release", help="write what students and the instructor get")
    for_students = commands.add_parser("check", help="run the visible checks on one's own notebook")
    for_students.add_argument("notebook", type=Path)
    run = commands.add_parser("grade", help="grade a folder of submissions; run again to go on")
    show = commands.add_parser("report", help="an overview of a graded class")
    book = commands.add_parser("gradebook", help="fill a learning platform's own export with the grades")
    like = commands.add_parser("similarity", help="which submissions' code is alike, and what that does not show")
    for command in (new, run, show, book, like):
        command.add_argument("assignment", type=Path, help="the assignment's source folder")
        if command in (run, like):
            command.add_argument("submissions", type=Path, help="the folder that the learning platform handed out")
        command.add_argument("out", type=Path, help="the output folder")
        command.add_argument("--secret", type=Path, required=True, help="the file that `secret` made")
    for command in (new, run):
        how = command.add_mutually_exclusive_group()
        how.add_argument("--isolation", choices=("bwrap", "user"), default="bwrap", help="see the instructor's guide")
        how.add_argument("--trust-submissions", action="store_true", help="no isolation; says what that gives up")
    for command in (run, book):
        command.add_argument("--policy", type=Path, help="a Python file with due date, extensions, penalty")
    new.add_argument("--after-published", action="store_true", help="Gradescope shows hidden checks with the grades")
    run.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="submissions at a time, at most")
    run.add_argument("--from", type=Path, dest="take_over", help="take over what has not changed from this folder")
    export = book.add_mutually_exclusive_group(required=True)
    export.add_argument("--canvas", type=Path, help="the gradebook as Canvas exports it")
    export.add_argument("--moodle", type=Path, help="the offline grading worksheet as Moodle exports it")
    book.add_argument("--column", default="", help="the assignment's column in Canvas' gradebook")
    return top


def make_secret(file: Path) -> int:
    """A new secret, for its owner alone."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(secrets.token_hex(32) + "\n")
    print(f"{file}: keep it private, outside the repository, and as long as grades may be asked about.")
    return 0


def run_command(options: argparse.Namespace) -> int:
    """Carry out one of the instructor's commands; the exit status."""
    from xfergrade.assignment import load_assignment
    from xfergrade.private import outside_repositories, outside_the_class, outside_the_sandbox, read_secret
    from xfergrade.tables import write_text

    shared = [options.submissions] if "submissions" in options else []
    secret = read_secret(options.secret, options.assignment, options.out, *shared)
    loaded = load_assignment(options.assignment, secret)
    if options.command in ("release", "grade"):
        isolation = "none" if options.trust_submissions else options.isolation
        if isolation == "none":
            print(TRUST, file=sys.stderr)
        outside_the_sandbox(loaded, isolation, options.secret, loaded.folder, options.out, *shared)
    for folder in shared:
        outside_the_class(options.out, folder)
    outside_repositories(options.out, "students' work and grades are not for everybody")
    if options.command in ("release", "grade"):
        if options.command == "release":
            from xfergrade.release import release

            for path in release(loaded, options.out, secret, isolation, published=options.after_published):
                print(path)
            return 0
        return _grade(options, loaded, secret, isolation)
    if options.command == "similarity":
        from xfergrade.collect import find_uploads
        from xfergrade.similarity import report
        from xfergrade.upload import read_upload

        known = frozenset(loaded.source.stubs)
        notebooks = {}
        for upload in find_uploads(options.submissions, loaded.name):
            read = read_upload(upload, loaded.name, loaded.spec.version, known).notebook
            if read is not None:  # without figures: a class of them may be larger than memory
                notebooks[upload.student] = replace(read, cells=tuple(replace(c, figures=()) for c in read.cells))
        text = report(loaded, notebooks)
        write_text(options.out / "similarity.md", text)
        print(text, end="")
        return 0
    return _show(options, loaded, secret)


def _grade(options: argparse.Namespace, loaded: Loaded, secret: bytes, isolation: str) -> int:
    from xfergrade.grade import grade_class
    from xfergrade.lateness import Policy, read_policy
    from xfergrade.manual import Manual
    from xfergrade.outputs import write_outputs

    policy = read_policy(options.policy) if options.policy else Policy()
    Manual(loaded, options.out / "manual.csv")  # what cannot be read is said before the class is graded
    if options.take_over is not None and (options.take_over / "manual.csv").is_file():
        if not (options.out / "manual.csv").exists():
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "manual.csv").write_bytes((options.take_over / "manual.csv").read_bytes())
    records = grade_class(
        loaded, options.submissions, options.out, secret,
        isolation=isolation, jobs=options.jobs, take_over=options.take_over,
    )  # fmt: skip
    manual = write_outputs(loaded, records, options.out, policy)
    print(
        f"{len(records)} submissions. In {options.out}: grades.csv, manual.csv, feedback/, gradescope/, journal.jsonl"
    )
    failed = [r.student for r in records if r.failure is not None]
    if failed:
        print(f"Not graded, and no zero (see grades.csv; the next run tries again): {', '.join(map(ascii, failed))}")
    if manual.to_look_at():
        print(f"Changed after points were given; look again: {', '.join(manual.to_look_at())}")
    if manual.strangers(records):
        print(f"manual.csv: points in rows {manual.strangers(records)} are kept; nobody in this folder has them.")
    return 1 if failed else 0


def _show(options: argparse.Namespace, loaded: Loaded, secret: bytes) -> int:
    from xfergrade import gradebook
    from xfergrade.lateness import Policy, read_policy
    from xfergrade.outputs import overview, total, write_outputs
    from xfergrade.records import open_journal
    from xfergrade.tables import write_text

    with open_journal(options.out, loaded.fingerprint(secret)) as journal:
        records = [journal.records[s] for s in sorted(journal.records)]
    if options.command == "report":
        text = overview(loaded, records)
        write_text(options.out / "report.md", text)
        print(text, end="")
        return 0
    policy = read_policy(options.policy) if options.policy else Policy()
    manual = write_outputs(loaded, records, options.out, policy)  # the pages, too, with what was entered since
    grades = {r.student: total(loaded, r, manual, policy) for r in records}
    if options.canvas is not None:
        filled = gradebook.canvas(records, grades, options.canvas, options.column, options.out)
    else:
        filled = gradebook.moodle(records, grades, options.moodle, options.out)
    print(filled.grades, filled.feedback, sep="\n")
    for names, what in (
        (filled.missing, "on the platform, not graded here"),
        (filled.unknown, "graded here, not on the platform"),
        (filled.open, "left empty, since parts are not graded yet"),
    ):
        if names:
            print(f"{what}: {', '.join(map(ascii, names))}")
    return 0


def main() -> int:
    """Run a command and put what went wrong into one line."""
    options = parser().parse_args()
    try:
        if options.command == "secret":
            return make_secret(options.file)
        if options.command == "check":
            from xfergrade.student import check_notebook

            return 0 if check_notebook(options.notebook) else 1
    except (OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    from xfergrade.records import JournalError
    from xfergrade.walls import IsolationError

    try:
        return run_command(options)
    except IsolationError as error:
        print(
            f"Submissions cannot be isolated here: {error}\nNothing was graded. Ways out: install bubblewrap; "
            "--isolation user (as root: a user of its own for each submission, fewer walls); or, for work that you "
            "trust, --trust-submissions. The instructor's guide compares them.",
            file=sys.stderr,
        )
        return 3
    except (JournalError, OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
