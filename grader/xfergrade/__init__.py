"""xfergrade: the coursework's rails. Releases assignments, checks a student's work, grades without trusting it.

`python -m xfergrade` has the commands; `from xfergrade import check` is what students use in a notebook, and loads
nothing of the grader. `from xfergrade import Assignment, Check, Close, …` is what a checks.py is written with.
"""

from typing import TYPE_CHECKING, Any

from xfergrade.compare import Accuracy, Close, Equal
from xfergrade.spec import Assignment, Check, Inputs, Item, Limits
from xfergrade.student import CheckFailed, check

if TYPE_CHECKING:
    from xfergrade.author import check_part as check_part

__version__ = "0.2.0"
__all__ = ["Accuracy", "Assignment", "Check", "CheckFailed", "Close", "Equal", "Inputs", "Item", "Limits", "check"]


def __getattr__(name: str) -> Any:
    """`check_part` is for nbgrader's autograder and needs the grader, which is loaded only then."""
    if name == "check_part":
        from xfergrade.author import check_part

        return check_part
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
