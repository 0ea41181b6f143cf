"""The scheme interface: settings declared once, two pure functions, any number of lanes.

A scheme turns the losses of a step into weights. It is written so that **leading dimensions are lanes and only the last
dimension carries the mathematics**: the same source serves one run (`[tasks]`) and many lanes (`[lanes, tasks]`).

Laws every scheme keeps (tests/laws): weights are finite and carry no gradient; `update` is pure; lanes do not see each
other; an absent task gets weight 0 and leaves no trace in the state; the order of tasks does not matter.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from jaxtyping import Bool, Float

if TYPE_CHECKING:
    from torch import Tensor

    from mtl_core.specs import TaskSpec

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
    """All a scheme may look at in one step; nothing here carries a gradient."""

    losses: Float[Tensor, "*lanes tasks"]  # 0 where a task is absent
    available: Bool[Tensor, "*lanes tasks"]  # False: no label in this batch, gated out, or a loss that is not finite
    labelled: Float[Tensor, "*lanes tasks"]  # share of valid labels in this batch, 0 to 1


class Setup(NamedTuple):
    """What is known before the first step."""

    tasks: tuple[TaskSpec, ...]
    lanes: tuple[int, ...]  # leading shape: () for one run
    lr: Float[Tensor, "*lanes 1"]  # the model's learning rate
    steps_per_epoch: Any  # int, or [*lanes, 1]
    labelled: Float[Tensor, " tasks"]  # share of valid labels in the training split


Value = Any  # a numeric setting: a number, or `[lanes, 1]` or `[lanes, tasks]` where lanes differ
State = Any  # a NamedTuple of tensors `[*lanes, k]`, possibly nested; every scheme names its own


@dataclass(frozen=True)
class Scheme(ABC):
    """A weighting scheme. Subclasses are frozen dataclasses whose fields are their settings."""

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str]  # "fixed", "learned" or "loss-based"
    formula: ClassVar[str]
    source: ClassVar[str]  # citation
    positive_losses: ClassVar[bool] = False  # refuses negative losses
    own_objective: ClassVar[bool] = False  # minimises something else than the weighted sum
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @abstractmethod
    def init(self, setup: Setup) -> State:
        """State before the first step."""

    @abstractmethod
    def update(self, state: State, signals: Signals) -> tuple[Float[Tensor, "*lanes tasks"], State]:
        """Effective weights of this step (computed from the state as it is), and the next state. Pure."""

    def objective(self, state: State, signals: Signals) -> Float[Tensor, "*lanes"]:
        """The scalar this scheme minimises, its own terms included: what a naive trainer would watch."""
        weights, _ = self.update(state, signals)
        return (weights * signals.losses).sum(-1)

    def report(self, state: State) -> dict[str, Float[Tensor, "*lanes tasks"]]:
        """Inner quantities worth recording: `sigma` where the scheme has one, `gate` from a gate."""
        return {}

    @classmethod
    def settings(cls) -> dict[str, Setting]:
        """The declared settings by name."""
        return {f.name: f.metadata["setting"] for f in dataclasses.fields(cls) if "setting" in f.metadata}
