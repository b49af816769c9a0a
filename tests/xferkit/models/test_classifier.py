"""One shape for every network: features and head; and what is known of networks of other shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xferkit.models import Classifier, feature_dim, lenet
from xferkit.session import device


def test_a_classifier_is_its_head_on_its_features() -> None:
    model = lenet().to(device())
    x = torch.randn(2, 3, 28, 28, device=device())
    assert torch.equal(model(x), model.head(model.features(x)))
    assert model.features(x).shape == (2, feature_dim(model)) == (2, 768)
    with pytest.raises(TypeError, match="no linear layer"):
        feature_dim(Classifier(nn.Sequential(nn.Flatten()), nn.Identity()))
