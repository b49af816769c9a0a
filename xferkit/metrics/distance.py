"""How far apart two domains lie in a feature space."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from xferkit._checks import check_count, check_features, check_same_width


def _two_clouds(z_a: Tensor, z_b: Tensor) -> None:
    names = ("features of the first domain", "features of the second domain")
    for z, name in zip((z_a, z_b), names, strict=True):
        check_features(z, what=name)
    check_same_width(z_a, z_b, what=names)


def a_distance(
    z_a: Tensor,
    z_b: Tensor,
    *,
    groups_a: Tensor | Sequence[int] | None = None,
    groups_b: Tensor | Sequence[int] | None = None,
    seed: int = 0,
) -> float:
    """The proxy A-distance 2(1 − 2ε), ε the error of a linear classifier of domains (Ben-David et al. 2007, §5).

    ε is balanced over the two domains and cross-validated over five folds, each point predicted by a classifier that
    has not seen it, **nor its twin**: where both domains show the same picture, say a digit in MNIST and its copy in
    MNIST-M, one of the pair in training with the other label would push ε above one half. So pairs go into one fold,
    by `groups_a` and `groups_b`; without them, rows that are equal to the last bit do.

    Args:
        z_a: (N, D) features of one domain.
        z_b: (M, D) features of the other.
        groups_a, groups_b: (N,) and (M,) integers, equal for rows that belong together, in both domains; or neither.
        seed: of the folds.
    Returns:
        A number in [−2, 2]: 2 for domains that a hyperplane separates perfectly, about 0 for inseparable ones. Below 0
        the classifier was worse than chance, which with few points, or with twins that nobody named, happens easily
        and by a lot; it is not a distance then. Exactly 0 where all points of both domains are one.
    Raises:
        ValueError: fewer than five points, distinct points or groups on a side, widths or lengths that differ, one side
            with groups and the other without, or features that are not finite.
        TypeError: no real floating-point features, or groups that are no integers.
    """
    # Imported here, as every heavy library in xferkit: `import xferkit` stays quick.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(len(z_a), len(z_b)) < 5:
        raise ValueError(f"{len(z_a)} and {len(z_b)} points: need at least five of each domain.")
    _two_clouds(z_a, z_b)
    z = torch.cat([z_a.detach().cpu().double(), z_b.detach().cpu().double()]).numpy()
    side = np.repeat([0, 1], [len(z_a), len(z_b)])
    if (z == z[0]).all():
        return 0.0
    groups = _groups(z, side, groups_a, groups_b)
    if len(np.unique(groups)) == len(z):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(z, side)
    else:
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(z, side, groups)
    wrong = np.empty(len(z))
    for train, held_out in folds:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
        classifier.fit(z[train], side[train])
        wrong[held_out] = classifier.predict(z[held_out]) != side[held_out]
    error = 0.5 * (wrong[side == 0].mean() + wrong[side == 1].mean())
    return float(2 * (1 - 2 * error))


def _groups(
    z: np.ndarray,
    side: np.ndarray,
    groups_a: Tensor | Sequence[int] | None,
    groups_b: Tensor | Sequence[int] | None,
) -> np.ndarray:
    """A number for each row, equal for rows that must lie in one fold."""
    if (groups_a is None) != (groups_b is None):
        raise ValueError("groups for one domain only: give both, with the same number for the same picture.")
    if groups_a is not None and groups_b is not None:
        what = "groups"
        given = [np.asarray(g.cpu() if isinstance(g, Tensor) else g) for g in (groups_a, groups_b)]
        for g, n in zip(given, np.bincount(side), strict=True):
            if g.shape != (n,):
                raise ValueError(f"groups of shape {g.shape} for {n} rows: there must be one for each.")
            if g.dtype.kind not in "iu":
                raise TypeError(f"groups are {g.dtype}, but must be integers.")
        groups = np.concatenate(given)
    else:
        what = "distinct points"
        numbers: dict[bytes, int] = {}
        groups = np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in z])
    a, b = (len(np.unique(groups[side == s])) for s in (0, 1))
    if min(a, b) < 5:
        raise ValueError(f"{a} and {b} {what}: need at least five of each domain. Has the encoder collapsed?")
    return groups


def domain_accuracy(disc: nn.Module, z_s: Tensor, z_t: Tensor) -> float:
    """The share of features that a discriminator sends to the right domain, both domains weighing the same.

    Args:
        disc: (B, D) ↦ (B,) raw logits, positive for the target, as in `dann.loss`. A copy of it is asked, in evaluation
            mode and on the device of the features.
        z_s: (N, D) source features.
        z_t: (M, D) target features.
    Returns:
        Balanced accuracy in [0, 1]; one half is chance. One half of a discriminator that was trained *against* the
        features proves nothing: see `fresh_domain_accuracy`.
    Raises:
        ValueError: features or logits that are not finite, widths that differ, or something else than raw logits.
        TypeError: no real floating-point features.
    """
    from xferkit.alignment.dann import domain_logits

    _two_clouds(z_s, z_t)
    judge = copy.deepcopy(disc).to(z_s.device).eval()
    like = next(judge.parameters(), z_s)
    logits_s, logits_t = (domain_logits(judge, z.detach().to(like)).detach() for z in (z_s, z_t))
    if not bool(torch.isfinite(torch.cat([logits_s, logits_t])).all()):
        raise ValueError("the discriminator gives NaN or infinity: its training went wrong.")
    return 0.5 * ((logits_s < 0).float().mean() + (logits_t >= 0).float().mean()).item()


def fresh_domain_accuracy(
    train_s: Tensor, train_t: Tensor, z_s: Tensor, z_t: Tensor, *, steps: int = 600, seed: int = 0
) -> float:
    """How well a discriminator that starts afresh tells the domains apart, once the features are frozen.

    It is `dann.DomainDiscriminator`, trained by Adam (rate 1e-3) on 128 rows of each domain a step, standardised so
    that no scale is too small to learn from; then it judges rows that it has not seen. A run's own discriminator may be
    at one half only because it lost the game; this one plays no game.

    Args:
        train_s, train_t: (N, D) and (M, D) source and target features to train it on.
        z_s, z_t: features to judge it by, of other pictures.
        steps: optimizer steps.
        seed: of its weights and batches. The global random state is left alone.
    Returns:
        Balanced accuracy in [0, 1], as `domain_accuracy`; one half where all training features are one point.
    Raises:
        ValueError: no rows, widths that differ, features that are not finite, or fewer than one step.
        TypeError: no real floating-point features.
    """
    from xferkit.alignment import dann

    _two_clouds(train_s, train_t)
    _two_clouds(train_s, z_s)
    _two_clouds(z_s, z_t)
    steps = check_count(steps, what="steps")
    where = train_s.device
    s, t, judged_s, judged_t = (z.detach().to(where, torch.float32) for z in (train_s, train_t, z_s, z_t))
    both = torch.cat([s, t])
    mean, std = both.mean(0), both.std(0)
    std = std + (min(1e-4, 1e-2 * std.max().item()) or 1.0)
    s, t, judged_s, judged_t = ((z - mean) / std for z in (s, t, judged_s, judged_t))
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        disc = dann.DomainDiscriminator(s.shape[1]).to(where)
        optimizer = torch.optim.Adam(disc.parameters(), lr=1e-3)
        for _ in range(steps):
            i, j = torch.randint(len(s), (128,)).to(where), torch.randint(len(t), (128,)).to(where)
            loss = dann.loss(disc, s[i], t[j], 0.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return domain_accuracy(disc, judged_s, judged_t)
