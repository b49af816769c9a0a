"""Claims: they stop the run when they do not hold, and show the same text on every machine when they do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from xferkit.claims import Claim, ClaimError, claim

SENTENCE = "Adaptation helps."


def test_a_claim_that_holds_is_shown_and_returned(capsys: pytest.CaptureFixture[str]) -> None:
    record = claim(
        "dann-helps", SENTENCE, observed="0.61 against 0.52", holds=0.61 > 0.52, paper="0.77", source="Table 2"
    )
    assert record == Claim("dann-helps", SENTENCE, "0.61 against 0.52", "0.77", "Table 2")
    assert capsys.readouterr().out == f"claim dann-helps holds: {SENTENCE}\n"


def test_a_claim_that_does_not_hold_stops_the_run_and_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClaimError) as caught:
        claim("dann-helps", SENTENCE, observed="0.49 against 0.52", holds=0.49 > 0.52)
    assert isinstance(caught.value, AssertionError)
    assert all(part in str(caught.value) for part in ("dann-helps", SENTENCE, "0.49 against 0.52"))
    assert capsys.readouterr().out == ""


def test_what_was_observed_and_the_papers_number_do_not_change_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    claim("a", SENTENCE, observed="0.61", holds=True)
    first = capsys.readouterr().out
    claim("a", SENTENCE, observed="0.58 (another machine)", holds=True, paper="0.77")
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    "holds", [np.bool_(True), np.array(True), torch.tensor(True), (torch.tensor([1.0, 2.0]) > 0).all()]
)
def test_truth_values_of_the_libraries_will_do(holds: np.bool_ | torch.Tensor) -> None:
    assert claim("a", SENTENCE, observed=1, holds=holds).observed == "1"


@pytest.mark.parametrize("holds", [np.mean([1.0, 2.0]) > 3, np.array(False), (torch.tensor([1.0, -2.0]) > 0).all()])
def test_a_false_truth_value_of_the_libraries_stops_too(holds: np.bool_ | torch.Tensor) -> None:
    with pytest.raises(ClaimError):
        claim("a", SENTENCE, observed=1, holds=holds)


@pytest.mark.parametrize("many", [torch.tensor([True, False]), np.array([[True], [False]])])
def test_the_advice_for_several_truth_values_works(many: torch.Tensor | np.ndarray) -> None:
    with pytest.raises(TypeError, match=r"with \.all\(\) or \.any\(\)"):
        claim("a", SENTENCE, observed=1, holds=many)
    with pytest.raises(ClaimError):
        claim("a", SENTENCE, observed=1, holds=many.all())
    assert claim("a", SENTENCE, observed=1, holds=many.any())


def test_numbers_of_the_libraries_are_as_short_as_pythons(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"a": np.float32(0.123456), "b": torch.tensor(0.123456), "c": np.array([1.0, 0.123456])}
    assert claim("a", SENTENCE, observed=figures, holds=True).observed == "a: 0.123; b: 0.123; c: 1, 0.123"


@pytest.mark.parametrize(
    "holds",
    [1, 0.3, "yes", None, torch.tensor([True, True]), np.array([True, False]), [True]]
    + [torch.tensor(1), np.float64(0.3), np.array(1)],  # type: ignore[list-item]
)
def test_what_is_no_truth_value_is_refused(holds: object) -> None:
    with pytest.raises(TypeError, match="must be True or False"):
        claim("a", SENTENCE, observed="", holds=holds)  # type: ignore[arg-type]


@pytest.mark.parametrize("id", ["", "Dann", "dann helps", "dann_helps", "-dann", "dann--helps", "dann-"])
def test_ids_are_lower_case_words_joined_by_hyphens(id: str) -> None:
    with pytest.raises(ValueError, match="claim id"):
        claim(id, SENTENCE, observed="", holds=True)


# ------------------------------------------------------------------------------------------------------- in a notebook


@pytest.fixture
def notebook() -> Iterator[None]:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    shell.instance()
    yield
    shell.clear_instance()


def test_in_a_notebook_the_record_travels_in_the_metadata(notebook: None) -> None:
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        claim("dann-helps", SENTENCE, observed="0.61", holds=True, paper="0.77", source="Table 2")
    (output,) = captured.outputs
    assert output.data["text/plain"] == f"claim dann-helps holds: {SENTENCE}"
    assert SENTENCE in output.data["text/markdown"] and "0.61" not in str(output.data)
    assert output.metadata["xferkit_claim"] == {
        "id": "dann-helps", "statement": SENTENCE, "observed": "0.61", "paper": "0.77", "source": "Table 2",
    }  # fmt: skip
    assert captured.stdout == ""


def test_in_a_notebook_a_claim_that_does_not_hold_shows_nothing(notebook: None) -> None:
    from IPython.utils.capture import capture_output

    with capture_output() as captured, pytest.raises(ClaimError):
        claim("dann-helps", SENTENCE, observed="0.49", holds=False)
    assert captured.outputs == []
