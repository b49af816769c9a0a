"""Runs in the sandbox, in the student's process: small networks from drawn weights; what they become is handed back.

The networks have the shape of the course's classifiers: `features`, a sequence of named stages, and a linear `head`.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    """forward(x) = head(features(x)), from (B, 3, H, W) to (B, classes)."""

    def __init__(self, features, head):
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x):
        return self.head(self.features(x))


def network(layout, state, dropout=0.0):
    """A network with these stages ("conv", "drop" or "pool") and these numbers, in 64-bit precision."""
    stages = OrderedDict()
    for i, kind in enumerate(layout):
        weight = state.get(f"features.stage{i}.0.weight")
        if kind == "conv":
            norm = f"features.stage{i}.1.weight" in state
            layers = [nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=not norm)]
            layers += [nn.BatchNorm2d(weight.shape[0])] if norm else []
            stages[f"stage{i}"] = nn.Sequential(*layers, nn.ReLU(), nn.Dropout(dropout))
        elif kind == "drop":
            stages[f"stage{i}"] = nn.Dropout(0.0)
        else:
            stages[f"stage{i}"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classes, width = state["head.weight"].shape
    net = Net(nn.Sequential(stages), nn.Linear(width, classes)).double()
    net.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    return net


def tensors(named, prefix=""):
    """Copies of named tensors as a dict."""
    return {name: value.detach().clone() for name, value in named if name.startswith(prefix)}


def descend(net, x, y, optimizer, steps):
    for _ in range(steps):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


# ------------------------------------------------------------------------------------------------------ the budget


def training_labels(student, labels, val_per_class, train_per_class, order):
    """The positions drawn for training, in ascending order."""
    train, _ = student.spend_budget(labels, val_per_class, train_per_class, order)
    return torch.as_tensor(train).sort().values


def validation_labels(student, labels, val_per_class, train_per_class, order):
    """The positions drawn for validation, in ascending order."""
    _, val = student.spend_budget(labels, val_per_class, train_per_class, order)
    return torch.as_tensor(val).sort().values


def affordable(student, labels, sizes, order):
    """How many pictures each (val_per_class, train_per_class) draws in all; −1 where it is refused by ValueError."""
    drawn = []
    for val_per_class, train_per_class in sizes:
        try:
            train, val = student.spend_budget(labels, val_per_class, train_per_class, order)
        except ValueError:
            drawn.append(-1)
        else:
            drawn.append(len(train) + len(val))
    return drawn


# --------------------------------------------------------------------------------------------------------- freezing


def held_in_training(student, layout, state, x, dropout):
    """Scores and buffers after forward passes in training mode, the statistics of `features` held."""
    net = network(layout, state, dropout)
    student.hold_statistics(net.features)
    net.train()
    for batch in x:
        scores = net(batch)
    return {"scores": scores, **tensors(net.named_buffers())}


def held_step(student, layout, state, x, y, lr):
    """The encoder's weights after three steps with the statistics held."""
    net = network(layout, state)
    student.hold_statistics(net.features)
    net.train()
    descend(net, x, y, torch.optim.SGD(net.parameters(), lr), 3)
    return tensors(net.named_parameters(), "features")


def frozen_steps(student, layout, state, x, y, lr):
    """The encoder's weights after `freeze` and three steps of an optimizer that holds every parameter."""
    net = network(layout, state)
    student.freeze(net.features)
    net.train()
    descend(net, x, y, torch.optim.SGD(net.parameters(), lr, momentum=0.9, weight_decay=0.1), 3)
    return tensors(net.named_parameters(), "features")


def frozen_in_between(student, layout, state, x, y, lr):
    """The encoder's weights when `freeze` comes between backward() and step()."""
    net = network(layout, state)
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
    descend(net, x, y, optimizer, 1)
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    student.freeze(net.features)
    optimizer.step()
    return tensors(net.named_parameters(), "features")


def frozen_buffers(student, layout, state, x):
    """BatchNorm's buffers after `freeze` and forward passes in training mode."""
    net = network(layout, state)
    student.freeze(net.features)
    net.train()
    for batch in x:
        net(batch)
    return tensors(net.named_buffers())


# ------------------------------------------------------------------------------------------------- parameter groups


def grouped_step(student, layout, state, gradients, settings, frozen, wanted):
    """The parameters whose names begin with `wanted` after one SGD step with the given gradients."""
    net = network(layout, state)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in frozen)
    optimizer = torch.optim.SGD(student.param_groups(net, **settings))
    for name, parameter in net.named_parameters():
        parameter.grad = torch.as_tensor(gradients[name]).clone()
    optimizer.step()
    return tensors(net.named_parameters(), wanted)


# ------------------------------------------------------------------------------------------------------------ LP-FT


def probed(student, layout, state, x, y, l2, x_new):
    """Class probabilities of new pictures after the probe."""
    net = network(layout, state).train()
    student.probe_head(net, x, y, l2)
    return net.eval()(x_new).softmax(dim=1)


def probed_features(student, layout, state, x, y, l2):
    """Weights and buffers of the encoder after the probe, and which of its parameters a gradient still reaches."""
    net = network(layout, state).train()
    student.probe_head(net, x, y, l2)
    after = tensors(net.state_dict().items(), "features")
    parameters = list(net.features.named_parameters())
    for _, parameter in parameters:
        parameter.grad = None
    scores = net.eval().features(x)
    if scores.requires_grad:
        scores.square().sum().backward()
    return {**after, "learns": {name: parameter.grad is not None for name, parameter in parameters}}


def tuned(student, layout, state, x, y, batches, lr):
    """Weights and buffers after a few steps; the network arrives in evaluation mode, the groups are as in part C."""
    net = network(layout, state).eval()
    matrices, vectors = ([p for p in net.parameters() if (p.ndim > 1) is many] for many in (True, False))
    groups = [
        {"params": matrices, "lr": lr, "weight_decay": 0.1},
        {"params": vectors, "lr": 2 * lr, "weight_decay": 0.0},
    ]
    student.fine_tune(net, x, y, batches, groups)
    return tensors(net.state_dict().items())


def lp_ft_start(student, layout, state, x, y, l2, lr, x_new):
    """Class probabilities of new pictures when LP-FT is given no fine-tuning step."""
    net = network(layout, state).train()
    student.lp_ft(net, x, y, [], l2, lr)
    return net.eval()(x_new).softmax(dim=1)


def lp_ft_buffers(student, layout, state, x, y, batches, l2, lr):
    """BatchNorm's buffers after LP-FT."""
    net = network(layout, state).train()
    student.lp_ft(net, x, y, batches, l2, lr)
    return tensors(net.named_buffers())


def lp_ft_weights(student, layout, state, x, y, batches, l2, lr):
    """How far LP-FT moved each weight of the encoder."""
    net = network(layout, state).train()
    before = tensors(net.named_parameters(), "features")
    student.lp_ft(net, x, y, batches, l2, lr)
    return {name: value - before[name] for name, value in tensors(net.named_parameters(), "features").items()}


# -------------------------------------------------------------------------------------------------------- reporting


def chosen_and_mean(student, val, test):
    """The settings chosen, and the mean test accuracy there."""
    chosen, mean, _ = student.report(val, test)
    return chosen, mean


def spread(student, val, test):
    """The spread over seeds."""
    return student.report(val, test)[2]


def labels_for_each(student, labels, accuracy, targets):
    """The labels needed for each of several targets."""
    return [student.labels_needed(labels, accuracy, target) for target in targets]
