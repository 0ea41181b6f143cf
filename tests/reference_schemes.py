"""Schemes as their papers write them: one run, plain PyTorch. Fixed, learned and loss-based ones of the first catalogue.

Every scheme is the *scalar* its paper writes down: `total(losses)`. What the product calls an effective weight is then not a
formula but a fact, the derivative of that scalar with respect to a task's loss, and a learned weighting parameter is an
`nn.Parameter` in a `torch.optim.Adam`. Losses are dictionaries that hold the present tasks only, so that an absent task is
absent in the plainest sense.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its usual name)

from mtl_core.specs import TaskSpec

Losses = dict[str, Tensor]


class Twin:
    """A scheme for one run: `total` is the paper's scalar, `learn` its end of step."""

    joint = True  # the parameters are trained on the total, with the model

    def __init__(self, tasks: Iterable[TaskSpec], lr: float, steps_per_epoch: int, settings: Mapping[str, Any]) -> None:
        self.tasks = {task.name: task for task in tasks}
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.lr = lr
        self.parameters: dict[str, nn.Parameter] = {}
        self.optimizer: torch.optim.Adam | None = None
        self.labelled: Mapping[str, float] = {}  # shares of valid labels in this step's batch
        self.start()

    def start(self) -> None:
        """Set up whatever the scheme keeps between steps."""

    def total(self, losses: Losses) -> Tensor:
        """The scalar to minimise, for the present tasks."""
        raise NotImplementedError

    def learn(self, losses: Mapping[str, float]) -> None:
        """End of a step: what a scheme without parameters keeps in mind."""

    def hear(self, previous: Mapping[str, float], revisited: Mapping[str, float]) -> None:
        """Before a step: the losses of the step before, and what they are on the same batch now."""

    def sigma(self) -> dict[str, float]:
        """The standard deviation that each parameter stands for, if any."""
        return {}

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
    return (0.5, 0.5) if task.kind in ("regression", "multi_output", "dense_regression") else (1.0, 0.5)


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

    def sigma(self) -> dict[str, float]:
        halves = {name: likelihood(task, self.settings["likelihood"])[1] for name, task in self.tasks.items()}
        return {name: math.exp(halves[name] * s.item()) for name, s in self.parameters.items()}

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

    def sigma(self) -> dict[str, float]:
        return {name: math.sqrt(1 + math.exp(u.item())) for name, u in self.parameters.items()}

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

    def logs(self, losses: Losses) -> Losses:
        """Logarithms of the floored losses."""
        return {name: torch.log(self.floored(name, loss)) for name, loss in losses.items()}

    def learn(self, losses: Mapping[str, float]) -> None:
        for name, loss in losses.items():
            self.first.setdefault(name, loss)


class GlsTwin(FlooredTwin):
    """Chennupati et al. 2019: the geometric mean of the losses."""

    def total(self, losses: Losses) -> Tensor:
        return torch.exp(sum(self.logs(losses).values(), torch.zeros(())) / len(losses))


class ScaleInvariantTwin(FlooredTwin):
    """`sum ln L_i`."""

    def total(self, losses: Losses) -> Tensor:
        return sum(self.logs(losses).values(), torch.zeros(()))
