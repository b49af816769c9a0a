"""The one reading of the test labels."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from xferkit.data import Domain, Split
from xferkit.metrics import final_test, read_test_labels
from xferkit.models import Classifier
from xferkit.session import device


class Always(nn.Module):
    """Features that make the head below say one class, whatever the picture."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.c = c

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.full((len(x),), self.c, device=x.device), 3).float()


def always(c: int) -> Classifier:
    head = nn.Linear(3, 3)
    nn.init.eye_(head.weight)
    nn.init.zeros_(head.bias)
    return Classifier(nn.Sequential(Always(c)), head).to(device())


def pictures(n: int) -> Tensor:
    """Never the same twice: what is counted is the set of pictures, and each test is to start with a fresh one."""
    generator = torch.Generator()
    generator.seed()
    return torch.randint(256, (n, 3, 4, 4), generator=generator, dtype=torch.uint8)


@pytest.fixture
def domain() -> Domain:
    def split(labels: list[int]) -> Split:
        return Split(pictures(len(labels)), torch.tensor(labels))

    return Domain(f"toy-{uuid.uuid4()}", split([2, 2]), split([1, 1]), split([0, 0, 0, 1, 2, 2, 1, 0]), ("a", "b", "c"))


@pytest.fixture
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_final_test_reads_the_test_part(domain: Domain, no_warning: None) -> None:
    models = {"first": [always(0), always(1)], "second": [always(2)]}
    assert final_test(models, domain, question="which is best?") == {"first": [0.5, 0.25], "second": [0.25]}


def test_a_second_reading_warns_and_another_question_does_not(domain: Domain) -> None:
    models = {"m": [always(0)]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final_test(models, domain, question="once")
        final_test(models, domain, question="another")
    with pytest.warns(UserWarning, match=f"{domain.name} have already answered 'once'"):
        assert final_test(models, domain, question="once") == {"m": [0.5]}


@pytest.mark.parametrize("models", [{}, {"m": []}])
def test_a_reading_without_networks_is_refused_and_not_counted(
    models: dict[str, list[Classifier]], domain: Domain
) -> None:
    with pytest.raises(ValueError, match="no networks"):
        final_test(models, domain, question="q")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final_test({"m": [always(1)]}, domain, question="q")


# ------------------------------------------------------------------------------------------------------- class names


def knows(c: int, classes: tuple[str, ...] | None) -> Classifier:
    model = always(c)
    model.classes = classes
    return model


def owls(classes: tuple[str, ...] = ("cat", "owl")) -> Domain:
    """Four cats and four owls; the names of domains and splits say so."""
    y = torch.tensor([0] * 4 + [1] * 4)
    split = Split(pictures(8), y)
    return Domain(f"owls-{uuid.uuid4()}", split, split, split, classes)


def test_classes_are_compared_by_name() -> None:
    """A network of three classes and a domain of two: its third score is an owl's, whose label is 1 here."""
    names = ("cat", "dog", "owl")
    models = {name: [knows(c, names)] for c, name in enumerate(names)}
    expected = {"cat": [0.5], "dog": [0.0], "owl": [0.5]}
    assert final_test(models, owls(), question="q") == expected
    unnamed = {name: [knows(c, None)] for c, name in enumerate(names)}
    assert final_test(unnamed, owls(), question="q", classes=names) == expected
    # Three quarters of owls: it matters which of the two is right.
    domain = owls()
    domain = replace(domain, test=Split(domain.test.x, torch.tensor([0, 1, 1, 1, 0, 1, 1, 1])))
    assert final_test(models, domain, question="q") == {"cat": [0.25], "dog": [0.0], "owl": [0.75]}


def test_the_same_classes_in_another_order_are_seen() -> None:
    domain = owls(("owl", "dog", "cat"))  # labels: four owls, four dogs
    models = {"owl": [knows(2, ("cat", "dog", "owl"))], "cat": [knows(0, ("cat", "dog", "owl"))]}
    assert final_test(models, domain, question="q") == {"owl": [0.5], "cat": [0.0]}


def test_classes_that_do_not_fit_are_refused_before_a_label_is_read() -> None:
    domain = owls()
    with pytest.raises(ValueError, match="3 scores for 2 classes.*classes="):
        final_test({"m": [knows(0, None)]}, domain, question="q")
    with pytest.raises(ValueError, match="does not know owl: it was trained on cat, dog, fox"):
        final_test({"m": [knows(0, ("cat", "dog", "fox"))]}, domain, question="q")
    with pytest.raises(ValueError, match="trained on cat, dog, owl, but classes=owl, dog, cat"):
        final_test({"m": [knows(0, ("cat", "dog", "owl"))]}, domain, question="q", classes=("owl", "dog", "cat"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing was answered so far
        final_test({"m": [knows(0, ("cat", "dog", "owl"))]}, domain, question="q")


# ---------------------------------------------------------------------------------------------------- what is counted


def test_a_reading_that_failed_is_not_counted(domain: Domain) -> None:
    for broken in ({"m": [nn.Linear(2, 2)]}, {"m": [always(0), None]}):
        with pytest.raises((AttributeError, TypeError, ValueError)):
            final_test(broken, domain, question="q")  # type: ignore[dict-item]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final_test({"m": [always(1)]}, domain, question="q")


def test_two_sets_of_the_same_name_are_two_and_one_set_under_two_names_is_one(domain: Domain) -> None:
    other = replace(domain, test=Split(domain.test.x + 1, domain.test.y))
    renamed = replace(domain, name="another")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        final_test({"m": [always(1)]}, domain, question="q")
        final_test({"m": [always(1)]}, other, question="q")
    with pytest.warns(UserWarning, match="another have already answered 'q'"):
        final_test({"m": [always(1)]}, renamed, question="q")


def test_a_question_has_words(domain: Domain) -> None:
    for question in ("", "  ", None):
        with pytest.raises(ValueError, match="no question"):
            final_test({"m": [always(1)]}, domain, question=question)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- it says and counts


def test_a_reading_says_what_was_read(domain: Domain, capsys: pytest.CaptureFixture[str]) -> None:
    final_test({"a": [always(0), always(1)], "b": [always(2)]}, domain, question="which is best")
    assert capsys.readouterr().out == (
        f"Test labels read: {domain.name}, 8 pictures, by 3 networks. Question: which is best\n"
    )


def test_labels_for_what_is_no_network(domain: Domain, capsys: pytest.CaptureFixture[str], no_warning: None) -> None:
    assert torch.equal(read_test_labels(domain, question="neighbours"), domain.test.y)
    assert capsys.readouterr().out == f"Test labels read: {domain.name}, 8 pictures. Question: neighbours\n"
    with pytest.raises(ValueError, match="no question"):
        read_test_labels(domain, question=" ")
    with pytest.warns(UserWarning, match="already answered 'neighbours'") as caught:
        read_test_labels(domain, question="neighbours")
    assert caught[0].filename == __file__


def test_in_a_notebook_the_record_of_a_reading_travels(domain: Domain) -> None:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    from IPython.utils.capture import capture_output

    shell.instance()
    try:
        with capture_output() as captured:
            final_test({"a": [always(0)]}, domain, question="which is best")
    finally:
        shell.clear_instance()
    (output,) = captured.outputs
    record = {"domain": domain.name, "pictures": 8, "networks": 1, "question": "which is best"}
    assert output.metadata["xferkit_test"] == record and "by 1 network. Question" in output.data["text/plain"]
