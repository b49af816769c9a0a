"""What is measured: the one reading of the test labels, distances between domains, likeness of features, retrieval."""

from xferkit.metrics.distance import a_distance, domain_accuracy, fresh_domain_accuracy
from xferkit.metrics.final_test import final_test, read_test_labels
from xferkit.metrics.retrieval import retrieval_precision
from xferkit.metrics.similarity import linear_cka

__all__ = [
    "a_distance", "domain_accuracy", "final_test", "fresh_domain_accuracy", "linear_cka", "read_test_labels",
    "retrieval_precision",
]  # fmt: skip
