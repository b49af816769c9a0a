"""The course's networks: small ones written out, large ones from timm and torchvision, all in one shape.

Every network is a `Classifier`: `features` is a sequence of named stages that ends in a flat (B, D), `head` turns that
into class scores. Every network takes what `to_float` makes: RGB pictures (B, 3, H, W) scaled to about [−1, 1).
"""

from xferkit.models.alexnet import mini_alexnet
from xferkit.models.anatomy import anatomy
from xferkit.models.classifier import Classifier, feature_dim
from xferkit.models.googlenet import mini_googlenet
from xferkit.models.imagenet import backbone, imagenet_classes
from xferkit.models.lenet import lenet
from xferkit.models.resnet import mini_resnet
from xferkit.models.vgg import mini_vgg

__all__ = [
    "Classifier", "anatomy", "backbone", "feature_dim", "imagenet_classes", "lenet", "mini_alexnet", "mini_googlenet",
    "mini_resnet", "mini_vgg",
]  # fmt: skip
