"""The run over a class: each upload read, judged and written to a journal; a killed run goes on where it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from tqdm import tqdm

from xfergrade import memory
from xfergrade.assignment import Loaded
from xfergrade.collect import Upload, find_uploads
from xfergrade.judging import Judge, nothing_handed_in
from xfergrade.notebook import MAX_TEXT, Notebook
from xfergrade.pictures import MAX_FIGURES
from xfergrade.records import Answer, Journal, Record, open_journal, read_journal
from xfergrade.sandbox import Sandbox, Ungraded
from xfergrade.text import clean_text
from xfergrade.upload import Submission, read_upload
from xfergrade.walls import IsolationError


@dataclass(frozen=True)
class Earlier:
    """Grades of another run: its records, and which checks are still the same."""

    records: dict[str, Record]
    same: frozenset[str]


def grade_class(
    loaded: Loaded,
    submissions: Path,
    out: Path,
    secret: bytes,
    *,
    isolation: str = "bwrap",
    jobs: int = 2,
    take_over: Path | None = None,
) -> list[Record]:
    """Grade every upload below `submissions` that the journal in `out` does not have yet.

    Args:
        jobs: submissions at a time, at most; fewer where memory is short.
        take_over: the output folder of an earlier run; verdicts of checks that are still the same, on submissions that
            are still the same, are taken from there.
    Returns: one record a student, sorted by name, for the students that are in the folder now.

    Raises:
        IsolationError: submissions cannot be isolated here. JournalError: `out` belongs to another run.
        AssignmentError: the assignment is inconsistent. FileNotFoundError: no submissions.
    """
    uploads = find_uploads(submissions, loaded.name)
    with (
        open_journal(out, loaded.fingerprint(secret)) as journal,
        tqdm(total=len(uploads), desc="grading", unit="submission", disable=None) as bar,
    ):
        todo = _not_graded_yet(loaded, uploads, journal, bar)
        first = next(todo, None)
        if first is not None:
            with Sandbox(loaded.spec.modules, loaded.spec.limits, isolation) as sandbox:
                judge = Judge(loaded, secret, sandbox)
                journal.remember(checks=judge.digests())
                earlier = _earlier(take_over, judge)
                fitting = memory.jobs_that_fit(loaded.spec.limits, jobs, memory.available())
                if fitting < jobs:
                    print(f"{fitting} at a time instead of {jobs}: memory has no room for more.", file=sys.stderr)
                _grade_all(judge, chain([first], todo), journal, bar, fitting, earlier)
        return [journal.records[upload.student] for upload in uploads]


def _earlier(folder: Path | None, judge: Judge) -> Earlier | None:
    if folder is None:
        return None
    head, records = read_journal(folder)
    same = frozenset(check for check, digest in judge.digests().items() if head.get("checks", {}).get(check) == digest)
    new = [c.id for c in judge.loaded.spec.checks if c.id not in same]
    print(f"taken over from {folder}: {len(same)} checks. Run again: {', '.join(new) or 'none'}.", file=sys.stderr)
    return Earlier(records, same)


def _not_graded_yet(loaded: Loaded, uploads: list[Upload], journal: Journal, bar: tqdm) -> Iterator[Submission]:
    """Read one upload after the other, each when its turn comes: a class may be larger than memory."""
    known = frozenset(loaded.source.stubs)
    for upload in uploads:
        submission = read_upload(upload, loaded.name, loaded.spec.version, known)
        record = journal.records.get(upload.student)
        if record is None or record.failure is not None or record.digest != submission.digest:
            yield submission
            continue
        again = replace(record, late=submission.late, submitted=_iso(submission), origin=submission.origin)
        if again != record:  # handed in again, and the same
            journal.append(again)
        bar.update()


def _grade_all(
    judge: Judge, todo: Iterator[Submission], journal: Journal, bar: tqdm, jobs: int, earlier: Earlier | None = None
) -> None:
    """A few submissions at a time; the journal is written by this thread alone."""
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(grade_one, judge, s, earlier) for s in islice(todo, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                journal.append(future.result())
                bar.update()
            running |= {pool.submit(grade_one, judge, s, earlier) for s in islice(todo, jobs - len(running))}


def grade_one(judging: Judge, submission: Submission, earlier: Earlier | None = None) -> Record:
    """The journal's record of one submission.

    Raises:
        IsolationError, OSError, MemoryError: the machine's fault: stop, and go on from here another time.
    """
    loaded, notes = judging.loaded, list(submission.notes)
    failure = None
    verdicts = []
    if submission.notebook is None:
        verdicts = nothing_handed_in(loaded)
    else:
        before = earlier.records.get(submission.student) if earlier is not None else None
        try:
            if before is not None and before.digest == submission.digest and before.failure is None and earlier:
                kept = {v.check: v for v in before.verdicts if v.check in earlier.same}
                again, cell_notes = judging.grade(submission.notebook, {c.id for c in loaded.spec.checks} - set(kept))
                kept |= {v.check: v for v in again}
                verdicts = [kept[c.id] for c in loaded.spec.checks]
            else:
                verdicts, cell_notes = judging.grade(submission.notebook)
            notes += cell_notes
        except (IsolationError, OSError, MemoryError):
            raise
        except Ungraded as error:
            failure = str(error)
        except Exception as error:  # the grader's fault, which must not stop the class
            failure = f"the grader failed ({type(error).__name__})"
            print(f"{submission.student!r}: {failure}: {error!r:.300}", file=sys.stderr)
    if failure is not None:
        notes.append(f"not graded yet, and no zero: {failure}. The next run tries again; or grade it by hand.")
    return Record(
        student=submission.student,
        digest=submission.digest,
        late=submission.late,
        notes=tuple(clean_text(note) for note in notes),
        verdicts=tuple(verdicts),
        answers=_answers(loaded, submission.notebook),
        handed_in=submission.notebook is not None,
        failure=failure,
        submitted=_iso(submission),
        origin=submission.origin,
        file=submission.file,
    )


def _iso(submission: Submission) -> str | None:
    return None if submission.submitted is None else submission.submitted.isoformat()


def _answers(loaded: Loaded, notebook: Notebook | None) -> tuple[Answer, ...]:
    """For each part that is graded by hand what the student handed in, without the question."""
    answers = []
    for part in loaded.source.parts:
        if part.manual:
            cells = [c for c in notebook.cells if c.id == part.id] if notebook is not None else []
            texts = [without_question(c.source, loaded.source.stubs[part.id]) for c in cells]
            text = clean_text("\n\n".join(t for t in texts if t), MAX_TEXT)
            figures = tuple(figure for c in cells for figure in c.figures)[:MAX_FIGURES]
            answers.append(Answer(part.id, part.points, text, figures))
    return tuple(answers)


def without_question(text: str, stub: str) -> str:
    """A student's cell without the lines that it came with; empty where nothing was written."""
    question, _, after = stub.partition("YOUR ANSWER HERE")
    given = {line.strip() for line in f"{stub}\n{question}\n{after}".splitlines()} | {"YOUR ANSWER HERE"}
    lines = text.splitlines()
    while lines and (lines[0].strip() in given or not lines[0].strip()):
        lines.pop(0)
    while lines and (lines[-1].strip() in given or not lines[-1].strip()):
        lines.pop()
    return "\n".join(lines)
