"""Homoscedastic uncertainty weighting (Kendall, Gal, Cipolla, CVPR 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mtl_core.deferred import torch
from mtl_core.schemes.base import Knowledge, Scheme, Setup, Signals, Value, setting
from mtl_core.schemes.maths.adam import Adam, adam_step

if TYPE_CHECKING:
    from torch import Tensor

    from mtl_core.specs import TaskSpec


class UncertaintyState(NamedTuple):
    """Learned log-variances and their optimizer."""

    s: Tensor  # [*lanes, tasks] log-variance (for an L1 loss: log-scale b)
    adam: Adam
    lr: Tensor  # [*lanes, 1]
    on_loss: Tensor  # [*lanes, tasks] factor of e^{-s} L in the objective
    on_log: Tensor  # [*lanes, tasks] factor of s in the objective


@dataclass(frozen=True)
class Uncertainty(Scheme):
    """A log-variance per task is learned with the model; noisy or large losses are weighted down by it.

    Objective over present tasks, by likelihood: regression `e^{-s}L/2 + s/2`; classification and counts `e^{-s}L + s/2`;
    L1 (Laplace) `e^{-b}L + b`. Option `shared_half` uses `e^{-s}L/2 + s/2` for all, as much published code does.
    Stationary points: `s* = ln L`, `ln 2L` and `ln L`. The effective weight is the coefficient of L: half of the `e^{-s}`
    that some implementations report.

    Deviations: the clamp holds the parameter (a projected step), because a clamp in the forward pass has no gradient outside
    its range and a parameter that overshoots never comes back. `clamp_form: coefficient` is the SmartCash source's way (only
    the variance in the quotient is clamped, the log term is free): below the clamp its objective is unbounded.
    Learned by Adam with its own learning rate and no weight decay, whatever the model's optimizer; the `s` of an absent task
    stands still.
    """

    name = "uncertainty"
    title = "Uncertainty weighting"
    family = "learned"
    formula = "regression: e^{-s}L/2 + s/2; classification, counts: e^{-s}L + s/2; L1: e^{-b}L + b"
    source = (
        "Kendall, Gal, Cipolla. Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics. CVPR 2018"
    )
    positive_losses = True  # below 0 there is no stationary point
    own_objective = True
    presets = {
        "osint": {
            "likelihood": "shared_half",
            "initial": "priors",
            "clamp": (-2.0, 2.0),
            "regulariser": 0.01,
            "lr_factor": 10.0,
        },
        "smartcash": {"likelihood": "shared_half", "initial": 0.0, "clamp": (math.log(1e-3), math.log(10.0))},
    }
    knowledge = Knowledge(
        pros=(
            "Brings losses of any scale to the same size: once settled, a loss L has weight 1/(2L), an L1 loss 1/L.",
            "One number per task, no second backward pass, no setting that has to be tuned first.",
            "Derived from likelihoods, so that squared errors, absolute errors and cross-entropies each have their own term.",
        ),
        cons=(
            "What it calls uncertainty is the training loss at the moment: units, misfit and noise in one number.",
            "A task that is merely hard is weighted down as if it were noisy.",
            "It knows nothing of importance: two tasks of equal loss settle at the same weight.",
            "What it settles at is 1/L up to a factor; scale_invariant has that from the first step on.",
        ),
        when=(
            "Targets in different units or with different noise, and enough data that training and validation losses stay close.",
            "Too many tasks for a search over fixed weights.",
        ),
        when_not=(
            "Little data and a model that can memorise: weights grow like 1/(2L) as training losses vanish.",
            "Losses that can be negative: s would run to minus infinity, so they are refused.",
            "The hardest task is the one that matters.",
        ),
        failure_modes=(
            "Inertia: under Adam at 1e-3, with a constant loss of 100, s needs about 10,700 steps to come within 0.1 of ln 100. "
            "Until then the largest unit leads, as with equal weights.",
            "The learned total can fall while the tasks get worse. In the run log of ML_OSINT it chooses the last epoch, 199; "
            "the mean of the same raw losses is best at epoch 95 and 9.7 % worse at 199.",
            "The total goes below 0 once losses are small; that is no error, and no sign of a good model.",
            "A clamp in the forward pass has no gradient outside its range: a parameter that overshoots never comes back. Here "
            "the clamp holds the parameter, unless clamp_form is coefficient.",
            "A common bug elsewhere: s is not handed to the optimizer and never moves. Here the scheme trains it itself.",
        ),
        deviations=(
            "The clamp holds the parameter itself; the SmartCash code clamps only the variance in the quotient, which leaves its "
            "objective unbounded below (to be had by clamp_form: coefficient).",
            "s is trained by an Adam of its own without weight decay, whatever the model's optimizer.",
            "Much published code takes the 1/2 form for all kinds of loss (likelihood: shared_half) and reports e^{-s}, twice "
            "the effective weight.",
        ),
        traits=frozenset({"adaptive", "learned", "small_data_risk"}),
    )

    likelihood: str = setting(
        "choice",
        "per_task",
        "the likelihood each loss stands for, or the 1/2 form for all",
        choices=("per_task", "shared_half"),
        source="paper, section 3",
    )
    initial: Value = setting(
        "per_task",
        0.0,
        "initial s: a number, one per task, or the tasks' priors",
        low=-20.0,
        high=20.0,
        choices=("priors",),
        source="convention: variance 1",
    )
    clamp: Value = setting("interval", None, "range of s; no bounds by default", low=-30.0, high=30.0, source="paper: no bounds")
    clamp_form: str = setting(
        "choice",
        "projected",
        "projected: hold s itself; coefficient: hold only e^{-s}",
        choices=("projected", "coefficient"),
        source="ours: a parameter that overshoots comes back",
    )
    regulariser: Value = setting("number", 0.0, "factor of the sum of s squared", low=0.0, high=100.0, source="paper: none")
    lr_factor: Value = setting(
        "number",
        1.0,
        "learning rate of s, relative to the model's",
        low=0.0,
        high=10_000.0,
        source="paper: trained with the model",
    )

    def init(self, setup: Setup) -> UncertaintyState:
        """`s` at its initial value, and the two factors of each task's likelihood."""
        blank = setup.lr.new_zeros(*setup.lanes, len(setup.tasks))
        s = self._projected(blank + self.initial)
        factors = [self._factors(task) for task in setup.tasks]
        on_loss, on_log = (blank + blank.new_tensor(column) for column in zip(*factors, strict=True))
        return UncertaintyState(s, Adam.zeros(s), setup.lr * self.lr_factor, on_loss, on_log)

    def update(self, state: UncertaintyState, signals: Signals) -> tuple[Tensor, UncertaintyState]:
        """Weights `on_loss * e^{-s}`; then one Adam step on `s` along the closed-form derivative of the objective."""
        held = self._held(state.s)
        weights = torch.where(signals.available, state.on_loss * torch.exp(-held), 0.0)
        free = state.s == held  # the coefficient has no gradient where it is clamped
        gradient = state.on_log - weights * signals.losses * free + 2 * self.regulariser * state.s
        s, adam = adam_step(state.adam, state.s, gradient, state.lr, signals.available)
        return weights, state._replace(s=self._projected(s), adam=adam)

    def objective(self, state: UncertaintyState, signals: Signals) -> Tensor:
        """Sum over present tasks of weighted loss, log term and regulariser; negative once losses are small."""
        fit = state.on_loss * torch.exp(-self._held(state.s)) * signals.losses
        terms = fit + state.on_log * state.s + self.regulariser * state.s**2
        return torch.where(signals.available, terms, 0.0).sum(-1)

    def report(self, state: UncertaintyState) -> dict[str, Tensor]:
        """sigma: `e^{s/2}` of the parameter itself; for a Laplace likelihood the scale `e^b`."""
        return {"sigma": torch.exp(state.s * state.on_log)}

    def _factors(self, task: TaskSpec) -> tuple[float, float]:
        if self.likelihood == "shared_half":
            return 0.5, 0.5
        if task.is_regression:
            return (1.0, 1.0) if task.loss == "l1" else (0.5, 0.5)
        return 1.0, 0.5

    def _held(self, s: Tensor) -> Tensor:
        if self.clamp is None:
            return s
        return torch.clamp(s, *(end.to(s) if isinstance(end, torch.Tensor) else end for end in self.clamp))

    def _projected(self, s: Tensor) -> Tensor:
        return self._held(s) if self.clamp_form == "projected" else s
