"""Whether submissions can be isolated on this machine; where the tests run as CI they must be."""

from __future__ import annotations

import os

import pytest

from xfergrade.walls import why_not_isolated

REASON = why_not_isolated()
if REASON is not None and os.environ.get("CI"):
    pytest.fail(f"the isolation must be tested here, and it does not work: {REASON}", pytrace=False)
isolated = pytest.mark.skipif(REASON is not None, reason=f"submissions cannot be isolated here: {REASON}")
