"""Where things lie, for every test of the course: the checkout and its folders."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BOOK, CHAPTERS, EXPERIMENTS, RESULTS = (ROOT / name for name in ("book", "chapters", "experiments", "results"))
