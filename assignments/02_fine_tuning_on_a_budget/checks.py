"""What the assignment checks, from which random inputs. Runs outside the sandbox; students never get this file.

Freezing is judged by the numbers in weights, buffers and scores after steps on random data, never by flags.
"""

import numpy as np
import torch

from xfergrade import Assignment, Check, Close, Equal, Item, Limits

CONV, POOL, DROP = "conv", "pool", "drop"
NEAR = Close(rtol=1e-6, atol=1e-8)  # the networks compute in 64-bit precision
BEFORE_LP_FT = ("hold_statistics", "param_groups", "probe_head", "fine_tune")
SOLVED = Close(rtol=0, atol=1e-3)  # for what a convex solver ends at: any good one will do


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


# ------------------------------------------------------------------------------------------------------ the budget


def draw_labels(rng: np.random.Generator) -> tuple:
    """Labels of an unbalanced archive, what to draw of each class, and the order of drawing."""
    val, train = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    classes = int(rng.integers(3, 7))
    counts = val + train + rng.integers(1, 25, classes)
    labels = rng.permutation(np.repeat(np.arange(classes), counts))
    return tensor(labels), val, train, tensor(rng.permutation(len(labels)))


def draw_scarce_labels(rng: np.random.Generator) -> tuple:
    """An archive in which one class is rare, sizes that it can and cannot pay for, and an order."""
    rarest = int(rng.integers(3, 8))
    counts = rng.permutation([rarest, *(rarest + rng.integers(6, 12, 3))])
    labels = rng.permutation(np.repeat(np.arange(4), counts))
    sizes = [[1, rarest - 1], [1, rarest], [rarest - 1, 1], [rarest, 2], [1, 1]]
    return tensor(labels), [sizes[i] for i in rng.permutation(5)], tensor(rng.permutation(len(labels)))


# ------------------------------------------------------------------------------------------------- random networks


def draw_state(rng: np.random.Generator, layout: list[str], *, norm: bool) -> dict:
    """Numbers for `drivers.network`: weights, BatchNorm's buffers, and a head."""
    state: dict = {}
    channels = 3
    for i, kind in enumerate(layout):
        if kind != CONV:
            continue
        out = int(rng.integers(3, 7))
        name = f"features.stage{i}"
        state[f"{name}.0.weight"] = rng.normal(size=(out, channels, 3, 3)) * (2 / (9 * channels)) ** 0.5
        if norm:
            state[f"{name}.1.weight"] = rng.uniform(0.5, 1.5, out)
            state[f"{name}.1.bias"] = rng.normal(size=out) * 0.3
            state[f"{name}.1.running_mean"] = rng.normal(size=out) * 0.5
            state[f"{name}.1.running_var"] = rng.uniform(0.5, 2, out)
            state[f"{name}.1.num_batches_tracked"] = int(rng.integers(1, 99))
        else:
            state[f"{name}.0.bias"] = rng.normal(size=out) * 0.3
        channels = out
    classes = int(rng.integers(3, 6))
    return state | {"head.weight": rng.normal(size=(classes, channels)), "head.bias": rng.normal(size=classes)}


def draw_pictures(rng: np.random.Generator, state: dict, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = rng.normal(size=(n, 3, 5, 5)) + rng.normal(size=(1, 3, 1, 1))
    return tensor(x), tensor(rng.permutation(np.arange(n) % len(state["head.bias"])))


def draw_forward(rng: np.random.Generator) -> tuple:
    layout = [CONV, CONV, POOL]
    state = draw_state(rng, layout, norm=True)
    return layout, state, [draw_pictures(rng, state, 8)[0] for _ in range(2)]


def draw_held(rng: np.random.Generator) -> tuple:
    return *draw_forward(rng), 0.0


def draw_dropout(rng: np.random.Generator) -> tuple:
    layout = [CONV, CONV, POOL]
    state = draw_state(rng, layout, norm=False)
    return layout, state, [draw_pictures(rng, state, 8)[0]], 0.5


def draw_step(rng: np.random.Generator, *, norm: bool) -> tuple:
    layout = [CONV, CONV, POOL]
    state = draw_state(rng, layout, norm=norm)
    return layout, state, *draw_pictures(rng, state, 12), float(rng.uniform(0.05, 0.2))


def draw_plain_step(rng: np.random.Generator) -> tuple:
    return draw_step(rng, norm=False)


def draw_norm_step(rng: np.random.Generator) -> tuple:
    return draw_step(rng, norm=True)


# ------------------------------------------------------------------------------------------------- parameter groups


def draw_groups(rng: np.random.Generator, layout: list[str], *, wanted: str = "", **fixed: float) -> tuple:
    """A network, gradients, and settings of which `fixed` replaces some."""
    state = draw_state(rng, layout, norm=True)
    gradients = {n: rng.normal(size=np.shape(v)) for n, v in state.items() if n.split(".")[-1] in ("weight", "bias")}
    lr = float(rng.uniform(0.1, 0.5))
    settings = {"lr": lr, "head_lr": lr * float(rng.uniform(2, 5)), "layer_decay": float(rng.uniform(0.3, 0.8))}
    settings |= {"weight_decay": 0.0} | fixed
    if "head_lr" in fixed:
        settings["head_lr"] = lr
    return layout, state, gradients, settings, [], wanted


def draw_stage_rates(rng: np.random.Generator) -> tuple:
    return draw_groups(rng, [CONV] * int(rng.integers(3, 6)), wanted="features")


def draw_head_rate(rng: np.random.Generator) -> tuple:
    return draw_groups(rng, [CONV] * 3, wanted="head")


def draw_empty_stages(rng: np.random.Generator) -> tuple:
    return draw_groups(rng, [DROP, CONV, CONV, DROP, CONV, POOL], wanted="features")


def draw_weight_decay(rng: np.random.Generator) -> tuple:
    strength = float(rng.uniform(0.1, 0.5))
    return draw_groups(rng, [CONV] * 3, head_lr=0, layer_decay=1.0, weight_decay=strength)


def draw_frozen_stage(rng: np.random.Generator) -> tuple:
    layout, state, gradients, settings, _, wanted = draw_groups(rng, [CONV] * 3, head_lr=0, layer_decay=1.0)
    frozen = f"features.stage{int(rng.integers(3))}."
    return layout, state, gradients, settings, [name for name in gradients if name.startswith(frozen)], wanted


# ------------------------------------------------------------------------------------------------------------ LP-FT


def draw_probe_data(rng: np.random.Generator) -> tuple:
    layout = [CONV, CONV, POOL]
    state = draw_state(rng, layout, norm=True)
    return layout, state, *draw_pictures(rng, state, 24), float(rng.uniform(0.03, 0.2))


def draw_probe(rng: np.random.Generator) -> tuple:
    layout, state, x, y, l2 = draw_probe_data(rng)
    return layout, state, x, y, l2, draw_pictures(rng, state, 16)[0]


def draw_batches(rng: np.random.Generator) -> list[torch.Tensor]:
    return [tensor(rng.permutation(24)[:8]) for _ in range(3)]


def draw_tuning(rng: np.random.Generator) -> tuple:
    layout, state, x, y, _ = draw_probe_data(rng)
    return layout, state, x, y, draw_batches(rng), float(rng.uniform(0.02, 0.1))


def draw_lp_ft_start(rng: np.random.Generator) -> tuple:
    layout, state, x, y, l2, x_new = draw_probe(rng)
    return layout, state, x, y, l2, float(rng.uniform(0.2, 0.5)), x_new


def draw_lp_ft(rng: np.random.Generator) -> tuple:
    layout, state, x, y, l2 = draw_probe_data(rng)
    return layout, state, x, y, draw_batches(rng), l2, float(rng.uniform(0.08, 0.15))


# -------------------------------------------------------------------------------------------------------- reporting


def draw_scores(rng: np.random.Generator) -> tuple:
    """Accuracies (budgets, settings, seeds); for two budgets the best two settings are equal in validation.

    In 64ths, so that a tie is a tie in any order of summing.
    """
    budgets, settings, seeds = (int(n) for n in rng.integers((4, 3, 2), (6, 6, 6)))
    val, test = rng.integers(32, 60, (2, budgets, settings, seeds)) / 64
    for budget in rng.permutation(budgets)[:2]:
        first, second = rng.permutation(settings)[:2]
        val[budget, first] = rng.integers(60, 64, seeds) / 64
        val[budget, second] = rng.permutation(val[budget, first])
    return val, test


def mean_decides(val: np.ndarray, test: np.ndarray) -> bool:
    """Whether for some budget the best mean and the best single seed point at different settings."""

    def best(scores: np.ndarray) -> np.ndarray:
        return scores == scores.max(axis=1, keepdims=True)

    return bool((~(best(val.mean(axis=2)) & best(val.max(axis=2))).any(axis=1)).any())


def draw_scores_of_one_setting(rng: np.random.Generator) -> tuple:
    val, test = draw_scores(rng)
    return val[:, :1], test[:, :1]


def draw_curve(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of labels, and a learning curve with a dip between its third and its fourth point."""
    labels = np.cumsum(rng.integers(5, 60, 6)).astype(float)
    accuracy = rng.uniform(0.2, 0.4) + np.cumsum(rng.uniform(0.02, 0.1, 6))
    accuracy[[2, 3]] = accuracy[[3, 2]]
    return labels, accuracy


def draw_targets_between(rng: np.random.Generator) -> tuple:
    """Targets that lie between points: one in the dip, one beyond it."""
    labels, accuracy = draw_curve(rng)
    in_the_dip = float(rng.uniform(accuracy[3], accuracy[2]))
    return labels, accuracy, [in_the_dip, float(rng.uniform(accuracy[4], accuracy[5]))]


def draw_targets_beyond(rng: np.random.Generator) -> tuple:
    """Targets at and below the first point, and above every point."""
    labels, accuracy = draw_curve(rng)
    step = float(rng.uniform(0.01, 0.1))
    return labels, accuracy, [float(accuracy[0]), float(accuracy[0]) - step, float(accuracy.max()) + step]


# What a part graded by hand consists of; the source notebook has the same beside its answers, for graders.
RUBRIC = {
    "figure": (
        Item("axes named with units", 2),
        Item("all three recipes with mean and spread, and what the spread is", 2),
        Item("labels paid for, logarithmic, ticks at the budgets", 2),
        Item("legend or labels, told apart by more than colour", 2),
        Item("the target", 1),
        Item("legible and free of clutter", 1),
    ),
    "advice": (
        Item("recipe and price from the run's own table", 2),
        Item("differences set against the spread", 1),
        Item("the order at small and large budgets", 1),
        Item("a limit of this experiment", 1),
    ),
    "held_statistics": (
        Item("running against batch statistics", 1),
        Item("the head was fitted in evaluation mode", 1),
        Item("the residual, and the gradient, is large again", 1),
        Item("distorted features; a random head has nothing to lose", 1),
        Item("the run's own numbers, with their limits", 1),
    ),
    "choosing": (
        Item("the standard deviation", 1),
        Item("wrong choices counted, and their cost", 1),
        Item("why choosing on the test is optimistic", 1),
        Item("the trade between validation and training labels", 1),
    ),
}

assignment = Assignment(
    title="Fine-tuning on a budget",
    version="2",
    modules=("numpy", "torch", "torch._dynamo"),  # the last is what a torch optimizer imports
    rubric=RUBRIC,
    limits=Limits(seconds=20, total_seconds=120, memory_mb=1024),
    checks=(
        Check(
            "budget.train", part="budget_test", points=4, call="drivers.training_labels", inputs=draw_labels,
            compare=Equal(), visible=True,
            hint="Go along `order`. Of each class the first val_per_class pictures are for validation, the next "
            "train_per_class for training. order[labels[order] == c] lists class c in the order of drawing.",
        ),
        Check(
            "budget.val", part="budget_test", points=4, call="drivers.validation_labels", inputs=draw_labels,
            compare=Equal(), visible=True,
            hint="Validation takes the first val_per_class pictures of each class along `order`, so that it stays the "
            "same when the training budget grows.",
        ),
        Check(
            "budget.shortage", part="budget_test", points=4, call="drivers.affordable", inputs=draw_scarce_labels,
            compare=Equal(),
            hint="A class with fewer than val_per_class + train_per_class pictures is a ValueError; a slice that is "
            "too long is cut short in silence. Exactly enough is enough.",
        ),
        Check(
            "hold.statistics", part="freezing_test", points=5, call="drivers.held_in_training", inputs=draw_held,
            compare=NEAR, visible=True,
            hint="After hold_statistics(net.features) someone calls net.train(), which calls .train() on each child. "
            "The held part must stay in evaluation mode all the same: running_mean, running_var and "
            "num_batches_tracked as they were, and scores computed with them.",
        ),
        Check(
            "hold.dropout", part="freezing_test", points=3, call="drivers.held_in_training", inputs=draw_dropout,
            compare=NEAR,
            hint="The whole part stays in evaluation mode, its dropout layers too.",
        ),
        Check(
            "hold.weights_free", part="freezing_test", points=3, call="drivers.held_step", inputs=draw_plain_step,
            compare=NEAR,
            hint="hold_statistics concerns modes and buffers; the weights go on learning.",
        ),
        Check(
            "freeze.weights", part="freezing_test", points=4, call="drivers.frozen_steps", inputs=draw_norm_step,
            compare=Equal(), visible=True,
            given=("hold_statistics",),
            hint="The optimizer here was given every parameter, with weight decay and momentum. A parameter without "
            "requires_grad gets no gradient, and one whose .grad is None is passed over.",
        ),
        Check(
            "freeze.stale_gradient", part="freezing_test", points=3, call="drivers.frozen_in_between",
            inputs=draw_plain_step, compare=Equal(),
            given=("hold_statistics",),
            hint="Here freeze comes between backward() and step(). requires_grad = False does not remove the gradient "
            "that is already there: set .grad to None.",
        ),
        Check(
            "freeze.statistics", part="freezing_test", points=2, call="drivers.frozen_buffers", inputs=draw_forward,
            compare=Equal(),
            given=("hold_statistics",),
            hint="A frozen part holds its statistics too: let freeze call hold_statistics.",
        ),
        Check(
            "groups.stages", part="groups_test", points=5, call="drivers.grouped_step", inputs=draw_stage_rates,
            compare=NEAR, visible=True,
            hint="The weights after one step θ − rate·gradient tell the rate. The last stage has rate lr, the one "
            "before lr·layer_decay, the first lr·layer_decay**(M − 1) for M stages.",
        ),
        Check(
            "groups.head", part="groups_test", points=3, call="drivers.grouped_step", inputs=draw_head_rate,
            compare=NEAR, visible=True,
            hint="The head learns at head_lr, whatever lr and layer_decay are.",
        ),
        Check(
            "groups.empty_stages", part="groups_test", points=3, call="drivers.grouped_step", inputs=draw_empty_stages,
            compare=NEAR,
            hint="A stage without parameters (pooling, dropout) does not count when depth is counted.",
        ),
        Check(
            "groups.weight_decay", part="groups_test", points=3, call="drivers.grouped_step", inputs=draw_weight_decay,
            compare=NEAR,
            hint="Weights with more than one dimension decay. Biases and BatchNorm's scales and shifts do not.",
        ),
        Check(
            "groups.frozen", part="groups_test", points=2, call="drivers.grouped_step", inputs=draw_frozen_stage,
            compare=NEAR,
            hint="Parameters with requires_grad = False stay out of the groups, so that no stale gradient moves them.",
        ),
        Check(
            "probe.head", part="lp_ft_test", points=5, call="drivers.probed", inputs=draw_probe,
            compare=SOLVED, visible=True,
            hint="Take the features in evaluation mode, whatever mode the network arrives in. Minimise mean "
            "cross-entropy + (l2 / 2)·‖W‖² until nothing changes in the fourth digit; the bias has no penalty.",
        ),
        Check(
            "probe.features", part="lp_ft_test", points=2, call="drivers.probed_features", inputs=draw_probe_data,
            compare=Equal(),
            hint="The probe trains the head alone: no weight and no buffer of the encoder changes, and its parameters "
            "are as free to learn afterwards as before.",
        ),
        Check(
            "tune.steps", part="lp_ft_test", points=3, call="drivers.tuned", inputs=draw_tuning,
            compare=NEAR, visible=True,
            hint="Training mode, SGD with momentum 0.9 over the groups, and for each index tensor of `batches` one "
            "step: loss on x[index], gradients set to zero, backward, step.",
        ),
        Check(
            "lp_ft.start", part="lp_ft_test", points=3, call="drivers.lp_ft_start", inputs=draw_lp_ft_start,
            compare=SOLVED, visible=True,
            given=BEFORE_LP_FT,
            hint="With no fine-tuning step LP-FT is the probe: the head of the probe is where fine-tuning starts.",
        ),
        Check(
            "lp_ft.statistics", part="lp_ft_test", points=3, call="drivers.lp_ft_buffers", inputs=draw_lp_ft,
            compare=Equal(),
            given=BEFORE_LP_FT,
            hint="The encoder's statistics are held while LP-FT fine-tunes.",
        ),
        Check(
            "lp_ft.weights", part="lp_ft_test", points=2, call="drivers.lp_ft_weights", inputs=draw_lp_ft,
            compare=SOLVED,
            given=BEFORE_LP_FT,
            hint="After the probe every weight moves, all at the rate lr and without weight decay.",
        ),
        Check(
            "report.chosen", part="reporting_test", points=4, call="drivers.chosen_and_mean", inputs=draw_scores,
            compare=Close(), visible=True, tells=mean_decides,
            hint="For each budget, the setting with the highest validation accuracy (mean over seeds; of equals the "
            "one that the text names); then the mean test accuracy of that setting. Test accuracies decide nothing.",
        ),
        Check(
            "report.spread", part="reporting_test", points=3, call="drivers.spread",
            inputs=draw_scores_of_one_setting, compare=Close(),
            hint="The standard deviation of a sample divides by the number of seeds minus one.",
        ),
        Check(
            "labels.between", part="reporting_test", points=2, call="drivers.labels_for_each",
            inputs=draw_targets_between,
            compare=Close(), visible=True,
            hint="Find the first point at or above the target, and interpolate between it and the point before, "
            "linearly in the logarithm of the number of labels.",
        ),
        Check(
            "labels.beyond", part="reporting_test", points=1, call="drivers.labels_for_each",
            inputs=draw_targets_beyond,
            compare=Close(),
            hint="A target met by the first point needs labels[0]; one that is never reached needs infinity.",
        ),
    ),
)  # fmt: skip
