"""Paths over the two-task landscape: where every run began, went and ended, and which ended on the Pareto front.

For problems without a network, whose runs are points of a plane (`function` tasks). Coordinates are those recorded at the
end of every epoch; the start is known from the problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mtl_core.analysis.runs import LOST
from mtl_core.analysis.wording import count, listed
from mtl_core.landscape import front, landscape, near_front
from mtl_core.records import Comparison

FRONT_POINTS, GRID = 60, 81  # points that are drawn of the front; of the surface along each axis
ON_THE_WAY = 0.25  # how far a path led on, from which on it is said to be moving: those on the ridge creep by less
VIEW = ((-11.0, 11.0), (-11.0, 11.0))  # x1 and x2 of the surface


@dataclass(frozen=True)
class Path:
    """One run: its point before the first epoch and after each one."""

    arm: str
    seed: int
    points: Float[np.ndarray, "epochs+1 2"]
    reached: bool  # it ends on the front, to within 0.1
    lost: bool = False  # it diverged or failed: the path ends where it was last seen
    failed: bool = False
    moving: bool = False  # not on the front, and the last tenth of its epochs led on: it may still come there

    @property
    def start(self) -> tuple[float, float]:
        """Where it begins."""
        return float(self.points[0, 0]), float(self.points[0, 1])

    @property
    def end(self) -> tuple[float, float]:
        """Where it is now."""
        return float(self.points[-1, 0]), float(self.points[-1, 1])


@dataclass(frozen=True)
class Trajectories:
    """All paths, with what they run over and what is to be said of them."""

    paths: tuple[Path, ...]
    front: Float[np.ndarray, "points 2"]
    x1: Float[np.ndarray, " columns"]
    x2: Float[np.ndarray, " rows"]
    total: Float[np.ndarray, "rows columns"]  # L1 + L2
    sentences: tuple[str, ...]  # one an arm

    def of(self, arm: str) -> tuple[Path, ...]:
        """The paths of an arm, by seed."""
        return tuple(path for path in self.paths if path.arm == arm)


def is_plane(comparison: Comparison) -> bool:
    """Whether the runs are points of the plane."""
    return bool(comparison.problem.tasks) and all(task.kind == "function" for task in comparison.problem.tasks)


def trajectories(comparison: Comparison) -> Trajectories:
    """Every run's path so far; of runs without a recorded epoch, only those that are lost: a point."""
    walks = np.stack([_coordinate(comparison, name) for name in ("x1", "x2")], -1)
    every = [_path(comparison, walks, place) for arm in comparison.spec.arms for place in comparison.runs_of(arm)]
    paths = tuple(path for path in every if path is not None)
    x1, x2 = (np.linspace(*ends, GRID) for ends in VIEW)
    losses, _ = landscape(np.stack(np.meshgrid(x1, x2), -1))
    sentences = tuple(_sentence(arm, [path for path in paths if path.arm == arm]) for arm in comparison.spec.arms)
    return Trajectories(paths, front(FRONT_POINTS), x1, x2, losses.sum(-1), tuple(one for one in sentences if one))


def _path(comparison: Comparison, walks: Float[np.ndarray, "epochs runs 2"], place: int) -> Path | None:
    run, walked = comparison.runs[place], walks[:, place]
    walked = walked[np.isfinite(walked).all(-1)]
    lost = run.status in LOST
    if not (len(walked) or lost):
        return None
    starts = comparison.problem.truth["starts"]
    points = np.concatenate([[starts[run.seed % len(starts)]], walked])
    reached = bool(near_front(points[-1])) and not lost
    last = len(points) - 1
    before = points[max(0, last - max(1, last // 10))]
    moving = not (reached or lost) and bool(np.linalg.norm(points[-1] - before) > ON_THE_WAY)
    return Path(run.arm, run.seed, points, reached, lost, run.status == "failed", moving)


def _coordinate(comparison: Comparison, name: str) -> Float[np.ndarray, "epochs runs"]:
    """The point is the same for every task; a task that a run does not train records none."""
    found = [comparison.column("validation", task.name, name) for task in comparison.problem.tasks]
    first, *others = found
    for other in others:
        first = np.where(np.isfinite(first), first, other)
    return first


def _sentence(arm: str, paths: list[Path]) -> str:
    """`equal: 3 of 5 starts end on the Pareto front; stuck from (9, 9); still moving from (9, -1).`."""
    if not paths:
        return ""
    begun = len({path.start for path in paths})
    ways = {
        "stuck": [path for path in paths if not (path.reached or path.lost or path.moving)],
        "still moving": [path for path in paths if path.moving],
        "diverged": [path for path in paths if path.lost and not path.failed],
        "failed": [path for path in paths if path.failed],
    }
    reached = len({path.start for path in paths if path.reached})
    missed = [f"{how} from {listed(_starts(those))}" for how, those in ways.items() if those]
    said = [f"{arm}: {reached} of {count(begun, 'start')} end on the Pareto front", *missed]
    return f"{'; '.join(said)}."


def _starts(paths: list[Path]) -> list[str]:
    return [f"({x1:.3g}, {x2:.3g})" for x1, x2 in dict.fromkeys(path.start for path in paths)]
