"""When something was handed in, when it was due, and what lateness costs, if the instructor says that it costs."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NBGRADER, GRADESCOPE = "timestamp.txt", "submission_metadata.yml"
MAX_METADATA = 20_000_000
Penalty = Callable[[float, float, timedelta], float]


class PolicyError(ValueError):
    """The file with the dates cannot be used; the message says why."""


def parse_time(text: str) -> datetime | None:
    """A date with time as the platforms write it; without a zone it is UTC, as nbgrader means it. None: it is none."""
    text = re.sub(r"\s+(UTC|Z)$", "+00:00", text.strip())
    text = re.sub(r"(\.\d{1,6})\d*", r"\1", text)
    text = re.sub(r"\s+([+-]\d\d:?\d\d)$", r"\1", text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def nbgrader_time(path: Path) -> datetime | None:
    """The time in nbgrader's timestamp.txt, which students can write themselves; None where there is none."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 200:
        return None
    return parse_time(path.read_text(encoding="utf-8", errors="replace"))


def gradescope_times(path: Path) -> dict[str, datetime]:
    """The times in the metadata of Gradescope's export, by submission; empty where there is no such file."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_METADATA:
        return {}
    import yaml

    try:
        # A loader that reads nothing but text, so that dates keep their zones.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    times: dict[str, datetime] = {}
    for name, facts in content.items() if isinstance(content, dict) else ():
        time = parse_time(str(facts.get(":created_at", ""))) if isinstance(facts, dict) else None
        if time is not None:
            times[str(name)] = time
    return times


def container_times(path: Path) -> tuple[datetime | None, datetime | None]:
    """(submitted, due) from the submission_metadata.json in Gradescope's container."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        due = facts["assignment"]["due_date"]
        for user in facts.get("users", ()):  # an extension is in the student's own entry
            due = (user.get("assignment") or {}).get("due_date") or due
        return parse_time(str(facts["created_at"])), parse_time(str(due))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, None


@dataclass(frozen=True)
class Policy:
    """When work is due, who has longer, and how many points lateness takes off (none where nobody says)."""

    due: datetime | None = None
    extensions: dict[str, datetime] = field(default_factory=dict)
    penalty: Penalty = lambda points, out_of, late: 0.0

    def late_by(self, student: str, submitted: datetime | None) -> timedelta:
        """How much too late; nothing where one of the two times is unknown."""
        due = self.extensions.get(student, self.due)
        if due is None or submitted is None:
            return timedelta(0)
        return max(timedelta(0), submitted - due)

    def taken_off(self, student: str, submitted: datetime | None, points: float, out_of: float) -> float:
        """Points to take off, at least 0 and at most all.

        Raises:
            PolicyError: the penalty is no number.
        """
        late = self.late_by(student, submitted)
        if not late:
            return 0.0
        taken: Any = self.penalty(points, out_of, late)
        if isinstance(taken, bool) or not isinstance(taken, int | float) or taken != taken:
            raise PolicyError(f"the penalty for {student} is {taken!r}, which is no number of points.")
        return min(max(0.0, float(taken)), points)


def read_policy(path: Path) -> Policy:
    """A Python file of the instructor's with `due = "2026-10-05T23:59+02:00"`, and as needed `extensions`, `penalty`.

    `extensions` is a dict of dates by student, or the name of a CSV (student, due) beside the file. `penalty(points,
    out_of, late)` is given the points, the points there are, and a timedelta, and returns the points to take off.

    Raises:
        PolicyError: it has no due date, or something in it is no date.
    """
    spec = importlib.util.spec_from_file_location("_policy", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PolicyError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given: Any = getattr(module, "extensions", {})
    if isinstance(given, str):
        with open(path.parent / given, encoding="utf-8-sig", newline="") as file:
            given = {row.get("student", ""): row.get("due", "") for row in csv.DictReader(file)}
    due = _date(path, "due", getattr(module, "due", None))
    extensions = {str(student): _date(path, f"the extension of {student}", date) for student, date in given.items()}
    penalty: Penalty = getattr(module, "penalty", Policy.penalty)
    return Policy(due, extensions, penalty)


def _date(path: Path, what: str, value: Any) -> datetime:
    time = value if isinstance(value, datetime) else parse_time(str(value))
    if time is None or time.tzinfo is None or (isinstance(value, str) and not re.search(r"[+-]\d\d:?\d\d$|Z$", value)):
        raise PolicyError(f"{path}: {what} is {value!r}; write it with its zone, as \"2026-10-05T23:59+02:00\".")
    return time
