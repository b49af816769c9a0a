"""Domain-adversarial training: gradients by hand, schedules from the paper, and no target label anywhere."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xferkit.alignment import dann
from xferkit.alignment.dann import DomainDiscriminator, grad_reverse, lambda_ramp
from xferkit.data import Split, load_domain, paired_batches
from xferkit.metrics import a_distance
from xferkit.models import Classifier, feature_dim, lenet
from xferkit.schedules import inverse_decay
from xferkit.session import device, setup
from xferkit.train import fit


def clouds(n_s: int = 6, n_t: int = 10, dim: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z_s, z_t = torch.randn(n_s, dim, generator=generator), 1 + torch.randn(n_t, dim, generator=generator)
    return z_s.to(device()).requires_grad_(), z_t.to(device()).requires_grad_()


def discriminator(dim: int = 5) -> DomainDiscriminator:
    torch.manual_seed(1)
    return DomainDiscriminator(dim, hidden=7).to(device())


# ------------------------------------------------------------------------------------------------ gradient reversal


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0, 5.0])
def test_reversal_is_the_identity_forward_and_minus_lambda_backward(lam: float) -> None:
    x = torch.linspace(-2, 3, 12, device=device()).view(3, 4).requires_grad_()
    y = grad_reverse(x, lam)
    assert torch.equal(y, x)
    weights = torch.arange(12.0, device=device()).view(3, 4)
    (y * weights).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, -lam * weights)


@pytest.mark.parametrize("lam", [0.0, 0.5, 2.0])
def test_lambda_scales_the_gradient_of_the_features_alone(lam: float) -> None:
    z_s, z_t = clouds()
    disc = discriminator()
    dann.loss(disc, z_s, z_t, lam).backward()
    reversed_grads = [z_s.grad, z_t.grad]
    own_grads = [p.grad.clone() for p in disc.parameters() if p.grad is not None]

    # The same loss by hand, without any reversal.
    plain_s, plain_t = clouds()
    disc.zero_grad()
    (F.softplus(disc(plain_s)).mean() + F.softplus(-disc(plain_t)).mean()).backward()
    for reversed_grad, plain in zip(reversed_grads, (plain_s.grad, plain_t.grad), strict=True):
        assert reversed_grad is not None and plain is not None
        torch.testing.assert_close(reversed_grad, -lam * plain)
    for own, parameter in zip(own_grads, disc.parameters(), strict=True):
        torch.testing.assert_close(own, parameter.grad)  # full rate, right sign, whatever λ


def test_discriminators_gradient_does_not_depend_on_lambda() -> None:
    grads = []
    for lam in (0.0, 0.1, 1.0, 10.0):
        disc = discriminator()
        dann.loss(disc, *clouds(), lam).backward()
        grads.append([p.grad for p in disc.parameters()])
    assert all(g is not None and g.abs().sum() > 0 for g in grads[0])
    for other in grads[1:]:
        assert all(torch.equal(a, b) for a, b in zip(grads[0], other, strict=True))


def test_head_learns_as_without_adaptation_and_features_get_both_gradients() -> None:
    """d(L_y + L_d)/d(features) = dL_y − λ·dL_d; the head's gradient holds no trace of the domains."""
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.Linear(5, 4)), nn.Linear(4, 3)).to(device())
    disc = discriminator(4)
    (x_s, x_t), y = clouds(6, 6), torch.tensor([0, 1, 2, 0, 1, 2], device=device())

    def grads_of(*losses: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        model.zero_grad()
        torch.stack(losses).sum().backward()
        return (
            [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.features.parameters()],
            [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.head.parameters()],
        )

    lam = 0.7
    z_s, z_t = model.features(x_s), model.features(x_t)
    both, both_head = grads_of(F.cross_entropy(model.head(z_s), y), dann.loss(disc, z_s, z_t, lam))
    labels, labels_head = grads_of(F.cross_entropy(model.head(model.features(x_s)), y))
    z_s, z_t = model.features(x_s), model.features(x_t)
    domains, _ = grads_of(F.softplus(disc(z_s)).mean() + F.softplus(-disc(z_t)).mean())
    for got, label, domain in zip(both, labels, domains, strict=True):
        torch.testing.assert_close(got, label - lam * domain)
    for got, label in zip(both_head, labels_head, strict=True):
        torch.testing.assert_close(got, label)


# ------------------------------------------------------------------------------------------------------------- loss


def test_loss_is_mean_over_source_plus_mean_over_target() -> None:
    z_s, z_t = clouds(n_s=3, n_t=40)
    disc = discriminator()
    by_hand = -torch.log(1 - disc(z_s).sigmoid()).mean() - torch.log(disc(z_t).sigmoid()).mean()
    torch.testing.assert_close(dann.loss(disc, z_s, z_t, 1.0), by_hand)
    # Saying every target twice changes nothing: the domains weigh the same whatever their batch sizes.
    doubled = dann.loss(disc, z_s, torch.cat([z_t, z_t]), 1.0)
    torch.testing.assert_close(doubled, by_hand)


def test_an_undecided_discriminator_has_loss_two_log_two() -> None:
    disc = discriminator()
    for p in disc.parameters():
        nn.init.zeros_(p)
    assert dann.loss(disc, *clouds(), 1.0).item() == pytest.approx(2 * math.log(2))


def test_discriminator_learns_to_say_target_with_positive_logits() -> None:
    z_s, z_t = (z.detach() * 3 for z in clouds(50, 50))
    disc = discriminator()
    optimizer = torch.optim.Adam(disc.parameters(), 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        dann.loss(disc, z_s, z_t, 1.0).backward()
        optimizer.step()
    assert disc(z_s).shape == (50,)
    assert (disc(z_t) > 0).float().mean() > 0.9 and (disc(z_s) < 0).float().mean() > 0.9


def test_features_of_two_widths_are_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(6, 5\).*\(4, 3\)"):
        dann.loss(discriminator(), clouds()[0], torch.zeros(4, 3), 1.0)


# -------------------------------------------------------------------------------------------------------- schedules


def test_lambda_rises_from_zero_to_almost_one() -> None:
    assert lambda_ramp(0) == 0
    assert lambda_ramp(1) == pytest.approx(0.9999, abs=5e-5)
    assert lambda_ramp(0.1) == pytest.approx(math.tanh(0.5))  # 2 / (1 + e^(−2a)) − 1 = tanh a
    values = [lambda_ramp(p / 20) for p in range(21)]
    assert values == sorted(values) and len(set(values)) == 21
    assert lambda_ramp(0.1, gamma=20) == pytest.approx(lambda_ramp(0.2))


def test_lambda_waits_until_the_labels_are_learned() -> None:
    assert [lambda_ramp(p, start=0.2) for p in (0.0, 0.1, 0.2)] == [0.0, 0.0, 0.0]
    assert lambda_ramp(0.6, start=0.2) == pytest.approx(lambda_ramp(0.5))
    assert lambda_ramp(1.0, start=0.2) == lambda_ramp(1.0)
    for start in (-0.1, 1.0):
        with pytest.raises(ValueError, match="start"):
            lambda_ramp(0.5, start=start)


# --------------------------------------------------------------------------------------------------------- training


def train_dann(source: Split, target: Split, steps: int = 4) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    setup(seed=0)
    model = lenet(norm="instance").to(device())
    disc = DomainDiscriminator(feature_dim(model), hidden=16).to(device())
    both = nn.ModuleDict({"model": model, "disc": disc})
    batches = paired_batches(source, target, 16, generator=torch.Generator().manual_seed(0))

    def loss_fn(nets: nn.ModuleDict, batch: tuple[Tensor, Tensor, Tensor], p: float) -> dict[str, Tensor]:
        x_s, y_s, x_t = batch
        z_s, z_t = model.features(torch.cat([x_s, x_t])).split([len(x_s), len(x_t)])
        label = F.cross_entropy(model.head(z_s), y_s)
        domain = dann.loss(disc, z_s, z_t, lambda_ramp(p))
        return {"loss": label + domain, "label": label, "domain": domain}

    optimizer = torch.optim.SGD(both.parameters(), 0.01, momentum=0.9)
    history = fit(both, batches, loss_fn, optimizer, steps, schedule=inverse_decay, progress=False)
    return history, copy.deepcopy(both.state_dict())


def test_target_labels_never_reach_training() -> None:
    """Shuffled target labels leave the run bit-identical on a CPU, and within 1e-4 on a GPU."""
    source, target = load_domain("mnist").train, load_domain("mnist_m").train
    shuffled = Split(target.x, target.y[torch.randperm(len(target), generator=torch.Generator().manual_seed(9))])
    assert not torch.equal(shuffled.y, target.y)
    history, weights = train_dann(source, target)
    again, weights_again = train_dann(source, shuffled)
    if device().type == "cpu":
        assert history == again
        assert all(torch.equal(weights[name], weights_again[name]) for name in weights)
    else:
        for name in weights:
            torch.testing.assert_close(weights[name], weights_again[name], atol=1e-4, rtol=1e-3)


def test_source_labels_do_reach_training() -> None:
    """The check above can fail: what it does to the target's labels shows at once on the source's."""
    source, target = load_domain("mnist").train, load_domain("mnist_m").train
    shuffled = Split(source.x, source.y.roll(1))
    assert train_dann(source, target, steps=1)[0]["loss"] != train_dann(shuffled, target, steps=1)[0]["loss"]


def test_adversarial_training_brings_two_domains_together() -> None:
    """Two clouds that differ in one coordinate: a linear encoder learns to leave it out, if λ > 0."""
    generator = torch.Generator().manual_seed(0)
    x_s, x_t = (torch.randn(200, 4, generator=generator) for _ in range(2))
    x_t[:, 0] += 3
    y_s = (x_s[:, 1] > 0).long().to(device())
    x_s, x_t = x_s.to(device()), x_t.to(device())
    distance = {}
    for lam in (0.0, 0.3):
        torch.manual_seed(0)
        model = Classifier(nn.Sequential(nn.Linear(4, 3)), nn.Linear(3, 2)).to(device())
        disc = DomainDiscriminator(3, hidden=16).to(device())
        optimizer = torch.optim.SGD([*model.parameters(), *disc.parameters()], 0.02, weight_decay=0.01)
        for _ in range(600):
            z_s, z_t = model.features(x_s), model.features(x_t)
            loss = F.cross_entropy(model.head(z_s), y_s) + dann.loss(disc, z_s, z_t, lam)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            distance[lam] = a_distance(model.features(x_s).cpu(), model.features(x_t).cpu())
            assert (model(x_s).argmax(1) == y_s).float().mean() > 0.9
    assert distance[0.0] > 0.4
    assert distance[0.3] < 0.5 * distance[0.0]
