"""`import xferkit`: what it gives is documented, and it changes and loads nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import xferkit


@pytest.mark.parametrize("name", xferkit.__all__)
def test_public_names_exist_and_are_documented(name: str) -> None:
    public = getattr(xferkit, name)
    if callable(public):
        assert public.__doc__ and not public.__doc__.startswith(f"{name}("), f"{name} has no docstring of its own"


IMPORTED = """
import json, os, random, sys, warnings
import numpy, torch
def state():
    return [
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.backends.cudnn.deterministic,
        str(torch.get_rng_state().sum()), str(numpy.random.get_state()), str(random.getstate()), str(warnings.filters),
        dict(os.environ), torch.hub.get_dir(), sys.excepthook is sys.__excepthook__,
    ]
before = state()
import xferkit
after = state()
print(json.dumps([before == after, [name for name in json.loads(sys.argv[1]) if name in sys.modules]]))
"""


def test_importing_the_package_changes_nothing_and_loads_nothing_heavy() -> None:
    """What costs a second or two (matplotlib alone does) is loaded by whoever needs it."""
    heavy = ["matplotlib", "sklearn", "skimage", "scipy", "timm", "torchvision", "mlxtend", "pandas", "IPython"]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, json.dumps(heavy)], capture_output=True, text=True, check=True
    )
    same, loaded = json.loads(done.stdout)
    assert same and loaded == []
