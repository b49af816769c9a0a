"""xfergrade: the coursework's rails. Releases assignments, checks a student's work, grades without trusting it.

`python -m xfergrade` has the commands; `from xfergrade import check` is what students use in a notebook.
"""

from xfergrade.checks import Assignment, Check, Inputs
from xfergrade.compare import Accuracy, Close, Equal
from xfergrade.sandbox import Limits
from xfergrade.student import CheckFailed, check, check_part

__all__ = [
    "Accuracy", "Assignment", "Check", "CheckFailed", "Close", "Equal", "Inputs", "Limits", "check", "check_part",
]  # fmt: skip
