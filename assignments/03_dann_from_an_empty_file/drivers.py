"""Runs in the sandbox, in the student's process: what it returns is data, compared outside.

Networks are tiny and in float64, built from drawn weights. Students get this file too, so it holds no right answers:
where a check builds on earlier parts, the grader gives it the source's own functions (`given` in checks.py).
"""

import torch
from torch import nn


def reverse_forward(student, z, lam):
    """The values going forward, and whether the input is left as it was."""
    before = z.clone()
    out = student.grad_reverse(z, lam)
    return {"values": out, "input unchanged": bool(torch.equal(z, before))}


def reverse_gradient(student, z, w, lam):
    """The gradient that reaches z below a small nonlinear loss."""
    z.requires_grad_()
    (w * torch.tanh(student.grad_reverse(z, lam))).sum().backward()
    return z.grad


def reverse_tensor_lambda(student, z, w, lam):
    """The same with λ as a tensor that asks for a gradient."""
    z.requires_grad_()
    lam.requires_grad_()
    (w * torch.tanh(student.grad_reverse(z, lam))).sum().backward()
    return {"gradient": z.grad, "lambda got a gradient": lam.grad is not None and bool(lam.grad.abs().sum() > 0)}


def reverse_zero_and_dtype(student, z, w):
    """λ = 0, in float32 and float64: the gradient (zeros) and the types of output and gradient."""
    result = {}
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        typed = z.to(dtype).requires_grad_()
        out = student.grad_reverse(typed, 0.0)
        (w.to(dtype) * out).sum().backward()
        types = [str(out.dtype), "no gradient" if typed.grad is None else str(typed.grad.dtype)]
        result[name] = {"types": types, "gradient": typed.grad}
    return result


def reverse_two_layers(student, z, w, lam_a, lam_b):
    """Two reversal layers in one program, each with its own λ, and one backward pass."""
    z.requires_grad_()
    a, b = student.grad_reverse(z, lam_a), student.grad_reverse(z, lam_b)
    (w * a + (1 - w) * b.square()).sum().backward()
    return z.grad


def schedule_defaults(student, p):
    """Both schedules with nothing but p."""
    return [student.dann_lambda(p), student.dann_lr(p)]


def loss_and_gradients(student, logits_s, logits_t):
    """The domain loss with the gradients for both sides' logits."""
    logits_s.requires_grad_()
    logits_t.requires_grad_()
    loss = student.domain_loss(logits_s, logits_t)
    loss.backward()
    return {"loss": loss, "source": logits_s.grad, "target": logits_t.grad}


# ------------------------------------------------------------------------------------------------------------- steps


class Counted(nn.Sequential):
    """Layers that count how often they are called."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def networks(weights, norm=False):
    """Encoder, head and discriminator with these weights: four matrices (out, in) and four vectors (out,)."""
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
    width = len(b1)
    normed = [nn.BatchNorm1d(width)] if norm else []
    encoder = Counted(nn.Linear(w1.shape[1], width), *normed, nn.Tanh()).double()
    head = nn.Linear(width, len(b2)).double()
    disc = nn.Sequential(nn.Linear(width, len(b3)), nn.Tanh(), nn.Linear(len(b3), 1), nn.Flatten(0)).double()
    with torch.no_grad():
        for layer, w, b in ((encoder[0], w1, b1), (head, w2, b2), (disc[0], w3, b3), (disc[2], w4, b4)):
            layer.weight.copy_(w)
            layer.bias.copy_(b)
    return encoder, head, disc


def numbers(module):
    """A module's parameters and running statistics as one vector."""
    values = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
    return torch.cat([v.detach().flatten() for v in values])


def all_numbers(encoder, head, disc):
    """Head, discriminator, encoder: a message names the first that differs, so the simplest comes first."""
    return {"head": numbers(head), "discriminator": numbers(disc), "encoder": numbers(encoder)}


def sgd(*groups):
    """SGD with a group of parameters for each group of networks; its learning rate of 1 is there to be replaced."""
    listed = [{"params": [p for net in group for p in net.parameters()]} for group in groups]
    return torch.optim.SGD(listed, lr=1.0, momentum=0.9)


def step_scalars(student, weights, x_s, y_s, x_t, lam, lr):
    """What one step returns."""
    nets = networks(weights)
    return student.dann_step(*nets, sgd(nets), x_s, y_s, x_t, lam, lr)


def step_update(student, weights, x_s, y_s, x_t, lam, lr):
    """The three networks after one step."""
    nets = networks(weights)
    student.dann_step(*nets, sgd(nets), x_s, y_s, x_t, lam, lr)
    return all_numbers(*nets)


def step_one_pass(student, weights, x_s, y_s, x_t, lam, lr):
    """The same with BatchNorm in the encoder, and how often the encoder was called."""
    nets = networks(weights, norm=True)
    student.dann_step(*nets, sgd(nets), x_s, y_s, x_t, lam, lr)
    return {**all_numbers(*nets), "calls of the encoder": nets[0].calls}


def step_several(student, weights, batches, lams, lrs):
    """The networks after several steps; the optimizer has one group of parameters for each network."""
    nets = networks(weights)
    optimizer = sgd(*([net] for net in nets))
    for (x_s, y_s, x_t), lam, lr in zip(batches, lams, lrs, strict=True):
        student.dann_step(*nets, optimizer, x_s, y_s, x_t, lam, lr)
    return all_numbers(*nets)


def alternating_several(student, weights, batches, lams, lrs):
    """The networks after several steps of the repaired program 1, and what each step returned."""
    nets = networks(weights)
    opt_model, opt_disc = sgd(nets[:2]), sgd(nets[2:])
    returned = []
    for (x_s, y_s, x_t), lam, lr in zip(batches, lams, lrs, strict=True):
        returned.append(student.repaired_step(*nets, opt_model, opt_disc, x_s, y_s, x_t, lam, lr))
    return {"discriminator": numbers(nets[2]), **all_numbers(*nets), "returned": returned}


def alternating_disc_alone(student, weights, batches, lam, lr):
    """The discriminator after several steps in which encoder and head are held still."""
    nets = networks(weights)
    opt_model, opt_disc = sgd(nets[:2]), sgd(nets[2:])
    opt_model.step = lambda closure=None: None
    for x_s, y_s, x_t in batches:
        student.repaired_step(*nets, opt_model, opt_disc, x_s, y_s, x_t, lam, lr)
    return numbers(nets[2])
