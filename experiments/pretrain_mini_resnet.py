"""Which letters does the network know that mini_resnet(pretrained=True) loads?

    python experiments/pretrain_mini_resnet.py             about 10 minutes on one core; writes the checkpoint
    python experiments/pretrain_mini_resnet.py --check     only compares the committed weights with their checksum
    python experiments/pretrain_mini_resnet.py --smoke     seconds; keeps nothing

mini_resnet (depth 20, width 16) learns letters drawn from matplotlib's fonts. The task is 37 classes of Latin letters,
and no digit: digits are what the chapters transfer to. Only SynDigits' training typefaces are used, so the typefaces of
its validation and test part stay unseen. Nothing is chosen by a score: one setting, one run, the last weights.

Result: one seed: 85.9 % of letters in typefaces held out are recognised.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from lab import Lab, Outcome, options
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

import xferkit as xk
from xferkit.data.digits import SYN_TYPEFACES

QUESTION = "Which letters does the network know that mini_resnet(pretrained=True) loads?"
LABEL_SMOOTHING = 0.05

# Letters whose two cases differ by size alone are one class, as in EMNIST's "by merge" (Cohen et al. 2017, §II).
MERGED = "CIJKLMOPSUVWXYZ"
CLASSES = tuple(c + c.lower() if c in MERGED else c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ") + tuple("abdefghnqrt")


@dataclass(frozen=True)
class Job:
    """One training."""

    seed: int = 0
    steps: int = 900
    batch: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.05
    every: int = 100  # steps between two drafts, and averaged into one point of the history


@dataclass(frozen=True)
class Plan:
    pictures: tuple[int, int] = (40_000, 2_000)  # training, validation
    job: Job = Job()


SMOKE = Plan((64, 37), Job(steps=4, batch=8, every=2))


def draw_letters(typefaces: list[str], n: int, seed: int) -> xk.Split:
    """Letters in random typeface, size, weight, place, tilt, slant, shape and two clearly different colours.

    Returns:
        n pictures (n, 3, 28, 28), classes in turn, and the position of each in `CLASSES`.
    """
    rng = np.random.default_rng(seed)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(str(folder / f"{face}.ttf"), s) for face in typefaces for s in range(44, 77, 4)]
    pictures = np.empty((n, 28, 28, 3), np.uint8)
    y = np.arange(n) % len(CLASSES)
    for i, label in enumerate(tqdm(y, desc=f"drawing {n} letters", unit="letter", mininterval=1)):
        letter = CLASSES[label][rng.integers(len(CLASSES[label]))]
        paper, ink = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        while abs(int(paper.sum()) - int(ink.sum())) < 150:
            ink = rng.integers(0, 256, 3)
        mask = Image.new("L", (84, 84))
        where = tuple(int(v) for v in 42 + rng.integers(-6, 7, 2))
        font = fonts[rng.integers(len(fonts))]
        ImageDraw.Draw(mask).text(where, letter, 255, font=font, anchor="mm", stroke_width=int(rng.integers(0, 4)))
        mask = mask.transform((84, 84), Image.Transform.AFFINE, _affine(rng), Image.Resampling.BILINEAR)
        alpha = np.asarray(mask.resize((28, 28), Image.Resampling.BOX), np.float32)[:, :, None] / 255
        pictures[i] = np.clip(paper + alpha * (ink - paper) + rng.normal(0, 8, (28, 28, 3)), 0, 255)
    return xk.Split(torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y).long())


def _affine(rng: np.random.Generator) -> tuple[float, ...]:
    """Pillow's six numbers for a tilt of ±20°, a slant of ±0.3 and sides scaled by 0.8 to 1.2, about the middle."""
    angle = math.radians(rng.uniform(-20, 20))
    tilt = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = tilt @ np.array([[1, rng.uniform(-0.3, 0.3)], [0, 1]]) @ np.diag(rng.uniform(0.8, 1.2, 2))
    shift = np.array([42, 42]) - matrix @ [42, 42]
    return (matrix[0, 0], matrix[0, 1], shift[0], matrix[1, 0], matrix[1, 1], shift[1])


def warp(x: Tensor, generator: torch.Generator, strength: float = 0.12) -> Tensor:
    """Bend each picture smoothly, (B, 3, H, W) to the same shape: a random field on a 4×4 grid, scaled up."""
    size = (len(x), 2, 4, 4)
    field = F.interpolate(strength * torch.randn(size, generator=generator), x.shape[-2:], mode="bicubic")
    still = F.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, still + field.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)


def run(job: Job, lab: Lab) -> Outcome:
    """The network after so many steps of AdamW; mean loss and training accuracy of every so many; a draft as often."""
    train: xk.Split = lab.data["train"]
    torch.manual_seed(job.seed)
    generator = torch.Generator().manual_seed(job.seed)
    model = xk.models.mini_resnet(len(CLASSES), depth=20, width=16).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.lr, weight_decay=job.weight_decay)
    history: dict[str, list[float]] = {"loss": [], "accuracy": []}
    start, spent = 0, 0.0
    if draft := lab.load_draft(job):
        model.load_state_dict(draft["model"])
        optimizer.load_state_dict(draft["optimizer"])
        generator.set_state(draft["generator"])
        history, start, spent = draft["history"], draft["step"], draft["seconds"]
    model.train()
    losses, right = 0.0, 0
    began = time.perf_counter()
    for step in tqdm(range(start, job.steps), initial=start, total=job.steps, desc="steps", unit="step", mininterval=5):
        optimizer.param_groups[0]["lr"] = job.lr * xk.schedules.cosine(step / job.steps)
        picked = torch.randint(len(train), (job.batch,), generator=generator)
        x, y = warp(xk.to_float(train.x[picked]), generator), train.y[picked]
        logits = model(x)
        loss = F.cross_entropy(logits, y, label_smoothing=LABEL_SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += loss.item()
        right += int((logits.argmax(1) == y).sum())
        if (step + 1) % job.every == 0:
            history["loss"].append(losses / job.every)
            history["accuracy"].append(right / job.every / job.batch)
            losses, right = 0.0, 0
            tqdm.write(f"step {step + 1}: loss {history['loss'][-1]:.3f}, accuracy {history['accuracy'][-1]:.3f}")
            seconds = spent + time.perf_counter() - began  # of this session and those before
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history,
                     "generator": generator.get_state(), "step": step + 1, "seconds": seconds}  # fmt: skip
            lab.save_draft(job, state)
    result = {"val_accuracy": xk.evaluate(model, lab.data["val"]).accuracy, "history": history}
    return result | {"seconds": spent + time.perf_counter() - began}, model.state_dict()


DEPENDS = (warp, xk.models.mini_resnet, xk.schedules.cosine, xk.to_float, xk.evaluate, CLASSES, LABEL_SMOOTHING)


CARD = """# mini_resnet20_characters

A small residual network that has learned letters and has never seen a digit. It is what
`mini_resnet(num_classes, pretrained=True)` loads: the encoder alone, without a head.

| | |
|---|---|
| architecture | the CIFAR ResNet-20 of He et al. (2016a, §4.2), width 16, shortcuts without parameters (option A) |
| input | RGB (B, 3, H, W), scaled by `to_float` to about [−1, 1); trained at 28×28 |
| output | 64 features a picture |
| parameters | {parameters:,} |
| file | `{file}`, {size:,} bytes, 32-bit floats |
| SHA-256 | `{sha256}` |
| licence | that of the course's code (BSD-3-Clause) |

## Data

{train:,} pictures of letters for training and {val:,} for validation, drawn by the script from fonts that come with
matplotlib, in {classes} classes: the 26 capitals and eleven small letters; letters whose two cases differ by size alone
({merged}) are one class, as in EMNIST's merged set (Cohen et al. 2017). No digit is among them, so digits are a new
task for this network. They are not far from it, though: the letters O, I, l, Z, S and B resemble 0, 1, 2, 5 and 8.

Each picture has a random typeface, size, stroke weight, place, tilt (±20°), slant, proportion, two random colours at
least 150 grey levels apart in sum, and noise. In training each batch is also bent by a smooth random field.

| part | typefaces |
|---|---|
| training | {faces_train} |
| validation | {faces_val} |

These are the training and the validation typefaces of SynDigits; none of its test typefaces (DejaVu Serif, STIX) was
drawn. MNIST, MNIST-M and the UCI digits are handwritten and share no picture with this set. The DejaVu fonts are under
the Bitstream Vera licence with changes in the public domain (`LICENSE_DEJAVU` in matplotlib), the Computer Modern fonts
(names beginning with cm) under the BaKoMa licence (`LICENSE_BAKOMA`). Both permit use without fee. The file holds
weights only and no outline of any font.

## Training

{steps:,} steps of AdamW with batches of {batch}, peak learning rate {lr:g} (a linear rise over the first tenth, then
half a cosine to zero), weight decay {decay:g}, label smoothing 0.05, seed {seed}. One setting, one run, the last
weights: no score chose anything. {minutes:.0f} minutes on one CPU core.

## What it reaches

| | accuracy |
|---|---|
| letters in the training typefaces (last 100 batches, bent) | {train_accuracy:.1%} |
| letters in typefaces held out ({faces_val}) | {val_accuracy:.1%} |

How its features serve digits is measured in the chapter on ResNet.

## Limits

It knows Latin letters in few typefaces, two flat colours, 28 pixels, one letter in the middle. It knows nothing of
natural pictures, of other scripts or of clutter around a letter, and the validation typefaces come from the family
of some training typefaces (Computer Modern). The weights were trained on a CPU; another machine or another version of
torch gives other bits, and so another checksum, when the script runs again.

## How to rebuild

`python experiments/pretrain_mini_resnet.py` writes the weights, their checksum, this card and
`results/pretrain_mini_resnet.json`. `--check` compares the weights that are there with their checksum.
"""


def write_checkpoint(model: xk.Classifier, record: dict[str, Any], plan: Plan, minutes: float) -> str:
    """Write weights, checksum and model card into the package; the checksum."""
    path = xk.models.resnet.ASSETS / xk.models.resnet.MINI_RESNET_FILE
    save_file({name: tensor.contiguous() for name, tensor in model.features.state_dict().items()}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    Path(f"{path}.sha256").write_text(f"{sha256}  {path.name}\n")
    card = CARD.format(
        parameters=sum(p.numel() for p in model.features.parameters()), file=path.name, size=path.stat().st_size,
        sha256=sha256, train=plan.pictures[0], val=plan.pictures[1], classes=len(CLASSES), merged=", ".join(MERGED),
        faces_train=", ".join(SYN_TYPEFACES["train"]), faces_val=", ".join(SYN_TYPEFACES["val"]), steps=plan.job.steps,
        batch=plan.job.batch, lr=plan.job.lr, decay=plan.job.weight_decay, seed=plan.job.seed, minutes=minutes,
        train_accuracy=record["history"]["accuracy"][-1], val_accuracy=record["val_accuracy"],
    )  # fmt: skip
    path.with_suffix(".md").write_text(card)
    return sha256


def settings(plan: Plan) -> dict[str, Any]:
    return asdict(plan.job) | {
        "pictures": dict(zip(("train", "val"), plan.pictures, strict=True)),
        "classes": CLASSES, "typefaces": SYN_TYPEFACES["train"], "label_smoothing": LABEL_SMOOTHING,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    given = options(__doc__ or "", arguments, check="only compare the committed weights with their checksum")
    plan = SMOKE if given.smoke else Plan()
    xk.setup(plan.job.seed)
    if given.check:
        xk.models.mini_resnet(pretrained=True)
        print(f"{xk.models.resnet.MINI_RESNET_FILE} has the checksum beside it.")
        return
    parts = zip(("train", "val"), plan.pictures, (0, 1), strict=True)
    data = {part: draw_letters(SYN_TYPEFACES[part], n, seed=seed) for part, n, seed in parts}
    lab = Lab(__file__, run, depends=DEPENDS, data=data, smoke=given.smoke)
    (record,) = lab.run([plan.job])
    print(f"letters in held-out typefaces: accuracy {record['val_accuracy']:.3f}")
    model = xk.models.mini_resnet(len(CLASSES), depth=20, width=16)
    model.load_state_dict(lab.weights(plan.job))
    if not given.smoke:
        lab.note(plan.job, sha256=write_checkpoint(model, record, plan, record["seconds"] / 60))
    lab.publish(question=QUESTION, settings=settings(plan))


if __name__ == "__main__":
    main()
