"""The one reading of the test labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

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
