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
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mtl_core import detection
from mtl_core.counts import predicted_count, probability_of_zero
from mtl_core.labels import Labels, without
from mtl_core.ranking import above, auroc_and_precision, finite, ranked
from mtl_core.tasks import element_loss, task_loss

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

EARLY, LATE = 13.0, 10.0  # units of error by which a row's term of NASA's score grows e-fold
MOST = 70.0  # largest exponent: a sum over a million rows stays within float32, in which it is stored


def metrics(
    task: TaskSpec,
    outputs: Float[Tensor, "lanes rows outputs"],
    targets: Float[Tensor, "rows width"],
    valid: Bool[Tensor, "rows elements"],
    scale: Float[np.ndarray, " width"],
) -> dict[str, Float[Tensor, " lanes"]]:
    """All metrics of the task's kind. `scale` is the unit of each scaled target column, in original units.

    Errors are taken in scaled units, where the offset of a target cancels exactly, and brought to original units at the end.
    """
    return judge(Labels.of(task, targets, valid, scale), outputs)[1]


def judge(
    labels: Labels, outputs: Float[Tensor, "lanes rows outputs"]
) -> tuple[Float[Tensor, " lanes"], dict[str, Float[Tensor, " lanes"]]]:
    """(the task's loss, all metrics of its kind); NaN without labels."""
    task, targets = labels.task, labels.targets
    outputs = outputs if labels.rows is None else outputs.index_select(1, labels.rows)
    if task.is_regression:
        return _regression(labels, outputs)
    loss = _loss(labels, outputs)
    if task.kind == "detection":
        return loss, detection.metrics(task, outputs, targets)
    if task.kind == "segmentation":
        return loss, _segmentation(outputs.unflatten(-1, (task.places, -1)), targets, labels.mask)
    if task.kind == "function":
        return loss, {"value": loss, "x1": outputs[..., 0].mean(-1), "x2": outputs[..., 1].mean(-1)}
    if task.kind == "binary":
        return loss, _binary(outputs[..., 0], *labels.classes)
    if task.kind == "multiclass":
        return loss, _multiclass(outputs, targets[:, 0].long())
    zero_rate = probability_of_zero(task, outputs)[..., 0].mean(-1)
    errors, _ = _errors(labels, predicted_count(task, outputs))
    return loss, {**errors, "nll": loss, "zero_rate": zero_rate}


def _loss(labels: Labels, outputs: Tensor) -> Float[Tensor, " lanes"]:
    if labels.valid is None:
        return element_loss(labels.task, outputs, labels.targets).mean((-2, -1))
    return task_loss(labels.task, outputs, labels.targets, labels.valid)


def _regression(labels: Labels, outputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss is one of the errors, in scaled units."""
    errors, losses = _errors(labels, outputs)
    loss = losses[labels.task.loss] if labels.task.loss in losses else _loss(labels, outputs)
    return loss, errors | _extra(labels, outputs)


def _errors(labels: Labels, predicted: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(errors in original units; mean square and mean absolute in scaled ones).

    In float64 on the CPU: the square of a unit may leave the range of float32.
    """
    squares, sizes = _sums(labels, predicted)
    unit, number = torch.from_numpy(labels.scale), labels.counts.sum()
    mse, mae = (squares * unit**2).sum(-1) / number, (sizes * unit).sum(-1) / number
    losses = {"mse": squares.sum(-1) / number, "l1": sizes.sum(-1) / number}
    r2 = (1 - squares / labels.spread)[:, ~labels.spread.isnan()].mean(-1)
    return {"rmse": mse.sqrt(), "mae": mae, "mse": mse, "r2": r2}, losses


def _sums(labels: Labels, predicted: Tensor) -> tuple[Float[Tensor, "lanes width"], Float[Tensor, "lanes width"]]:
    """Squared and absolute residuals summed over rows, some rows at a time."""
    lanes, _, width = predicted.shape
    squares, sizes = (torch.zeros(lanes, width, dtype=torch.float64) for _ in range(2))
    for rows, targets, unknown in labels.pieces(lanes):
        residual = without(predicted[:, rows] - targets, unknown)
        squares += (residual * residual).sum(1).cpu()
        sizes += residual.abs_().sum(1).cpu()
    return squares, sizes


def _extra(labels: Labels, predicted: Tensor) -> dict[str, Tensor]:
    """What the task asks for beyond the metrics of its kind."""
    if "nasa_score" not in labels.task.extra_metrics:
        return {}
    residual = torch.where(labels.mask, predicted - labels.targets, 0.0)  # a row without label adds 0
    score = nasa_score((residual.cpu().double() * torch.from_numpy(labels.scale)).flatten(1))
    return {"nasa_score": score if len(labels) else torch.full_like(score, torch.nan)}


def nasa_score(error: Float[Tensor, "lanes rows"]) -> Float[Tensor, " lanes"]:
    """Sum over rows of `e^(-d/13) - 1` for d < 0 and `e^(d/10) - 1` for d >= 0, d = prediction - label. Lower is better.

    Defined for d in cycles; it has no unit and is not comparable in another one, nor between different numbers of rows. Exponents
    stop at `MOST` (700 cycles late, 910 early), so that an early epoch cannot leave the range of what is stored. NaN stays NaN.
    """
    exponent = torch.where(error < 0, -error / EARLY, error / LATE)
    return torch.expm1(exponent.clamp(max=MOST)).sum(-1)


def _segmentation(logits: Float[Tensor, "lanes rows places classes"], targets: Tensor, valid: Tensor) -> dict[str, Tensor]:
    labels = targets[valid].long()
    table = _confusion(_likeliest(logits)[:, valid], labels, logits.shape[-1])
    hits = table.diagonal(dim1=1, dim2=2)
    either = table.sum(1) + table.sum(2) - hits
    overlap = (hits / either.clamp(min=1)).sum(-1) / (either > 0).sum(-1)
    return _where_finite(logits, {"mean_iou": overlap, "pixel_accuracy": hits.sum(-1) / len(labels)})


def _binary(logits: Float[Tensor, "lanes rows"], negative: Tensor, positive: Tensor) -> dict[str, Tensor]:
    scores = ranked(logits.index_select(1, positive), logits.index_select(1, negative))
    area, precision = auroc_and_precision(scores)
    hits, false = above(scores, 0.0)
    rows, marked = logits.shape[1], hits + false + len(positive)
    found = {
        "auroc": area,
        "average_precision": precision,
        "f1": 2 * hits / marked.clamp(min=1) if rows else torch.full_like(hits, torch.nan),
        "accuracy": (hits + len(negative) - false) / rows,
        "positive_rate": (hits + false) / rows,
    }
    usable = finite(scores)
    return {name: torch.where(usable, value, torch.nan) for name, value in found.items()}


def _multiclass(logits: Float[Tensor, "lanes rows classes"], labels: Int[Tensor, " rows"]) -> dict[str, Tensor]:
    table = _confusion(_likeliest(logits), labels, logits.shape[-1])
    hits, claimed, mine = table.diagonal(dim1=1, dim2=2), table.sum(1), table.sum(2)
    scores = 2 * hits / (claimed + mine).clamp(min=1)
    macro = torch.where(mine > 0, scores, 0.0).sum(-1) / (mine > 0).sum(-1)
    return _where_finite(logits, {"accuracy": hits.sum(-1) / len(labels), "f1_macro": macro})


def _likeliest(logits: Float[Tensor, "*rows classes"]) -> Int[Tensor, "*rows"]:
    """Over classes that lie side by side in memory: else it takes ten times as long."""
    return logits.contiguous().argmax(-1)


def _confusion(guessed: Int[Tensor, "lanes labels"], labels: Int[Tensor, " labels"], classes: int) -> Float[Tensor, "lanes c c"]:
    """How often a label (row) was taken for which class (column), in float64."""
    lanes = len(guessed)
    first = classes**2 * torch.arange(lanes, device=guessed.device).unsqueeze(1)
    cells = guessed + (classes * labels + first)
    return torch.bincount(cells.flatten(), minlength=lanes * classes**2).view(lanes, classes, classes).cpu().double()


def _where_finite(outputs: Tensor, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """NaN for a lane with an output that is not finite: 0 times such a one is NaN."""
    usable = ((outputs * 0).sum(tuple(range(1, outputs.dim()))) == 0).cpu()
    return {name: torch.where(usable, value, torch.nan) for name, value in found.items()}
