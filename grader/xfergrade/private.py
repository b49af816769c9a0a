"""What only the instructor may read: the secret, the checks, the submissions. Refused where it lies open."""

from __future__ import annotations

from pathlib import Path

from xfergrade.assignment import Loaded
from xfergrade.walls import visible_folders


def _repositories(place: Path) -> list[Path]:
    return [p for p in (place, *place.parents) if (p / ".git").exists()]


def outside_repositories(folder: Path, why: str) -> None:
    """Refuse to write into a repository, which is one day pushed.

    Raises:
        ValueError: the folder lies in one.
    """
    for repository in _repositories(folder.resolve()):
        raise ValueError(f"{folder} lies in the repository {repository}, and {why}. Write elsewhere.")


def outside_the_class(out: Path, submissions: Path) -> None:
    """Refuse an output folder that would be graded as a student's, and one that holds the class.

    Raises:
        ValueError: one of the two lies in the other.
    """
    here, there = out.resolve(), submissions.resolve()
    if here == there or here.is_relative_to(there):
        raise ValueError(f"{out} lies in {submissions}, and would be graded as somebody's work. Write elsewhere.")


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
    for folder in [*others, *_repositories(place)]:
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
