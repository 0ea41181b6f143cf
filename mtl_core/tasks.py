"""Task kinds: losses over lanes. A mask is applied before the arithmetic, so a missing label can never make a NaN gradient.

Losses (mean over valid elements, natural units of the kind, no 1/2 in the squared error so that the closed forms hold):

    regression, multi_output   squared error, absolute error, Huber
    binary                     cross entropy on logits with optional weight of positives, or focal loss (Lin et al. 2017)
    multiclass                 cross entropy, optional label smoothing
    count                      zero-inflated negative binomial, or Poisson, negative log-likelihood
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

LOG_DISPERSION_LIMIT = 8.0  # |ln r|: beyond it float32 loses the difference of two lgammas
LOG_RATE_LIMIT = 30.0  # ln of a predicted count


def task_loss(
    task: TaskSpec,
    outputs: Float[Tensor, "*lanes rows outputs"],
    targets: Float[Tensor, "*lanes rows width"],
    valid: Bool[Tensor, "*lanes rows width"],
) -> Float[Tensor, "*lanes"]:
    """Mean loss over valid elements; 0 where a lane has none (the caller knows that the task is absent).

    `targets` are class indices, counts or scaled values, with any finite number where `valid` is False.
    """
    rows = valid if task.kind in ("regression", "multi_output") else valid[..., :1]
    outputs = outputs.masked_fill(~rows, 0.0)
    elements = element_loss(task, outputs, targets)
    total = (elements * rows).sum((-2, -1))
    return total / rows.sum((-2, -1)).clamp(min=1)


def element_loss(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Float[Tensor, "*lanes rows width"]:
    """Loss of every element, unmasked."""
    functional = torch.nn.functional
    if task.loss == "mse":
        return (outputs - targets) ** 2
    if task.loss == "l1":
        return (outputs - targets).abs()
    if task.loss == "huber":
        return functional.huber_loss(outputs, targets.expand_as(outputs), reduction="none", delta=task.huber_delta)
    if task.loss == "ce":
        return _cross_entropy(outputs, targets, task.label_smoothing)
    if task.loss == "zinb":
        return zinb_nll(outputs, targets)
    if task.loss == "poisson":
        return torch.exp(outputs.clamp(max=LOG_RATE_LIMIT)) - targets * outputs + torch.lgamma(targets + 1)
    return _binary(task, outputs, targets)


def _cross_entropy(logits: Tensor, classes: Tensor, smoothing: float) -> Tensor:
    log_shares = torch.log_softmax(logits, -1)
    chosen = log_shares.gather(-1, classes.long().expand(*logits.shape[:-1], 1))
    if not smoothing:
        return -chosen
    return -(1 - smoothing) * chosen - smoothing * log_shares.mean(-1, keepdim=True)


def _binary(task: TaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    log_yes, log_no = torch.nn.functional.logsigmoid(logits), torch.nn.functional.logsigmoid(-logits)
    yes, no = task.positive_weight * labels * log_yes, (1 - labels) * log_no
    if task.loss == "bce":
        return -yes - no
    return -yes * torch.sigmoid(-logits) ** task.focal_gamma - no * torch.sigmoid(logits) ** task.focal_gamma


def zinb_parts(outputs: Float[Tensor, "*lanes rows 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """ln mean, ln dispersion (held to +-8), logit of the zero inflation; each [*lanes, rows, 1]."""
    log_mean, log_dispersion, logit_zero = outputs.split(1, -1)
    return log_mean, log_dispersion.clamp(-LOG_DISPERSION_LIMIT, LOG_DISPERSION_LIMIT), logit_zero


def zinb_nll(outputs: Float[Tensor, "*lanes rows 3"], counts: Tensor) -> Tensor:
    """Negative log-likelihood of the zero-inflated negative binomial, `lgamma(y+1)` kept (Lambert 1992; Greene 1994).

    Nothing here exponentiates the mean, so counts of any size stay finite.
    """
    log_mean, log_r, logit_zero = zinb_parts(outputs)
    softplus = torch.nn.functional.softplus
    r = log_r.exp()
    log_p0 = -r * softplus(log_mean - log_r)
    at_zero = softplus(log_p0 - logit_zero) - softplus(-logit_zero)
    positive = torch.lgamma(counts + r) - torch.lgamma(r) - torch.lgamma(counts + 1)
    positive = positive + log_p0 - counts * softplus(log_r - log_mean) - softplus(logit_zero)
    return -torch.where(counts == 0, at_zero, positive)


def predicted_count(task: TaskSpec, outputs: Float[Tensor, "*lanes rows outputs"]) -> Float[Tensor, "*lanes rows 1"]:
    """Expected count: `(1 - pi) mu`, or the Poisson rate."""
    rate = torch.exp(outputs[..., :1].clamp(max=LOG_RATE_LIMIT))
    return rate * torch.sigmoid(-outputs[..., 2:]) if task.loss == "zinb" else rate


def probability_of_zero(task: TaskSpec, outputs: Float[Tensor, "*lanes rows outputs"]) -> Float[Tensor, "*lanes rows 1"]:
    """P(y = 0)."""
    zero = outputs.new_zeros(*outputs.shape[:-1], 1)
    return torch.exp(-element_loss(task, outputs, zero))


def split_outputs(tasks: Sequence[TaskSpec], outputs: Float[Tensor, "*lanes rows heads"]) -> list[Tensor]:
    """The concatenated heads, task by task."""
    return list(outputs.split([task.outputs for task in tasks], -1))
