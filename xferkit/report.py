"""What is reported, and how."""

from __future__ import annotations


def gap_closed(source_only: float, adapted: float, target_only: float) -> float:
    """The share of the gap between the two bounds that adaptation closes (Ganin et al. 2016, Table 2).

    0 is the source-only bound, 1 the target-only bound; below 0 adaptation did harm.

    Raises:
        ValueError: the bounds leave no gap.
    """
    if target_only <= source_only:
        raise ValueError(f"target-only {target_only} is not above source-only {source_only}: there is no gap to close.")
    return (adapted - source_only) / (target_only - source_only)
