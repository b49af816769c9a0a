"""How much memory there is, and how many submissions fit into it at a time."""

from __future__ import annotations

import contextlib
from pathlib import Path

from xfergrade.spec import Limits

MEGABYTE = 2**20
OWN_MB = 150  # a submission's process as it starts, and the grader's copies of one answer


def available(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: what the machine has, and what its control groups leave of it.

    Args:
        root: where /proc and /sys are.
    """
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                found += _left(root / "sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                found += _left(root / "sys/fs/cgroup/memory", path, *files)
    return max(0, min(found, default=2**40))


def _left(top: Path, path: str, limit: str, usage: str, cached: str) -> list[int]:
    """What a control group and each one above it leave; files that the kernel can drop do not count as used."""
    left: list[int] = []
    folder = top / path.lstrip("/")
    while folder.is_relative_to(top):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number, and no limit
            used = int((folder / usage).read_text())
            for line in (folder / "memory.stat").read_text().splitlines():
                used -= int(line.split()[1]) if line.split()[0] == cached else 0
            left.append(int((folder / limit).read_text()) - used)
        folder = folder.parent
    return left


def jobs_that_fit(limits: Limits, wanted: int, left: int) -> int:
    """At most `wanted`, at least one, and no more than `left` bytes have room for."""
    each = (limits.memory_mb + limits.disk_mb + 3 * limits.answer_mb + OWN_MB) * MEGABYTE
    return max(1, min(wanted, left // each))
