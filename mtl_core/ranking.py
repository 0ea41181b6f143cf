"""Metrics of a ranking by scores, over lanes: all are counted from the two classes' scores in order, which are sorted once.

Counts come to the CPU, where float64 is. What they say of a lane whose scores are not all `finite` means nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Ranked(NamedTuple):
    """Scores of one class each, ascending."""

    positives: Float[Tensor, "lanes positives"]
    negatives: Float[Tensor, "lanes negatives"]


def ranked(positives: Float[Tensor, "lanes positives"], negatives: Float[Tensor, "lanes negatives"]) -> Ranked:
    """Sort. On the CPU by NumPy, which takes a third to a thirtieth of torch's time: it keeps no places."""
    return Ranked(_sorted(positives), _sorted(negatives))


def _sorted(scores: Tensor) -> Tensor:
    return torch.from_numpy(np.sort(scores.numpy(), -1)) if scores.device.type == "cpu" else scores.sort(-1).values


def auroc_and_precision(scores: Ranked) -> tuple[Float[Tensor, " lanes"], Float[Tensor, " lanes"]]:
    """Area under the ROC curve, and average precision, in float64; NaN with one class only.

    AUROC: probability that a positive scores above a negative, ties one half (Mann-Whitney). Average precision: mean over
    positives of the precision at their score, `sum (R_n - R_{n-1}) P_n` over distinct scores.
    """
    positives, negatives = scores
    if not negatives.shape[-1] or not positives.shape[-1]:
        nothing = torch.full((len(positives),), torch.nan, dtype=torch.float64)
        return nothing, nothing
    below = torch.searchsorted(negatives, positives)
    not_above = torch.searchsorted(negatives, positives, right=True)
    hits = positives.shape[-1] - torch.searchsorted(positives, positives)  # positives with at least this score
    marked = hits + negatives.shape[-1] - below
    area = (below + not_above).cpu().double().mean(-1) / (2 * negatives.shape[-1])
    return area, (hits.cpu() / marked.cpu().double()).mean(-1)


def above(scores: Ranked, threshold: float) -> tuple[Float[Tensor, " lanes"], Float[Tensor, " lanes"]]:
    """How many positives and how many negatives score above a threshold, in float64."""
    bound = scores.positives.new_full((len(scores.positives), 1), threshold)
    counts = [one.shape[-1] - torch.searchsorted(one, bound, right=True)[:, 0] for one in scores]
    return counts[0].cpu().double(), counts[1].cpu().double()


def finite(scores: Ranked) -> Bool[Tensor, " lanes"]:
    """Whether all scores of a lane are: the ends tell, for NaN is sorted last."""
    ends = [one[:, end] for one in scores for end in (slice(1), slice(-1, None))]
    return torch.cat(ends, -1).isfinite().all(-1).cpu()
