"""Metrics per task kind, over lanes, in original units, with scikit-learn's definitions. NaN where a metric is not defined.

All lanes are judged on the same rows, so labels have no lane dimension. The names per kind are in `records.METRICS`.

- r2: mean over columns of `1 - SS_res / SS_tot` (scikit-learn's uniform average); NaN if the labels do not vary.
- f1_macro: over the classes that occur in these labels; a class never predicted counts 0.
- auroc: ties count one half; average_precision: the step-wise sum over distinct scores; both NaN with one class only.
- mean_iou: over the classes that occur in these labels or are predicted there, places without a label left out.
- precision, recall, ap50 of detection: `detection.py`.
- positive_rate, zero_rate: predicted shares, to be held beside the labels' own (collapse shows as 0 or 1).
- nasa_score: NASA's asymmetric score of remaining life, a sum over rows (Saxena et al., PHM 2008); late is worse than early.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mtl_core import detection
from mtl_core.tasks import element_loss, predicted_count, probability_of_zero

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

EARLY, LATE = 13.0, 10.0  # units of error by which a row's term of NASA's score grows e-fold
MOST = 70.0  # largest exponent: a sum over a million rows stays within float32, in which it is stored


def metrics(
    task: TaskSpec,
    outputs: Float[Tensor, "lanes rows outputs"],
    targets: Float[Tensor, "rows width"],
    valid: Bool[Tensor, "rows width"],
    scale: Float[np.ndarray, " width"],
    loss: Float[Tensor, " lanes"] | None = None,
) -> dict[str, Float[Tensor, " lanes"]]:
    """All metrics of the task's kind. `scale` is the unit of each scaled target column, in original units.

    Errors are taken in scaled units, where the offset of a target cancels exactly, and brought to original units at the end.
    `loss`, where it is known, is the task's loss on the same rows: for a count it is the negative log-likelihood.
    """
    rows = valid.any(-1)
    outputs, targets, valid = outputs[:, rows], targets[rows], valid[rows]
    if task.is_regression:
        return {**_errors(outputs, targets, valid, scale), **_extra(task, outputs, targets, valid, scale)}
    if task.kind == "detection":
        return detection.metrics(task, outputs, targets)
    if task.kind == "segmentation":
        return _segmentation(outputs.unflatten(-1, (task.places, -1)), targets, valid)
    if task.kind == "function":
        value = element_loss(task, outputs, targets)[..., 0]
        return {"value": _mean(value), "x1": _mean(outputs[..., 0]), "x2": _mean(outputs[..., 1])}
    labels = targets[:, 0]
    if task.kind == "binary":
        return _binary(outputs[..., 0], labels)
    if task.kind == "multiclass":
        return _multiclass(outputs, labels.long())
    zero_rate = _mean(probability_of_zero(task, outputs)[..., 0])
    nll = loss if loss is not None else _mean(element_loss(task, outputs, targets)[..., 0])
    return {**_errors(predicted_count(task, outputs), targets, valid, scale), "nll": nll, "zero_rate": zero_rate}


def _mean(values: Float[Tensor, "lanes rows"]) -> Tensor:
    return values.mean(-1)  # NaN without rows


def _errors(predicted: Tensor, true: Tensor, valid: Tensor, scale: Float[np.ndarray, " width"]) -> dict[str, Tensor]:
    """In float64 on the CPU: the square of a unit may leave the range of float32."""
    residual = torch.where(valid, predicted - true, 0.0)
    unit, number = torch.from_numpy(scale), valid.sum().cpu()
    mse = ((residual**2).sum(-2).cpu().double() * unit**2).sum(-1) / number
    mae = (residual.abs().sum(-2).cpu().double() * unit).sum(-1) / number
    return {"rmse": mse.sqrt(), "mae": mae, "mse": mse, "r2": _r2(residual, true, valid).cpu().double()}


def _extra(
    task: TaskSpec, predicted: Tensor, true: Tensor, valid: Tensor, scale: Float[np.ndarray, " width"]
) -> dict[str, Tensor]:
    """What the task asks for beyond the metrics of its kind."""
    if "nasa_score" not in task.extra_metrics:
        return {}
    error = torch.where(valid, predicted - true, 0.0).cpu().double() * torch.from_numpy(scale)  # a row without label adds 0
    score = nasa_score(error.flatten(1))
    return {"nasa_score": score if bool(valid.any()) else torch.full_like(score, torch.nan)}


def nasa_score(error: Float[Tensor, "lanes rows"]) -> Float[Tensor, " lanes"]:
    """Sum over rows of `e^(-d/13) - 1` for d < 0 and `e^(d/10) - 1` for d >= 0, d = prediction - label. Lower is better.

    Defined for d in cycles; it has no unit and is not comparable in another one, nor between different numbers of rows. Exponents
    stop at `MOST` (700 cycles late, 910 early), so that an early epoch cannot leave the range of what is stored. NaN stays NaN.
    """
    exponent = torch.where(error < 0, -error / EARLY, error / LATE)
    return torch.expm1(exponent.clamp(max=MOST)).sum(-1)


def _r2(residual: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    count = valid.sum(0).clamp(min=1)
    centre = torch.where(valid, true, 0.0).sum(0) / count
    spread = (torch.where(valid, true - centre, 0.0) ** 2).sum(0)
    varies = spread > 1e-12 * (centre**2 * count).clamp(min=torch.finfo(spread.dtype).tiny)
    columns = 1 - (residual**2).sum(-2)[:, varies] / spread[varies]
    return columns.mean(-1)


def _segmentation(logits: Float[Tensor, "lanes rows places classes"], targets: Tensor, valid: Tensor) -> dict[str, Tensor]:
    guessed, labels = logits.argmax(-1)[:, valid], targets[valid].long()
    overlaps, present = [], []
    for label in range(logits.shape[-1]):
        mine, claimed = labels == label, guessed == label
        both = (claimed & mine).sum(-1)
        either = claimed.sum(-1) + mine.sum() - both
        overlaps.append(both / either.clamp(min=1))
        present.append(either > 0)
    count = torch.stack(present).sum(0)
    finite = logits.isfinite().flatten(1).all(1)
    found = {"mean_iou": torch.stack(overlaps).sum(0) / count, "pixel_accuracy": (guessed == labels).to(logits.dtype).mean(-1)}
    return {name: torch.where(finite, value.to(logits.dtype), torch.nan) for name, value in found.items()}


def _binary(logits: Float[Tensor, "lanes rows"], labels: Float[Tensor, " rows"]) -> dict[str, Tensor]:
    positive = labels > 0.5
    guessed = logits > 0
    hits = (guessed & positive).sum(-1).to(logits.dtype)
    marked = guessed.sum(-1) + positive.sum()
    found = {
        "auroc": auroc(logits[:, positive], logits[:, ~positive]),
        "average_precision": average_precision(logits, positive),
        "f1": torch.where(marked > 0, 2 * hits / marked.clamp(min=1), 0.0) if len(labels) else _mean(logits),
        "accuracy": _mean((guessed == positive).to(logits.dtype)),
        "positive_rate": _mean(guessed.to(logits.dtype)),
    }
    return {name: torch.where(_finite(logits), value, torch.nan) for name, value in found.items()}


def auroc(positives: Float[Tensor, "lanes positives"], negatives: Float[Tensor, "lanes negatives"]) -> Float[Tensor, " lanes"]:
    """Probability that a positive scores above a negative, ties one half (Mann-Whitney); NaN with one class only."""
    ordered = negatives.sort(-1).values
    positives = positives.contiguous()
    below = torch.searchsorted(ordered, positives)
    not_above = torch.searchsorted(ordered, positives, right=True)
    result = (below + not_above).to(positives.dtype).mean(-1) / (2 * negatives.shape[-1])
    return torch.where(_finite(positives) & _finite(negatives), result, torch.nan)


def average_precision(scores: Float[Tensor, "lanes rows"], positive: Bool[Tensor, " rows"]) -> Float[Tensor, " lanes"]:
    """Mean over positives of the precision at their score: `sum (R_n - R_{n-1}) P_n` over distinct scores."""
    if bool(positive.all()):  # one class only, or no rows
        return scores.new_full((len(scores),), torch.nan)
    every, marked = (-scores).sort(-1).values, (-scores[:, positive]).sort(-1).values
    at_least = torch.searchsorted(every, marked, right=True)
    hits = torch.searchsorted(marked, marked, right=True)
    return torch.where(_finite(scores), (hits.to(scores.dtype) / at_least.clamp(min=1)).mean(-1), torch.nan)


def _finite(scores: Tensor) -> Tensor:
    return scores.isfinite().all(-1)


def _multiclass(logits: Float[Tensor, "lanes rows classes"], labels: Tensor) -> dict[str, Tensor]:
    guessed = logits.argmax(-1)
    right = guessed == labels
    scores = []
    for label in labels.unique():
        mine, claimed = labels == label, guessed == label
        hits = (claimed & mine).sum(-1).to(logits.dtype)
        scores.append(2 * hits / (claimed.sum(-1) + mine.sum()))
    macro = torch.stack(scores).mean(0) if scores else _mean(logits[..., 0])
    finite = logits.isfinite().all(-1).all(-1)
    found = {"accuracy": _mean(right.to(logits.dtype)), "f1_macro": macro}
    return {name: torch.where(finite, value, torch.nan) for name, value in found.items()}
