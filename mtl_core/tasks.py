"""Task kinds: losses over lanes. A mask is applied before the arithmetic, so a missing label can never make a NaN gradient.

Losses (mean over valid elements, natural units of the kind, no 1/2 in the squared error so that the closed forms hold):

    regression, multi_output   squared error, absolute error, Huber
    binary                     cross entropy on logits with optional weight of positives, or focal loss (Lin et al. 2017)
    multiclass                 cross entropy, optional label smoothing
    count                      zero-inflated negative binomial, or Poisson, negative log-likelihood (counts.py)
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
from mtl_core.counts import poisson, poisson_slope, zinb, zinb_slope
from mtl_core.detection import grid_loss, grid_slope

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

Elementwise = Callable[["TaskSpec", Tensor, Tensor], Tensor]


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
    "poisson": (poisson, poisson_slope),
    "zinb": (zinb, zinb_slope),
}


def split_outputs(tasks: Sequence[TaskSpec], outputs: Float[Tensor, "*lanes rows heads"]) -> list[Tensor]:
    """The concatenated heads, task by task."""
    return list(outputs.split([task.outputs for task in tasks], -1))
