"""How fast are features extracted: beside a bare forward pass, when they are kept for the first time, and found again?

    python experiments/benchmark_extraction.py            about four minutes on one core
    python experiments/benchmark_extraction.py --smoke    a few pictures once; keeps nothing

EfficientNet-Lite0 with ImageNet weights on pictures of EmojiStyles. In one process the ways take turns; a round is one
pass of each, and goes by the clock and by the processor time of the process. It also asks how long `import xferkit`
takes beyond torch, in a process of its own each round.

Result (7 rounds, one thread, 128 pictures, by processor time): 1.66 times the throughput of the bare pass at batch size
64 and 1.33 times at 16; keeping them costs little (1.67, 1.26); found again they take 22 ms, a hundredth. The import
takes 0.08 s.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lab import Lab, options

import xferkit as xk

PICTURES, ROUNDS = 128, 7
IMPORT = "import time, torch; t, p = time.perf_counter(), time.process_time(); import xferkit; " \
         "print(time.perf_counter() - t, time.process_time() - p)"  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One pass of each way over so many pictures."""

    round: int
    batch_size: int
    pictures: int


@torch.no_grad()
def bare(net: xk.Classifier, x: torch.Tensor, batch_size: int) -> torch.Tensor:
    """The forward pass that one writes by hand."""
    net.eval()
    return torch.cat([net.features((chunk.float() - 127) / 128) for chunk in x.split(batch_size)])


def timed(call: Callable[[], Any]) -> dict[str, float]:
    start, start_cpu = time.perf_counter(), time.process_time()
    call()
    return {"clock": round(time.perf_counter() - start, 4), "processor": round(time.process_time() - start_cpu, 4)}


def run(job: Job, lab: Lab) -> dict[str, dict[str, float]]:
    """Seconds of each way."""
    net, x = xk.backbone(), lab.data["emoji_noto"].train.x[: job.pictures]

    def extract(cache: str) -> Callable[[], Any]:
        def call() -> None:
            os.environ["XFERKIT_CACHE"] = cache
            xk.extract_features(net, x, batch_size=job.batch_size)

        return call

    extract("off")()  # warm up
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        ways = {"bare": lambda: bare(net, x, job.batch_size), "not kept": extract("off"), "kept": extract(folder)}
        for way in ways if job.round % 2 == 0 else reversed(ways):
            found[way] = timed(ways[way])
        found["found again"] = timed(ways["kept"])
    said = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True).stdout.split()
    found["import"] = {"clock": round(float(said[0]), 4), "processor": round(float(said[1]), 4)}
    return found


def table(runs: list[dict[str, Any]]) -> str:
    """Medians; throughput against the bare pass of the same round, above 1 is faster."""
    lines = []
    for size in dict.fromkeys(run["batch_size"] for run in runs):
        mine = [run for run in runs if run["batch_size"] == size]
        for way in ("bare", "not kept", "kept", "found again"):
            clock, work = (statistics.median(run[way][kind] for run in mine) for kind in ("clock", "processor"))
            ratios = [
                statistics.median(r["bare"][kind] / r[way][kind] for r in mine) for kind in ("clock", "processor")
            ]
            lines.append(
                f"batch {size:4d}  {way:<12} {clock:7.3f} s  {work:7.3f} s of processor  "
                f"throughput {ratios[0]:7.2f} by the clock, {ratios[1]:7.2f} by the processor"
            )
    both = [statistics.median(run["import"][kind] for run in runs) for kind in ("clock", "processor")]
    return "\n".join([*lines, f"import xferkit beyond torch: {both[0]:.3f} s, {both[1]:.3f} s of processor"])


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__, arguments)
    data = {"emoji_noto": xk.load_domain("emoji_noto")}
    lab = Lab(__file__, run, depends=(bare, timed, IMPORT), data=data, smoke=given.smoke)
    rounds, pictures = (1, 8) if given.smoke else (ROUNDS, PICTURES)
    before = os.environ.get("XFERKIT_CACHE")
    try:
        runs = lab.run(Job(number, size, pictures) for number in range(rounds) for size in (64, 16))
    finally:
        os.environ["XFERKIT_CACHE"] = before or ""
    print(table(runs))
    lab.publish(
        question="How fast are features extracted, and found again?",
        settings={"network": "efficientnet_lite0", "data": "emoji_noto, training part", "times": "seconds a pass"},
        environment={"cores": os.cpu_count() or 1},
    )


if __name__ == "__main__":
    main()
