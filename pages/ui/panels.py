"""Which panels a comparison has: the rows of the linked figure and of the one below it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from mtl_core.analysis import Curves, curves, outside, recorded, spans, task_curves, trained
from mtl_core.records import Channel, Comparison
from pages.ui.figure import MAX_LINES, Figure, figure
from pages.ui.lines import Row
from pages.ui.palette import Look, Theme, looks

POINTS = 150  # at most this many points a line are sent


def main_figure(comparison: Comparison, theme: Theme, arms: list[str] | None = None) -> Figure:
    """Fixed criterion, the schemes' own objectives, validation losses, effective weights and gates over epochs."""
    totals = _totals(comparison)
    titles = ["Fixed validation criterion ↓ (the same for every arm)", "Each scheme's own objective (not comparable across arms)"]
    rows = [Row(totals, titles, 150, 2, narrow_columns=1, named=True, marked=kept_epochs(comparison))]
    rows += _task_row(comparison, "validation", "loss", "validation loss ↓", 100)
    rows += _task_row(comparison, "train", "weight", "effective weight", 80, limits=(0, None))
    if any(arm.gate for arm in comparison.spec.arms.values()):
        rows += _task_row(comparison, "train", "gate", "gate", 36, limits=(0, 1))
    return figure(rows, shown_looks(comparison, theme, arms), ticks(comparison), theme, spans(comparison.spec.training))


def _totals(comparison: Comparison) -> list[Curves]:
    return [curves(comparison, Channel("validation", "", name)) for name in ("criterion", "learned_total")]


def cut_off(comparison: Comparison, arms: Sequence[str] | None = None) -> str:
    """Which of the arms drawn leave which panels of the main figure, in a sentence; empty where all stay."""
    shown = {*(arms or first_arms(comparison)), comparison.spec.baseline}
    panels = [*_totals(comparison), *task_curves(comparison, "validation", "loss")]
    return outside([replace(panel, curves=tuple(one for one in panel.curves if one.arm in shown)) for panel in panels])


def kept_epochs(comparison: Comparison) -> dict[str, int]:
    """Median epoch that the criterion kept, by arm, once its runs have ended."""
    kept: dict[str, list[int]] = {}
    for run in comparison.runs:
        if run.status in ("done", "stopped") and run.result and run.result.selected_epoch:
            kept.setdefault(run.arm, []).append(run.result.selected_epoch)
    return {arm: int(median(epochs)) for arm, epochs in kept.items()}


def inner_figure(comparison: Comparison, theme: Theme, arms: list[str] | None = None) -> Figure:
    """What each scheme learned (sigma), which task carries the loss, and how many labels there were."""
    rows = _task_row(comparison, "train", "sigma", "learned σ", 100)
    rows += _task_row(comparison, "train", "share", "share of the loss", 80, limits=(0, 1))
    rows += _task_row(comparison, "train", "available", "labels present", 50, limits=(0, 1))
    return figure(rows, shown_looks(comparison, theme, arms), ticks(comparison), theme, spans(comparison.spec.training))


def shown_looks(comparison: Comparison, theme: Theme, arms: list[str] | None) -> Mapping[str, Look]:
    """The looks of the arms to draw: those asked for, else as many as panels take, the baseline among them."""
    every = looks(comparison.spec, theme)
    wanted = arms or first_arms(comparison)
    return {arm: look for arm, look in every.items() if arm in wanted or arm == comparison.spec.baseline}


def first_arms(comparison: Comparison) -> list[str]:
    """The arms in their order, the baseline before all, each unless a panel would get too many lines by it."""
    return fitting(comparison, [comparison.spec.baseline, *comparison.spec.arms])


def fitting(comparison: Comparison, arms: Sequence[str]) -> list[str]:
    """Of these arms, those that go into the panels together, the first before the others; in the experiment's order.

    A panel holds the arms that train its task.
    """
    room = {task.name: MAX_LINES for task in comparison.problem.tasks}
    kept = []
    for arm in dict.fromkeys(arms):
        mine = trained(comparison, arm)
        if all(room[task] for task in mine):
            kept.append(arm)
            room |= {task: room[task] - 1 for task in mine}
    return [arm for arm in comparison.spec.arms if arm in kept]


def ticks(comparison: Comparison) -> list[int]:
    """Epochs of the axis: all planned while anything trains, so that it stands still; thinned beyond 150."""
    waiting = not comparison.runs or any(run.status in ("queued", "running") for run in comparison.runs)
    planned = max(len(comparison.history), (comparison.spec.training.epochs or 1) if waiting else 1)
    step = -(-planned // POINTS)
    return [*range(1, planned, step), planned]


def _task_row(
    comparison: Comparison,
    split: str,
    name: str,
    words: str,
    height: int,
    limits: tuple[float | None, float | None] = (None, None),
) -> list[Row]:
    """One row of small multiples, or none if nobody has the quantity."""
    if name == "sigma" and (split, name) not in recorded(comparison):
        return []
    panels = task_curves(comparison, split, name)
    if not panels:  # before the first epoch: empty axes, so that the first curve only has to be drawn into them
        panels = tuple(curves(comparison, Channel(split, task.name, name)) for task in comparison.problem.tasks)
    titles = [f"{panel.channel.task} · {words}" for panel in panels]
    return [Row(panels, titles, height, min(6, max(len(panels), 3)), limits=limits)]
