"""Plausible student mistakes in the assignment on domain-adversarial training, and what each must cost."""

from __future__ import annotations

from mutants.base import Mutant

ALL_REVERSAL_GRADIENTS = frozenset({"reverse.gradient", "reverse.tensor_lambda", "reverse.two_layers"})
ALL_UPDATES = frozenset({"step.update", "step.lambda_zero", "step.several", "step.one_pass"})
BOTH_LOSSES = frozenset({"loss.value", "loss.gradient", "loss.stable"})

MUTANTS: tuple[Mutant, ...] = (
    # ------------------------------------------------------------------------------------------------------- part A
    Mutant(
        "no_minus", "forgets the minus sign, so that the encoder helps the discriminator", "grad_reverse",
        "return -ctx.lam * grad, None", "return ctx.lam * grad, None", ALL_REVERSAL_GRADIENTS,
    ),
    Mutant(
        "no_lambda", "reverses the gradient but forgets λ", "grad_reverse",
        "return -ctx.lam * grad, None", "return -grad, None",
        ALL_REVERSAL_GRADIENTS | {"reverse.zero_and_dtype"},
    ),
    Mutant(
        "lambda_forward", "scales by −λ on the way forward, too", "grad_reverse",
        "return z.view_as(z)", "return -lam * z",
        frozenset({"reverse.forward", "reverse.gradient", "reverse.tensor_lambda", "reverse.two_layers"}),
    ),
    Mutant(
        "lambda_on_the_class", "keeps λ on the class, where the next call overwrites it", "grad_reverse",
        "ctx.lam = lam", "type(ctx).lam = lam", frozenset({"reverse.two_layers"}),
    ),
    Mutant(
        "almost_the_identity", "mixes z with its detached copy, which gives z up to rounding only", "grad_reverse",
        "return GradReverse.apply(z, lam)", "return (1 + lam) * z.detach() - lam * z", frozenset({"reverse.forward"}),
    ),
    Mutant(
        "lambda_learns", "gives a λ that is a tensor a gradient of its own", "grad_reverse",
        "return -ctx.lam * grad, None", "return -ctx.lam * grad, grad.sum() if torch.is_tensor(ctx.lam) else None",
        frozenset({"reverse.tensor_lambda"}),
    ),
    Mutant(
        "float32_only", "turns everything into float32", "grad_reverse",
        "return GradReverse.apply(z, lam)", "return GradReverse.apply(z.float(), lam)",
        frozenset({"reverse.zero_and_dtype"}),
    ),
    # ------------------------------------------------------------------------------------------------------- part B
    Mutant(
        "plain_sigmoid", "forgets to subtract 1, so that λ starts at 1", "schedules",
        "(1.0 + math.exp(-gamma * p)) - 1.0", "(1.0 + math.exp(-gamma * p))",
        frozenset({"schedules.lambda", "schedules.defaults"}),
    ),
    Mutant(
        "gamma_fixed", "writes 10 where γ belongs", "schedules",
        "math.exp(-gamma * p)", "math.exp(-10.0 * p)", frozenset({"schedules.lambda"}),
    ),
    Mutant(
        "power_of_p_alone", "takes the power of αp instead of the bracket", "schedules",
        "lr0 / (1.0 + alpha * p) ** beta", "lr0 / (1.0 + (alpha * p) ** beta)",
        frozenset({"schedules.lr", "schedules.defaults"}),
    ),
    Mutant(
        "progress_of_the_epoch", "counts p within each epoch, so that λ starts again", "schedules",
        "steps_done = epoch * batches_per_epoch + batch\n    return steps_done / (epochs * batches_per_epoch)",
        "return batch / batches_per_epoch", frozenset({"schedules.progress"}),
    ),
    Mutant(
        "progress_by_epochs", "lets p stand still within an epoch", "schedules",
        "steps_done = epoch * batches_per_epoch + batch", "steps_done = epoch * batches_per_epoch",
        frozenset({"schedules.progress"}),
    ),
    # ------------------------------------------------------------------------------------------------------- part C
    Mutant(
        "domains_swapped", "labels source 1 and target 0", "domain_loss",
        "return loss_s + loss_t",
        "return F.softplus(-logits_s).mean() + F.softplus(logits_t).mean()",
        BOTH_LOSSES,
    ),
    Mutant(
        "half_the_sum", "averages the two means instead of adding them", "domain_loss",
        "return loss_s + loss_t", "return (loss_s + loss_t) / 2", BOTH_LOSSES,
    ),
    Mutant(
        "mean_over_all_rows", "takes twice the mean over all rows, so the larger batch weighs more", "domain_loss",
        "return loss_s + loss_t",
        "n, m = len(logits_s), len(logits_t)\n    return 2 * (n * loss_s + m * loss_t) / (n + m)", BOTH_LOSSES,
    ),
    Mutant(
        "logarithm_of_a_sigmoid", "computes log σ(a) in two steps", "domain_loss",
        "return loss_s + loss_t",
        "return -torch.log(1 - torch.sigmoid(logits_s)).mean() - torch.log(torch.sigmoid(logits_t)).mean()",
        frozenset({"loss.stable"}),
    ),
    Mutant(
        "loss_as_a_number", "returns a number, which cannot be differentiated", "domain_loss",
        "return loss_s + loss_t", "return (loss_s + loss_t).item()", frozenset({"loss.gradient", "loss.stable"}),
    ),
    Mutant(
        "zero_is_source", "calls a logit of 0 source", "domain_loss",
        "right_s = (logits_s < 0).float().mean()\n    right_t = (logits_t >= 0)",
        "right_s = (logits_s <= 0).float().mean()\n    right_t = (logits_t > 0)", frozenset({"accuracy.ties"}),
    ),
    Mutant(
        "accuracy_over_all_rows", "counts right rows over both batches together", "domain_loss",
        "return 0.5 * (right_s + right_t).item()",
        "return torch.cat([logits_s < 0, logits_t >= 0]).float().mean().item()",
        frozenset({"accuracy.value", "accuracy.ties"}),
    ),
    # ------------------------------------------------------------------------------------------------------- part D
    Mutant(
        "lambda_times_the_loss", "multiplies the domain loss by λ, so that the discriminator learns more slowly",
        "dann_step", "grad_reverse(z, lam)).split(sizes)\n    domain = domain_loss(logits_s, logits_t)\n"
        "    optimizer.zero_grad()\n    (label + domain)",
        "grad_reverse(z, 1.0)).split(sizes)\n    domain = domain_loss(logits_s, logits_t)\n"
        "    optimizer.zero_grad()\n    (label + lam * domain)", ALL_UPDATES,
    ),
    Mutant(
        "minus_and_reversal", "reverses and subtracts as well: both signs turn", "dann_step",
        "(label + domain).backward()", "(label - domain).backward()", ALL_UPDATES,
    ),
    Mutant(
        "encoder_not_reached", "hands detached features to the discriminator", "dann_step",
        "grad_reverse(z, lam)", "grad_reverse(z.detach(), lam)",
        frozenset({"step.update", "step.several", "step.one_pass"}),
    ),
    Mutant(
        "old_gradients", "never clears the gradients", "dann_step",
        "    optimizer.zero_grad()\n", "", frozenset({"step.several"}),
    ),
    Mutant(
        "first_group_only", "sets the learning rate of the first group alone", "dann_step",
        "for group in optimizer.param_groups:", "for group in optimizer.param_groups[:1]:",
        frozenset({"step.several"}),
    ),
    Mutant(
        "learning_rate_forgotten", "leaves the learning rate as it was", "dann_step",
        'group["lr"] = lr', "pass", ALL_UPDATES,
    ),
    Mutant(
        "two_passes", "sends source and target through the encoder one after the other", "dann_step",
        "z = encoder(torch.cat([x_s, x_t]))", "z = torch.cat([encoder(x_s), encoder(x_t)])",
        frozenset({"step.one_pass"}),
    ),
    Mutant(
        "scaled_report", "reports the domain loss times λ", "dann_step",
        '"domain": domain.item()', '"domain": lam * domain.item()', frozenset({"step.scalars"}),
    ),
    Mutant(
        "no_step", "computes the gradients and takes no step", "dann_step",
        "    optimizer.step()\n", "", ALL_UPDATES,
    ),
    # ------------------------------------------------------------------------------------------------------- part E
    Mutant(
        "not_repaired", "leaves zero_grad after the discriminator's step", "repair",
        "    opt_disc.zero_grad()  # here: the second half of the last step has left -λ times a gradient behind\n"
        "    domain.backward()\n    opt_disc.step()\n",
        "    domain.backward()\n    opt_disc.step()\n    opt_disc.zero_grad()\n",
        frozenset({"repair.alternating", "repair.disc_ignores_lambda"}),
    ),
    Mutant(
        "adversary_removed", "drops the adversary: nothing is left behind, and nothing is adapted", "repair",
        "(label - lam * adversary).backward()", "label.backward()", frozenset({"repair.alternating"}),
    ),
    Mutant(
        "lambda_on_the_discriminator", "multiplies the discriminator's own loss by λ", "repair",
        "    domain.backward()\n", "    (lam * domain).backward()\n",
        frozenset({"repair.alternating", "repair.disc_ignores_lambda"}),
    ),
    Mutant(
        "labels_turned", "labels the source rows 1", "repair",
        "is_target[n_source:] = 1.0", "is_target[:n_source] = 1.0",
        frozenset({"repair.joined_equal", "repair.joined_unequal"}),
    ),
    Mutant(
        "sleeping_fault_left", "repairs the labels and leaves twice the mean over all rows", "repair",
        "return each[:n_source].mean() + each[n_source:].mean()", "return 2 * each.mean()",
        frozenset({"repair.joined_unequal"}),
    ),
)  # fmt: skip
