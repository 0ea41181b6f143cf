"""Arms that train some of the tasks only: what of them may stand beside the other arms, and what may not.

Their metrics per task may. Their fixed criterion, their own objective and their score are sums over other tasks than those
of the baseline arm, and are neither drawn nor compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl_core.analysis.wording import count, listed
from mtl_core.records import Comparison

ALONE = "trained alone"  # the column of arms that each train one task


def trained(comparison: Comparison, arm: str) -> tuple[str, ...]:
    """The tasks that an arm trains, in the problem's order."""
    chosen = comparison.spec.arms[arm].tasks
    return tuple(task.name for task in comparison.problem.tasks if chosen is None or task.name in chosen)


def shared(comparison: Comparison, arm: str) -> tuple[str, ...]:
    """The tasks that both the arm and the baseline arm train: all that the two can be compared on."""
    theirs = trained(comparison, comparison.spec.baseline)
    return tuple(task for task in trained(comparison, arm) if task in theirs)


def summable(comparison: Comparison) -> list[str]:
    """Arms whose sums over tasks are over the same tasks as those of the baseline arm, that one among them."""
    theirs = trained(comparison, comparison.spec.baseline)
    return [arm for arm in comparison.spec.arms if trained(comparison, arm) == theirs]


def singles(comparison: Comparison) -> dict[str, str]:
    """By task, the first arm that trains it and nothing else, baseline arm aside; empty for a problem of one task."""
    found: dict[str, str] = {}
    if len(comparison.problem.tasks) > 1:
        for arm in comparison.spec.arms:
            tasks = trained(comparison, arm)
            if len(tasks) == 1 and arm != comparison.spec.baseline:
                found.setdefault(tasks[0], arm)
    return found


def side_by_side(arms: Sequence[str], singles: Mapping[str, str]) -> tuple[str, ...]:
    """What stands side by side: the arms, those that each train one task alone as one column behind the others."""
    alone = set(singles.values())
    if len(alone) < 2 or ALONE in arms:
        return tuple(arms)
    return (*(arm for arm in arms if arm not in alone), ALONE)


def of_tasks(comparison: Comparison, arm: str) -> str:
    """Of which tasks a verdict on an arm speaks: `of 3 tasks`, `of 1 task it trains`, `of 2 tasks both train`."""
    both = shared(comparison, arm)
    whole = len(trained(comparison, comparison.spec.baseline)) == len(comparison.problem.tasks)
    mine = len(trained(comparison, arm)) == len(comparison.problem.tasks)
    whose = "" if mine and whole else " it trains" if whole else " both train"
    return f"{count(len(both), 'task')}{whose}"


def sums_note(comparison: Comparison) -> str:
    """Which arms have no curve of a sum over tasks; empty where all have one."""
    among = summable(comparison)
    left = [arm for arm in comparison.spec.arms if arm not in among]
    if not left:
        return ""
    trains = "it trains" if len(left) == 1 else "they train"
    return f"No criterion and no own objective is drawn of {listed(left)}: {trains} other tasks than {comparison.spec.baseline}."


def parts_notes(comparison: Comparison) -> list[str]:
    """One sentence on the arms that train some of the tasks; none where all arms train all of them."""
    every = len(comparison.problem.tasks)
    some = [arm for arm in comparison.spec.arms if len(trained(comparison, arm)) < every]
    if not some:
        return []
    told = listed(f"{arm} ({listed(trained(comparison, arm))})" for arm in some)
    one = len(some) == 1
    return [
        f"{told} {'trains' if one else 'train'} some of the tasks only: {'it is' if one else 'they are'} judged on those alone; "
        "fixed criterion, own objective and score are sums over other tasks and not compared with those of other arms."
    ]
