"""How weights were scaled and what they reached: conditions of a comparison that its report has to state."""

from __future__ import annotations

from collections.abc import Mapping

from mtl_core.analysis.wording import listed, number
from mtl_core.specs import ArmSpec, ExperimentSpec

OF = {
    "shared": "all shared parameters",
    "last_layer": "the last shared layer",
    "representation": "the shared representation",
}


def weight_notes(arms: Mapping[str, ArmSpec], *, network: bool = True) -> list[str]:
    """The scale of the effective weights and, of a network, whose gradients were weighed and what the heads saw."""
    return [*_sums(arms), *(_gradients(arms) + _heads(arms) if network else [])]


def decay_notes(spec: ExperimentSpec) -> list[str]:
    """That weight decay which is added to the gradient meets a gradient that the arm's weights have scaled."""
    decay, optimizer = spec.training.weight_decay, spec.training.optimizer
    if not decay or optimizer == "adamw" or len(spec.arms) < 2:
        return []
    return [
        f"Weight decay of {number(decay)} is added to the weighted gradient ({optimizer}), so it acts more strongly "
        "in an arm with smaller weights; adamw keeps them apart."
    ]


def _sums(arms: Mapping[str, ArmSpec]) -> list[str]:
    own = [name for name, arm in arms.items() if arm.weight_sum == "paper"]
    told = [f"sum to {number(arm.weight_sum)} in {name}" for name, arm in arms.items() if isinstance(arm.weight_sum, float)]
    if not told:
        return ["Effective weights have each scheme's own scale (weight_sum: paper), so arms can differ in step size."]
    rest = f"; they have the scheme's own scale in {listed(own)}" if own else ""
    return [f"Effective weights {listed(told)}{rest}."]


def _gradients(arms: Mapping[str, ArmSpec]) -> list[str]:
    by_kind: dict[str, list[str]] = {}
    for name, arm in arms.items():
        if arm.gradients is not None:
            by_kind.setdefault(arm.gradients, []).append(name)
    return [f"{listed(names)} {_takes(names)} the task gradients of {OF[kind]}." for kind, names in by_kind.items()]


def _heads(arms: Mapping[str, ArmSpec]) -> list[str]:
    alone = [name for name, arm in arms.items() if arm.head_gradients == "unweighted"]
    if not alone:
        return []
    rest = ", in the other arms the weighted one" if len(alone) < len(arms) else ""
    return [f"The heads see the unweighted gradient of their task in {listed(alone)}{rest}."]


def _takes(names: list[str]) -> str:
    return "takes" if len(names) == 1 else "take"
