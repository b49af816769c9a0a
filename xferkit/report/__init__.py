"""What is reported, and how: tables, means with their deviation, intervals, accuracies, the share of a gap."""

from xferkit.report.intervals import Interval, gap_closed, interval, mean_sd, paired_bootstrap, percent
from xferkit.report.scores import accuracy, balanced_accuracy
from xferkit.report.tables import Table, markdown_table, table
from xferkit.report.tuned import Trials, class_weights, tuned_interval

__all__ = [
    "Interval", "Table", "Trials", "accuracy", "balanced_accuracy", "class_weights", "gap_closed", "interval",
    "markdown_table", "mean_sd", "paired_bootstrap", "percent", "table", "tuned_interval",
]  # fmt: skip
