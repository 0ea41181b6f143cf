"""Task kinds: losses over lanes. A mask is applied before the arithmetic, so a missing label can never make a NaN gradient.

Losses (mean over valid elements, natural units of the kind, no 1/2 in the squared error so that the closed forms hold):

    regression, multi_output   squared error, absolute error, Huber
    binary                     cross entropy on logits with optional weight of positives, or focal loss (Lin et al. 2017)
    multiclass                 cross entropy, optional label smoothing
    count                      zero-inflated negative binomial, or Poisson, negative log-likelihood
    segmentation               cross entropy at each place of the map
    dense_regression           absolute error, squared error, Huber at each place and channel
    detection                  objectness, box and class terms of a grid detector (detection.py)
    function                   a given function of the outputs (landscape.py)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import huber_loss, softplus

from mtl_core import landscape
from mtl_core.detection import grid_loss, grid_slope

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

Elementwise = Callable[["TaskSpec", Tensor, Tensor], Tensor]
LOG_DISPERSION_LIMIT = 8.0  # |ln r|: beyond it float32 loses the difference of two lgammas
LOG_RATE_LIMIT = 30.0  # ln of a predicted count


def task_loss(
    task: TaskSpec,
    outputs: Float[Tensor, "*lanes rows outputs"],
    targets: Float[Tensor, "*lanes rows width"],
    valid: Bool[Tensor, "*lanes rows elements"],
) -> Float[Tensor, "*lanes"]:
    """Mean loss over valid elements; 0 where a lane has none (the caller knows that the task is absent).

    `targets` are class indices, counts or scaled values, with any finite number where `valid` is False.
    """
    weights = valid.to(outputs.dtype)
    weights = weights / weights.sum((-2, -1), keepdim=True).clamp(min=1)
    known = valid.repeat_interleave(task.outputs // task.elements, -1)
    return weighted_loss(task, outputs.masked_fill(~known, 0.0), targets, weights)


def weighted_loss(
    task: TaskSpec,
    outputs: Float[Tensor, "*lanes rows outputs"],
    targets: Float[Tensor, "*lanes rows width"],
    weights: Float[Tensor, "*lanes rows elements"],
) -> Float[Tensor, "*lanes"]:
    """Sum of weighted element losses; outputs must already be 0 where the weight is."""
    return (element_loss(task, outputs, targets) * weights).sum((-2, -1))


def element_loss(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Float[Tensor, "*lanes rows elements"]:
    """Loss of every element, unmasked."""
    return LOSSES[task.loss][0](task, outputs, targets)


def element_slope(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Float[Tensor, "*lanes rows outputs"]:
    """Derivative of the element losses with respect to the outputs, in closed form: training needs no graph."""
    return LOSSES[task.loss][1](task, outputs, targets)


def loss_and_slope(task: TaskSpec, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`element_loss` and `element_slope` of the same outputs; the usual kinds share what both need."""
    if task.loss == "mse":
        error = outputs - targets
        return error.square(), error.mul_(2)
    if task.loss == "ce":
        log_shares, classes = _log_shares(outputs), targets.long()
        return _chosen(task, log_shares, classes), _less_chosen(task, log_shares.exp(), classes)
    if task.loss == "bce" and task.positive_weight == 1:
        away = 1 - 2 * targets  # labels are 0 or 1: the loss is that of one side
        margin = outputs * away
        return softplus(margin), away.mul_(torch.sigmoid(margin))
    return element_loss(task, outputs, targets), element_slope(task, outputs, targets)


def alike(one: TaskSpec, other: TaskSpec) -> bool:
    """Whether two tasks have the same loss element by element, so that their columns can be taken as one block."""
    settings = ("loss", "huber_delta", "positive_weight", "focal_gamma")
    return one.loss in POINTWISE and all(getattr(one, name) == getattr(other, name) for name in settings)


def _squared(_: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets) ** 2


def _squared_slope(_: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    return 2 * (outputs - targets)


def _absolute(_: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs()


def _absolute_slope(_: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).sign()


def _huber(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    return huber_loss(outputs, targets.expand_as(outputs), reduction="none", delta=task.huber_delta)


def _huber_slope(task: TaskSpec, outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).clamp(-task.huber_delta, task.huber_delta)


def _log_shares(logits: Tensor) -> Tensor:
    """Logarithm of the softmax; over a few classes it takes an eighth of the time with the rows side by side in memory."""
    return torch.log_softmax(logits.mT.contiguous(), -2).mT


def _cross_entropy(task: TaskSpec, logits: Tensor, classes: Tensor) -> Tensor:
    return _chosen(task, _log_shares(logits), classes.long())


def _cross_entropy_slope(task: TaskSpec, logits: Tensor, classes: Tensor) -> Tensor:
    return _less_chosen(task, _log_shares(logits).exp(), classes.long())


def _chosen(task: TaskSpec, log_shares: Tensor, classes: Tensor) -> Tensor:
    chosen = log_shares.gather(-1, classes.expand(*log_shares.shape[:-1], 1))
    if not task.label_smoothing:
        return -chosen
    return -(1 - task.label_smoothing) * chosen - task.label_smoothing * log_shares.mean(-1, keepdim=True)


def _less_chosen(task: TaskSpec, shares: Tensor, classes: Tensor) -> Tensor:
    """Shares less the (smoothed) label, in place."""
    if task.label_smoothing:
        shares -= task.label_smoothing / task.outputs_a_place
    index = classes.expand(*shares.shape[:-1], 1)
    return shares.scatter_add_(-1, index, shares.new_full((), task.label_smoothing - 1).expand_as(index))


def _pixel_cross_entropy(task: TaskSpec, logits: Tensor, classes: Tensor) -> Tensor:
    return _cross_entropy(task, logits.unflatten(-1, (task.places, -1)), classes.unsqueeze(-1)).squeeze(-1)


def _pixel_cross_entropy_slope(task: TaskSpec, logits: Tensor, classes: Tensor) -> Tensor:
    shares = _log_shares(logits.unflatten(-1, (task.places, -1))).exp()
    return _less_chosen(task, shares, classes.long().unsqueeze(-1)).flatten(-2)


def _function(number: int) -> tuple[Elementwise, Elementwise]:
    """The value of one of the landscape's functions at the outputs, and its slope; there is nothing to predict."""

    def value(_: TaskSpec, points: Tensor, __: Tensor) -> Tensor:
        return landscape.loss(number, points).unsqueeze(-1)

    def slope(_: TaskSpec, points: Tensor, __: Tensor) -> Tensor:
        return landscape.slope(number, points)

    return value, slope


def _binary(task: TaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    return task.positive_weight * labels * softplus(-logits) + (1 - labels) * softplus(logits)


def _binary_slope(task: TaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    yes = torch.sigmoid(logits)
    return (1 - labels) * yes - task.positive_weight * labels * (1 - yes)


def _focal(task: TaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    yes, no = torch.sigmoid(logits), torch.sigmoid(-logits)
    positive = task.positive_weight * labels * no**task.focal_gamma * softplus(-logits)
    return positive + (1 - labels) * yes**task.focal_gamma * softplus(logits)


def _focal_slope(task: TaskSpec, logits: Tensor, labels: Tensor) -> Tensor:
    yes, no, gamma = torch.sigmoid(logits), torch.sigmoid(-logits), task.focal_gamma
    positive = -task.positive_weight * labels * no**gamma * (gamma * yes * softplus(-logits) + no)
    return positive + (1 - labels) * yes**gamma * (gamma * no * softplus(logits) + yes)


def _poisson(_: TaskSpec, log_rate: Tensor, counts: Tensor) -> Tensor:
    """Beyond the limit the rate goes on as a straight line, so that it is finite and still pulled down."""
    held = log_rate.clamp(max=LOG_RATE_LIMIT)
    return torch.exp(held) * (1 + log_rate - held) - counts * log_rate + torch.lgamma(counts + 1)


def _poisson_slope(_: TaskSpec, log_rate: Tensor, counts: Tensor) -> Tensor:
    return torch.exp(log_rate.clamp(max=LOG_RATE_LIMIT)) - counts


def _zinb(_: TaskSpec, outputs: Tensor, counts: Tensor) -> Tensor:
    return zinb_nll(outputs, counts)


def _zinb_slope(_: TaskSpec, outputs: Tensor, counts: Tensor) -> Tensor:
    """Derivatives for ln mean, ln dispersion and the logit of zero inflation, side by side."""
    log_mean, log_r, logit_zero = zinb_parts(outputs)
    r, over, under = log_r.exp(), torch.sigmoid(log_mean - log_r), torch.sigmoid(log_r - log_mean)
    log_p0 = -r * softplus(log_mean - log_r)
    zero = counts == 0
    by_chance = torch.sigmoid(log_p0 - logit_zero)  # that a zero is one of the negative binomial
    through_p0 = torch.where(zero, by_chance, 1.0)
    gammas = torch.where(zero, 0.0, r * (torch.digamma(counts + r) - torch.digamma(r)))
    mean = counts * under - through_p0 * r * over
    dispersion = gammas + through_p0 * (log_p0 + r * over) - counts * under
    held = outputs[..., 1:2].abs() <= LOG_DISPERSION_LIMIT
    inflation = torch.where(zero, torch.sigmoid(-logit_zero) - by_chance, -torch.sigmoid(logit_zero))
    return -torch.cat([mean, dispersion * held, inflation], -1)


def zinb_parts(outputs: Float[Tensor, "*lanes rows 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """ln mean, ln dispersion (held to +-8), logit of the zero inflation; each [*lanes, rows, 1]."""
    log_mean, log_dispersion, logit_zero = outputs.split(1, -1)
    return log_mean, log_dispersion.clamp(-LOG_DISPERSION_LIMIT, LOG_DISPERSION_LIMIT), logit_zero


def zinb_nll(outputs: Float[Tensor, "*lanes rows 3"], counts: Tensor) -> Tensor:
    """Negative log-likelihood of the zero-inflated negative binomial, `lgamma(y+1)` kept (Lambert 1992; Greene 1994).

    Nothing here exponentiates the mean, so counts of any size stay finite.
    """
    log_mean, log_r, logit_zero = zinb_parts(outputs)
    r = log_r.exp()
    log_p0 = -r * softplus(log_mean - log_r)
    at_zero = _zinb_at_zero(log_p0, logit_zero)
    positive = torch.lgamma(counts + r) - torch.lgamma(r) - torch.lgamma(counts + 1)
    positive = positive + log_p0 - counts * softplus(log_r - log_mean) - softplus(logit_zero)
    return -torch.where(counts == 0, at_zero, positive)


POINTWISE = {"mse", "l1", "huber", "bce", "focal", "poisson"}  # a loss element for each output, of that output alone
LOSSES: dict[str, tuple[Elementwise, Elementwise]] = {  # by name: loss, slope
    "mse": (_squared, _squared_slope),
    "l1": (_absolute, _absolute_slope),
    "huber": (_huber, _huber_slope),
    "bce": (_binary, _binary_slope),
    "focal": (_focal, _focal_slope),
    "ce": (_cross_entropy, _cross_entropy_slope),
    "pixel_ce": (_pixel_cross_entropy, _pixel_cross_entropy_slope),
    "grid": (grid_loss, grid_slope),
    "landscape_1": _function(0),
    "landscape_2": _function(1),
    "poisson": (_poisson, _poisson_slope),
    "zinb": (_zinb, _zinb_slope),
}


def _zinb_at_zero(log_p0: Tensor, logit_zero: Tensor) -> Tensor:
    """ln P(y = 0), from that of the negative binomial alone."""
    return softplus(log_p0 - logit_zero) - softplus(-logit_zero)


def predicted_count(task: TaskSpec, outputs: Float[Tensor, "*lanes rows outputs"]) -> Float[Tensor, "*lanes rows 1"]:
    """Expected count: `(1 - pi) mu`, or the Poisson rate."""
    rate = torch.exp(outputs[..., :1].clamp(max=LOG_RATE_LIMIT))
    return rate * torch.sigmoid(-outputs[..., 2:]) if task.loss == "zinb" else rate


def probability_of_zero(task: TaskSpec, outputs: Float[Tensor, "*lanes rows outputs"]) -> Float[Tensor, "*lanes rows 1"]:
    """P(y = 0)."""
    if task.loss == "poisson":
        return torch.exp(-torch.exp(outputs.clamp(max=LOG_RATE_LIMIT)))
    log_mean, log_r, logit_zero = zinb_parts(outputs)
    return torch.exp(_zinb_at_zero(-log_r.exp() * softplus(log_mean - log_r), logit_zero))


def split_outputs(tasks: Sequence[TaskSpec], outputs: Float[Tensor, "*lanes rows heads"]) -> list[Tensor]:
    """The concatenated heads, task by task."""
    return list(outputs.split([task.outputs for task in tasks], -1))
