"""The constant predictor of each task: what a model has to beat, and a unit in which losses can be compared.

Fitted on the training labels: the mean, the class shares, the zero-inflated negative binomial of highest likelihood.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mtl_core.counts import zinb_nll
from mtl_core.labels import Labels
from mtl_core.lanes.tensors import Tensors, to_tensors
from mtl_core.metrics import judge
from mtl_core.problem import SPLITS, problem_info
from mtl_core.tasks import task_loss

if TYPE_CHECKING:
    from mtl_core.problem import Problem
    from mtl_core.records import ProblemInfo
    from mtl_core.specs import TaskSpec


def with_baselines(problem: Problem) -> ProblemInfo:
    """The problem's description with loss and metrics of the constant predictor on every split, in float64."""
    without = replace(problem, features=problem.features[:, :0], input_shape=())  # a constant does not look at them
    data = to_tensors(without, torch.float64, torch.device("cpu"))
    constants = [constant_outputs(task, *train) for task, train in zip(problem.tasks, data.columns(data.splits[0]), strict=True)]
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for name, rows in zip(SPLITS, data.splits, strict=True):
        found[name] = {}
        for place, (task, (targets, valid)) in enumerate(zip(problem.tasks, data.columns(rows), strict=True)):
            found[name][task.name] = _judged(task, constants[place], targets, valid, data.scales[place])
    return problem_info(problem, found)


def baseline_losses(problem: Problem, data: Tensors, split: int) -> Float[Tensor, " tasks"]:
    """Loss of the constant predictor on a split, by task; NaN for a task without labels there."""
    losses = []
    for task, fitted_on, (targets, valid) in zip(
        problem.tasks, *map(data.columns, (data.splits[0], data.splits[split])), strict=True
    ):
        outputs = constant_outputs(task, *fitted_on).expand(len(targets), -1)
        losses.append(task_loss(task, outputs, targets, valid) if valid.any() else targets.new_tensor(torch.nan))
    return torch.stack(losses)


def constant_outputs(
    task: TaskSpec, targets: Float[Tensor, "rows width"], valid: Bool[Tensor, "rows width"]
) -> Float[Tensor, " outputs"]:
    """Head outputs that do not look at the features, fitted on these labels."""
    if task.kind in ("regression", "multi_output"):
        return torch.where(valid, targets, 0.0).sum(0) / valid.sum(0).clamp(min=1)
    if task.kind == "function":
        return targets.new_zeros(task.outputs)  # the origin
    if task.grid:
        return _constant_map(task, targets, valid)
    labels = targets[valid.any(-1)][:, 0]
    if task.kind == "binary":
        rate = ((labels == 1).sum() + 1e-6) / (len(labels) + 2e-6)
        return torch.logit(rate.to(targets.dtype)).reshape(1)
    if task.kind == "multiclass":
        counts = torch.bincount(labels.long(), minlength=task.outputs).to(targets.dtype)
        return torch.log((counts + 1e-6) / (counts + 1e-6).sum())
    mean = labels.mean().clamp(min=1e-6) if len(labels) else targets.new_tensor(1.0)
    return mean.log().reshape(1) if task.loss == "poisson" else _fitted_zinb(mean, labels)


def _constant_map(task: TaskSpec, targets: Tensor, valid: Tensor) -> Float[Tensor, " outputs"]:
    """The same at every place: class shares, mean of each channel; of cells rate of objects, mean box, class shares."""
    if task.kind == "segmentation":
        counts = torch.bincount(targets[valid].long(), minlength=len(task.classes)).to(targets.dtype)
        each = torch.log((counts + 1e-6) / (counts + 1e-6).sum())
    elif task.kind == "dense_regression":
        columns = (part.reshape(-1, task.outputs_a_place) for part in (torch.where(valid, targets, 0.0), valid))
        total, count = (part.sum(0) for part in columns)
        each = total / count.clamp(min=1)
    else:
        cells = targets[valid[:, 0]].reshape(-1, targets.shape[1] // task.places)
        objects = cells[cells[:, 0] > 0.5]
        shares = torch.stack([(objects[:, 5] == label).to(targets.dtype).mean() for label in range(len(task.classes))])
        rates = torch.cat([cells[:, 0].mean().reshape(1), objects[:, 1:5].mean(0), shares]).nan_to_num(0.5)
        each = torch.logit(rates, 1e-6)
    return each.repeat(task.places)


def _fitted_zinb(mean: Tensor, labels: Tensor) -> Tensor:
    """Maximum likelihood by L-BFGS over the distinct counts."""
    values, repeats = labels.double().unique(return_counts=True)
    outputs = torch.stack([mean.double().log(), torch.zeros_like(mean).double(), -torch.ones_like(mean).double()])
    outputs.requires_grad_()
    search = torch.optim.LBFGS([outputs], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def negative_log_likelihood() -> Tensor:
        search.zero_grad()
        each = zinb_nll(outputs.expand(len(values), 3), values.unsqueeze(-1)).squeeze(-1)
        loss: Tensor = (each * repeats).sum() / repeats.sum().clamp(min=1)
        loss.backward()
        return loss

    search.step(negative_log_likelihood)
    return outputs.detach().clamp(-30, 30).to(labels.dtype)


def _judged(
    task: TaskSpec, constant: Tensor, targets: Tensor, valid: Tensor, scale: Float[np.ndarray, " width"]
) -> dict[str, float | None]:
    if not valid.any() or task.kind == "function":  # no point of the plane is a guess
        return {}
    loss, values = judge(Labels.of(task, targets, valid, scale), constant.expand(1, len(targets), -1))
    return {name: value.item() if value.isfinite().all() else None for name, value in {"loss": loss, **values}.items()}
