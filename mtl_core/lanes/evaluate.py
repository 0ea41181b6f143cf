"""Losses and metrics of all lanes on one split, without gradients, in pieces that bound memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mtl_core.lanes.models import Model, Shape
from mtl_core.lanes.tensors import Rows, Tensors
from mtl_core.metrics import metrics
from mtl_core.records import metrics_of
from mtl_core.tasks import split_outputs, task_loss

if TYPE_CHECKING:
    from mtl_core.specs import TaskSpec

NUMBERS_AT_ONCE = 1 << 22  # activations of one layer held at a time: 16 MiB of float32
OUTPUTS_AT_ONCE = 1 << 25


def outputs_of(flat: Float[Tensor, "lanes parameters"], shape: Shape, features: Float[Tensor, "rows features"]) -> Tensor:
    """Outputs `[lanes, rows, outputs]` of every lane on shared rows."""
    rows = max(1, NUMBERS_AT_ONCE // (len(flat) * shape.widest))
    model = Model(shape, flat)
    return torch.cat([model.forward(piece).outputs for piece in features.split(rows)], 1)


def evaluate(
    flat: Float[Tensor, "lanes parameters"], shape: Shape, tasks: Sequence[TaskSpec], data: Tensors, rows: Rows
) -> tuple[Float[np.ndarray, "lanes tasks"], Float[np.ndarray, "lanes metrics"]]:
    """Raw task losses and, task after task, the metrics of `records.metrics_of`; NaN for a task without labels here."""
    lanes = max(1, OUTPUTS_AT_ONCE // max(1, len(rows) * sum(task.outputs for task in tasks)))
    pieces = [_evaluate(piece, shape, tasks, data, rows) for piece in flat.split(lanes)]
    losses, found = zip(*pieces, strict=True)
    return np.concatenate(losses), np.concatenate(found)


@torch.no_grad()
def _evaluate(flat: Tensor, shape: Shape, tasks: Sequence[TaskSpec], data: Tensors, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    outputs = split_outputs(tasks, outputs_of(flat, shape, rows.features))
    losses, found = [], []
    for task, mine, (targets, valid), scale in zip(tasks, outputs, data.columns(rows), data.scales, strict=True):
        if not valid.any():
            losses.append(flat.new_full((len(flat),), torch.nan))
            found += [losses[-1].cpu().double()] * len(metrics_of(task))
            continue
        losses.append(task_loss(task, mine, targets, valid))
        values = metrics(task, mine, targets, valid, scale, losses[-1])
        found += [values[name].cpu().double() for name in metrics_of(task)]
    return torch.stack(losses, 1).cpu().double().numpy(), torch.stack(found, 1).numpy()
