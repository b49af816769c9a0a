"""xferkit: the helper package of the transfer learning course. Small, typed, one concept a file."""

__version__ = "0.1.0"

from xferkit.claims import Claim, ClaimError, claim
from xferkit.dann import DomainDiscriminator, dann_lambda, dann_lr, domain_adversarial_loss, grad_reverse
from xferkit.data import (
    Domain,
    Split,
    TensorLoader,
    blend_mnist_m,
    few_labels,
    image_folder,
    list_domains,
    load_domain,
    paired_batches,
    to_float,
)
from xferkit.features import (
    coral_map,
    extract_features,
    fit_linear_map,
    retrieval_precision,
    subspace_alignment,
    whiten,
)
from xferkit.freezing import freeze, param_groups, trainable_parameters, unfreeze
from xferkit.metrics import a_distance, final_test, gap_closed, linear_cka
from xferkit.models import Classifier, backbone, feature_dim, imagenet_classes, lenet, mini_resnet
from xferkit.plots import PALETTE, plot_curves, plot_embedding, plot_transfer, show_images, smooth
from xferkit.recipes import cosine, finetune, fit_logistic, gradual_unfreeze, linear_probe, lp_ft
from xferkit.selection import entropy_score, im_score, logme, snd_score
from xferkit.session import Session, by_profile, data_root, device, profile, seed_everything, setup
from xferkit.surgery import CopyReport, copy_weights, interpolate_weights, replace_head
from xferkit.train import History, NonFiniteLoss, Prediction, Score, evaluate, fit, predict, supervised_loss

__all__ = [
    "Claim", "ClaimError", "Classifier", "CopyReport", "Domain", "DomainDiscriminator", "History",
    "NonFiniteLoss", "PALETTE", "Prediction", "Score", "Session", "Split", "TensorLoader", "a_distance",
    "backbone", "blend_mnist_m", "by_profile", "claim", "copy_weights", "coral_map", "cosine", "dann_lambda",
    "dann_lr", "data_root", "device", "domain_adversarial_loss", "entropy_score", "evaluate",
    "extract_features", "feature_dim", "few_labels", "final_test", "finetune", "fit", "fit_linear_map",
    "fit_logistic", "freeze", "gap_closed", "grad_reverse", "gradual_unfreeze", "im_score", "image_folder",
    "imagenet_classes", "interpolate_weights", "lenet", "linear_cka", "linear_probe", "list_domains",
    "load_domain", "logme", "lp_ft", "mini_resnet", "paired_batches", "param_groups", "plot_curves",
    "plot_embedding", "plot_transfer", "predict", "profile", "replace_head", "retrieval_precision",
    "seed_everything", "setup", "show_images", "smooth", "snd_score", "subspace_alignment", "supervised_loss",
    "to_float", "trainable_parameters", "unfreeze", "whiten",
]  # fmt: skip
