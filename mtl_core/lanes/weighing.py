"""The schemes of all lanes side by side: lanes of one structure are one stacked scheme on a slice of the lane dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from mtl_core.schemes.base import Scheme, Setup, Signals, State
from mtl_core.schemes.build import build_lanes, select_lanes, structure
from mtl_core.schemes.numerics import tree_fill, tree_leaves, tree_map

if TYPE_CHECKING:
    from mtl_core.specs import ArmSpec


@dataclass(frozen=True)
class Group:
    """Consecutive lanes with one stacked scheme."""

    scheme: Scheme
    lanes: int


class Weighed(NamedTuple):
    """What the schemes say of a step, all lanes together."""

    weights: Tensor  # [lanes, tasks]
    total: Tensor  # [lanes] the objective each lane's scheme minimises
    gate: Tensor  # [lanes, tasks] 1 without a gate


def ordered(arms: Sequence[ArmSpec]) -> list[int]:
    """Lane numbers sorted so that lanes of one structure are neighbours."""
    return sorted(range(len(arms)), key=lambda lane: repr(structure(arms[lane])))


class Weighing:
    """Schemes and their states, in the order of `arms` (which must be `ordered`)."""

    def __init__(self, groups: list[Group], states: list[State]) -> None:
        self.groups, self.states = groups, states

    @staticmethod
    def start(arms: Sequence[ArmSpec], setup: Setup) -> Weighing:
        """Every lane's scheme in its initial state."""
        groups, states, first = [], [], 0
        for _, members in groupby(arms, key=structure):
            mine = list(members)
            scheme = build_lanes(mine, setup.tasks, dtype=setup.lr.dtype, device=setup.lr.device)
            groups.append(Group(scheme, len(mine)))
            states.append(scheme.init(setup._replace(lanes=(len(mine),), lr=setup.lr[first : first + len(mine)])))
            first += len(mine)
        return Weighing(groups, states)

    def step(self, signals: Signals) -> Weighed:
        """Weights of this step; the states move on."""
        parts = []
        for place, (group, state, mine) in enumerate(self._slices(signals)):
            weights, after = group.scheme.update(state, mine)
            parts.append(_weighed(group.scheme, weights, state, after, mine))
            self.states[place] = after
        return Weighed(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def look(self, signals: Signals) -> Weighed:
        """Weights and objective that the schemes would give for these losses; no state moves."""
        parts = []
        for group, state, mine in self._slices(signals):
            weights, _ = group.scheme.update(state, mine)
            total = group.scheme.objective(state, mine)
            parts.append(_weighed(group.scheme, weights, state, state, mine)._replace(total=total))
        return Weighed(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    def sigma(self, like: Tensor) -> Tensor:
        """Learned sigma of every lane and task; NaN where the scheme has none."""
        absent = torch.full_like(like, torch.nan)
        parts, first = [], 0
        for group, state in zip(self.groups, self.states, strict=True):
            parts.append(group.scheme.report(state).get("sigma", absent[first : first + group.lanes]))
            first += group.lanes
        return torch.cat(parts)

    def needs_positive_losses(self) -> list[bool]:
        """By lane."""
        return [group.scheme.positive_losses for group in self.groups for _ in range(group.lanes)]

    def select(self, keep: Tensor) -> Weighing:
        """The same for the lanes where the bool tensor `keep` is True."""
        groups, states = [], []
        for group, state, kept in zip(self.groups, self.states, keep.split([g.lanes for g in self.groups]), strict=True):
            if kept.any():
                groups.append(Group(select_lanes(group.scheme, kept), int(kept.sum())))
                states.append(tree_map(lambda leaf, kept=kept: leaf[kept], state))
        return Weighing(groups, states)

    def leaves(self) -> list[list[Tensor]]:
        """All states as tensors, for a checkpoint."""
        return [tree_leaves(state) for state in self.states]

    def fill(self, leaves: list[list[Tensor]]) -> None:
        """Inverse of `leaves`."""
        self.states = [tree_fill(state, mine) for state, mine in zip(self.states, leaves, strict=True)]

    def _slices(self, signals: Signals) -> list[tuple[Group, State, Signals]]:
        sizes = [group.lanes for group in self.groups]
        columns: Any = [signal.split(sizes) for signal in signals]
        return [(group, state, Signals(*mine)) for group, state, *mine in zip(self.groups, self.states, *columns, strict=True)]


def _weighed(scheme: Scheme, weights: Tensor, before: State, after: State, signals: Signals) -> Weighed:
    """The objective belongs to the state that gave the weights, the gate to the step just judged."""
    total = scheme.objective(before, signals) if scheme.own_objective else (weights * signals.losses).sum(-1)
    return Weighed(weights, total, scheme.report(after).get("gate", torch.ones_like(weights)))
