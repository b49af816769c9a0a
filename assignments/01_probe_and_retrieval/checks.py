"""What the assignment checks, from which random inputs. Runs outside the sandbox; students never get this file.

The probe is judged by class probabilities, so any optimizer that converges will do. Everything else has one answer,
which the notebook's text settles down to ties and empty cases.
"""

import numpy as np

from xfergrade import Accuracy, Assignment, Check, Close, Equal, Inputs, Item, Limits

NEAR = Close(rtol=1e-4, atol=1e-5)
BEFORE_FIT = ("log_softmax", "probe_loss", "probe_gradient")
SOLVED = Close(rtol=0, atol=1e-3)  # probabilities at the end of training


# ---------------------------------------------------------------------------------------------------- standardising


def draw_two_sets(rng: np.random.Generator, other: int = 9) -> tuple:
    """Features to take the statistics from, and others with another mean and spread."""
    n, d = int(rng.integers(8, 20)), int(rng.integers(3, 8))
    scale, centre = rng.uniform(0.3, 3, d), rng.normal(size=d) * 2
    z_fit = centre + scale * rng.normal(size=(n, d))
    return z_fit, centre + 2 + 2 * scale * rng.normal(size=(other, d))


def draw_one_row(rng: np.random.Generator) -> tuple:
    return draw_two_sets(rng, other=1)


def draw_constant(rng: np.random.Generator) -> tuple:
    """Some dimensions never change in the first set, but do in the second."""
    z_fit, z_other = draw_two_sets(rng)
    z_fit = np.hstack([z_fit, np.tile(rng.uniform(-1, 1, 5), (len(z_fit), 1))])
    z_other = np.hstack([z_other, rng.normal(size=(len(z_other), 5))])
    order = rng.permutation(z_fit.shape[1])
    return z_fit[:, order], z_other[:, order]


def draw_two_sets_to_keep(rng: np.random.Generator) -> Inputs:
    pair = draw_two_sets(rng)
    return Inputs(args=pair, truth=tuple(z.copy() for z in pair))


# -------------------------------------------------------------------------------------------------------- the probe


def draw_scores(rng: np.random.Generator) -> tuple:
    return (rng.normal(size=(int(rng.integers(4, 9)), int(rng.integers(3, 7)))) * 2,)


def draw_extreme_scores(rng: np.random.Generator) -> tuple:
    """Scores up to ten thousand, in steps of one eighth: exact in single precision too."""
    n, c = int(rng.integers(6, 12)), int(rng.integers(3, 7))
    scores = rng.integers(-80_000, 80_001, (n, c)) / 8
    scores[::3] = rng.integers(-16, 17, scores[::3].shape) / 8 + 9_000
    scores[1::3] = rng.integers(-16, 17, scores[1::3].shape) / 8 - 9_000
    return (scores,)


def draw_problem(rng: np.random.Generator, l2: float) -> tuple:
    """Weights, biases, features and labels; the biases are large, so that it shows if they are penalised."""
    n, d, c = int(rng.integers(9, 20)), int(rng.integers(4, 8)), int(rng.integers(3, 6))
    labels = rng.permutation(np.arange(n) % c)
    return rng.normal(size=(c, d)), rng.normal(size=c) * 2, rng.normal(size=(n, d)), labels, l2


def draw_without_penalty(rng: np.random.Generator) -> tuple:
    return draw_problem(rng, 0.0)


def draw_with_penalty(rng: np.random.Generator) -> tuple:
    return draw_problem(rng, float(rng.uniform(0.2, 0.9)))


def draw_training(rng: np.random.Generator, l2: float, counts: tuple[int, ...] = (14, 14, 14)) -> tuple:
    """Standardised training features of overlapping classes, labels, number of classes, penalty, new rows."""
    d = int(rng.integers(5, 9))
    centres = rng.normal(size=(len(counts), d))
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = centres[labels] + rng.normal(size=(len(labels), d))
    mean, scale = x.mean(axis=0), x.std(axis=0)
    new = centres[np.arange(15) % len(counts)] + rng.normal(size=(15, d))
    return (x - mean) / scale, labels, len(counts), l2, (new - mean) / scale


def draw_ordinary_training(rng: np.random.Generator) -> tuple:
    return draw_training(rng, float(rng.uniform(0.08, 0.3)))


def draw_weak_penalty(rng: np.random.Generator) -> tuple:
    return draw_training(rng, 0.01, (16, 16, 16))


def draw_rare_class(rng: np.random.Generator) -> tuple:
    return draw_training(rng, 1.0, tuple(rng.permutation([36, 12, 4])))


def draw_prediction(rng: np.random.Generator) -> tuple:
    weight, bias, x, _, _ = draw_problem(rng, 0.0)
    return weight, bias, x


def draw_archive(rng: np.random.Generator) -> Inputs:
    """Small dimensions know the class, large ones are noise; the new rows come from half of the classes."""
    classes, informative, noise = 4, 6, 4
    centres = 2.5 * np.array([[(c >> (j % 2) & 1) * 2 - 1 for j in range(informative)] for c in range(classes)])
    scale = np.concatenate([np.full(informative, 1e-3), np.full(noise, 1e3)])
    centre = np.concatenate([rng.normal(size=informative) * 0.01, rng.normal(size=noise) * 1e4])

    def draw(labels: np.ndarray) -> np.ndarray:
        known = centres[labels] + rng.normal(size=(len(labels), informative))
        return centre + scale * np.hstack([known, rng.normal(size=(len(labels), noise))])

    y_fit = rng.permutation(np.arange(40) % classes)
    y_new = rng.permutation(np.arange(40) % 2) + 2 * int(rng.integers(2))
    return Inputs(args=(draw(y_fit), y_fit, draw(y_new), classes, 0.1), truth=y_new)


# ---------------------------------------------------------------------------------------------- choosing the penalty


def draw_groups(rng: np.random.Generator) -> tuple:
    """Groups of sizes that all differ, numbered without gaps, in random order."""
    sizes = rng.permutation(np.arange(1, int(rng.integers(8, 11))))
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes)), int(rng.integers(3, 6))


def draw_groups_of_equal_size(rng: np.random.Generator) -> tuple:
    """Group numbers with gaps, many groups of one size."""
    numbers = rng.choice(900, int(rng.integers(12, 20)), replace=False)
    return rng.permutation(np.repeat(numbers, rng.integers(1, 4, len(numbers)))), int(rng.integers(2, 6))


def draw_cross_validation(rng: np.random.Generator) -> tuple:
    """Classes that overlap, folds of unlike sizes, penalties that matter."""
    folds = int(rng.integers(3, 5))
    fold = rng.permutation(np.repeat(np.arange(folds), 8 + 3 * np.arange(folds)))
    y = rng.permutation(np.arange(len(fold)) % 3)
    z = (rng.normal(size=(3, 6)) * 0.8)[y] + rng.normal(size=(len(y), 6)) + 0.5
    return z, y, fold, [float(p) for p in rng.permutation([0.01, 10.0, 300.0, 1e4])]


def draw_pure_noise(rng: np.random.Generator) -> tuple:
    """Labels that have nothing to do with the features: whoever is right has seen the answer."""
    fold = rng.permutation(np.arange(36) % 3)
    y = rng.permutation(np.arange(36) % 3)
    return rng.normal(size=(36, 5)), y, fold, [-99.0, float(rng.uniform(-0.8, 0.4)), 99.0]


def draw_accuracies(rng: np.random.Generator) -> tuple:
    penalties = [float(p) for p in rng.permutation([0.001, 0.01, 0.1, 1.0, 10.0])]
    return rng.uniform(0.2, 0.9, (5, int(rng.integers(3, 6)))), penalties


def mean_decides(accuracies: np.ndarray, penalties: list[float]) -> bool:
    """The best mean, the best single fold, the best worst fold, the first and the largest are not all the same."""
    best = accuracies.mean(axis=1).argmax()
    others = (accuracies.max(axis=1).argmax(), accuracies.min(axis=1).argmax(), 0, int(np.argmax(penalties)))
    return best not in others


def draw_tied_accuracies(rng: np.random.Generator) -> tuple:
    """Three of five penalties share the best mean, up to a last digit that speaks against the right one."""
    penalties = np.array([0.001, 0.01, 0.1, 1.0, 10.0])
    first, last = rng.permutation([1, 2])  # the answer, 3, is neither the first nor the last of the best
    order = np.array([0, first, 3, last, 4])
    while True:
        best = rng.integers(60, 95, 7) / 100
        accuracies = np.stack([rng.permutation(best) for _ in order])
        accuracies[[0, 4]] -= 0.1  # neither the weakest nor the strongest penalty is among the best
        means = accuracies.mean(axis=1)
        if means[2] < means.max():
            return accuracies, [float(p) for p in penalties[order]]


# -------------------------------------------------------------------------------------------------------- retrieval


def draw_vectors(rng: np.random.Generator) -> tuple:
    """Vectors of lengths from 0.01 to 1000."""
    d = int(rng.integers(3, 9))
    sides = [rng.normal(size=(int(rng.integers(4, 9)), d)) for _ in range(2)]
    return tuple(
        z / np.linalg.norm(z, axis=1, keepdims=True) * 10 ** rng.uniform(-2, 3, (len(z), 1)) for z in sides
    )


def draw_zero_vectors(rng: np.random.Generator) -> tuple:
    queries, gallery = draw_vectors(rng)
    queries[int(rng.integers(len(queries)))] = 0
    gallery[int(rng.integers(len(gallery)))] = 0
    return queries, gallery


def draw_search(rng: np.random.Generator) -> tuple:
    """Similarities without ties; no query shares a group with the gallery."""
    q, g = int(rng.integers(5, 9)), int(rng.integers(12, 20))
    similarity = rng.uniform(-1, 1, (q, g))
    return similarity, 1000 + rng.permutation(q), rng.integers(0, 8, g), int(rng.integers(3, 7))


def draw_search_among_variants(rng: np.random.Generator) -> tuple:
    """The gallery holds the query's group, high up in the order, and many negative similarities."""
    groups = rng.permutation(np.repeat(rng.choice(500, 8, replace=False), [1, 1, 2, 2, 3, 3, 4, 4]))
    similarity = rng.uniform(-1, 0.1, (len(groups), len(groups)))
    similarity[groups[:, None] == groups[None]] = rng.uniform(0.5, 1, int((groups[:, None] == groups[None]).sum()))
    rows = rng.permutation(len(groups))[: int(rng.integers(8, 15))]  # queries in an order of their own
    return similarity[rows], groups[rows], groups, int(rng.integers(12, 17))


def draw_search_with_ties(rng: np.random.Generator) -> tuple:
    similarity, query_groups, _, _ = draw_search(rng)
    similarity = rng.integers(-2, 3, (len(similarity), 40)) / 2
    return similarity, query_groups, rng.integers(0, 12, 40), int(rng.integers(10, 30))


def draw_found(rng: np.random.Generator) -> tuple:
    q, g, depth = int(rng.integers(5, 9)), int(rng.integers(15, 25)), 10
    found = np.stack([rng.permutation(g)[:depth] for _ in range(q)])
    ks = [int(k) for k in rng.permutation(np.arange(1, 10))[:3]]
    return found, rng.integers(0, 3, q), rng.integers(0, 3, g), ks


def draw_labels_and_groups(rng: np.random.Generator) -> tuple:
    """Unbalanced classes; queries and gallery share no group."""
    q, g = int(rng.integers(6, 10)), int(rng.integers(20, 30))
    query_y, gallery_y = rng.choice(4, q, p=[0.1, 0.2, 0.3, 0.4]), rng.choice(4, g, p=[0.4, 0.3, 0.2, 0.1])
    return query_y, 500 + rng.permutation(q), gallery_y, rng.integers(0, 9, g)


def draw_labels_with_variants(rng: np.random.Generator) -> tuple:
    """Every query's group is in the gallery too, some of them large."""
    sizes = rng.permutation([1, 1, 2, 3, 4, 5, 6])
    numbers = rng.choice(500, len(sizes), replace=False)
    of_group = rng.permutation(np.arange(len(sizes)) % 3)
    order = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = rng.permutation(len(order))[:12]
    y, groups = of_group[order], numbers[order]
    return y[rows], groups[rows], y, groups


def draw_ranking(rng: np.random.Generator) -> tuple:
    relevant = rng.random(int(rng.integers(8, 20))) < 0.35
    relevant[[2, 5]] = True
    relevant[0] = relevant[-1] = False
    return (relevant,)


def draw_ranking_without_hits(rng: np.random.Generator) -> tuple:
    return (np.zeros(int(rng.integers(3, 12)), dtype=bool),)


# What a part graded by hand consists of; the source notebook has the same beside its answers, for graders.
RUBRIC = {
    "figure_curves": (
        Item("four curves and chance, the right data", 2),
        Item("axes named, with units, from 0", 1),
        Item("a legend that says what is searched with and in what", 1),
        Item("readable without colours", 1),
        Item("like the reference in what matters, and tidy", 1),
    ),
    "figure_grid": (
        Item("right drawings, the group left out", 1),
        Item("hits and misses marked by a sign", 1),
        Item("classes named", 1),
        Item("queries by lot, and credit beneath", 1),
    ),
    "answer_numbers": (
        Item("uses both the catalogue and the search", 1),
        Item("judges by the right uncertainty", 1),
        Item("one clear and one unclear comparison of their own", 1),
    ),
    "answer_flattery": (
        Item("variants", 1),
        Item("shared style, seen in the difference of the columns", 1),
        Item("the first is independent of style, with numbers", 1),
    ),
    "answer_spread": (
        Item("tells the two sources apart", 1),
        Item("what more draws, labels or test emoji would change", 1),
        Item("selection on the same folds, fewer labels", 1),
    ),
    "answer_failure": (
        Item("one definite case with its result", 1),
        Item("a visible reason, and a judgement", 1),
        Item("a remedy with a fair comparison", 1),
    ),
}

assignment = Assignment(
    title="Probe and retrieval",
    version="1",
    modules=("numpy", "torch", "torch._dynamo", "scipy.optimize"),
    rubric=RUBRIC,
    limits=Limits(seconds=10, total_seconds=60, memory_mb=1024),
    checks=(
        # ---- part A
        Check(
            "standardise.values", part="standardise_test", points=4, call="standardise", inputs=draw_two_sets,
            compare=NEAR, visible=True,
            hint="Both arrays are shifted and divided by the mean and the deviation of z_fit, shape (D,), taken over "
            "axis 0. Usual causes: statistics of z_other, or of both together; a deviation that divides by N − 1.",
        ),
        Check(
            "standardise.one_row", part="standardise_test", points=2, call="standardise", inputs=draw_one_row,
            compare=NEAR,
            hint="z_other may have a single row: nothing may be computed from it, for the statistics are those of "
            "z_fit.",
        ),
        Check(
            "standardise.constant", part="standardise_test", points=2, call="standardise", inputs=draw_constant,
            compare=NEAR,
            hint="A dimension with a deviation below 1e-6 in z_fit is divided by 1, in both arrays; rounding can make "
            "the deviation of a constant a tiny number instead of 0.",
        ),
        Check(
            "standardise.unchanged", part="standardise_test", points=2, call="drivers.arguments_after",
            inputs=draw_two_sets_to_keep, compare=Close(rtol=0, atol=1e-12), cases=1,
            hint="The arguments must be as they were: `z -= mean` changes the caller's array, `z = z - mean` does not.",
        ),
        # ---- part B
        Check(
            "log_softmax.values", part="log_softmax_test", points=3, call="log_softmax", inputs=draw_scores,
            compare=NEAR, visible=True,
            hint="Each row is one picture: the sum runs over axis 1, and np.exp of a row of the result adds up to 1. "
            "Usual causes: the sum over axis 0, or over everything; probabilities instead of their logarithms.",
        ),
        Check(
            "log_softmax.extreme", part="log_softmax_test", points=3, call="log_softmax", inputs=draw_extreme_scores,
            compare=NEAR,
            hint="Scores of thousands must give finite numbers: subtract the largest score of each row before the "
            "exponential, and never take the logarithm of a probability, which may have become 0.",
        ),
        Check(
            "probe_loss.data", part="probe_loss_test", points=3, call="probe_loss", inputs=draw_without_penalty,
            compare=NEAR, visible=True,
            given=("log_softmax",),
            hint="With l2 = 0 the loss is minus the mean, over the N rows, of the log-probability of the row's own "
            "class. Usual causes: the sum instead of the mean; the mean over all N·C entries; a missing bias.",
        ),
        Check(
            "probe_loss.penalty", part="probe_loss_test", points=3, call="probe_loss", inputs=draw_with_penalty,
            compare=NEAR,
            given=("log_softmax",),
            hint="The penalty is l2 / 2 times the sum of the squared weights: it is not averaged over anything, and "
            "the bias is not part of it.",
        ),
        Check(
            "probe_gradient.data", part="probe_gradient_test", points=4, call="probe_gradient",
            inputs=draw_without_penalty, compare=NEAR, visible=True,
            given=("log_softmax", "probe_loss"),
            hint="The answer is a pair of shapes (C, D) and (C,). Each row contributes (p − one-hot), an array (N, C), "
            "divided by N. Usual causes: the division by N is missing; the one-hot labels are not subtracted; the "
            "matrix product is the wrong way round. Compare with finite differences of your probe_loss.",
        ),
        Check(
            "probe_gradient.penalty", part="probe_gradient_test", points=3, call="probe_gradient",
            inputs=draw_with_penalty, compare=NEAR,
            given=("log_softmax", "probe_loss"),
            hint="The penalty adds l2 · W to the gradient of the weights, and nothing to that of the bias.",
        ),
        Check(
            "fit_probe.probabilities", part="fit_probe_test", points=3, call="drivers.probabilities",
            inputs=draw_ordinary_training, compare=SOLVED, visible=True,
            given=BEFORE_FIT,
            hint="The class probabilities of new rows, shape (M, C), must agree with those at the minimum to within "
            "0.001. Usual causes: too few steps, or steps so long that the loss does not fall; print the largest "
            "entry of the gradient where you stop.",
        ),
        Check(
            "fit_probe.weak_penalty", part="fit_probe_test", points=3, call="drivers.probabilities",
            inputs=draw_weak_penalty, compare=SOLVED, cases=2,
            given=BEFORE_FIT,
            hint="With a weak penalty the minimum lies far from zero: go on until the gradient is nearly zero, however "
            "many steps that takes.",
        ),
        Check(
            "fit_probe.rare_class", part="fit_probe_test", points=2, call="drivers.probabilities",
            inputs=draw_rare_class, compare=SOLVED, cases=2,
            given=BEFORE_FIT,
            hint="Where classes are of unlike size, the bias carries how frequent each is. It has to be trained, and "
            "without penalty.",
        ),
        Check(
            "predict.labels", part="catalogue_test", points=2, call="predict", inputs=draw_prediction,
            compare=Equal(), visible=True,
            hint="The class with the largest of the C scores x Wᵀ + b: integers of shape (N,). Usual causes: argmax "
            "over axis 0; the bias left out.",
        ),
        Check(
            "catalogue.accuracy", part="catalogue_test", points=3, call="catalogue", inputs=draw_archive,
            compare=Accuracy(at_least=0.8), cases=2,
            given=("standardise", "fit_probe", "probe_gradient", "log_softmax"),
            hint="Standardise both sets by z_fit, fit on (z_fit, y_fit), predict the standardised z_new. The features "
            "come in very unlike units, and the new rows need not show all classes.",
        ),
        # ---- part C
        Check(
            "group_folds.folds", part="group_folds_test", points=3, call="group_folds", inputs=draw_groups,
            compare=Equal(), visible=True,
            hint="Integers of shape (N,), one fold number for each row. The largest group comes first and goes into "
            "the fold that has the fewest rows so far. Usual causes: groups taken in the order of their numbers; "
            "folds compared by their number of groups instead of rows.",
        ),
        Check(
            "group_folds.ties", part="group_folds_test", points=2, call="group_folds",
            inputs=draw_groups_of_equal_size, compare=Equal(),
            hint="The text says which of two groups of equal size comes first; of two equally full folds the one with "
            "the smaller number is taken. Group numbers may have gaps.",
        ),
        Check(
            "cross_validate.accuracies", part="cross_validate_test", points=3, call="drivers.cross_validate_ridge",
            inputs=draw_cross_validation, compare=NEAR, visible=True,
            hint="Shape (P, k): row p belongs to penalties[p], column f to the rows with fold == f, which are held "
            "out. The check hands over a simple classifier in place of your probe. Usual causes: training on the "
            "held-out rows; rows and columns exchanged; z changed before it is handed over.",
        ),
        Check(
            "cross_validate.apart", part="cross_validate_test", points=2, call="drivers.cross_validate_nearest",
            inputs=draw_pure_noise, compare=NEAR,
            hint="No row may be among those that the classifier is trained on while it is held out. On labels that are "
            "pure noise, an accuracy near 1 means that it was.",
        ),
        Check(
            "choose_penalty.best", part="choose_penalty_test", points=2, call="choose_penalty", inputs=draw_accuracies,
            compare=Close(rtol=1e-9, atol=0), visible=True,
            tells=mean_decides,
            hint="One float out of penalties: the one whose row of accuracies has the highest mean. Usual causes: its "
            "position instead of its value; the mean over axis 0; the best single fold.",
        ),
        Check(
            "choose_penalty.ties", part="choose_penalty_test", points=2, call="choose_penalty",
            inputs=draw_tied_accuracies, compare=Close(rtol=1e-9, atol=0),
            hint="Of all penalties whose mean lies within 1e-9 of the best, the largest; they come in any order.",
        ),
        # ---- part D
        Check(
            "cosine.values", part="cosine_test", points=2, call="cosine_similarity", inputs=draw_vectors,
            compare=NEAR, visible=True,
            hint="Shape (Q, G): the inner product divided by both lengths, so every entry lies in [−1, 1]. Usual "
            "causes: only one of the two lengths; lengths taken over axis 0.",
        ),
        Check(
            "cosine.zero", part="cosine_test", points=2, call="cosine_similarity", inputs=draw_zero_vectors,
            compare=NEAR,
            hint="A vector of zeros has length 0: its similarity to everything is 0, and no entry may be NaN.",
        ),
        Check(
            "search.order", part="search_test", points=3, call="search", inputs=draw_search, compare=Equal(),
            visible=True,
            hint="Integers of shape (Q, k): positions in the gallery, the most similar first. Usual causes: the least "
            "similar first; similarities instead of positions; the k best in no order.",
        ),
        Check(
            "search.groups", part="search_test", points=3, call="search", inputs=draw_search_among_variants,
            compare=Equal(),
            hint="Every gallery row of the query's own group is left out, not only the query itself; and a row that is "
            "left out must not come back before one with a negative similarity.",
        ),
        Check(
            "search.ties", part="search_test", points=2, call="search", inputs=draw_search_with_ties, compare=Equal(),
            hint="Of equally similar rows the one with the smaller position comes first. Not every sort keeps that "
            "order: np.argsort has kind=\"stable\".",
        ),
        Check(
            "precision.at_k", part="precision_test", points=3, call="precision_at_k", inputs=draw_found,
            compare=NEAR, visible=True,
            hint="Floats, one for each entry of ks, in its order: the share of the first k results that have the "
            "query's class, averaged over queries. Usual causes: division by the length of the list instead of k; the "
            "labels of the wrong side.",
        ),
        Check(
            "chance.values", part="chance_test", points=2, call="chance_precision", inputs=draw_labels_and_groups,
            compare=NEAR, visible=True,
            hint="One float: for each query the share of the gallery that has its class, then the mean over queries. "
            "Usual causes: one divided by the number of classes; an average over classes instead of queries.",
        ),
        Check(
            "chance.groups", part="chance_test", points=2, call="chance_precision", inputs=draw_labels_with_variants,
            compare=NEAR,
            hint="Rows of the query's own group are left out of what is counted and of what it is divided by.",
        ),
        Check(
            "average_precision.values", part="average_precision_test", points=2, call="average_precision",
            inputs=draw_ranking, compare=NEAR, visible=True,
            hint="One float: at each relevant position i, the share of relevant results among the first i; then the "
            "mean over the relevant positions. Usual causes: positions counted from 0; the mean over all positions.",
        ),
        Check(
            "average_precision.none", part="average_precision_test", points=1, call="average_precision",
            inputs=draw_ranking_without_hits, compare=NEAR, cases=1,
            hint="Where nothing is relevant the mean would be over nothing; the answer is 0.0.",
        ),
    ),
)  # fmt: skip
