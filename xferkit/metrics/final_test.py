"""The one reading of the test labels."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from xferkit._checks import check_labels
from xferkit._display import literal, show
from xferkit.data import Domain, Split
from xferkit.models.classifier import Classifier, unwrap
from xferkit.train import evaluate, predict

_questions_answered: set[tuple[str, str]] = set()


def final_test(
    models: Mapping[str, Sequence[Classifier]],
    domain: Domain,
    *,
    question: str,
    classes: Sequence[str] | None = None,
) -> dict[str, list[float]]:
    """Read the test labels once, at the end: the accuracy of every method's networks, one for each seed.

    All methods go into one call, after every choice has been made. A second call for the same test part and question
    warns, for what is looked at twice is soon tuned on.

    One line says which test part was read, with how many pictures and networks, and for which question; the book's
    evidence page counts these readings over all chapters.

    Classes are compared by name: where a network was trained on (cat, dog, owl) and the domain has (cat, owl), its
    second score is a dog's here too.

    Args:
        models: for each method, its networks over the seeds.
        question: what this reading decides, in a few words.
        classes: the names of the networks' scores, in their order, if a recipe has not stored them as `model.classes`;
            None takes them to be the domain's, and then their numbers must agree.
    Returns:
        For each method, accuracies in [0, 1] in the order of its networks.
    Raises:
        ValueError: no networks or no question, a class of the domain that a network does not know, another number of
            scores than of classes, or as in `evaluate`.
    """
    if not models or not all(len(nets) for nets in models.values()):
        raise ValueError("final_test got no networks: give {'method': [network, …], …}.")
    key = _asked(domain, question)
    # Every network is looked at before the first label is read.
    parts = {
        name: [(net, _as_the_network_counts(net, domain, classes, f"{name}[{i}]")) for i, net in enumerate(nets)]
        for name, nets in models.items()
    }
    answers = {name: [evaluate(net, part).accuracy for net, part in pairs] for name, pairs in parts.items()}
    _say_and_count(domain, question, key, networks=sum(map(len, models.values())))
    return answers


def read_test_labels(domain: Domain, *, question: str) -> Tensor:
    """The test labels themselves, (N,), for what is no network: a probe on features, neighbours, stored predictions.

    It says and counts the reading as `final_test` does, and warns in the same way.

    Raises:
        ValueError: no question.
    """
    key = _asked(domain, question)
    _say_and_count(domain, question, key)
    return domain.test.y


def _asked(domain: Domain, question: str) -> tuple[str, str]:
    """The reading's name, with a warning where it is the second."""
    if not isinstance(question, str) or not question.strip():
        raise ValueError("final_test got no question: say in a few words what this reading decides.")
    key = (_fingerprint(domain.test), question)
    if key in _questions_answered:
        warnings.warn(
            f"the test labels of {domain.name} have already answered {question!r} in this session. "
            "If you changed something since, choose on validation data instead.",
            stacklevel=3,
        )
    return key


def _say_and_count(domain: Domain, question: str, key: tuple[str, str], networks: int | None = None) -> None:
    _questions_answered.add(key)
    by = "" if networks is None else f", by {networks:,} network{'s' if networks > 1 else ''}"
    line = f"Test labels read: {domain.name}, {len(domain.test):,} pictures{by}. Question: {question.strip()}"
    record = {"domain": domain.name, "pictures": len(domain.test), "networks": networks, "question": question.strip()}
    show(line, f"*{literal(line)}*", {"xferkit_test": record})


def _fingerprint(part: Split) -> str:
    """The same for the same pictures with the same labels, whatever the domain is called."""
    digest = hashlib.sha256(f"{tuple(part.x.shape)}".encode())
    for tensor in (part.x, part.y):
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _as_the_network_counts(net: Classifier, domain: Domain, classes: Sequence[str] | None, which: str) -> Split:
    """The test part with its labels numbered as the network's scores are, by class name."""
    scores = predict(net, domain.test.x[:1]).logits.shape[1]
    stored = getattr(unwrap(net), "classes", None)
    if stored is not None and classes is not None and tuple(stored) != tuple(classes):
        raise ValueError(f"{which} was trained on {', '.join(stored)}, but classes={', '.join(classes)}.")
    ours, theirs = tuple(stored or classes or domain.classes), tuple(domain.classes)
    if len(ours) != scores:
        raise ValueError(
            f"{which} gives {scores} scores for {len(ours)} classes ({', '.join(ours[:10])}): say what each score "
            "means by classes=…, the names of the classes that the network was trained on."
        )
    if ours == theirs:
        return domain.test
    if missing := [name for name in theirs if name not in ours]:
        raise ValueError(f"{which} does not know {', '.join(missing)}: it was trained on {', '.join(ours)}.")
    check_labels(domain.test.y)
    y = torch.tensor([ours.index(name) for name in theirs])[domain.test.y.cpu()]
    return replace(domain.test, y=y.to(domain.test.y.device), classes=ours)
