"""What is reported: the one reading of the test labels, and measures of how far apart two clouds of features lie."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from xferkit.data import Domain
from xferkit.models import Classifier
from xferkit.train import evaluate

_questions_answered: set[tuple[str, str]] = set()


def final_test(models: Mapping[str, Sequence[Classifier]], domain: Domain, *, question: str) -> dict[str, list[float]]:
    """Read the test labels once, at the end: the accuracy of every method's networks, one for each seed.

    All methods go into one call, after every choice has been made. A second call for the same domain and question
    warns, for what is looked at twice is soon tuned on.

    Args:
        models: for each method, its networks over the seeds.
        question: what this reading decides, in a few words.
    Returns:
        For each method, accuracies in [0, 1] in the order of its networks.
    Raises:
        ValueError: no networks.
    """
    if not models or not all(models.values()):
        raise ValueError("final_test got no networks: give {'method': [network, …], …}.")
    key = (domain.name, question)
    if key in _questions_answered:
        warnings.warn(
            f"the test labels of {domain.name} have already answered {question!r} in this session. "
            "If you changed something since, choose on validation data instead.",
            stacklevel=2,
        )
    _questions_answered.add(key)
    return {name: [evaluate(net, domain.test).accuracy for net in nets] for name, nets in models.items()}


def a_distance(z_a: Tensor, z_b: Tensor, *, seed: int = 0) -> float:
    """The proxy A-distance 2(1 − 2ε), ε the error of a linear classifier of domains (Ben-David et al. 2007, §5).

    ε is balanced over the two domains and cross-validated over five folds, each point predicted by a classifier that
    has not seen it. 0 means inseparable, 2 perfectly separable; noise can make it slightly negative.

    Args:
        z_a: (N, D) features of one domain, z_b: (M, D) of the other.
    Raises:
        ValueError: fewer than five points on a side.
    """
    # Imported here, as every heavy library in xferkit: `import xferkit` stays quick.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(len(z_a), len(z_b)) < 5:
        raise ValueError(f"{len(z_a)} and {len(z_b)} points: need at least five of each domain.")
    z = torch.cat([z_a, z_b]).double().numpy()
    side = np.repeat([0, 1], [len(z_a), len(z_b)])
    wrong = np.empty(len(z))
    for train, held_out in StratifiedKFold(5, shuffle=True, random_state=seed).split(z, side):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
        classifier.fit(z[train], side[train])
        wrong[held_out] = classifier.predict(z[held_out]) != side[held_out]
    error = 0.5 * (wrong[side == 0].mean() + wrong[side == 1].mean())
    return float(2 * (1 - 2 * error))


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) (Kornblith et al. 2019b, Eq. 4), in [0, 1].

    Args:
        x: (N, D₁), y: (N, D₂): two networks' features of the same N inputs.
    Raises:
        ValueError: different numbers of rows.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} rows: CKA compares features of the same inputs.")
    x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    return float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


def gap_closed(source_only: float, adapted: float, target_only: float) -> float:
    """The share of the gap between the two bounds that adaptation closes (Ganin et al. 2016, Table 2).

    0 is the source-only bound, 1 the target-only bound; below 0 adaptation did harm.

    Raises:
        ValueError: the bounds leave no gap.
    """
    if target_only <= source_only:
        raise ValueError(f"target-only {target_only} is not above source-only {source_only}: there is no gap to close.")
    return (adapted - source_only) / (target_only - source_only)
