"""Kendall et al.'s Table 1 on our scenes: single tasks, equal and searched fixed weights, learned ones for two and three tasks.

    python -m benchmarks.scenes [--seeds 8] [--candidates 16] [--epochs N] [--store FILE] [--markdown]

Test metrics at the epoch that the fixed criterion selects, mean over seeds with its 95 % t interval. The paper's figures (CVPR
2018, Table 1, Tiny CityScapes, 128 x 256) stand beside ours as context: other images, another network, one run each; only the
pattern of the rows can be compared. `approx. optimal` is the best of the candidates of `benchmarks/search.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import mtl_core
from benchmarks.search import CRITERION, Searched, best_fixed
from mtl_core.analysis.seeds import Estimate, estimate

TASKS = ("semantic", "instance", "depth")
METRICS = {"semantic": "mean_iou", "instance": "mae", "depth": "mae"}
UNCERTAINTY = {"scheme": "uncertainty", "settings": {"lr_factor": 10.0}}  # s arrives within the budget


class Row(NamedTuple):
    """A row of the paper's table: what it trains, how it weighs, and the paper's three figures."""

    loss: str
    arm: dict[str, Any]
    weights: str
    paper: tuple[str, str, str]


def rows(found: Searched) -> dict[str, Row]:
    """The paper's rows in its order, as arms."""
    optimal = {"scheme": "fixed", "settings": {"weights": found.weights}}
    shares = " ".join(f"{found.weights[task] / sum(found.weights.values()):.2f}" for task in TASKS)
    single = {task: {"scheme": "equal", "tasks": [task]} for task in TASKS}
    pairs = {(a, b): {**UNCERTAINTY, "tasks": [a, b]} for n, a in enumerate(TASKS) for b in TASKS[n + 1 :]}
    return {
        "semantic only": Row("semantic only", single["semantic"], "1 0 0", ("59.4 %", "-", "-")),
        "instance only": Row("instance only", single["instance"], "0 1 0", ("-", "4.61", "-")),
        "depth only": Row("depth only", single["depth"], "0 0 1", ("-", "-", "0.640")),
        "equal": Row("unweighted sum", {"scheme": "equal"}, "0.33 0.33 0.33", ("50.1 %", "3.79", "0.592")),
        "optimal": Row("approx. optimal", optimal, shares, ("62.8 %", "3.61", "0.549")),
        "s+i": Row("2 tasks, uncertainty", pairs["semantic", "instance"], "+ + 0", ("61.0 %", "3.42", "-")),
        "s+d": Row("2 tasks, uncertainty", pairs["semantic", "depth"], "+ 0 +", ("62.7 %", "-", "0.533")),
        "i+d": Row("2 tasks, uncertainty", pairs["instance", "depth"], "0 + +", ("-", "3.54", "0.539")),
        "s+i+d": Row("3 tasks, uncertainty", UNCERTAINTY, "+ + +", ("63.4 %", "3.50", "0.522")),
    }


def measure(seeds: int, count: int, store: Path, training: dict[str, Any]) -> pd.DataFrame:
    """The table."""
    wanted = rows(best_fixed("scenes", TASKS, store, count=count, training=training))
    arms = {name: row.arm for name, row in wanted.items()}
    found = mtl_core.compare("scenes", arms, baseline="equal", seeds=seeds, store=store, training=training, selection=CRITERION)
    lines = []
    for name, row in wanted.items():
        ours = {task: _told(_value(found, name, task), task) for task in TASKS}
        theirs = {f"{task} (paper)": value for task, value in zip(TASKS, row.paper, strict=True)}
        lines.append({"loss": row.loss, "weights": row.weights, **ours, **theirs})
    return pd.DataFrame(lines)


def _value(found: Any, arm: str, task: str) -> Estimate:
    table = found.metrics
    mine = table[(table["arm"] == arm) & (table["task"] == task) & (table["split"] == "test") & (table["at"] == "best")]
    return estimate(mine.loc[mine["metric"] == METRICS[task], "value"].to_numpy(float))


def _told(value: Estimate, task: str) -> str:
    if not value.n:
        return "-"
    scale, unit, digits = (100, " %", 1) if task == "semantic" else (1, "", 3)
    mean, low, high = (f"{scale * number:.{digits}f}" for number in value[:3])
    return f"{mean}{unit} [{low}, {high}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--store", type=Path, help="where runs are kept; default: nowhere")
    parser.add_argument("--markdown", action="store_true")
    chosen = parser.parse_args()
    training = {"epochs": chosen.epochs} if chosen.epochs else {}
    with tempfile.TemporaryDirectory() as folder:
        table = measure(chosen.seeds, chosen.candidates, chosen.store or Path(folder) / "store.sqlite", training)
    print(_markdown(table) if chosen.markdown else table.to_string(index=False))


def _markdown(table: pd.DataFrame) -> str:
    lines = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    main()
