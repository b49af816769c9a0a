"""Runs in the sandbox, in the student's process: what it returns is data, compared outside."""

import torch


def classify(student, features, labels, k, test_features):
    """Labels of the test rows by the student's two functions."""
    means = torch.from_numpy(student.class_means(features, labels, k))
    return student.nearest_mean(torch.from_numpy(test_features), means)
