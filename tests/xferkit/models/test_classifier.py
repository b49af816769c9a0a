"""One shape for every network: features and head; and what is known of networks of other shapes."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
import torchvision
from torch import nn

from xferkit.models import Classifier, feature_dim, lenet
from xferkit.models.classifier import stages
from xferkit.session import device


def test_a_classifier_is_its_head_on_its_features() -> None:
    model = lenet().to(device())
    x = torch.randn(2, 3, 28, 28, device=device())
    assert torch.equal(model(x), model.head(model.features(x)))
    assert model.features(x).shape == (2, feature_dim(model)) == (2, 768)
    with pytest.raises(TypeError, match="no linear layer"):
        feature_dim(Classifier(nn.Sequential(nn.Flatten()), nn.Identity()))


def test_the_width_is_read_through_wrappers_and_the_error_says_what_to_do() -> None:
    assert feature_dim(nn.DataParallel(lenet())) == 768
    with pytest.raises(TypeError, match="Linear has no `head`"):
        feature_dim(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"model\.head = nn\.Linear"):
        feature_dim(Classifier(nn.Sequential(nn.Flatten()), nn.ReLU()))


def test_stages_of_our_networks_and_of_others() -> None:
    for model in (lenet(), nn.DataParallel(lenet())):
        body, (name, _) = stages(model)
        assert list(body) == ["features.stage1", "features.stage2"] and name == "head"
    body, (name, head) = stages(torchvision.models.resnet18())
    assert list(body) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"] and name == "fc"
    body, (name, _) = stages(torchvision.models.mobilenet_v3_small())  # a sole sequence is opened
    assert len(body) == 13 and "features.12" in body and name == "classifier"
    body, (name, _) = stages(timm.create_model("resnet10t"))
    assert list(body) == ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"] and name == "fc"
    single = nn.Linear(2, 2)
    assert stages(single) == ({}, ("network", single))


def test_class_names_travel_with_a_copy() -> None:
    model = lenet(2)
    assert model.classes is None and "classes" not in model.__dict__
    model.classes = ("cat", "owl")
    assert copy.deepcopy(model).classes == pickle.loads(pickle.dumps(model)).classes == ("cat", "owl")
