"""The commands: secret, release, check, grade, report."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from xfergrade.checks import AssignmentError, Loaded, load_assignment
from xfergrade.grade import JournalError, grade_class, open_journal
from xfergrade.notebook import NotebookError
from xfergrade.outputs import overview, write_outputs, write_text
from xfergrade.release import release
from xfergrade.sandbox import IsolationError, visible_folders
from xfergrade.student import check_notebook

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
    for command in (new, run, show):
        command.add_argument("assignment", type=Path, help="the assignment's source folder")
        if command is run:
            command.add_argument("submissions", type=Path, help="the folder that the learning platform handed out")
        command.add_argument("out", type=Path, help="the output folder")
        command.add_argument("--secret", type=Path, required=True, help="the file that `secret` made")
    for command in (new, run):
        how = command.add_mutually_exclusive_group()
        how.add_argument("--isolation", choices=("bwrap", "user"), default="bwrap", help="see the instructor's guide")
        how.add_argument("--trust-submissions", action="store_true", help="no isolation; says what that gives up")
    run.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="submissions at a time")
    return top


def read_secret(path: Path, *others: Path) -> bytes:
    """The secret.

    Raises:
        ValueError: it is short, others may read it, or it lies where students might find it.
    """
    secret = path.read_bytes().strip()
    if len(secret) < 32:
        raise ValueError(f"{path} is too short for a secret. Make one: python -m xfergrade secret FILE")
    if path.stat().st_mode & 0o077:
        raise ValueError(f"others can read {path}. Keep it to yourself: chmod 600 {path}")
    place = path.resolve()
    for folder in [*others, *(p for p in place.parents if (p / ".git").exists())]:
        if place.is_relative_to(folder.resolve()):
            raise ValueError(f"the secret lies in {folder}, which others get to see. Keep it in a place of its own.")
    return secret


def outside_the_sandbox(loaded: Loaded, isolation: str, *paths: Path) -> None:
    """Refuse private files where submissions can read them.

    Raises:
        ValueError: one of the paths lies in such a folder or, with another user id as the only wall, is open to others.
    """
    if isolation == "user":
        for path in (p.resolve() for p in paths):
            way = [p for p in path.parents if p.exists()]
            if all(p.stat().st_mode & 0o001 for p in way) and not (path.exists() and path.stat().st_mode & 0o005 == 0):
                raise ValueError(f"--isolation user: other users can read {path}. Close it: chmod go-rwx {path}")
        return
    for folder in visible_folders(loaded.spec.modules):
        for path in paths:
            if path.resolve().is_relative_to(folder):
                raise ValueError(f"{path} lies in {folder}, which the sandbox can read. Move it elsewhere.")


def run_command(options: argparse.Namespace) -> int:
    """Carry out one command; the exit status."""
    if options.command == "secret":
        with open(os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        print(f"{options.file}: keep it private, outside the repository, and as long as grades may be asked about.")
        return 0
    if options.command == "check":
        return 0 if check_notebook(options.notebook) else 1
    loaded = load_assignment(options.assignment)
    shared = [options.submissions] if options.command == "grade" else []
    secret = read_secret(options.secret, loaded.folder, options.out, *shared)
    if options.command == "report":
        with open_journal(options.out, loaded.fingerprint(secret)) as journal:
            text = overview(loaded, [journal.records[s] for s in sorted(journal.records)])
        write_text(options.out / "report.md", text)
        print(text, end="")
        return 0
    isolation = "none" if options.trust_submissions else options.isolation
    if isolation == "none":
        print(TRUST, file=sys.stderr)
    outside_the_sandbox(loaded, isolation, options.secret, loaded.folder, options.out, *shared)
    if options.command == "release":
        for path in release(loaded, options.out, secret, isolation):
            print(path)
        return 0
    records = grade_class(loaded, options.submissions, options.out, secret, isolation=isolation, jobs=options.jobs)
    write_outputs(loaded, records, options.out)
    print(
        f"{len(records)} submissions. In {options.out}: grades.csv, manual.csv, feedback/, gradescope/, journal.jsonl"
    )
    return 0


def main() -> int:
    """Run a command and put what went wrong into one line."""
    options = parser().parse_args()
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
    except (AssignmentError, JournalError, NotebookError, OSError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
