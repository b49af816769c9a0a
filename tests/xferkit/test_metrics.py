"""What is reported."""

from __future__ import annotations

import pytest

from xferkit.report import gap_closed


def test_gap_closed_is_the_share_of_the_gap() -> None:
    assert gap_closed(0.5, 0.5, 0.9) == 0 and gap_closed(0.5, 0.9, 0.9) == 1
    assert gap_closed(0.5, 0.4, 0.9) == pytest.approx(-0.25)
    # Ganin et al. 2016, Table 2, MNIST → MNIST-M: their own accuracies give 55.8 %.
    assert gap_closed(52.25, 76.66, 95.96) == pytest.approx(0.558, abs=5e-4)
    for target_only in (0.5, 0.4):
        with pytest.raises(ValueError, match="no gap"):
            gap_closed(0.5, 0.6, target_only)
