"""Model-level transfer: taking networks apart, choosing what may move, and training it."""

from xferkit.tuning.freezing import freeze, hold_statistics, param_groups, trainable_parameters, unfreeze
from xferkit.tuning.probe import fit_logistic, linear_probe
from xferkit.tuning.recipes import finetune, gradual_unfreeze, lp_ft
from xferkit.tuning.surgery import CopyReport, copy_weights, interpolate_weights, replace_head

__all__ = [
    "CopyReport", "copy_weights", "finetune", "fit_logistic", "freeze", "gradual_unfreeze", "hold_statistics",
    "interpolate_weights", "linear_probe", "lp_ft", "param_groups", "replace_head", "trainable_parameters", "unfreeze",
]  # fmt: skip
