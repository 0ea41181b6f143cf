"""Textbook twins: one model, one run, plain PyTorch, written from the papers and not from the product.

Every scheme here is the *scalar* its paper writes down: `total(losses)`. What the product calls an effective weight is
then not a formula but a fact, the derivative of that scalar with respect to a task's loss, and a learned weighting
parameter is an `nn.Parameter` in a `torch.optim.Adam`. Losses are dictionaries that hold the present tasks only, so
that an absent task is absent in the plainest sense.

Conventions (the product's, stated in its documentation): the weights of a step come from the scheme's state before
that step; the model does not step when no task takes part; gate(smooth(every(scheme))).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

from mtl_core.problem import Problem
from mtl_core.specs import ArmSpec, GateSpec, TaskSpec

Losses = dict[str, Tensor]

# --- task losses: the mean over valid labels ----------------------------------------------------------------------


def task_loss(task: TaskSpec, output: Tensor, target: Tensor) -> Tensor | None:
    """Loss of one task on one batch; NaN in `target` is a missing label; None without any label."""
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


# --- schemes: the scalar of the paper -----------------------------------------------------------------------------


class Twin:
    """A scheme for one run: `total` is the paper's scalar, `learn` its end of step."""

    def __init__(self, tasks: Iterable[TaskSpec], lr: float, steps_per_epoch: int, **settings: Any) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.lr = lr
        self.parameters: dict[str, nn.Parameter] = {}
        self.optimizer: torch.optim.Adam | None = None
        self.start()

    def start(self) -> None:
        """Set up whatever the scheme keeps between steps."""

    def total(self, losses: Losses) -> Tensor:
        """The scalar to minimise, for the present tasks."""
        raise NotImplementedError

    def learn(self, losses: Mapping[str, float]) -> None:
        """End of a step: what a scheme without parameters keeps in mind."""

    def own(self, parameters: dict[str, float], factor: float) -> None:
        """Give the scheme one learned parameter a task."""
        self.parameters = {
            name: nn.Parameter(torch.tensor(float(value), dtype=torch.float64)) for name, value in parameters.items()
        }
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=self.lr * factor)


class EqualTwin(Twin):
    """`sum L_i`, or that over the number of tasks in this step."""

    def total(self, losses: Losses) -> Tensor:
        whole = sum(losses.values(), torch.zeros(()))
        return whole / len(losses) if self.settings["reduction"] == "mean" else whole


class FixedTwin(Twin):
    """`sum w_i L_i` with given weights."""

    def total(self, losses: Losses) -> Tensor:
        weights = self.settings["weights"]
        each = weights if isinstance(weights, Mapping) else dict.fromkeys(self.tasks, weights)
        return sum((each[name] * loss for name, loss in losses.items()), torch.zeros(()))


def likelihood(task: TaskSpec, form: str) -> tuple[float, float]:
    """(c, h) of `c e^{-s} L + h s`, by what the loss is the negative log-likelihood of."""
    if form == "shared_half":
        return 0.5, 0.5
    if task.loss == "l1":
        return 1.0, 1.0  # Laplace: |d|/b + ln b
    return (0.5, 0.5) if task.kind in ("regression", "multi_output") else (1.0, 0.5)


class UncertaintyTwin(Twin):
    """Kendall, Gal, Cipolla 2018: one log-variance s a task, trained with the model."""

    def start(self) -> None:
        initial = self.settings["initial"]
        if initial == "priors":
            initial = {name: task.prior for name, task in self.tasks.items()}
        elif not isinstance(initial, Mapping):
            initial = dict.fromkeys(self.tasks, initial)
        self.own(initial, self.settings["lr_factor"])
        self.learn({})

    def total(self, losses: Losses) -> Tensor:
        return sum((self.term(name, loss) for name, loss in losses.items()), torch.zeros(()))

    def term(self, name: str, loss: Tensor) -> Tensor:
        """One task's share of the objective."""
        s = self.parameters[name]
        c, h = likelihood(self.tasks[name], self.settings["likelihood"])
        used = s
        if self.settings["clamp"] is not None and self.settings["clamp_form"] == "coefficient":
            used = s.clamp(*self.settings["clamp"])  # the log term below stays free: the published mistake
        return c * torch.exp(-used) * loss + h * s + self.settings["regulariser"] * s**2

    def learn(self, losses: Mapping[str, float]) -> None:
        if self.settings["clamp"] is not None and self.settings["clamp_form"] == "projected":
            with torch.no_grad():
                for s in self.parameters.values():
                    s.clamp_(*self.settings["clamp"])


class SoftplusTwin(Twin):
    """`e^{-s} L + s` with s = softplus(u) >= 0: the total of non-negative losses is never negative."""

    def start(self) -> None:
        initial = self.settings["initial"]
        each = dict(initial) if isinstance(initial, Mapping) else dict.fromkeys(self.tasks, initial)
        self.own(each, self.settings["lr_factor"])

    def total(self, losses: Losses) -> Tensor:
        s = {name: F.softplus(self.parameters[name]) for name in losses}
        return sum((torch.exp(-s[name]) * loss + s[name] for name, loss in losses.items()), torch.zeros(()))


class DwaTwin(Twin):
    """Liu, Johns, Davison 2019: T softmax(r/tau), r the ratio of a task's last two epoch means."""

    def start(self) -> None:
        self.seen: dict[str, list[float]] = {name: [] for name in self.tasks}
        self.means: dict[str, list[float]] = {name: [] for name in self.tasks}
        self.steps = 0

    def ratio(self, name: str) -> float:
        """How much of the loss was left after the last epoch with this task; 1 before there are two."""
        means = self.means[name]
        if len(means) < 2:
            return 1.0
        bounds = self.settings["ratio_clamp"]
        ratio = means[-1] / means[-2]
        return ratio if bounds is None else min(max(ratio, bounds[0]), bounds[1])

    def total(self, losses: Losses) -> Tensor:
        ratios = [self.ratio(name) / self.settings["temperature"] for name in losses]
        powers = [math.exp(ratio - max(ratios)) for ratio in ratios]
        shares = [len(losses) * power / sum(powers) for power in powers]
        return sum((share * loss for share, loss in zip(shares, losses.values(), strict=True)), torch.zeros(()))

    def learn(self, losses: Mapping[str, float]) -> None:
        for name, loss in losses.items():
            self.seen[name].append(loss)
        self.steps += 1
        if self.steps % self.steps_per_epoch == 0:
            for name, seen in self.seen.items():
                if seen:
                    self.means[name].append(sum(seen) / len(seen))
                    seen.clear()


class FlooredTwin(Twin):
    """What takes the logarithm of a loss: floored at a share of the task's first loss."""

    def start(self) -> None:
        self.first: dict[str, float] = {}

    def floored(self, name: str, loss: Tensor) -> Tensor:
        """The loss, but not below its floor; the gradient passes through, so that weights stay finite, not zero."""
        floor = self.settings.get("epsilon", 1e-12) * self.first.get(name, float(loss.detach()))
        return loss + (floor - loss.detach()).clamp(min=0)

    def learn(self, losses: Mapping[str, float]) -> None:
        for name, loss in losses.items():
            self.first.setdefault(name, loss)


class GlsTwin(FlooredTwin):
    """Chennupati et al. 2019: the geometric mean of the losses."""

    def total(self, losses: Losses) -> Tensor:
        logs = [torch.log(self.floored(name, loss)) for name, loss in losses.items()]
        return torch.exp(sum(logs, torch.zeros(())) / len(logs))


class ScaleInvariantTwin(FlooredTwin):
    """`sum ln L_i`."""

    def total(self, losses: Losses) -> Tensor:
        return sum((torch.log(self.floored(name, loss)) for name, loss in losses.items()), torch.zeros(()))


TWINS: dict[str, type[Twin]] = {
    "equal": EqualTwin,
    "fixed": FixedTwin,
    "uncertainty": UncertaintyTwin,
    "softplus": SoftplusTwin,
    "dwa": DwaTwin,
    "gls": GlsTwin,
    "scale_invariant": ScaleInvariantTwin,
}

# --- wrappers and the weights of a step ---------------------------------------------------------------------------


class Weighting:
    """gate(smooth(every(scheme))) for one run: floats in, floats out."""

    def __init__(
        self, arm: ArmSpec, tasks: tuple[TaskSpec, ...], lr: float, steps_per_epoch: int, labelled: Mapping[str, float]
    ) -> None:
        self.arm = arm
        recomputations = math.ceil(steps_per_epoch / (arm.every or 1))  # the epoch of a scheme that is asked every k steps
        self.twin = TWINS[arm.scheme](tasks, lr, recomputations, **arm.settings)
        self.in_data = labelled
        self.batches = 0
        self.average_share = dict.fromkeys((task.name for task in tasks), 0.0)
        self.calls = 0
        self.kept: dict[str, float] = {}
        self.smoothed: dict[str, float] = {}
        self.totals: list[float] = []  # the paper's scalar at each step with a task

    def objective(self, losses: Mapping[str, float]) -> float:
        """The paper's scalar for these losses under the present state."""
        return self.twin.total({name: torch.tensor(loss, dtype=torch.float64) for name, loss in losses.items()}).item()

    def sigma(self) -> dict[str, float]:
        """Standard deviation that a learned log-variance stands for; the scale of a Laplace density for an L1 loss."""
        parameters = {name: parameter.item() for name, parameter in self.twin.parameters.items()}
        if isinstance(self.twin, SoftplusTwin):
            return {name: math.sqrt(1 + math.exp(u)) for name, u in parameters.items()}
        if not parameters:
            return {}
        per_task = self.arm.settings["likelihood"] == "per_task"
        halves = {name: 1.0 if per_task and self.twin.tasks[name].loss == "l1" else 0.5 for name in parameters}
        return {name: math.exp(halves[name] * s) for name, s in parameters.items()}

    def step(self, losses: Mapping[str, float], labelled: Mapping[str, float]) -> dict[str, float]:
        """Weights of the tasks that take part in this step; losses hold those with labels and a finite loss."""
        share = self._share(labelled)
        gate = self.arm.gate
        present = {
            name: loss for name, loss in losses.items() if gate is None or gate.mode == "soft" or share[name] >= gate.threshold
        }
        weights = self._smooth(self._every(present))
        if gate is None or gate.mode == "hard":
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

    def _every(self, present: Mapping[str, float]) -> dict[str, float]:
        fresh, move = self._fresh(present)
        recompute = self.arm.every is None or self.calls % self.arm.every == 0
        self.calls += 1
        if recompute:
            move()
            self.kept |= fresh
        return {name: self.kept.get(name, fresh[name]) for name in present}

    def _fresh(self, present: Mapping[str, float]) -> tuple[dict[str, float], Callable[[], None]]:
        """The weights as derivatives of the paper's scalar, and what moves the scheme on."""
        twin = self.twin
        if not present:
            return {}, lambda: twin.learn({})  # time passes all the same: an epoch is a number of steps
        leaves = {name: torch.tensor(loss, dtype=torch.float64, requires_grad=True) for name, loss in present.items()}
        total = twin.total(leaves)
        self.totals.append(total.item())
        weights = {
            name: float(g)
            for name, g in zip(leaves, torch.autograd.grad(total, list(leaves.values()), retain_graph=True), strict=True)
        }

        def move() -> None:
            if twin.optimizer is not None:
                twin.optimizer.zero_grad(set_to_none=True)
                total.backward()
                twin.optimizer.step()
            twin.learn(present)

        return weights, move

    def _smooth(self, weights: dict[str, float]) -> dict[str, float]:
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

    def step(self, x: Tensor, targets: Mapping[str, Tensor]) -> None:
        """Forward, weights, backward, step."""
        outputs = self.net(x)
        found = {task.name: task_loss(task, outputs[task.name], targets[task.name]) for task in self.net.tasks}
        labelled = {name: float(torch.isfinite(target).double().mean()) for name, target in targets.items()}
        losses = {name: loss for name, loss in found.items() if loss is not None and bool(torch.isfinite(loss))}
        values = {name: loss.item() for name, loss in losses.items()}
        weights = self.weighting.step(values, labelled)
        self.losses.append(values)
        self.weights.append(weights)
        self.labels.append({name: int(torch.isfinite(target).sum()) for name, target in targets.items()})
        if not weights:
            self.skipped += 1
            return
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack([weight * losses[name] for name, weight in weights.items()]).sum().backward()
        self.optimizer.step()

    def epoch(self, x: Tensor, targets: Mapping[str, Tensor], order: Tensor, batch_size: int) -> None:
        """One pass over the training rows in this order."""
        self.weights, self.losses, self.labels = [], [], []
        for rows in order.split(batch_size):
            self.step(x[rows], {name: target[rows] for name, target in targets.items()})

    def judge(self, x: Tensor, targets: Mapping[str, Tensor]) -> dict[str, float]:
        """Raw loss of each task with labels on a whole split."""
        with torch.no_grad():
            outputs = self.net(x)
            found = {task.name: task_loss(task, outputs[task.name], targets[task.name]) for task in self.net.tasks}
        return {name: float(loss) for name, loss in found.items() if loss is not None}


def optimizer_for(net: Net, kind: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """torch's own Adam, AdamW or SGD over the model's parameters; weighting parameters are not among them."""
    makers: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    return makers[kind](net.parameters(), lr=lr, weight_decay=weight_decay)


def prepared(problem: Problem, split: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Features standardised and regression targets z-scored by the training rows, in double precision; NaN stays NaN."""
    train, inside = problem.split == 0, problem.split == split
    x = np.asarray(problem.features, dtype=np.float64)
    spread = x[train].std(0)
    x = (x - x[train].mean(0)) / np.where(spread > 0, spread, 1)
    targets = {}
    for task in problem.tasks:
        y = np.asarray(problem.targets[task.name], dtype=np.float64)
        if task.kind in ("regression", "multi_output") and task.scaled:
            y = (y - np.nanmean(y[train], 0)) / np.nanstd(y[train], 0)
        targets[task.name] = torch.tensor(y[inside])
    return torch.tensor(x[inside]), targets
