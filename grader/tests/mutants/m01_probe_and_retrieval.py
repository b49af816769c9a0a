"""Mistakes that a student of assignment 1 could make, and the checks that each of them must lose."""

from __future__ import annotations

from mutants.base import Mutant

# What builds on earlier functions is given right ones, so each mistake is paid for where its function is asked for.
TRAINING = {"fit_probe.probabilities", "fit_probe.weak_penalty", "fit_probe.rare_class"}


def mutant(name: str, mistake: str, cell: str, old: str, new: str, *loses: str) -> Mutant:
    return Mutant(name, mistake, cell, old, new, frozenset(loses))


MUTANTS: tuple[Mutant, ...] = (
    # ---- part A
    mutant(
        "own-statistics", "standardises the other rows by their own statistics", "standardise",
        "(z_other - mean) / scale", "(z_other - z_other.mean(axis=0)) / (z_other.std(axis=0) + 1e-12)",
        "standardise.values", "standardise.one_row", "standardise.constant",
    ),
    mutant(
        "pooled-statistics", "takes the statistics from both sets together", "standardise",
        "    mean = z_fit.mean(axis=0)  # (D,)\n    scale = z_fit.std(axis=0)  # (D,)",
        "    both = np.concatenate([z_fit, z_other])\n    mean, scale = both.mean(axis=0), both.std(axis=0)",
        "standardise.values", "standardise.one_row", "standardise.constant",
    ),
    mutant(
        "sample-deviation", "divides by N − 1", "standardise",
        "z_fit.std(axis=0)", "z_fit.std(axis=0, ddof=1)",
        "standardise.values", "standardise.one_row", "standardise.constant",
    ),
    mutant(
        "clamped-deviation", "clamps a constant's deviation to 1e-6 instead of dividing by 1", "standardise",
        "np.where(scale < 1e-6, 1.0, scale)", "np.maximum(scale, 1e-6)",
        "standardise.constant",
    ),
    mutant(
        "deviation-exactly-zero", "looks for a deviation of exactly 0", "standardise",
        "scale < 1e-6", "scale == 0",
        "standardise.constant",
    ),
    mutant(
        "in-place", "standardises the caller's arrays in place", "standardise",
        "    return (z_fit - mean) / scale, (z_other - mean) / scale",
        "    for z in (z_fit, z_other):\n        z -= mean\n        z /= scale\n    return z_fit, z_other",
        "standardise.unchanged",
    ),
    # ---- part B
    mutant(
        "sum-over-rows", "adds up over the rows instead of the classes", "log_softmax",
        "np.exp(shifted).sum(axis=1, keepdims=True)", "np.exp(shifted).sum(axis=0, keepdims=True)",
        "log_softmax.values", "log_softmax.extreme",
    ),
    mutant(
        "unstable-softmax", "does not subtract the largest score", "log_softmax",
        "scores - scores.max(axis=1, keepdims=True)", "scores",
        "log_softmax.extreme",
    ),
    mutant(
        "log-of-a-probability", "takes the logarithm of a stable softmax", "log_softmax",
        "    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))",
        "    p = np.exp(shifted)\n    return np.log(p / p.sum(axis=1, keepdims=True))",
        "log_softmax.extreme",
    ),
    mutant(
        "one-maximum", "subtracts the largest score of all rows", "log_softmax",
        "scores.max(axis=1, keepdims=True)", "scores.max()",
        "log_softmax.extreme",
    ),
    mutant(
        "bias-in-the-penalty", "penalises the bias in the loss", "probe_loss",
        "(weight**2).sum()", "((weight**2).sum() + (bias**2).sum())",
        "probe_loss.penalty",
    ),
    mutant(
        "averaged-penalty", "averages the penalty over the weights", "probe_loss",
        "(weight**2).sum()", "(weight**2).mean()",
        "probe_loss.penalty",
    ),
    mutant(
        "no-half", "forgets the half in front of the penalty", "probe_loss",
        "0.5 * l2 *", "l2 *",
        "probe_loss.penalty",
    ),
    mutant(
        "summed-loss", "sums the cross-entropy instead of averaging it", "probe_loss",
        "-log_p[np.arange(len(y)), y].mean()", "-log_p[np.arange(len(y)), y].sum()",
        "probe_loss.data", "probe_loss.penalty",
    ),
    mutant(
        "gradient-without-mean", "forgets to divide the gradient by N", "probe_gradient",
        "    error /= len(y)\n", "",
        "probe_gradient.data", "probe_gradient.penalty",
    ),
    mutant(
        "gradient-without-penalty", "forgets the penalty in the gradient", "probe_gradient",
        " + l2 * weight", "",
        "probe_gradient.penalty",
    ),
    mutant(
        "gradient-of-l2-squared", "takes 2 · l2 · W for the penalty's gradient", "probe_gradient",
        "l2 * weight", "2 * l2 * weight",
        "probe_gradient.penalty",
    ),
    mutant(
        "gradient-penalises-bias", "penalises the bias in the gradient", "probe_gradient",
        "error.sum(axis=0)", "error.sum(axis=0) + l2 * bias",
        "probe_gradient.penalty",
    ),
    mutant(
        "five-steps", "stops after five steps", "fit_probe",
        "range(5000)", "range(5)",
        *TRAINING,
    ),
    mutant(
        "short-steps", "makes a thousand short steps and takes that for the minimum", "fit_probe",
        "    with_ones = np.hstack",
        "    weight, bias = np.zeros((num_classes, x.shape[1])), np.zeros(num_classes)\n"
        "    for _ in range(1000):\n"
        "        grad_weight, grad_bias = probe_gradient(weight, bias, x, y, l2)\n"
        "        weight, bias = weight - 0.1 * grad_weight, bias - 0.1 * grad_bias\n"
        "    return weight, bias\n"
        "    with_ones = np.hstack",
        "fit_probe.weak_penalty",
    ),
    mutant(
        "bias-not-trained", "leaves the bias at zero", "fit_probe",
        "return weight_ahead, bias_ahead", "return weight_ahead, 0 * bias_ahead",
        *TRAINING,
    ),
    mutant(
        "predict-without-bias", "leaves the bias out of the prediction", "catalogue",
        "(x @ weight.T + bias)", "(x @ weight.T)",
        "predict.labels",
    ),
    mutant(
        "catalogue-on-raw-features", "fits the probe on raw features", "catalogue",
        "x_fit, x_new = standardise(z_fit, z_new)", "x_fit, x_new = z_fit, z_new",
        "catalogue.accuracy",
    ),
    mutant(
        "catalogue-standardises-apart", "standardises the new rows by themselves", "catalogue",
        "x_fit, x_new = standardise(z_fit, z_new)",
        "x_fit, x_new = standardise(z_fit, z_fit)[0], standardise(z_new, z_new)[0]",
        "catalogue.accuracy",
    ),
    # ---- part C
    mutant(
        "groups-in-order-of-number", "deals the groups out by number instead of size", "group_folds",
        "np.argsort(-sizes, kind=\"stable\")", "range(len(numbers))",
        "group_folds.folds", "group_folds.ties",
    ),
    mutant(
        "groups-counted-instead-of-rows", "takes the fold with the fewest groups", "group_folds",
        "rows_in[emptiest] += sizes[i]", "rows_in[emptiest] += 1",
        "group_folds.folds", "group_folds.ties",
    ),
    mutant(
        "larger-number-first", "breaks ties of size by the larger group number", "group_folds",
        "np.argsort(-sizes, kind=\"stable\")", "np.argsort(sizes, kind=\"stable\")[::-1]",
        "group_folds.ties",
    ),
    mutant(
        "folds-by-row", "deals out rows and forgets the groups", "group_folds",
        "    return fold", "    return np.arange(len(groups)) % k",
        "group_folds.folds", "group_folds.ties",
    ),
    mutant(
        "fitted-on-everything", "fits on all rows, the held-out ones too", "cross_validate",
        "z[~out], y[~out], z[out]", "z, y, z[out]",
        "cross_validate.accuracies", "cross_validate.apart",
    ),
    mutant(
        "fold-and-rest-exchanged", "fits on the fold and tests on the rest", "cross_validate",
        "out = fold == f", "out = fold != f",
        "cross_validate.accuracies", "cross_validate.apart",
    ),
    mutant(
        "standardised-before-the-folds", "standardises all rows before cutting folds", "cross_validate",
        "    folds = int(fold.max()) + 1", "    folds = int(fold.max()) + 1\n    z = standardise(z, z)[0]",
        "cross_validate.accuracies", "cross_validate.apart",
    ),
    mutant(
        "weakest-of-the-best", "takes the weakest penalty among the best", "choose_penalty",
        "return max(", "return min(",
        "choose_penalty.ties",
    ),
    mutant(
        "first-of-the-best", "takes the first of the best, as argmax does", "choose_penalty",
        "max(penalty for penalty, is_best in zip(penalties, best) if is_best)", "penalties[int(best.argmax())]",
        "choose_penalty.ties",
    ),
    mutant(
        "ties-by-the-last-digit", "compares the means exactly", "choose_penalty",
        " - 1e-9", "",
        "choose_penalty.ties",
    ),
    mutant(
        "best-single-fold", "takes the penalty with the best single fold", "choose_penalty",
        "accuracies.mean(axis=1)", "accuracies.max(axis=1)",
        "choose_penalty.best",
    ),
    # ---- part D
    mutant(
        "zero-vector", "divides by the length of a zero vector", "cosine",
        "z / np.where(length == 0, 1.0, length)", "z / length",
        "cosine.zero",
    ),
    mutant(
        "inner-product", "scales the queries only", "cosine",
        "unit(queries) @ unit(gallery).T", "unit(queries) @ gallery.T",
        "cosine.values", "cosine.zero",
    ),
    mutant(
        "only-the-query-left-out", "leaves out the query's own row, and not its variants", "search",
        "query_groups[:, None] == gallery_groups[None, :]", "np.eye(*similarity.shape, dtype=bool)",
        "search.order", "search.groups", "search.ties",
    ),
    mutant(
        "nothing-left-out", "leaves nothing out", "search",
        "np.where(own_group, -np.inf, similarity)", "similarity",
        "search.groups",
    ),
    mutant(
        "left-out-as-zero", "gives what is left out the similarity 0", "search",
        "-np.inf", "0.0",
        "search.groups",
    ),
    mutant(
        "reversed-sort", "reverses an ascending sort, so that ties go to the larger position", "search",
        "np.argsort(-allowed, axis=1, kind=\"stable\")[:, :k]", "np.argsort(allowed, axis=1)[:, ::-1][:, :k]",
        "search.ties",
    ),
    mutant(
        "divided-by-the-list", "divides the hits by the length of the list instead of k", "precision",
        "hits[:, :k].mean()", "hits[:, :k].sum(axis=1).mean() / hits.shape[1]",
        "precision.at_k",
    ),
    mutant(
        "one-in-c", "takes one divided by the number of classes for chance", "chance",
        "((allowed & same_class).sum(axis=1) / allowed.sum(axis=1)).mean()", "1 / len(np.unique(gallery_y))",
        "chance.values", "chance.groups",
    ),
    mutant(
        "chance-over-the-whole-gallery", "divides by the whole gallery", "chance",
        "allowed.sum(axis=1)", "len(gallery_y)",
        "chance.groups",
    ),
    mutant(
        "places-from-zero", "counts places from 0, shifted to avoid the division by zero", "average_precision",
        "np.arange(1, len(relevant) + 1)", "np.maximum(np.arange(len(relevant)), 1)",
        "average_precision.values",
    ),
    mutant(
        "no-relevant-result", "takes the mean of nothing", "average_precision",
        "    if not relevant.any():\n        return 0.0\n", "",
        "average_precision.none",
    ),
    mutant(
        "mean-over-all-places", "divides by the length of the ranking", "average_precision",
        "precision[relevant].mean()", "(precision * relevant).mean()",
        "average_precision.values",
    ),
)  # fmt: skip
