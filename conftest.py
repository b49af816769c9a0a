"""Shared by the unit tests and the chapters' runs."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import matplotlib

ROOT = Path(__file__).parent
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]  # so that tests can import `scripts` and the experiments

# nbval runs the chapters, and this compares what they show.
pytest_plugins = ["scripts.nbval_chapters"]

# An assignment's source notebook asks for the instructor's secret; its own tests run it.
collect_ignore_glob = ["grader/tests/coursework/*", "assignments/*"]

# Tests draw without a screen. (The chapters run in kernels of their own, which choose for themselves.)
matplotlib.use("agg")

# Workers side by side share the cores: torch takes all of them in each process, and processes that fight for cores are
# several times slower than processes that share. Set before torch is imported; the chapters' kernels inherit it.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers if hasattr(os, "sched_getaffinity") else 1))
    os.environ.setdefault("OMP_NUM_THREADS", threads)
    os.environ.setdefault("MKL_NUM_THREADS", threads)

# Features are kept on disk from one run to the next. Tests and the chapters' kernels start from an empty folder, which
# all workers of this run share, so that nothing that was kept before can stand in for what is tested.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XFERKIT_CACHE"] = tempfile.mkdtemp(prefix="xferkit-features-")
    atexit.register(shutil.rmtree, os.environ["XFERKIT_CACHE"], ignore_errors=True)
