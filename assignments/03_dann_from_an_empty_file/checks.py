"""What the assignment on domain-adversarial training checks. Runs outside the sandbox; students never get this file."""

import numpy as np
import torch

from xfergrade import Assignment, Check, Close, Equal, Item, Limits


def tensor(rng: np.random.Generator, *shape: int, scale: float = 1.0, dtype: type = np.float64) -> torch.Tensor:
    return torch.from_numpy(np.asarray(rng.normal(size=shape) * scale).astype(dtype))


def shape(rng: np.random.Generator) -> tuple[int, ...]:
    """One, two or four dimensions."""
    return [(7,), (5, 3), (2, 3, 4, 2)][int(rng.integers(3))]


# ------------------------------------------------------------------------------------------------------------ part A


def draw_forward(rng: np.random.Generator) -> tuple:
    return tensor(rng, *shape(rng), scale=3, dtype=np.float32), float(rng.uniform(0.1, 6))


def draw_gradient(rng: np.random.Generator) -> tuple:
    size = shape(rng)
    return tensor(rng, *size), tensor(rng, *size), float(rng.uniform(0.3, 0.8) * rng.choice([1, 5]))


def draw_tensor_lambda(rng: np.random.Generator) -> tuple:
    z, w, lam = draw_gradient(rng)
    return z, w, torch.tensor(lam, dtype=torch.float64)


def draw_zero(rng: np.random.Generator) -> tuple:
    return tensor(rng, 4, 3), tensor(rng, 4, 3)


def draw_two_layers(rng: np.random.Generator) -> tuple:
    lam_a, lam_b = rng.permutation([rng.uniform(0.2, 0.6), rng.uniform(1.5, 4)])
    return tensor(rng, 4, 3), torch.from_numpy(rng.uniform(0.3, 0.7, (4, 3))), float(lam_a), float(lam_b)


# ------------------------------------------------------------------------------------------------------------ part B


def draw_lambda(rng: np.random.Generator) -> tuple:
    return float(rng.uniform(0.02, 0.5)), float(rng.uniform(2, 9))


def draw_lr(rng: np.random.Generator) -> tuple:
    p, lr0, alpha, beta = rng.uniform((0.1, 0.05, 3, 0.3), (1, 0.9, 9, 0.7))
    return float(p), float(lr0), float(alpha), float(beta)


def draw_p(rng: np.random.Generator) -> tuple:
    return (float(rng.uniform(0.05, 0.4)),)


def draw_progress(rng: np.random.Generator) -> tuple:
    epochs, batches = int(rng.integers(3, 9)), int(rng.integers(5, 40))
    return int(rng.integers(1, epochs)), int(rng.integers(1, batches)), batches, epochs


# ------------------------------------------------------------------------------------------------------------ part C


def sizes(rng: np.random.Generator) -> tuple[int, int]:
    """Two batch sizes, one at least twice the other."""
    small = int(rng.integers(3, 7))
    n, m = rng.permutation([small, 2 * small + int(rng.integers(4))])
    return int(n), int(m)


def draw_logits(rng: np.random.Generator) -> tuple:
    """Logits of a discriminator that is better than guessing, and not equally good on both sides."""
    n, m = sizes(rng)
    return tensor(rng, n, scale=2) - 0.4, tensor(rng, m, scale=2) + 1.5


def draw_large_logits(rng: np.random.Generator) -> tuple:
    n, m = sizes(rng)
    large = [np.where(rng.permutation(k) < 2, 1, -1) * rng.uniform(60, 100, k) for k in (n, m)]
    return tuple(torch.from_numpy(v.astype(np.float32)) for v in large)


def draw_logits_for_accuracy(rng: np.random.Generator) -> tuple:
    """No logit near 0; all but one right on the larger side, all but two wrong on the smaller one."""
    n, m = sizes(rng)
    sides = []
    for k, sign, other in ((n, -1, m), (m, 1, n)):
        right = np.arange(k) < (k - 1 if k > other else 2)
        values = np.where(right, sign, -sign) * rng.uniform(0.2, 3, k)
        sides.append(torch.from_numpy(rng.permutation(values)))
    return tuple(sides)


def draw_logits_with_zeros(rng: np.random.Generator) -> tuple:
    logits_s, logits_t = draw_logits_for_accuracy(rng)
    logits_s[:2] = 0.0
    logits_t[:1] = 0.0
    return logits_s, logits_t


def ties_count(logits_s: torch.Tensor, logits_t: torch.Tensor) -> bool:
    """Zeros on either side must not balance: calling them source changes the accuracy."""
    right = (logits_s < 0).double().mean() + (logits_t >= 0).double().mean()
    turned = (logits_s <= 0).double().mean() + (logits_t > 0).double().mean()
    return abs(float(right - turned)) > 0.02


# ------------------------------------------------------------------------------------------------------ parts D and E


def draw_weights(rng: np.random.Generator) -> tuple[list, int, int]:
    """Weights for encoder, head and the discriminator's two layers; input width and number of classes."""
    d, width, k, hidden = (int(v) for v in (rng.integers(2, 5), rng.integers(5, 8), rng.integers(2, 4), 4))
    layers = ((width, d), (k, width), (hidden, width), (1, hidden))
    return [(tensor(rng, *size), tensor(rng, size[0], scale=0.3)) for size in layers], d, k


def draw_batch(rng: np.random.Generator, d: int, k: int) -> tuple:
    n, m = sizes(rng)
    return tensor(rng, n, d), torch.from_numpy(rng.integers(0, k, n)), tensor(rng, m, d) + 0.7


def draw_step(rng: np.random.Generator) -> tuple:
    weights, d, k = draw_weights(rng)
    lam, lr = rng.uniform(0.3, 0.7) * rng.choice([1, 5]), rng.uniform(0.05, 0.2)
    return weights, *draw_batch(rng, d, k), float(lam), float(lr)


def draw_step_without_adversary(rng: np.random.Generator) -> tuple:
    *first, _, lr = draw_step(rng)
    return *first, 0.0, lr


def draw_several(rng: np.random.Generator) -> tuple:
    weights, d, k = draw_weights(rng)
    batches = [draw_batch(rng, d, k) for _ in range(4)]
    return weights, batches, [0.0, 0.3, 0.6, 2.0], [float(v) for v in rng.uniform(0.03, 0.15, 4)]


def draw_disc_alone(rng: np.random.Generator) -> tuple:
    weights, d, k = draw_weights(rng)
    batches = [draw_batch(rng, d, k) for _ in range(3)]
    return weights, batches, float(rng.uniform(1.5, 3)), float(rng.uniform(0.05, 0.15))


def draw_joined(rng: np.random.Generator) -> tuple:
    n = int(rng.integers(4, 9))
    return tensor(rng, 2 * n, scale=2), n


def draw_joined_unequal(rng: np.random.Generator) -> tuple:
    n, m = sizes(rng)
    return torch.cat([tensor(rng, n, scale=2) - 1, tensor(rng, m, scale=2) + 2]), n


# What the steps of parts D and E build on, and what the repaired one does.
EARLIER = ("grad_reverse", "domain_loss", "domain_accuracy")
EXACT = Close(rtol=1e-5, atol=1e-7)
STEPS = Close(rtol=1e-4, atol=1e-6)

# What a part graded by hand consists of; the source notebook has the same beside its answers, for graders.
RUBRIC = {
    "diagnosis": (
        Item("program 1: the line and its effect", 1),
        Item("program 1: the tell-tale numbers, with the reason", 1),
        Item("program 1: why 50 % misleads", 1),
        Item("program 2: the line and its effect", 1),
        Item("program 2: the tell-tale numbers, with the reason", 1),
        Item("program 2: why 50 % misleads", 1),
    ),
    "interpretation": (
        Item("1: two situations", 2),
        Item("1: a fresh discriminator on held-out points", 1),
        Item("1: the own number read correctly", 1),
        Item("2: a choice with its grounds", 1),
        Item("2: the score's resolution against its spread", 1),
        Item("2: source accuracy does not see the target", 1),
        Item("3: spreads compared with numbers", 1),
        Item("3: what one run would mislead to", 1),
        Item("3: a sentence no stronger than the runs", 1),
    ),
}

assignment = Assignment(
    title="DANN from an empty file",
    version="2",
    modules=("numpy", "torch", "torch._dynamo"),  # the last is what a torch optimizer imports
    rubric=RUBRIC,
    limits=Limits(seconds=8, memory_mb=512),
    checks=(
        Check(
            "reverse.forward", part="part_a_test", points=2, call="drivers.reverse_forward", inputs=draw_forward,
            compare=Equal(), visible=True,
            hint="Going forward the layer is the identity: hand z back as it is, whatever λ. "
            "λ belongs into backward alone.",
        ),
        Check(
            "reverse.gradient", part="part_a_test", points=4, call="drivers.reverse_gradient", inputs=draw_gradient,
            compare=EXACT, visible=True,
            hint="backward gets the gradient from above and returns −λ times it. A missing minus sign makes encoder "
            "and discriminator allies.",
        ),
        Check(
            "reverse.tensor_lambda", part="part_a_test", points=3, call="drivers.reverse_tensor_lambda",
            inputs=draw_tensor_lambda, compare=EXACT,
            hint="λ may be a tensor of no dimensions. It is a setting and not a parameter: backward returns None "
            "for it.",
        ),
        Check(
            "reverse.zero_and_dtype", part="part_a_test", points=2, call="drivers.reverse_zero_and_dtype",
            inputs=draw_zero, compare=EXACT,
            hint="With λ = 0 the features get a gradient of zeros; output and gradient keep the dtype of z.",
        ),
        Check(
            "reverse.two_layers", part="part_a_test", points=3, call="drivers.reverse_two_layers",
            inputs=draw_two_layers, compare=EXACT,
            hint="Each call keeps its own λ, on ctx. A λ stored on the class or in a global variable is overwritten "
            "by the next call.",
        ),
        Check(
            "schedules.lambda", part="part_b_test", points=3, call="dann_lambda", inputs=draw_lambda, compare=EXACT,
            visible=True, hint="λ(p) = 2 / (1 + exp(−γ·p)) − 1, with γ from the argument; it is 0 at p = 0.",
        ),
        Check(
            "schedules.lr", part="part_b_test", points=3, call="dann_lr", inputs=draw_lr, compare=EXACT, visible=True,
            hint="μ(p) = μ₀ / (1 + α·p)^β: the power is taken of the whole bracket, and α and β are arguments.",
        ),
        Check(
            "schedules.defaults", part="part_b_test", points=2, call="drivers.schedule_defaults", inputs=draw_p,
            compare=EXACT, hint="Without further arguments: γ = 10, μ₀ = 0.01, α = 10, β = 0.75.",
        ),
        Check(
            "schedules.progress", part="part_b_test", points=4, call="progress", inputs=draw_progress, compare=EXACT,
            visible=True,
            hint="Steps already done, over all steps of the whole run: batches of earlier epochs count too, and the "
            "very first step has p = 0. Epochs and batches are counted from 0.",
        ),
        Check(
            "loss.value", part="part_c_test", points=3, call="domain_loss", inputs=draw_logits, compare=EXACT,
            visible=True,
            hint="A mean over the source plus a mean over the target. Source is 0, target is 1. One mean over both "
            "batches, or half of the sum, is something else.",
        ),
        Check(
            "loss.gradient", part="part_c_test", points=3, call="drivers.loss_and_gradients", inputs=draw_logits,
            compare=EXACT,
            hint="The loss must stay a tensor that can be differentiated for both sides' logits: no .item(), no "
            ".detach(), no NumPy.",
        ),
        Check(
            "loss.stable", part="part_c_test", points=3, call="drivers.loss_and_gradients", inputs=draw_large_logits,
            compare=Close(rtol=1e-4, atol=1e-6),
            hint="At logits of ±100 a sigmoid is exactly 0 or 1 in float32 and its logarithm infinite. Use a function "
            "that takes logits.",
        ),
        Check(
            "accuracy.value", part="part_c_test", points=3, call="domain_accuracy", inputs=draw_logits_for_accuracy,
            compare=EXACT, visible=True,
            hint="The share that is right among the source, the share that is right among the target, and the mean of "
            "the two, as a float from 0 to 1. A negative logit says source.",
        ),
        Check(
            "accuracy.ties", part="part_c_test", points=2, call="domain_accuracy", inputs=draw_logits_with_zeros,
            compare=EXACT, tells=ties_count,
            hint="The text says which domain a logit of exactly 0 means: right for a row of that domain, wrong for one "
            "of the other.",
        ),
        Check(
            "step.scalars", part="part_d_test", points=4, call="drivers.step_scalars", inputs=draw_step, compare=STEPS,
            visible=True,
            given=EARLIER,
            hint="A dict with 'label', 'domain' and 'domain_accuracy', all from the forward pass before the update; "
            "'domain' is the domain loss itself, without λ.",
        ),
        Check(
            "step.update", part="part_d_test", points=5, call="drivers.step_update", inputs=draw_step, compare=STEPS,
            visible=True,
            given=EARLIER,
            hint="The first network that is wrong is named, in the order head, discriminator, encoder. Head: was the "
            "learning rate set, and did the optimizer take a step? Discriminator: λ must not reach its gradient, and "
            "the domain loss is added, not subtracted. Encoder: look at the reversal, and at whether the features "
            "were detached.",
        ),
        Check(
            "step.lambda_zero", part="part_d_test", points=3, call="drivers.step_update",
            inputs=draw_step_without_adversary, compare=STEPS,
            given=EARLIER,
            hint="With λ = 0 the encoder learns from the labels alone, and the discriminator learns at full rate.",
        ),
        Check(
            "step.several", part="part_d_test", points=5, call="drivers.step_several", inputs=draw_several,
            compare=STEPS,
            given=EARLIER,
            hint="Over several steps: clear old gradients in every step, and set the learning rate in every group of "
            "the optimizer that was handed over (its momentum must survive).",
        ),
        Check(
            "step.one_pass", part="part_d_test", points=3, call="drivers.step_one_pass", inputs=draw_step,
            compare=STEPS,
            given=EARLIER,
            hint="Source and target go through the encoder once, joined: with BatchNorm two passes have other "
            "statistics.",
        ),
        Check(
            "repair.alternating", part="part_e_test", points=4, call="drivers.alternating_several", inputs=draw_several,
            compare=STEPS, visible=True,
            given=EARLIER,
            hint="Keep the order: the discriminator's step first, then encoder and head against the new discriminator. "
            "If the discriminator is named, its step still mixes in gradients from the step before, or λ; if the "
            "encoder is, look at L_y − λ·L_d.",
        ),
        Check(
            "repair.disc_ignores_lambda", part="part_e_test", points=4, call="drivers.alternating_disc_alone",
            inputs=draw_disc_alone, compare=STEPS,
            given=EARLIER,
            hint="With the encoder held still, the discriminator must take plain SGD steps on its own loss, "
            "whatever λ is.",
        ),
        Check(
            "repair.joined_equal", part="part_e_test", points=3, call="repaired_joined_loss", inputs=draw_joined,
            compare=EXACT, visible=True,
            hint="The first n_source rows are source and get 0, the others are target and get 1.",
        ),
        Check(
            "repair.joined_unequal", part="part_e_test", points=3, call="repaired_joined_loss",
            inputs=draw_joined_unequal, compare=EXACT,
            hint="With batches of unequal size, twice the mean over all rows is not the mean over the source plus the "
            "mean over the target.",
        ),
    ),
)  # fmt: skip
