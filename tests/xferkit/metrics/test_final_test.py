"""The one reading of the test labels."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from xferkit.data import Domain, Split
from xferkit.metrics import final_test
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


@pytest.fixture
def domain() -> Domain:
    def split(labels: list[int]) -> Split:
        return Split(torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8), torch.tensor(labels))

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
