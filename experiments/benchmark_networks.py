"""How fast do the small networks pass pictures on, beside plain re-implementations with torch's modules?

    python experiments/benchmark_networks.py            about two minutes on one core
    python experiments/benchmark_networks.py --smoke    a few pictures once; keeps nothing

The forward pass in evaluation mode at batch size 256 on pictures of 32×32 pixels (random ones: values do not matter).
The plain networks have torch's own modules, in the usual order of memory, and the same weights; that they compute the
same is asserted. In one process the two take turns; a round is one pass of each.

Result (15 rounds, one thread, by processor time, on a busy machine): mini_alexnet is 1.84 times as fast, mini_vgg 1.65
and mini_googlenet 2.48 times, mini_resnet as fast (0.99). The first three have channels-last weights, it has not.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from lab import Lab, options
from torch import Tensor, nn

import xferkit as xk
from xferkit.models.alexnet import LocalResponseNorm
from xferkit.models.googlenet import MODULES
from xferkit.models.vgg import CONFIGURATIONS

BATCH, ROUNDS = 256, 15


@dataclass(frozen=True)
class Job:
    """One pass of both."""

    network: str
    round: int
    batch_size: int


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2), nn.ReLU()]


def plain_alexnet() -> nn.Module:
    def norm() -> nn.Module:
        return nn.LocalResponseNorm(5, 5 * LocalResponseNorm.alpha, 0.75, 2.0)

    return nn.Sequential(
        *conv(3, 32, 7, 2), norm(), nn.MaxPool2d(3, 2, 1), *conv(32, 64, 5), norm(), nn.MaxPool2d(3, 2, 1),
        *conv(64, 96, 3), *conv(96, 96, 3), *conv(96, 64, 3), nn.MaxPool2d(3, 2, 1), nn.Flatten(),
        nn.Linear(256, 640), nn.ReLU(), nn.Dropout(), nn.Linear(640, 640), nn.ReLU(), nn.Dropout(), nn.Linear(640, 10),
    )  # fmt: skip


def plain_vgg() -> nn.Module:
    layers: list[nn.Module] = []
    c = 3
    for width, kernels in zip((12, 24, 48, 96, 96), CONFIGURATIONS["A"], strict=True):
        for kernel in kernels:
            layers += conv(c, width, kernel)
            c = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(96, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(512, 10))


class PlainInception(nn.Module):
    def __init__(self, c_in: int, c1: int, r3: int, c3: int, r5: int, c5: int, c_pool: int) -> None:
        super().__init__()
        self.a = nn.Sequential(*conv(c_in, c1, 1))
        self.b = nn.Sequential(*conv(c_in, r3, 1), *conv(r3, c3, 3))
        self.c = nn.Sequential(*conv(c_in, r5, 1), *conv(r5, c5, 5))
        self.d = nn.Sequential(nn.MaxPool2d(3, 1, 1), *conv(c_in, c_pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)


def plain_googlenet() -> nn.Module:
    layers = [*conv(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1), *conv(16, 16, 1), *conv(16, 48, 3)]
    c = 48
    for name, (c1, (r3, c3), (r5, c5), c_pool) in MODULES.items():
        layers += [nn.MaxPool2d(3, 2, 1)] if name in ("inception4a", "inception5a") else []
        layers.append(PlainInception(c, *(n // 4 for n in (c1, r3, c3, r5, c5, c_pool))))
        c = (c1 + c3 + c5 + c_pool) // 4
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(c, 10))


class PlainBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)
        self.stride, self.extra = stride, c_out - c_in

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra)))


def plain_resnet() -> nn.Module:
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [PlainBlock(a, b, b // a) for a, b in zip(widths, widths[1:], strict=False)]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


PLAIN = {"alexnet": plain_alexnet, "vgg": plain_vgg, "googlenet": plain_googlenet, "resnet": plain_resnet}


def run(job: Job, lab: Lab) -> dict[str, dict[str, float]]:
    """Seconds of a pass of ours and of the plain one."""
    ours, plain = getattr(xk.models, f"mini_{job.network}")().eval(), PLAIN[job.network]().eval()
    same_order = zip(plain.state_dict(), ours.state_dict().values(), strict=True)
    plain.load_state_dict(dict(same_order))
    x: Tensor = xk.to_float(lab.data["pictures"].x[: job.batch_size])
    found = {}
    with torch.no_grad():
        torch.testing.assert_close(ours(x), plain(x), atol=1e-4, rtol=1e-3)  # and both are warm
        nets = {"ours": ours, "plain": plain}
        for name in nets if job.round % 2 == 0 else reversed(nets):
            start, start_cpu = time.perf_counter(), time.process_time()
            nets[name](x)
            clock, processor = time.perf_counter() - start, time.process_time() - start_cpu
            found[name] = {"clock": round(clock, 5), "processor": round(processor, 5)}
    return found


def ratio(runs: list[dict[str, Any]], kind: str) -> float:
    """How many times as fast ours is as the plain one of the same round: the median over rounds."""
    return statistics.median(run["plain"][kind] / run["ours"][kind] for run in runs)


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments)
    xk.setup(0)
    pixels = torch.randint(256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    data = {"pictures": xk.Split(pixels, torch.zeros(BATCH, dtype=torch.int64))}
    lab = Lab(__file__, run, depends=(*PLAIN.values(), conv, PlainInception, PlainBlock), data=data, smoke=given.smoke)
    rounds, batch = (1, 4) if given.smoke else (ROUNDS, BATCH)
    runs = lab.run(Job(name, number, batch) for number in range(rounds) for name in PLAIN)
    for name in PLAIN:
        mine = [run for run in runs if run["network"] == name]
        clock, processor = (ratio(mine, kind) for kind in ("clock", "processor"))
        print(f"mini_{name}: {clock:.2f} times as fast by the clock, {processor:.2f} by the processor")
    lab.publish(
        question="How fast do the small networks pass pictures on, beside plain re-implementations?",
        settings={"networks": list(PLAIN), "times": "seconds a pass", "picture": "32×32"},
        environment={"cores": os.cpu_count() or 1},
    )


if __name__ == "__main__":
    main()
