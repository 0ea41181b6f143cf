"""Textbook twin of a run: one model, plain PyTorch, task losses, wrappers, training. The schemes are in reference_schemes.py and
reference_losses.py.

Conventions (the product's, stated in its documentation): the weights of a step come from the scheme's state before
that step; the model does not step when no task takes part; gate(weight_sum(smooth(every(scheme)))).
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from reference_losses import TWINS
from reference_maps import map_loss
from reference_schemes import Twin
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

from mtl_core.problem import Problem
from mtl_core.specs import ArmSpec, GateSpec, TaskSpec

# --- task losses: the mean over valid labels ----------------------------------------------------------------------


def task_loss(task: TaskSpec, output: Tensor, target: Tensor) -> Tensor | None:
    """Loss of one task on one batch; NaN in `target` is a missing label; None without any label."""
    if task.grid:
        return map_loss(task, output, target)
    valid = torch.isfinite(target)
    if not valid.any():
        return None
    if task.kind in ("regression", "multi_output"):
        ours, theirs = output[valid], target[valid]
        if task.loss == "mse":
            return F.mse_loss(ours, theirs)
        return F.l1_loss(ours, theirs) if task.loss == "l1" else F.huber_loss(ours, theirs, delta=task.huber_delta)
    return _row_loss(task, output[valid[:, 0]], target[valid[:, 0], 0])


def _row_loss(task: TaskSpec, output: Tensor, label: Tensor) -> Tensor:
    if task.kind == "multiclass":
        return F.cross_entropy(output, label.long(), label_smoothing=task.label_smoothing)
    if task.kind == "binary":
        return _binary(task, output[:, 0], label)
    if task.loss == "poisson":
        return (output[:, 0].exp() - label * output[:, 0] + torch.lgamma(label + 1)).mean()
    return zinb_nll(*output.T, label).mean()


def _binary(task: TaskSpec, logit: Tensor, label: Tensor) -> Tensor:
    positive = torch.tensor(task.positive_weight, dtype=logit.dtype)
    if task.loss == "bce":
        return F.binary_cross_entropy_with_logits(logit, label, pos_weight=positive)
    p = torch.sigmoid(logit)
    of_positive = -positive * (1 - p) ** task.focal_gamma * F.logsigmoid(logit)
    of_negative = -(p**task.focal_gamma) * F.logsigmoid(-logit)
    return torch.where(label > 0.5, of_positive, of_negative).mean()


def zinb_nll(a: Tensor, b: Tensor, z: Tensor, y: Tensor) -> Tensor:
    """Negative log-likelihood per row of the zero-inflated negative binomial: a mixture of a spike at 0 and torch's own
    NegativeBinomial with mean e^a and size e^b; the spike's probability is sigmoid(z)."""
    counts = torch.distributions.NegativeBinomial(total_count=b.exp(), logits=a - b, validate_args=False)
    from_counts = F.logsigmoid(-z) + counts.log_prob(y)
    return -torch.where(y == 0, torch.logaddexp(F.logsigmoid(z), from_counts), from_counts)


# --- wrappers and the weights of a step ---------------------------------------------------------------------------


Values = Mapping[str, float]
Given = dict[str, float]


class Weighting:
    """gate(weight_sum(smooth(every(scheme)))) for one run: floats in, floats out."""

    def __init__(
        self, arm: ArmSpec, tasks: tuple[TaskSpec, ...], lr: float, steps_per_epoch: int, labelled: Mapping[str, float]
    ) -> None:
        self.arm = arm
        recomputations = math.ceil(steps_per_epoch / (arm.every or 1))  # the epoch of a scheme that is asked every k steps
        self.twin = TWINS[arm.scheme](tasks, lr, recomputations, arm.settings)
        self.in_data = labelled
        self.batches = 0
        self.average_share = dict.fromkeys((task.name for task in tasks), 0.0)
        self.calls = 0
        self.kept: dict[str, float] = {}
        self.smoothed: dict[str, float] = {}
        self.totals: list[float] = []  # the paper's scalar at each step with a task
        self.admitted = set(labelled)  # by a hard gate, at the last step

    def objective(self, losses: Values, labelled: Values | None = None) -> float:
        """The paper's scalar for these losses under the present state, which it leaves alone."""
        asked = copy.deepcopy(self.twin)
        asked.labelled = labelled or {}
        return asked.total({name: torch.tensor(loss, dtype=torch.float64) for name, loss in losses.items()}).item()

    def sigma(self) -> Given:
        """Standard deviation that a learned log-variance stands for; the scale of a Laplace density for an L1 loss."""
        return self.twin.sigma()

    def step(self, losses: Values, labelled: Values, previous: Values | None = None, revisited: Values | None = None) -> Given:
        """Weights of the tasks that take part in this step; losses hold those with labels and a finite loss.

        `previous` and `revisited` hold the losses of the step before and those of its batch under the present parameters.
        """
        share = self._share(labelled)
        gate = self.arm.gate
        hard = gate is not None and gate.mode == "hard"
        admitted = {name for name in self.in_data if gate is None or not hard or share[name] >= gate.threshold}
        present = {name: loss for name, loss in losses.items() if name in admitted}
        before = {name: loss for name, loss in (previous or {}).items() if name in self.admitted}  # who was out has no news
        self.admitted, self.twin.labelled = admitted, labelled
        weights = self._sum(self._smooth(self._every(present, before, revisited or {})))
        if gate is None or hard:
            return weights
        return {name: weight * _soft(gate, share[name]) for name, weight in weights.items()}

    def _share(self, labelled: Mapping[str, float]) -> Mapping[str, float]:
        gate = self.arm.gate
        if gate is None or gate.scope == "dataset":
            return self.in_data
        if gate.scope == "batch":
            return labelled
        self.batches += 1
        new = 2 / (gate.window + 1)
        for name, share in labelled.items():
            self.average_share[name] += new * (share - self.average_share[name])
        correction = 1 - (1 - new) ** self.batches
        # a window of one batch forgets everything at once
        return {name: average / correction for name, average in self.average_share.items()}

    def _every(self, present: Values, previous: Values, revisited: Values) -> Given:
        recompute = self.arm.every is None or self.calls % self.arm.every == 0
        self.calls += 1
        asked = self.twin if recompute else copy.deepcopy(self.twin)  # between recomputations only tasks without a weight ask
        fresh = self._fresh(asked, present, previous, revisited)
        if recompute:
            self.kept |= fresh
        else:
            self.kept = fresh | self.kept
        return {name: self.kept[name] for name in present}

    def _fresh(self, twin: Twin, present: Values, previous: Values, revisited: Values) -> Given:
        """The weights as derivatives of the paper's scalar; then the scheme moves on."""
        if previous:
            twin.hear(previous, revisited)
        if not present:
            twin.learn({})  # time passes all the same: an epoch is a number of steps
            return {}
        leaves = {name: torch.tensor(loss, dtype=torch.float64, requires_grad=True) for name, loss in present.items()}
        total = twin.total(leaves)
        self.totals.append(total.item())
        slopes = torch.autograd.grad(total, list(leaves.values()), retain_graph=True)
        if twin.optimizer is not None and twin.joint:
            twin.optimizer.zero_grad(set_to_none=True)
            total.backward()
            twin.optimizer.step()
        twin.learn(present)
        return {name: float(slope) for name, slope in zip(leaves, slopes, strict=True)}

    def _sum(self, weights: Given) -> Given:
        size = sum(abs(weight) for weight in weights.values())
        if self.arm.weight_sum == "paper" or size == 0:
            return weights
        return {name: self.arm.weight_sum * weight / size for name, weight in weights.items()}

    def _smooth(self, weights: Given) -> Given:
        if self.arm.smooth is None:
            return weights
        for name, weight in weights.items():
            old = self.smoothed.get(name, weight)
            self.smoothed[name] = self.arm.smooth * weight + (1 - self.arm.smooth) * old
        return {name: self.smoothed[name] for name in weights}


def _soft(gate: GateSpec, share: float) -> float:
    return 1 / (1 + math.exp(-gate.sharpness * (share - gate.threshold)))


# --- one model, one run -------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A trunk of hidden layers and one linear head a task."""

    def __init__(self, features: int, hidden: tuple[int, ...], tasks: tuple[TaskSpec, ...]) -> None:
        super().__init__()
        widths = (features, *hidden)
        self.trunk = nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in itertools.pairwise(widths))
        self.heads = nn.ModuleList(nn.Linear(widths[-1], task.outputs, dtype=torch.float64) for task in tasks)
        self.tasks = tasks

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for layer in self.trunk:
            x = torch.relu(layer(x))
        return {task.name: head(x) for task, head in zip(self.tasks, self.heads, strict=True)}


@dataclass
class Run:
    """One run: a net, its optimizer, its weighting. Each epoch leaves its steps' weights, losses and label counts."""

    net: Net
    weighting: Weighting
    optimizer: torch.optim.Optimizer
    weights: list[dict[str, float]] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)
    labels: list[dict[str, int]] = field(default_factory=list)
    skipped: int = 0
    before: tuple[Tensor, Mapping[str, Tensor], Given] | None = None  # the last batch and its losses

    def step(self, x: Tensor, targets: Mapping[str, Tensor]) -> None:
        """Forward, weights, backward, step."""
        found = self.found(x, targets)
        labelled = {name: float(torch.isfinite(target).double().mean()) for name, target in targets.items()}
        losses = {name: loss for name, loss in found.items() if bool(torch.isfinite(loss))}
        values = {name: loss.item() for name, loss in losses.items()}
        weights = self.weighting.step(values, labelled, *self.second_look())
        self.before = (x, targets, values)
        self.losses.append(values)
        self.weights.append(weights)
        self.labels.append({name: int(torch.isfinite(target).sum()) for name, target in targets.items()})
        if not weights:
            self.skipped += 1
            return
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack([weight * losses[name] for name, weight in weights.items()]).sum().backward()
        self.optimizer.step()

    def found(self, x: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of the tasks with labels."""
        outputs = self.net(x)
        losses = {task.name: task_loss(task, outputs[task.name], targets[task.name]) for task in self.net.tasks}
        return {name: loss for name, loss in losses.items() if loss is not None}

    def second_look(self) -> tuple[Values, Values]:
        """Losses of the step before, and those of its batch now."""
        if self.before is None:
            return {}, {}
        x, targets, values = self.before
        with torch.no_grad():
            return values, {name: float(loss) for name, loss in self.found(x, targets).items()}

    def epoch(self, x: Tensor, targets: Mapping[str, Tensor], order: Tensor, batch_size: int) -> None:
        """One pass over the training rows in this order."""
        self.weights, self.losses, self.labels = [], [], []
        for rows in order.split(batch_size):
            self.step(x[rows], {name: target[rows] for name, target in targets.items()})

    def judge(self, x: Tensor, targets: Mapping[str, Tensor]) -> dict[str, float]:
        """Raw loss of each task with labels on a whole split."""
        with torch.no_grad():
            return {name: float(loss) for name, loss in self.found(x, targets).items()}


def optimizer_for(net: Net, kind: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """torch's own Adam, AdamW or SGD over the model's parameters; weighting parameters are not among them."""
    makers: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    return makers[kind](net.parameters(), lr=lr, weight_decay=weight_decay)


def prepared(problem: Problem, split: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Features standardised (0/1 columns centred, doubled), regression targets z-scored, by the training rows; float64."""
    train, inside = problem.split == 0, problem.split == split
    x = np.asarray(problem.features, dtype=np.float64)
    if problem.input_shape:  # images and sequences by channel
        x = x.reshape(len(x), problem.input_shape[0], -1)
        x = ((x - x[train].mean((0, 2))[:, None]) / x[train].std((0, 2))[:, None]).reshape(len(x), -1)
    else:
        spread = np.array([0.5 if set(column) <= {0.0, 1.0} else column.std() for column in x[train].T])
        x = (x - x[train].mean(0)) / np.where(spread > 0, spread, 1)
    targets = {}
    for task in problem.tasks:
        y = np.asarray(problem.targets[task.name], dtype=np.float64)
        if task.kind in ("regression", "multi_output") and task.scaled:
            y = (y - np.nanmean(y[train], 0)) / np.nanstd(y[train], 0)
        targets[task.name] = torch.tensor(y[inside])
    return torch.tensor(x[inside]), targets
