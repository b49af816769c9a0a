"""What the example assignment checks. Runs outside the sandbox; students never get this file."""

import numpy as np
import torch

from xfergrade import Accuracy, Assignment, Check, Close, Equal, Inputs, Limits


def draw_features(rng: np.random.Generator) -> tuple:
    """Features (N, D), labels (N,) in which every class occurs, and k."""
    k, d = int(rng.integers(2, 6)), int(rng.integers(3, 9))
    n = k * int(rng.integers(5, 12))
    labels = rng.permutation(np.arange(n) % k)
    return rng.normal(size=(n, d)).astype(np.float32), labels, k


def draw_with_an_empty_class(rng: np.random.Generator) -> tuple:
    features, labels, k = draw_features(rng)
    missing = int(rng.integers(k))
    return features[labels != missing], labels[labels != missing], k


def draw_points_and_means(rng: np.random.Generator) -> tuple:
    n, k, d = int(rng.integers(20, 60)), int(rng.integers(3, 9)), int(rng.integers(2, 7))
    features = torch.from_numpy(rng.normal(size=(n, d)).astype(np.float32))
    return features, torch.from_numpy(rng.normal(size=(k, d)).astype(np.float32))


def draw_clusters(rng: np.random.Generator) -> Inputs:
    """Training features and labels and test features; the test labels stay outside as the truth."""
    k, d = 4, 8
    centres = rng.normal(size=(k, d)) * 2
    labels = np.arange(80) % k
    features = (centres[labels] + rng.normal(size=(80, d))).astype(np.float32)
    order = rng.permutation(80)
    train, test = order[:40], order[40:]
    # Classes of very unlike size, so that it shows whether means were taken or sums.
    train = np.concatenate([train[labels[train] == c][: 2 ** (c + 1)] for c in range(k)])
    return Inputs(args=(features[train], labels[train], k, features[test]), truth=labels[test])


def means_matter(features: np.ndarray, labels: np.ndarray, k: int, test_features: np.ndarray) -> bool:
    """By means most test rows come out as their own class, by sums hardly any: the two answers differ."""
    means = np.stack([features[labels == c].mean(axis=0) for c in range(k)])
    sums = np.stack([features[labels == c].sum(axis=0) for c in range(k)])
    by_mean, by_sum = (((test_features[:, None] - m) ** 2).sum(axis=2).argmin(axis=1) for m in (means, sums))
    return bool((by_mean == by_sum).mean() < 0.5)


assignment = Assignment(
    title="Class means",
    version="2",
    modules=("numpy", "torch"),
    limits=Limits(seconds=3, memory_mb=512),
    checks=(
        Check(
            "class_means.values", part="class_means_test", points=2, call="class_means", inputs=draw_features,
            compare=Close(rtol=1e-4, atol=1e-5), visible=True,
            hint="Row c is the mean over the rows whose label is c: select with labels == c, then average over axis 0.",
        ),
        Check(
            "class_means.empty", part="class_means_test", points=2, call="class_means", inputs=draw_with_an_empty_class,
            compare=Close(rtol=1e-4, atol=1e-5),
            hint="The mean of no rows is NaN in NumPy; a class without any row gets zeros.",
        ),
        Check(
            "nearest_mean.indices", part="nearest_mean_test", points=3, call="nearest_mean",
            inputs=draw_points_and_means, compare=Equal(), visible=True,
            hint="Distances have shape (N, k): take argmin over dim=1.",
        ),
        Check(
            "nearest_mean.accuracy", part="nearest_mean_test", points=1, call="drivers.classify", inputs=draw_clusters,
            compare=Accuracy(at_least=0.7), cases=1, tells=means_matter,
            hint="Both functions together should classify well separated clusters.",
        ),
    ),
)  # fmt: skip
