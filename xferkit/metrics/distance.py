"""How far apart two domains lie in a feature space."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


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
