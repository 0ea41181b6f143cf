"""The two-task landscape of the CAGrad, Nash-MTL and FAMO papers: which schemes reach the Pareto front, from where, and when.

    python -m benchmarks.landscape [--steps 50000] [--lr 0.001] [--json]

The losses are in `mtl_core/landscape.py`. Every start of every arm is a lane; the weights come from the schemes' own
`update`, the step is Adam's. The learning rate and clipping are controls: where they decide, it is not the method that does.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from mtl_core.landscape import LOWEST, STARTS, landscape, near_front
from mtl_core.schemes import SCHEMES, Setup, Signals
from mtl_core.schemes.base import combined
from mtl_core.schemes.build import build_lanes, structure
from mtl_core.schemes.maths.adam import Adam, adam_step
from mtl_core.specs import ArmSpec, TaskSpec

TASKS = (TaskSpec(name="L1", kind="regression"), TaskSpec(name="L2", kind="regression"))
LR = 1e-3


class Arm(NamedTuple):
    """A scheme with the optimizer's controls."""

    label: str
    scheme: ArmSpec
    lr: float = LR
    clip: float | None = None  # bound on the length of the step's gradient


class Descent(NamedTuple):
    """Where every arm's lanes ended."""

    arms: tuple[Arm, ...]
    points: Tensor  # [arms, starts, 2]
    reached: Tensor  # [arms, starts] first step near the front, of those looked at; inf if none


def arms(lr: float = LR) -> list[Arm]:
    """What the papers compare, and the controls."""
    found = [Arm("equal", ArmSpec(scheme="equal"))]
    found += [Arm(name, ArmSpec(scheme=name)) for name in ("mgda", "imtl_g", "nash_mtl", "pcgrad", "cagrad")]
    found.append(Arm("cagrad, clipped to 1", ArmSpec(scheme="cagrad"), clip=1.0))
    for gamma in (0.0, 1e-3):
        found.append(Arm(f"famo, gamma {gamma:g}", ArmSpec(scheme="famo", settings={"gamma": gamma, "bound": LOWEST})))
    found = [arm._replace(lr=lr) for arm in found]
    return found + [Arm(f"equal, lr {fast:g}", ArmSpec(scheme="equal"), lr=fast) for fast in (0.01, 0.05, 0.1, 1.0)]


def refusal(scheme: str, losses: Sequence[float]) -> str | None:
    """Why a scheme cannot be run on these losses."""
    negative = [f'task "{task.name}" is {loss:.3g}' for task, loss in zip(TASKS, losses, strict=True) if loss < 0]
    if negative and SCHEMES[scheme].positive_losses:
        return f"{scheme} needs positive losses; {negative[0]}"
    return None


# --- the descent -----------------------------------------------------------------------------------------------------


class Group(NamedTuple):
    """Lanes of arms with one structure: one stacked scheme."""

    scheme: Any
    state: Any
    lanes: slice


def descend(chosen: Sequence[Arm], starts: Sequence[tuple[float, float]] = STARTS, steps: int = 50_000) -> Descent:
    """Follow every arm from every start; whether the front is reached is looked at every 10 steps."""
    order = tuple(sorted(chosen, key=lambda arm: repr(structure(arm.scheme))))
    lanes = [arm for arm in order for _ in starts]
    points = torch.tensor(list(starts) * len(order), dtype=torch.float64)
    lr = points.new_tensor([[arm.lr] for arm in lanes])
    clip = points.new_tensor([[arm.clip or math.inf] for arm in lanes])
    groups = _groups(lanes, lr)
    adam, everywhere = Adam.zeros(points), torch.ones_like(points, dtype=torch.bool)
    reached, previous = points.new_full((len(lanes),), torch.inf), points * torch.nan
    for step in range(steps):
        losses, jacobian = landscape(points)
        weights, groups = _weigh(groups, losses, previous, jacobian)
        direction = combined(weights, jacobian)
        assert direction is not None
        direction = direction * (clip / direction.norm(dim=-1, keepdim=True)).clamp(max=1)
        points, adam = adam_step(adam, points, direction, lr, everywhere)
        previous = losses
        if step % 10 == 9:
            reached = torch.where(reached.isinf() & near_front(points), step + 1.0, reached)
    shape = len(order), len(starts)
    back = [order.index(arm) for arm in chosen]
    return Descent(tuple(chosen), points.reshape(*shape, 2)[back], reached.reshape(shape)[back])


def _groups(lanes: Sequence[Arm], lr: Tensor) -> list[Group]:
    groups, first = [], 0
    for _, members in groupby(lanes, key=lambda arm: structure(arm.scheme)):
        mine = list(members)
        scheme = build_lanes([arm.scheme for arm in mine], TASKS, dtype=torch.float64)
        part = slice(first, first + len(mine))
        setup = Setup(TASKS, (len(mine),), lr[part], 1, lr.new_ones(2), torch.zeros(len(mine), 1, dtype=torch.int64))
        groups.append(Group(scheme, scheme.init(setup), part))
        first += len(mine)
    return groups


def _weigh(groups: Sequence[Group], losses: Tensor, previous: Tensor, jacobian: Tensor) -> tuple[Tensor, list[Group]]:
    """Weights `[lanes, 2]` and the groups with their next states. Nothing is drawn here, so a second look gives the losses."""
    gramian, there = jacobian @ jacobian.mT, torch.ones_like(losses, dtype=torch.bool)
    weights, after = [], []
    for group in groups:
        part = group.lanes
        signals = Signals(losses[part], there[part], torch.ones_like(losses[part]))
        if "gramian" in group.scheme.needs:
            signals = signals._replace(gramian=gramian[part])
        if "revisited" in group.scheme.needs:
            signals = signals._replace(previous=previous[part], revisited=losses[part])
        mine, state = group.scheme.update(group.state, signals)
        weights.append(mine)
        after.append(group._replace(state=state))
    return torch.cat(weights), after


# --- what is printed -------------------------------------------------------------------------------------------------


def table(found: Descent) -> list[dict[str, Any]]:
    """One row per arm: how many starts end near the front, where, and after how many steps each came there first."""
    ends = near_front(found.points)
    return [
        {
            "arm": arm.label,
            "on the front": f"{int(ends[n].sum())}/{ends.shape[1]}",
            "ends at (x1, x2)": "  ".join(f"({x1:.2f}, {x2:.2f})" for x1, x2 in found.points[n].tolist()),
            "steps": "  ".join(f"{step:.0f}" for step in found.reached[n].tolist()),
        }
        for n, arm in enumerate(found.arms)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--lr", type=float, default=LR, help="of the arms that do not name one")
    parser.add_argument("--arms", nargs="*", help="labels; default: all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = table(descend([arm for arm in arms(options.lr) if not options.arms or arm.label in options.arms], steps=options.steps))
    first, _ = landscape(torch.tensor(STARTS[-1], dtype=torch.float64))
    refused = [why for name in ("uncertainty", "gls", "scale_invariant") if (why := refusal(name, first.tolist()))]
    if options.json:
        print(json.dumps({"steps": options.steps, "arms": rows, "refused": refused}))
        return
    print(pd.DataFrame(rows).to_string(index=False))
    print("Refused:", *refused, sep="\n  ")


if __name__ == "__main__":
    main()
