"""Losses and metrics of all lanes on one split, without gradients, in pieces that bound memory and fit a processor's cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mtl_core.labels import Labels
from mtl_core.lanes.models import Model, Shape
from mtl_core.lanes.tensors import Rows, Tensors
from mtl_core.metrics import judge
from mtl_core.records import metrics_of
from mtl_core.tasks import split_outputs

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

ROWS_AT_ONCE = 256  # or more, of a lane: with fewer the products would be small
NUMBERS_AT_ONCE = {True: 1 << 18, False: 1 << 22}  # activations of one layer held at a time; for a processor's cache, or not
OUTPUTS_AT_ONCE = 1 << 20


def outputs_of(flat: Float[Tensor, "lanes parameters"], shape: Shape, features: Float[Tensor, "rows features"]) -> Tensor:
    """Outputs `[lanes, rows, outputs]` of every lane on shared rows; each output's rows lie side by side in memory."""
    cached = shape.by_hand and flat.device.type == "cpu"
    numbers = NUMBERS_AT_ONCE[cached] // shape.widest
    rows = max(ROWS_AT_ONCE if cached else 1, numbers // len(flat))
    lanes = max(1, numbers // rows)
    outputs = flat.new_empty(len(flat), sum(shape.outputs), len(features))
    for some, place in zip(flat.split(lanes), outputs.split(lanes), strict=True):
        model = Model(shape, some)
        for piece, into in zip(features.split(rows), place.split(rows, 2), strict=True):
            into.copy_(model.forward(piece).outputs.mT)
    return outputs.mT


def evaluate(
    flat: Float[Tensor, "lanes parameters"], shape: Shape, tasks: Sequence[TaskSpec], data: Tensors, rows: Rows
) -> tuple[Float[np.ndarray, "lanes tasks"], Float[np.ndarray, "lanes metrics"]]:
    """Raw task losses and, task after task, the metrics of `records.metrics_of`; NaN for a task without labels here."""
    known = [
        Labels.of(task, *columns, scale) for task, columns, scale in zip(tasks, data.columns(rows), data.scales, strict=True)
    ]
    lanes = max(1, OUTPUTS_AT_ONCE // max(1, len(rows) * sum(task.outputs for task in tasks)))
    pieces = [_evaluate(piece, shape, known, rows.features) for piece in flat.split(lanes)]
    losses, found = zip(*pieces, strict=True)
    return np.concatenate(losses), np.concatenate(found)


@torch.no_grad()
def _evaluate(flat: Tensor, shape: Shape, known: Sequence[Labels], features: Tensor) -> tuple[np.ndarray, np.ndarray]:
    outputs = split_outputs([labels.task for labels in known], outputs_of(flat, shape, features))
    losses, found = [], []
    for labels, mine in zip(known, outputs, strict=True):
        names = metrics_of(labels.task)
        if not len(labels):
            losses.append(flat.new_full((len(flat),), torch.nan))
            found += losses[-1:] * len(names)
            continue
        loss, values = judge(labels, mine)
        losses.append(loss)
        found += [values[name] for name in names]
    return _columns(losses), _columns(found)


def _columns(values: Sequence[Float[Tensor, " lanes"]]) -> Float[np.ndarray, "lanes values"]:
    return torch.stack([value.cpu().double() for value in values], 1).numpy()
