"""xferkit: the helper package of the transfer learning course. A folder is a part of the field, a file one concept.

    import xferkit as xk

gives the names that every chapter needs; methods are reached through their room, such as `xk.tuning.freeze` or
`from xferkit.alignment import dann`. Rooms load when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xferkit import data, metrics, models
from xferkit.claims import claim
from xferkit.data import Domain, Split, TensorLoader, few_labels, load_domain, paired_batches, to_float
from xferkit.features import extract_features
from xferkit.metrics import final_test
from xferkit.models import Classifier, backbone
from xferkit.report import table
from xferkit.session import by_profile, device, profile, seed_everything, setup
from xferkit.train import evaluate, fit, predict, supervised_loss

if TYPE_CHECKING:
    from xferkit import alignment, plots, report, results, schedules, selection, tuning

__version__ = "0.1.0"

# Rooms that load when they are first used (a type checker sees them above).
_LAZY = ("alignment", "plots", "report", "results", "schedules", "selection", "tuning")

__all__ = [
    "Classifier", "Domain", "Split", "TensorLoader", "backbone", "by_profile", "claim", "data", "device", "evaluate",
    "alignment", "extract_features", "few_labels", "final_test", "fit", "load_domain", "metrics", "models",
    "paired_batches", "plots", "predict", "profile", "report", "results", "schedules", "seed_everything", "selection",
    "setup", "supervised_loss", "table", "to_float", "tuning",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"xferkit.{name}")
    raise AttributeError(f"module 'xferkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
