"""Claims: their words are made by their conditions, a sentence says no number by itself, what fails stops the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from xferkit.claims import Claim, ClaimError, above, below, claim, counted, equal, includes, true, within
from xferkit.conditions import Condition
from xferkit.report import Interval, interval

GAPS = [8.2, 9.1, 7.9, 8.0, 11.2]
WON, OPEN = Interval(3.2, 1.0, 5.5), Interval(1.0, -0.2, 6.5)
SENTENCE = "On unseen styles LP-FT leads the probe by {lead}."


def test_a_claim_that_holds_is_shown_and_returned(capsys: pytest.CaptureFixture[str]) -> None:
    record = claim("lp-ft-leads", SENTENCE, lead=above(GAPS, 7, over="seeds"), paper="+10 points", source="abstract")
    assert record == Claim(
        "lp-ft-leads",
        "On unseen styles LP-FT leads the probe by more than 7 points in each of 5 seeds.",
        "8.2, 9.1, 7.9, 8.0, 11.2 points (least 7.9)",
        "more than 7 points (0.9 to spare)",
        "+10 points",
        "abstract",
    )
    assert capsys.readouterr().out == (
        "✓ On unseen styles LP-FT leads the probe by more than 7 points in each of 5 seeds.\n"
        "  Observed here: 8.2, 9.1, 7.9, 8.0, 11.2 points (least 7.9)\n"
        "  Margin: more than 7 points (0.9 to spare)\n"
        "  Paper: +10 points (abstract)\n"
        "  Claim: lp-ft-leads\n"
    )


def test_a_claim_that_does_not_hold_stops_the_run_and_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClaimError) as caught:
        claim("lp-ft-leads", SENTENCE, lead=above(GAPS, 8, over="seeds"))
    assert isinstance(caught.value, AssertionError) and capsys.readouterr().out == ""
    for part in ("lp-ft-leads", "run: lead.", "more than 8 points in each", "(least 7.9)", "(0.1 missing)"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "words", "observed"),
    [
        (above(7.04, 7), "more than 7 points", "7.04 points"),
        (above(7.0004, 7), "more than 7 points", "7.0004 points"),
        (above(2.5, 1), "more than 1 point", "2.5 points"),
        (above(GAPS, 7, over="seeds", mean=True),
         "more than 7 points on average over 5 seeds", "8.9 points (7.9 to 11.2)"),
        (above([[1, 2], [3, 4]], over=("for sources", "seeds")),
         "more than 0 points for each of 2 sources, in each of 2 seeds", "1, 2, 3, 4 points (least 1)"),
        (above({"A": [1, 2], "B": [3, 5]}, over=("for sources", "seeds"), mean="seeds"),
         "more than 0 points for each of 2 sources, on average over 2 seeds",
         "A 1.5, B 4.0 points (least 1.5) (1.0 to 5.0)"),
        (above(WON), "more than 0 points (95 % interval)", "3.2 [1.0, 5.5] points"),
        (above({"A": WON, "B": Interval(1, 0.2, 6.5)}, over="for sources"),
         "more than 0 points for each of 2 sources (95 % intervals)",
         "A 3.2 [1.0, 5.5]; B 1.0 [0.2, 6.5] points (least 0.2)"),
        (above(Interval(3, 1, 5, 0.9)), "more than 0 points (90 % interval)", "3 [1, 5] points"),
        (above(47.1, 8, than=38.2), "more than 8 points", "47.1 against 38.2; difference 8.9 points"),
        (above([47, 48], 8, than=38, over="seeds"), "more than 8 points in each of 2 seeds",
         "47.5 against 38; difference 9, 10 points (least 9)"),
        (above(3.25, 2, unit="times"), "more than 2 times", "3.25 times"),
        (above(range(1, 13), over="digits"), "more than 0 points in each of 12 digits", "mean 6.5 points (least 1)"),
        (below(-0.31, -0.2, unit=""), "less than −0.2", "−0.310"),
        (below(np.float32([0.5, 0.25]), 5, unit="%", over="on folds"),
         "less than 5 % on each of 2 folds", "0.5, 0.2 % (greatest 0.5)"),
        (below(1e-15, 1e-10, unit=""), "less than 1e−10", "1.0e−15"),
        (within(torch.tensor([1.0, 2.0]), [1.0, 2.0009765625], 0.001),
         "within 0.001", "largest difference 0.000977 of 2 values"),
        (within([0.98, 1.04], 1, 0.1, over="for methods"),
         "within 0.1 for each of 2 methods", "largest difference 0.04 of 2 values"),
        (equal({"8": 75290, "20": 269722}, {"8": 75290, "20": 269722}, over="at depths"),
         "exactly equal at each of 2 depths", "75,290, 269,722"),
        (equal("instance", "instance"), "exactly equal", "instance"),
        (includes(OPEN), "a 95 % interval that includes 0 points", "1.0 [−0.2, 6.5] points"),
        (includes([OPEN, OPEN], over="for sources"),
         "95 % intervals that include 0 points for each of 2 sources", "1.0 [−0.2, 6.5]; 1.0 [−0.2, 6.5] points"),
        (counted([0, 1, 2], "seeds"), "3 seeds", ""),
        (counted(1, "seeds"), "1 seed", ""),
        (counted(1, "label a class"), "1 label a class", ""),
        (counted(1, "labels a class"), "1 label a class", ""),
        (counted(1, "classes"), "1 class", ""),
        (counted(5000, "digits"), "5,000 digits", ""),
        (counted(2, "%"), "2 %", ""),
        (counted(56, "{}-layer"), "56-layer", ""),
        (counted(0.03, "a rate of {}"), "a rate of 0.03", ""),
        (true(np.bool_(True), "leaves every buffer as it was"), "leaves every buffer as it was", ""),
    ],
)  # fmt: skip
def test_conditions_make_their_words(condition: Condition, words: str, observed: str) -> None:
    assert condition.holds and condition.words == words and condition.observed == observed


@pytest.mark.parametrize(
    "condition",
    [
        above(7, 7),
        above([8, 6.9], 7, over="seeds"),
        above([[8, 9], [9, 6]], 7, over=("sources", "seeds")),
        above([8, 5], 7, over="seeds", mean=True),
        above(OPEN),
        above({"A": WON, "B": OPEN}, over="for sources"),
        above(45.0, 8, than=38.2),
        below(5, 5),
        below(WON, 5),
        within(1.0, 1.2, 0.1),
        within([0.98, 1.14], 1, 0.1),
        equal(1, 2),
        equal([1, 2], [1, 3]),
        equal("a", "b"),
        includes(WON),
        includes({"A": WON, "B": OPEN}, over="for sources"),
        true(np.array(False), "is so"),
    ],
)
def test_conditions_that_do_not_hold(condition: Condition) -> None:
    assert not condition.holds
    with pytest.raises(ClaimError):
        claim("a", "It is {so}.", so=condition)


def test_an_interval_knows_its_level() -> None:
    words = above(interval([1.0, 2.0, 3.0], level=0.8)).words
    assert words == "more than 0 points (80 % interval)"


@pytest.mark.parametrize(
    "make",
    [
        lambda: above([8, 9], 7),  # of how many cases does it hold?
        lambda: above(8, 7, over="seeds"),
        lambda: above([8, 9], 7, over=("seeds", "styles")),
        lambda: above([8, 9], 7, over="5 seeds"),
        lambda: above([8, 9], 7, over="seeds, always"),
        lambda: above([8, 9], 7, over="seeds", mean="styles"),
        lambda: above([], over="seeds"),
        lambda: above([1, float("nan")], over="seeds"),
        lambda: above(float("inf")),
        lambda: above("much"),
        lambda: above([WON, 3], over="seeds"),
        lambda: above([WON, Interval(1, 0, 2, 0.9)], over="seeds"),
        lambda: above(WON, than=WON),
        lambda: above([1, 2], than=[1, 2, 3], over="seeds"),
        lambda: above({"A": 2}, than={"B": 1}, over="sources"),
        lambda: above(1, unit="points of 200"),
        lambda: within([1, 2], [1, 2, 3], 0.1),
        lambda: within(1, 1, -0.1),
        lambda: equal([1, 2], [1, 2, 3]),
        lambda: equal({"a": 1}, {"b": 1}),
        lambda: includes(3.0),
        lambda: counted(float("nan"), "seeds"),
        lambda: counted(5, "seeds, twice"),
        lambda: true(True, "falls by 10 points"),
        lambda: true(True, "is twice as large"),
    ],
)
def test_what_is_no_condition_is_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    "holds", [1, 0.3, "yes", None, torch.tensor([True, True]), np.array([True]), [True], np.array(1)]
)
def test_what_is_no_truth_value_is_refused(holds: object) -> None:
    with pytest.raises(TypeError, match=r"needs True or False.*"):
        true(holds, "is so")


@pytest.mark.parametrize(
    "word",
    "7 0.001 1,000 −7 10 % 56-layer 2× five Five twenty twice half third dozen one double each every all always never "
    "most both none any neither everywhere per@cent on@average x=3 r²".split(),
)
def test_a_sentence_says_no_number_by_itself(word: str) -> None:
    word = word.replace("@", " ")
    with pytest.raises(ValueError, match=f"says .*{re.escape(word.split('-')[0])}") as caught:
        claim("a", f"LP-FT leads {word} times, by {{lead}}.", lead=above(3))
    assert "come from a condition" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["MNIST-M", "stage6", "ResNet-20", "EfficientNet-Lite0's", "LP-FT", "overall", "the one", "tense", "eight"[:3]],
)
def test_names_and_innocent_words_pass(name: str) -> None:
    assert name in claim("a", f"It holds for {name} by {{lead}}.", lead=above(3)).statement


@pytest.mark.parametrize(
    "sentence", ["It is so.", "It is {lead} and {more}.", "{}, {lead}.", "{lead:.1f}.", "{lead!r}.", "{lead}"]
)
def test_sentence_and_conditions_fit(sentence: str) -> None:
    with pytest.raises(ValueError, match="claim a"):
        claim("a", sentence, lead=above(3))
    with pytest.raises(ValueError, match="claim a"):
        claim("a", "It leads by {lead}.", lead=above(3), unused=above(2))


def test_a_condition_is_one() -> None:
    with pytest.raises(TypeError, match=r"lead= must be a condition.*above\(gap, 7\)"):
        claim("a", "It leads by {lead}.", lead=3 > 2)


@pytest.mark.parametrize("id", ["", "Dann", "dann helps", "dann_helps", "-dann", "dann--helps", "dann-"])
def test_ids_are_lower_case_words_joined_by_hyphens(id: str) -> None:
    with pytest.raises(ValueError, match="claim id"):
        claim(id, SENTENCE, lead=above(3))


def test_several_conditions_are_told_apart() -> None:
    record = claim(
        "a", "It leads by {lead} and errs by {its_error}.", lead=above(3, 2), its_error=below(4, 5, unit="%")
    )
    assert record.statement == "It leads by more than 2 points and errs by less than 5 %."
    assert record.observed == "lead: 3 points; its error: 4 %"
    assert record.margin == "lead: more than 2 points (1 to spare); its error: less than 5 % (1 to spare)"


# ------------------------------------------------------------------------------------------------------- in a notebook


@pytest.fixture
def notebook() -> Iterator[None]:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    shell.instance()
    yield
    shell.clear_instance()


def test_in_a_notebook_a_card_is_shown_and_the_record_travels(notebook: None) -> None:
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        claim("so", "A<B leads by {lead}.", lead=above(WON), paper="5 | 3", source="Table 2")
    (output,) = captured.outputs
    statement = "A<B leads by more than 0 points (95 % interval)."
    assert set(output.data) == {"text/plain", "text/markdown", "text/html"} and captured.stdout == ""
    assert output.data["text/plain"].startswith(f"✓ {statement}\n  Observed here: 3.2 [1.0, 5.5] points\n")
    assert r"A\<B leads" in output.data["text/markdown"] and r"3.2 \[1.0, 5.5\]" in output.data["text/markdown"]
    card = output.data["text/html"]
    assert (
        "A&lt;B leads" in card and 'id="claim-so"' in card and "<code>so</code>" in card and "5 | 3 (Table 2)" in card
    )
    assert output.metadata["xferkit_claim"] == {
        "id": "so", "statement": statement, "observed": "3.2 [1.0, 5.5] points",
        "margin": "more than 0 points (1 to spare)", "paper": "5 | 3", "source": "Table 2",
    }  # fmt: skip


def test_in_a_notebook_a_claim_that_does_not_hold_shows_nothing(notebook: None) -> None:
    from IPython.utils.capture import capture_output

    with capture_output() as captured, pytest.raises(ClaimError):
        claim("so", "A leads by {lead}.", lead=above(OPEN))
    assert captured.outputs == []
