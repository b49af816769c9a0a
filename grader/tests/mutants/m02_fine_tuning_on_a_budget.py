"""Plausible mistakes in assignment 2, and the checks that each of them loses."""

from mutants.base import Mutant

DRAWN = frozenset({"budget.train", "budget.val"})
MODES = frozenset({"hold.statistics", "hold.dropout"})
PROBE = frozenset({"probe.head"})
TUNING = frozenset({"tune.steps"})
DEPTH = frozenset({"groups.stages", "groups.empty_stages"})


def lost(*checks: str) -> frozenset[str]:
    return frozenset(checks)


MUTANTS: tuple[Mutant, ...] = (
    # A. the budget
    Mutant(
        "swapped", "returned validation first", "spend_budget",
        "return torch.cat(train), torch.cat(val)", "return torch.cat(val), torch.cat(train)", DRAWN,
    ),
    Mutant(
        "order_ignored", "took each class in the order of the archive", "spend_budget",
        "order[labels[order] == c]", "(labels == c).nonzero().flatten()", DRAWN,
    ),
    Mutant(
        "places_in_the_order", "returned places in `order` instead of positions in `labels`", "spend_budget",
        "order[labels[order] == c]", "(labels[order] == c).nonzero().flatten()", DRAWN,
    ),
    Mutant(
        "training_first", "gave the first pictures to training, so that validation moves with the budget",
        "spend_budget",
        "val.append(drawn[:val_per_class])\n"
        "        train.append(drawn[val_per_class : val_per_class + train_per_class])",
        "train.append(drawn[:train_per_class])\n"
        "        val.append(drawn[train_per_class : val_per_class + train_per_class])", DRAWN,
    ),
    Mutant(
        "cut_short", "let a slice that is too long be cut short in silence", "spend_budget",
        "if len(drawn) < val_per_class + train_per_class:", "if len(drawn) == 0:", lost("budget.shortage"),
    ),
    Mutant(
        "one_more_asked_for", "refused a class with exactly enough pictures", "spend_budget",
        "if len(drawn) < val_per_class", "if len(drawn) <= val_per_class", lost("budget.shortage"),
    ),
    Mutant(
        "training_alone_counted", "asked whether there is enough for training, and forgot validation", "spend_budget",
        "if len(drawn) < val_per_class + train_per_class:", "if len(drawn) < train_per_class:",
        lost("budget.shortage"),
    ),
    # B. statistics and weights
    Mutant(
        "eval_once", "set evaluation mode once, and .train() undoes it", "hold_statistics",
        "module.train = stay", "module.training = False", MODES,
    ),
    Mutant(
        "momentum_zero", "stopped the running averages, but still normalises by the batch", "hold_statistics",
        "module.train = stay",
        "for part in module.modules():\n        part.momentum = 0.0  # has a meaning for BatchNorm alone",
        MODES,
    ),
    Mutant(
        "batchnorm_alone", "held the BatchNorm layers and left dropout on", "hold_statistics",
        "module.train = stay",
        "for part in module.modules():\n        if isinstance(part, nn.BatchNorm2d):\n"
        "            part.train = stay",
        lost("hold.dropout"),
    ),
    Mutant(
        "weights_held_too", "stopped the weights along with the statistics", "hold_statistics",
        "module.eval()", "module.eval().requires_grad_(False)", lost("hold.weights_free"),
    ),
    Mutant(
        "gradient_left", "left the gradient that was already there", "freeze",
        "parameter.grad = None", "pass", lost("freeze.stale_gradient"),
    ),
    Mutant(
        "gradient_zeroed", "zeroed the gradient, so that momentum goes on", "freeze",
        "parameter.grad = None", "parameter.grad = torch.zeros_like(parameter)",
        lost("freeze.stale_gradient"),
    ),
    Mutant(
        "flag_on_the_module", "set an attribute of the module, which has no effect", "freeze",
        "parameter.requires_grad_(False)", "module.requires_grad = False", lost("freeze.weights"),
    ),
    Mutant(
        "biases_forgotten", "froze the weights and forgot the biases", "freeze",
        "in module.parameters():", "in (p for p in module.parameters() if p.ndim > 1):",
        lost("freeze.weights", "freeze.stale_gradient"),
    ),
    Mutant(
        "statistics_drift", "froze the parameters alone", "freeze",
        "return hold_statistics(module)", "return module", lost("freeze.statistics"),
    ),
    # C. parameter groups
    Mutant(
        "upside_down", "let the lowest stage learn fastest", "param_groups",
        "layer_decay ** (len(stages) - m)", "layer_decay ** (m - 1)", DEPTH,
    ),
    Mutant(
        "off_by_one", "decayed the last stage too", "param_groups",
        "(len(stages) - m)", "(len(stages) - m + 1)", DEPTH,
    ),
    Mutant(
        "empty_stages_counted", "counted pooling and dropout as stages", "param_groups",
        " if len(list(stage.parameters())) > 0", "", lost("groups.empty_stages"),
    ),
    Mutant(
        "head_at_lr", "gave the head the encoder's rate", "param_groups",
        "(net.head, head_lr)", "(net.head, lr)", lost("groups.head"),
    ),
    Mutant(
        "everything_decays", "let biases and BatchNorm's scales decay", "param_groups",
        '"weight_decay": 0.0', '"weight_decay": weight_decay', lost("groups.weight_decay"),
    ),
    Mutant(
        "frozen_in_groups", "put frozen parameters into the groups", "param_groups",
        "[p for p in part.parameters() if p.requires_grad]", "list(part.parameters())", lost("groups.frozen"),
    ),
    # D. LP-FT
    Mutant(
        "features_in_training_mode", "took the features in whatever mode the network was in", "probe_head",
        "net.eval()", "pass", PROBE | {"probe.features"},
    ),
    Mutant(
        "half_forgotten", "penalised twice as much", "probe_head",
        "0.5 * l2 *", "l2 *", PROBE,
    ),
    Mutant(
        "bias_penalised", "penalised the bias too", "probe_head",
        "0.5 * l2 * net.head.weight.square().sum()",
        "0.5 * l2 * (net.head.weight.square().sum() + net.head.bias.square().sum())", PROBE,
    ),
    Mutant(
        "sum_for_mean", "summed the cross-entropy over pictures", "probe_head",
        "F.cross_entropy(net.head(z), y)", 'F.cross_entropy(net.head(z), y, reduction="sum")', PROBE,
    ),
    Mutant(
        "stopped_early", "stopped long before the minimum", "probe_head",
        "max_iter=300", "max_iter=3", PROBE,
    ),
    Mutant(
        "encoder_left_frozen", "froze the encoder for the probe and left it frozen", "probe_head",
        "net.eval()", "freeze(net.features)", lost("probe.features"),
    ),
    Mutant(
        "no_momentum", "left the momentum out", "fine_tune",
        "torch.optim.SGD(groups, momentum=0.9)", "torch.optim.SGD(groups)", TUNING,
    ),
    Mutant(
        "decay_ignored", "took parameters and rates from the groups and left their weight decay behind", "fine_tune",
        "torch.optim.SGD(groups, momentum=0.9)",
        'torch.optim.SGD([{"params": g["params"], "lr": g["lr"]} for g in groups], momentum=0.9)', TUNING,
    ),
    Mutant(
        "one_rate_for_all", "took the first group's rate for every group", "fine_tune",
        "torch.optim.SGD(groups, momentum=0.9)",
        'torch.optim.SGD([g | {"lr": groups[0]["lr"]} for g in groups], momentum=0.9)', TUNING,
    ),
    Mutant(
        "gradients_pile_up", "forgot to set the gradients to zero", "fine_tune",
        "        optimizer.zero_grad()\n", "", TUNING,
    ),
    Mutant(
        "optimizer_in_the_loop", "made a new optimizer for each batch, which forgets its momentum", "fine_tune",
        "    for index in batches:\n",
        "    for index in batches:\n        optimizer = torch.optim.SGD(groups, momentum=0.9)\n", TUNING,
    ),
    Mutant(
        "mode_as_it_came", "did not switch to training mode", "fine_tune",
        "net.train()", "pass", lost("tune.steps"),
    ),
    Mutant(
        "statistics_follow", "fine-tuned without holding the statistics", "lp_ft",
        "    hold_statistics(net.features)\n", "", lost("lp_ft.statistics", "lp_ft.weights"),
    ),
    Mutant(
        "frozen_while_tuning", "froze the encoder where its statistics were to be held", "lp_ft",
        "hold_statistics(net.features)", "freeze(net.features)", lost("lp_ft.weights"),
    ),
    Mutant(
        "no_probe", "fine-tuned from the random head", "lp_ft",
        "    probe_head(net, x, y, l2)\n", "", lost("lp_ft.start", "lp_ft.weights"),
    ),
    # E. the report
    Mutant(
        "chosen_on_test", "chose the setting by its test accuracy", "report",
        "chosen = val.mean(axis=2)", "chosen = test.mean(axis=2)", lost("report.chosen"),
    ),
    Mutant(
        "last_of_equals", "took the last of equal settings", "report",
        "val.mean(axis=2).argmax(axis=1)", "val.shape[1] - 1 - val.mean(axis=2)[:, ::-1].argmax(axis=1)",
        lost("report.chosen"),
    ),
    Mutant(
        "best_single_seed", "chose the setting with the best single seed", "report",
        "chosen = val.mean(axis=2)", "chosen = val.max(axis=2)", lost("report.chosen"),
    ),
    Mutant(
        "population_deviation", "divided by the number of seeds", "report",
        "std(axis=1, ddof=1)", "std(axis=1)", lost("report.spread"),
    ),
    Mutant(
        "standard_error", "gave the standard error of the mean", "report",
        "std(axis=1, ddof=1)", "std(axis=1, ddof=1) / val.shape[2] ** 0.5", lost("report.spread"),
    ),
    Mutant(
        "linear_in_labels", "interpolated in the labels, not in their logarithm", "report",
        "labels[i - 1] * (labels[i] / labels[i - 1]) ** share", "labels[i - 1] + share * (labels[i] - labels[i - 1])",
        lost("labels.between"),
    ),
    Mutant(
        "no_interpolation", "returned the first budget that reaches the target", "report",
        "labels[i - 1] * (labels[i] / labels[i - 1]) ** share", "labels[i]", lost("labels.between"),
    ),
    Mutant(
        "largest_budget_instead", "gave the largest budget where the target is never reached", "report",
        "return math.inf", "return float(labels[-1])", lost("labels.beyond"),
    ),
)  # fmt: skip
