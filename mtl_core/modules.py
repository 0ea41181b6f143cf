"""Weighting schemes for a person's own PyTorch loop: losses by name in, one scalar out.

    criterion = MultiTaskLoss({"depth": "regression", "segment": "multiclass"}, scheme="uncertainty", lr=1e-3)
    for features, targets in loader:
        optimizer.zero_grad()
        criterion({"depth": depth_loss, "segment": segment_loss}).backward()
        optimizer.step()

Learned weights live and are trained inside (Adam, as in the lanes): there is nothing to hand to the optimizer, so it cannot be
forgotten. `eval()` freezes them; `state_dict()` carries them; select checkpoints by fixed weights, not by what this returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mtl_core.errors import SpecError, unknown
from mtl_core.schemes import check_tasks
from mtl_core.schemes.base import Scheme, Setup, Signals
from mtl_core.schemes.build import build
from mtl_core.schemes.numerics import tree_fill, tree_leaves
from mtl_core.specs import ArmSpec, TaskSpec, sentence

Losses = Mapping[str, Tensor | None]


class MultiTaskLoss(nn.Module):
    """Any scheme, with its wrappers, as a module.

    `tasks`: names, or names with their kinds (uncertainty's likelihood depends on them), or TaskSpecs. `lr`: the model's
    learning rate, of which learned weights take `lr_factor` times as theirs. `steps_per_epoch`: for schemes that look at epochs
    (dwa). `labelled`: share of labels in the training data by task, for a gate of scope `dataset`.
    Further keywords (`preset`, `gate`, `smooth`, `every`) are those of an arm. Raises SpecError for what is not allowed.
    """

    def __init__(
        self,
        tasks: Sequence[str] | Mapping[str, str] | Sequence[TaskSpec],
        scheme: str = "equal",
        settings: Mapping[str, Any] | None = None,
        *,
        lr: float = 1e-3,
        steps_per_epoch: int = 1,
        labelled: Mapping[str, float] | None = None,
        dtype: torch.dtype | None = None,
        **wrappers: Any,
    ) -> None:
        super().__init__()
        try:
            self.tasks = _task_specs(tasks)
            self.arm = ArmSpec.model_validate({"scheme": scheme, "settings": dict(settings or {}), **wrappers})
        except ValidationError as error:
            raise SpecError(sentence(error)) from None
        _check_numbers(lr, steps_per_epoch)
        self._known(labelled or {})
        check_tasks(scheme, self.arm.settings, [task.name for task in self.tasks], where="MultiTaskLoss")
        self._schemes: dict[tuple[torch.dtype, torch.device], Scheme] = {}
        self.skipped = 0  # steps in which no task took part
        dtype = dtype or torch.get_default_dtype()
        shares = torch.tensor([(labelled or {}).get(task.name, 1.0) for task in self.tasks], dtype=dtype)
        setup = Setup(self.tasks, (), torch.tensor([lr], dtype=dtype), steps_per_epoch, shares)
        self._state = self._scheme_for(shares).init(setup)
        for place, leaf in enumerate(tree_leaves(self._state)):
            self.register_buffer(f"state_{place}", leaf.clone())
        self.register_buffer("last_weights", torch.zeros_like(shares))

    def forward(self, losses: Losses, availability: Mapping[str, float] | None = None) -> Tensor:
        """The scheme's objective, a scalar whose gradient is the sum of `w_i` times the gradient of loss i.

        A task that is left out, None or not finite is absent: weight 0, its state stands still. `availability` gives the share
        of valid labels in the batch (default 1 where there is a loss). With no task at all the result is 0 and
        moves nothing (counted in `skipped`). In training mode every call is one step of the scheme.
        """
        self._known(availability or {})
        present = self._named(losses)
        values = self.last_weights.new_tensor([torch.nan if loss is None else float(loss.detach()) for loss in present])
        available = values.isfinite()
        shares = [(availability or {}).get(task.name, float(there)) for task, there in zip(self.tasks, available, strict=True)]
        signals = Signals(torch.where(available, values, 0.0), available, values.new_tensor(shares))
        self._refuse_negative(signals)
        weights, objective = self._weigh(signals)
        taking_part = [(weight, loss) for weight, loss in zip(weights, present, strict=True) if weight != 0 and loss is not None]
        if not taking_part:
            self.skipped += self.training
            return torch.zeros((), dtype=values.dtype, device=values.device, requires_grad=True)
        total = torch.stack([weight.to(loss.dtype) * loss.reshape(()) for weight, loss in taking_part]).sum()
        return total + (objective - total).detach()

    @property
    def weights(self) -> dict[str, float]:
        """Effective weights of the last call."""
        return dict(zip([task.name for task in self.tasks], self.last_weights.tolist(), strict=True))

    @property
    def sigma(self) -> dict[str, float]:
        """Learned sigma by task; empty for a scheme without."""
        found = self._scheme_for(self.last_weights).report(self._filled()).get("sigma")
        return {} if found is None else dict(zip([task.name for task in self.tasks], found.tolist(), strict=True))

    def _weigh(self, signals: Signals) -> tuple[Tensor, Tensor]:
        scheme, state = self._scheme_for(signals.losses), self._filled()
        weights, after = scheme.update(state, signals)
        objective = scheme.objective(state, signals) if scheme.own_objective else (weights * signals.losses).sum(-1)
        if self.training:
            for place, leaf in enumerate(tree_leaves(after)):
                setattr(self, f"state_{place}", leaf.detach())
        self.last_weights = weights.detach()
        return weights.detach(), objective

    def _known(self, by_task: Mapping[str, Any]) -> None:
        names = [task.name for task in self.tasks]
        for name in by_task:
            if name not in names:
                raise SpecError(unknown("task", name, names))

    def _named(self, losses: Losses) -> list[Tensor | None]:
        self._known(losses)
        for name, loss in losses.items():
            if loss is not None and not (isinstance(loss, Tensor) and loss.numel() == 1):
                raise SpecError(f'The loss of task "{name}" has to be a tensor with one element, or None where it is absent.')
        return [losses.get(task.name) for task in self.tasks]

    def _refuse_negative(self, signals: Signals) -> None:
        if not self._scheme_for(signals.losses).positive_losses:
            return
        for task, loss in zip(self.tasks, signals.losses.tolist(), strict=True):
            if loss < 0:
                raise SpecError(f'{self.arm.scheme} needs positive losses; task "{task.name}" is {loss:.3g}.')

    def _filled(self) -> Any:
        count = len(tree_leaves(self._state))
        return tree_fill(self._state, [getattr(self, f"state_{place}") for place in range(count)])

    def _scheme_for(self, like: Tensor) -> Scheme:
        key = (like.dtype, like.device)
        if key not in self._schemes:
            self._schemes[key] = build(self.arm, self.tasks, *key)
        return self._schemes[key]


class SoftplusKendallLoss(MultiTaskLoss):
    """Uncertainty weighting with `s = softplus(u)`; `init_scale` is the initial u (0: s = ln 2, weight 1/2)."""

    def __init__(self, task_names: Sequence[str], init_scale: float = 0.0, **options: Any) -> None:
        super().__init__(task_names, "softplus", {"initial": init_scale}, **options)


class UniformWeightedLoss(MultiTaskLoss):
    """Fixed weights: one for all, a mapping that names every task, or None for `1/T`."""

    def __init__(self, task_names: Sequence[str], weights: float | Mapping[str, float] | None = None, **options: Any) -> None:
        scheme, settings = ("equal", {}) if weights is None else ("fixed", {"weights": weights})
        super().__init__(task_names, scheme, settings, **options)


class AvailabilityGatedLoss(nn.Module):
    """A hard gate in front of a multi-task loss: tasks below `min_availability` in this batch are left out.

    `base_loss` takes losses by name (a MultiTaskLoss, or a person's own module) and is only ever given the tasks that pass.
    The default weights them equally.
    """

    def __init__(
        self, task_names: Sequence[str], min_availability: float = 0.2, base_loss: Callable[[Losses], Tensor] | None = None
    ) -> None:
        super().__init__()
        if not 0 <= min_availability <= 1:
            raise SpecError(f"min_availability is between 0 and 1, not {min_availability:g}.")
        self.task_names, self.min_availability = tuple(task_names), min_availability
        self.base_loss = base_loss if base_loss is not None else UniformWeightedLoss(task_names)

    def forward(self, losses: Losses, availability: Mapping[str, float]) -> Tensor:
        """The base loss of the tasks whose share of labels reaches the threshold (inclusive)."""
        for name in (*losses, *availability):
            if name not in self.task_names:
                raise SpecError(unknown("task", name, self.task_names))
        return self.base_loss(
            {name: loss for name, loss in losses.items() if availability.get(name, 0.0) >= self.min_availability}
        )


def _check_numbers(lr: float, steps_per_epoch: int) -> None:
    if not 0 < lr < math.inf:
        raise SpecError(f"lr is a number above 0, not {lr}.")
    if steps_per_epoch < 1:
        raise SpecError(f"steps_per_epoch is at least 1, not {steps_per_epoch}.")


def _task_specs(tasks: Sequence[str] | Mapping[str, str] | Sequence[TaskSpec]) -> tuple[TaskSpec, ...]:
    kinds = tasks if isinstance(tasks, Mapping) else {}
    specs = tuple(task if isinstance(task, TaskSpec) else _task_spec(task, kinds.get(task, "regression")) for task in tasks)
    names = [task.name for task in specs]
    if not names:
        raise SpecError("At least one task is needed.")
    if len(set(names)) < len(names):
        raise SpecError(f"A task is named twice: {', '.join(names)}.")
    return specs


def _task_spec(name: Any, kind: str) -> TaskSpec:
    classes = {"classes": ("0", "1")} if kind == "multiclass" else {}  # how many there are does not matter here
    return TaskSpec.model_validate({"name": name, "kind": kind, **classes})
