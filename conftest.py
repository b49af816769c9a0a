"""Shared by the unit tests and the chapters' runs."""

import sys
from pathlib import Path

import matplotlib

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # so that tests can import `scripts`

# Tests draw without a screen. (The chapters run in kernels of their own, which choose for themselves.)
matplotlib.use("agg")
