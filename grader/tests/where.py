"""Where things lie, for every test of the grader: the checkout, the assignments, the grader's own code; one secret."""

from pathlib import Path

import xfergrade

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path.parent for path in (ROOT / "assignments").glob("*/checks.py"))
PACKAGE = Path(xfergrade.__file__).parent
SECRET = b"a secret for the tests, long enough"
