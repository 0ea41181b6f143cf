"""The scheme interface: settings declared once, two pure functions, any number of lanes.

A scheme turns what it sees of a step (losses; where it needs them, inner products of task gradients) into weights. It is
written so that **leading dimensions are lanes and only the last dimensions carry the mathematics**: the same source serves one
run (`[tasks]`) and many lanes (`[lanes, tasks]`).

Laws every scheme keeps (tests/laws): weights are finite and carry no gradient; `update` is pure; lanes do not see each
other; an absent task gets weight 0 and leaves no trace in the state; the order of tasks does not matter.

The few schemes whose step is no weighting of the task gradients are `JacobianScheme`s: they take the whole Jacobian and give
the direction of the step.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from jaxtyping import Bool, Float, Int

from mtl_core.deferred import torch

if TYPE_CHECKING:
    from torch import Tensor

    from mtl_core.specs import TaskSpec

Family = Literal["fixed", "learned", "loss-based", "gradient-based", "full-Jacobian"]
SettingKind = Literal["number", "per_task", "interval", "choice", "flag"]


class Setting(NamedTuple):
    """Everything there is to know of one setting: it drives validation, forms, tables, JSON and documentation."""

    kind: SettingKind
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    source: str = ""


def setting(kind: SettingKind, default: Any, help: str, **more: Any) -> Any:
    """Declare a scheme's setting.

    number: a float. per_task: a float for all, or {task: float}. interval: (low, high) or None for no bounds.
    choice: one of `choices`. flag: a bool.
    """
    declared = Setting(kind, default, help, **more)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={"setting": declared})
    return dataclasses.field(default=default, metadata={"setting": declared})


class Signals(NamedTuple):
    """All a scheme may look at in one step; nothing here carries a gradient.

    What follows `labelled` is None unless the scheme `needs` it. Rows and columns of absent tasks are 0 in both matrices.
    """

    losses: Float[Tensor, "*lanes tasks"]  # 0 where a task is absent
    available: Bool[Tensor, "*lanes tasks"]  # False: no label in this batch, gated out, or a loss that is not finite
    labelled: Float[Tensor, "*lanes tasks"]  # share of valid labels in this batch, 0 to 1
    gramian: Float[Tensor, "*lanes tasks tasks"] | None = None  # inner products of the task gradients
    jacobian: Float[Tensor, "*lanes tasks parameters"] | None = None  # the task gradients themselves
    previous: Float[Tensor, "*lanes tasks"] | None = None  # losses of the step before; NaN: absent there, or there is none
    revisited: Float[Tensor, "*lanes tasks"] | None = None  # that step's batch under the present parameters; NaN likewise

    def map(self, function: Callable[[Tensor], Tensor]) -> Signals:
        """The same with a function applied to every part that is there."""
        rest = (None if part is None else function(part) for part in self[3:])
        return Signals(function(self.losses), function(self.available), function(self.labelled), *rest)

    def only(self, keep: Bool[Tensor, "*lanes tasks"]) -> Signals:
        """The same with all other tasks absent."""
        available = self.available & keep
        both, row = available.unsqueeze(-1) & available.unsqueeze(-2), available.unsqueeze(-1)
        return self._replace(
            losses=torch.where(available, self.losses, 0.0),
            available=available,
            gramian=None if self.gramian is None else torch.where(both, self.gramian, 0.0),
            jacobian=None if self.jacobian is None else torch.where(row, self.jacobian, 0.0),
        )


class Setup(NamedTuple):
    """What is known before the first step."""

    tasks: tuple[TaskSpec, ...]
    lanes: tuple[int, ...]  # leading shape: () for one run
    lr: Float[Tensor, "*lanes 1"]  # the model's learning rate
    steps_per_epoch: Any  # int, or [*lanes, 1]
    labelled: Float[Tensor, " tasks"]  # share of valid labels in the training split
    seeds: Int[Tensor, "*lanes 1"] | None = None  # of the runs; None: 0
    parameters: int = 0  # columns of the Jacobian; 0 unless the scheme needs one


class Knowledge(NamedTuple):
    """What a person who chooses should know beyond the formula: shown on the Schemes page, in JSON and in the documentation.

    Sentences end with a full stop. Empty `deviations`: paper, official code and this one agree.
    """

    pros: tuple[str, ...]
    cons: tuple[str, ...]
    when: tuple[str, ...]
    when_not: tuple[str, ...]
    failure_modes: tuple[str, ...]
    deviations: tuple[str, ...] = ()
    traits: frozenset[Trait] = frozenset()


Trait = Literal[
    "unit_free",  # multiplying one loss by a constant does not change the direction of the step
    "conflict",  # made for gradients that point against each other
    "adaptive",  # weights change during training
    "learned",  # has parameters that are trained along
    "history",  # needs some epochs or many steps before it acts
    "random",  # draws at random
    "noise_sensitive",  # follows single batches, so that noisy losses or gradients shake the weights
    "interpretable",  # its weights can be explained in a sentence to someone who does not train models
    "needs_tuning",  # stands or falls with a setting
    "preference",  # lets a person say which tasks matter more
    "small_data_risk",  # on little data it follows the memorised training losses
]

Need = Literal["gramian", "jacobian", "revisited"]
Gradients = Literal["shared", "last_layer", "representation"]  # of all shared parameters, the last shared layer, its output
REFUSAL = "needs positive losses"  # of a scheme that is given others; nothing changes by trying again
Value = Any  # a numeric setting: a number, or `[lanes, 1]` or `[lanes, tasks]` where lanes differ
State = Any  # a NamedTuple of tensors `[*lanes, k]`, possibly nested; every scheme names its own


@dataclass(frozen=True)
class Scheme(ABC):
    """A weighting scheme. Subclasses are frozen dataclasses whose fields are their settings."""

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[Family]
    formula: ClassVar[str]
    source: ClassVar[str]  # citation
    knowledge: ClassVar[Knowledge]
    needs: ClassVar[frozenset[Need]] = frozenset()  # which optional signals must be computed for it
    lengths_only: ClassVar[bool] = False  # of the Gramian it reads the diagonal alone
    gradients: ClassVar[Gradients] = "shared"  # which gradients it takes by default, if any
    weighted_heads: ClassVar[bool] = False  # of a scheme on gradients: by default a head sees its task's weight too
    positive_losses: ClassVar[bool] = False  # refuses negative losses
    epochs: ClassVar[bool] = False  # looks at epochs, so that it has to know how many steps one has
    own_objective: ClassVar[bool] = False  # minimises something else than the weighted sum
    gated: ClassVar[bool] = False  # reports a `gate`
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @abstractmethod
    def init(self, setup: Setup) -> State:
        """State before the first step."""

    @abstractmethod
    def update(self, state: State, signals: Signals) -> tuple[Float[Tensor, "*lanes tasks"], State]:
        """Effective weights of this step (computed from the state as it is), and the next state. Pure."""

    def direct(self, state: State, signals: Signals) -> tuple[Tensor | None, Float[Tensor, "*lanes tasks"], State]:
        """Direction of the step on the shared parameters `[*lanes, parameters]`, effective weights, and the next state. Pure.

        The direction is None where no Jacobian is given: then it is the weighted sum of whatever gradients there are.
        """
        weights, after = self.update(state, signals)
        return combined(weights, signals.jacobian), weights, after

    def objective(self, state: State, signals: Signals) -> Float[Tensor, "*lanes"]:
        """The scalar this scheme minimises, its own terms included: what a naive trainer would watch."""
        weights, _ = self.update(state, signals)
        return (weights * signals.losses).sum(-1)

    def usable(self, signals: Signals) -> Signals:
        """The step as this scheme can use it: some leave out a loss of exactly 0, whose logarithm or reciprocal there is not."""
        return signals

    def report(self, state: State) -> dict[str, Float[Tensor, "*lanes tasks"]]:
        """Inner quantities worth recording: `sigma` where the scheme has one, `gate` from a gate."""
        return {}

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """The declared settings by name."""
        return {f.name: f.metadata["setting"] for f in dataclasses.fields(cls) if "setting" in f.metadata}


@dataclass(frozen=True)
class JacobianScheme(Scheme):
    """A scheme whose step is no weighting of the task gradients: Jacobian in, direction out.

    `direct` is all that a subclass writes. The effective weights it gives beside the direction are the nearest thing there is to
    a weighting; each subclass says which.
    """

    needs = frozenset({"jacobian"})

    @abstractmethod
    def direct(self, state: State, signals: Signals) -> tuple[Tensor | None, Float[Tensor, "*lanes tasks"], State]:
        """Direction `[*lanes, parameters]`, effective weights, next state. Pure."""

    def update(self, state: State, signals: Signals) -> tuple[Float[Tensor, "*lanes tasks"], State]:
        """The weights and the next state of `direct`."""
        _, weights, after = self.direct(state, signals)
        return weights, after


def takes_gradients(scheme: Scheme | type[Scheme]) -> bool:
    """Whether it looks at the gradients of single tasks, so that each has to be taken by itself."""
    return bool(scheme.needs & {"gramian", "jacobian"})


def combined(weights: Tensor, jacobian: Tensor | None) -> Tensor | None:
    """The weighted sum of the task gradients, `[*lanes, parameters]`; None without any."""
    return None if jacobian is None else (weights.unsqueeze(-2) @ jacobian).squeeze(-2)
