"""What counts as the same output, what a mark says of the number before it, and which numbers of a text need one."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from scripts.comparing import compare, differences, pieces, spread
from scripts.measure_spread import tolerance_of, with_tolerances
from scripts.prose import Mark, disagreement, marks, solutions, unmarked


@pytest.mark.parametrize(
    ("stored", "live"),
    [
        ("LP-FT 47.1 ± 2.0 %", "LP-FT 47.1 ± 2.0 %"),
        ("| a    |    47.1 |\n| ---- | ------: |", "| a | 47.1 |\n| -- | --: |"),  # columns as wide as their numbers
        ("+3.1", "3.1"),
        ("1,234 of 5", "1,234 of 5"),
        ("stage6", "stage6"),
    ],
)
def test_the_same(stored: str, live: str) -> None:
    assert compare(stored, live) == []


@pytest.mark.parametrize(
    ("stored", "live"),
    [
        ("47.1", "47.2"),
        ("47.1", "47.10"),  # printed otherwise
        ("47.1", "−47.1"),
        ("+3.1", "-3.1"),
        ("5 seeds", "6 seeds"),
        ("1,234", "1,235"),
        ("1.1e-15", "1.2e-15"),
        ("stage6", "stage7"),
        ("56-layer", "57-layer"),
        ("an even number", "an odd number"),
        ("a", "a b"),
        ("a 1", "a 1 2"),
        ("2.13.0+cu130", "2.13.1+cu130"),
        ("nan", "0.5"),
        ("0.3em", "0.4em"),
    ],
)
def test_not_the_same(stored: str, live: str) -> None:
    assert len(compare(stored, live)) == 1
    assert compare(stored, live, {"3": 9.0, "7": 9.0})  # a tolerance for other numbers does not help


def test_numbers_and_words() -> None:
    words, numbers = pieces("−0.5 of 1,000, 10-5, 3 × 10⁻³, v2, 1.2.3, 1e−10, (95 %): [−0.3, +2.5].")
    assert [n.text for n in numbers] == ["−0.5", "1,000", "10", "5", "3", "10", "1e−10", "95", "−0.3", "+2.5"]
    assert "v2," in words and "1.2.3," in words


@pytest.mark.parametrize("tolerance", [0.1, 0.3, 0.004])
@pytest.mark.parametrize("sign", [-1, 1])
def test_twice_the_tolerance_fails_and_half_of_it_passes(tolerance: float, sign: int) -> None:
    stored = "5 seeds: 47.1000 ± 2.0"
    changed = "5 seeds: {:.4f} ± 2.0"
    allowed = {"4": tolerance}
    assert compare(stored, changed.format(47.1 + sign * tolerance / 2), allowed) == []
    assert compare(stored, changed.format(47.1 + sign * tolerance), allowed) == []
    assert compare(stored, changed.format(47.1 + sign * 2 * tolerance), allowed)
    assert compare(stored, stored.replace("5", "6"), allowed)  # a whole number is exact
    assert compare(stored, stored.replace("2.0", "2.1"), allowed)  # another kind of number too
    assert compare("1.0e-4", "1.04e-4", {"e": 0.05}) == [] != compare("1.0e-4", "1.1e-4", {"e": 0.05})


def output(kind: str, text: str, **metadata: Any) -> Any:
    return nbformat.v4.new_output("display_data", {kind: text}, metadata=metadata)


def test_all_forms_of_an_output_are_compared() -> None:
    for kind in ("text/plain", "text/markdown", "text/html", "text/latex"):
        assert differences([output(kind, "1.5")], [output(kind, "1.5")]) == []
        assert differences([output(kind, "1.5")], [output(kind, "1.6")]) == [f"{kind}: 1.5 is now 1.6"]
    stream = nbformat.v4.new_output("stream", text="1.5\n")
    assert differences([stream], [output("text/plain", "1.5")])  # another kind
    assert differences([stream], []) and differences([], [stream])  # one is missing
    record = {"xferkit_claim": {"observed": "1.5"}}
    assert differences([output("text/plain", "a", **record)], [output("text/plain", "a", **record)]) == []
    other = {"xferkit_claim": {"observed": "2.5"}}
    assert differences([output("text/plain", "a", **record)], [output("text/plain", "a", **other)])


def test_pictures_are_there_or_not() -> None:
    def picture(png: str, text: str) -> Any:
        return nbformat.v4.new_output("display_data", {"image/png": png, "text/plain": text})

    assert differences([picture("aaaa", "<Figure size 640x480>")], [picture("bbbb", "<Figure size 641x480>")]) == []
    assert differences([picture("aaaa", "")], [output("text/plain", "")])


def test_spread_is_by_kind_of_number() -> None:
    a, b = [output("text/plain", "5 seeds: 47.1, 0.031, 1e-3")], [output("text/plain", "5 seeds: 47.3, 0.030, 2e-3")]
    largest: dict[str, float] = {}
    for kind, gap in spread(a, b):
        largest[kind] = max(gap, largest.get(kind, 0))
    assert largest == pytest.approx({"0": 0, "1": 0.2, "3": 0.001, "e": 0.5})
    with pytest.raises(ValueError, match="words differ"):
        list(spread(a, [output("text/plain", "6 seeds 1 2 3")]))


def test_tolerances_are_three_times_the_spread_and_one_digit_at_least() -> None:
    runs = [[output("text/plain", t)] for t in ("5: 47.1, 0.031 1e-3", "5: 47.3, 0.031 1.02e-3", "5: 46.9, 0.031 1e-3")]
    assert tolerance_of(runs) == {"1": 1.2, "e": 0.059}
    assert tolerance_of(runs[:1]) == tolerance_of([runs[0]] * 3) == {}
    tiny = [[output("text/plain", t)] for t in ("1,000.0", "1,000.0001")]
    assert tolerance_of(tiny)["4"] == 0.0003 and compare("1.0", "1.1", {"1": tolerance_of(tiny)["1"]}) == []
    with pytest.raises(ValueError, match="cell 7: the words differ"):
        tolerance_of([[output("text/plain", "a")], [output("text/plain", "b")]], "cell 7")


def notebook(*texts: str, tags: tuple[str, ...] = (), **metadata: Any) -> NotebookNode:
    outputs = [output("text/plain", text) for text in texts]
    cell = nbformat.v4.new_code_cell("f()", outputs=outputs, metadata={"tags": list(tags), **metadata})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"), cell])


def test_tolerances_are_stored_with_the_cell() -> None:
    done, problems = with_tolerances(notebook("47.1"), [notebook("47.2")], "01")
    assert done.cells[1].metadata.xferkit == {"tolerance": {"1": 0.3}} and problems == []
    done, _ = with_tolerances(notebook("47.1", xferkit={"tolerance": {"1": 9.0}}), [notebook("47.1")], "01")
    assert "xferkit" not in done.cells[1].metadata  # what was measured before is forgotten
    done, _ = with_tolerances(notebook("47.1", xferkit={"tolerance": {"1": 9.0}}), [notebook("47.2")], "01", widen=True)
    assert done.cells[1].metadata.xferkit == {"tolerance": {"1": 9.0}}
    done, problems = with_tolerances(notebook("12.5 s", tags=("varies",)), [notebook("12.9 s")], "01")
    assert "xferkit" not in done.cells[1].metadata and problems == []
    _, problems = with_tolerances(notebook("best: a"), [notebook("best: b")], "01")
    assert len(problems) == 1 and "01, cell 1: the words differ" in problems[0]
    with pytest.raises(ValueError, match="other cells"):
        with_tolerances(notebook("a"), [nbformat.v4.new_notebook()], "01")


# --------------------------------------------------------------------------------------------------------------- marks


def mark(text: str) -> Mark:
    (found,) = marks(text)
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('**47.1<!-- =f"{x:.1f}" -->** points', "47.1"),
        ("47.1<!-- =x -->", 47.14),
        ("47<!-- =x --> %", 46.6),
        ("−0.3<!-- =x -->", -0.34),
        ("-0.3<!-- =x -->", "-0.3"),
        ("0.0<!-- =x -->", -0.01),
        ("1,234<!-- =x -->", 1234),
        ("about 47<!-- =x ± 0.5 -->", 47.4),
        ("about 47<!-- =x ± 0.5 -->", "47.4"),
        ("is *stage6*, no: stage6<!-- =best -->", "stage6"),
        ("more than half<!-- =x > 0.5 --> of", True),
        ("first line 12.5\nsecond line 47.1<!-- =x -->", "47.1"),
        ("46.6<!-- =y --> to 47.1<!-- =x -->".split(" to ")[1], 47.1),
        ("47.1 %<!-- =x -->", "47.1 %"),
    ],
)
def test_marks_that_agree(text: str, value: Any) -> None:
    assert disagreement(mark(text), value) is None


@pytest.mark.parametrize(
    ("text", "value", "says"),
    [
        ("47.1<!-- =x -->", "47.2", "is now '47.2'"),
        ("147.1<!-- =x -->", "47.1", "is now"),
        ("−47.1<!-- =x -->", "47.1", "is now"),
        ("uneven<!-- =x -->", "even", "is now"),
        ("47.1<!-- =x -->", 47.16, "is now 47.16"),
        ("47.1<!-- =x ± 0.2 -->", 47.4, "is now 47.4"),
        ("47.1 points<!-- =x -->", 47.1, "no number stands before"),
        ("47.1<!-- =x -->", "", "is now"),
        ("more than half<!-- =x > 0.5 -->", False, "false"),
        ("47.1 <!-- =x -->", "47.1", "is now"),
    ],
)
def test_marks_that_do_not(text: str, value: Any, says: str) -> None:
    said = disagreement(mark(text), value)
    assert said is not None and says in said


def test_marks_are_found_with_their_tolerance() -> None:
    found = marks("a 1<!-- =x --> and 2<!-- =f'{y:.0f}' ± 0.5 -->\n<!-- a comment -->\n3<!-- =z\n-->")
    assert [(m.before, m.expression, m.tolerance) for m in found] == [
        ("a 1", "x", None), ("a 1 and 2", "f'{y:.0f}'", 0.5), ("3", "z", None),
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- solutions


def test_solutions_are_python_inside_a_fold() -> None:
    text = """
**1.** Do it. ```python
```python
not_this()
```
<details><summary>Hint</summary>

```python
nor_this()
```
</details>
<details>
<summary><b>Solution</b> and why</summary>

Because:

```python
a = 1
```

```text
nor this
```

~~~python
b = 2
~~~

</details>
"""
    assert list(solutions(text)) == ["a = 1\n", "b = 2\n"]


# --------------------------------------------------------------------------------------------------- numbers in a text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It reaches 47.1 points.", ["47.1"]),
        ("It reaches 47 % and 1,234.5 of them.", ["47 %", "1,234.5"]),
        ("It reaches 47 per cent.", ["47 per cent"]),
        ("It reaches **47.1**.", ["47.1"]),
        ("It reaches 47.1<!-- =x --> points, 47 %<!-- =y --> and 5<!-- =z --> %.", []),
        ("It reaches 4<!-- =x[0.25] / 1.5 ± 0.1 --> and 47.1.", ["47.1"]),
        ("| a | 47.1 |\n| b | 3.5<!-- =x --> |", ["47.1"]),
        ("See [chapter 13.1](x.md) and `lr=0.1`, $0.5$ and $$\n0.25\n$$", ["13.1"]),
        ("See [here](https://a.b/1.5) <https://a.b/2.5>.", []),
        ("```\n0.5\n```\n\n~~~python\n0.5\n~~~", []),
        ("They report 76.7 % ([Ganin et al. 2016](../book/bibliography.md#ganin2016)). Ours is 63.5 %.", ["63.5"]),
        ("The paper reports 76.7 % {cite:p}`ganin2016`.", []),
        ("They found 10 %.<!-- paper -->", []),
        ("With 5 seeds, 3,500 digits, stage 6 and Python 3.11.7.", []),
        ("Version 1.0 of it, under CC BY-SA 4.0 and Apache 2.0.", []),
    ],
)
def test_numbers_without_a_mark(text: str, found: list[str]) -> None:
    assert unmarked(text) == found
