"""Counts: likelihoods of a Poisson rate and of a zero-inflated negative binomial, their slopes, and what a model predicts.

Outputs are ln rate; or ln mean, ln dispersion and the logit of zero inflation, side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

LOG_DISPERSION_LIMIT = 8.0  # |ln r|: beyond it float32 loses the difference of two lgammas
LOG_RATE_LIMIT = 30.0  # ln of a predicted count


def poisson(_: TaskSpec, log_rate: Tensor, counts: Tensor) -> Tensor:
    """Negative log-likelihood. Beyond the limit the rate goes on as a straight line: finite, and still pulled down."""
    held = log_rate.clamp(max=LOG_RATE_LIMIT)
    return torch.exp(held) * (1 + log_rate - held) - counts * log_rate + torch.lgamma(counts + 1)


def poisson_slope(_: TaskSpec, log_rate: Tensor, counts: Tensor) -> Tensor:
    """Its derivative."""
    return torch.exp(log_rate.clamp(max=LOG_RATE_LIMIT)) - counts


def zinb(_: TaskSpec, outputs: Tensor, counts: Tensor) -> Tensor:
    """`zinb_nll`, element by element."""
    return zinb_nll(outputs, counts)


def zinb_slope(_: TaskSpec, outputs: Tensor, counts: Tensor) -> Tensor:
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
