"""Shared by the unit tests and the chapters' runs."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # so that tests can import `scripts`

# Figures are drawn without a screen, in tests and in the chapters' kernels alike.
os.environ.setdefault("MPLBACKEND", "agg")
