"""Test metrics of default training on real and generated tables, beside scikit-learn's single-task models.

    python -m benchmarks.tables --built-in [--seeds 3] [--tables NAME ...] [--json | --markdown]
    python -m benchmarks.tables DIRECTORY  ...

`shared` is the arm with equal weights over all tasks, `alone` one arm per task that trains that task only. `mlp` has 64-64
units and early stopping (`references.py`). The test rows are those of `train_test_split(rows, test_size=0.2,
random_state=0)`. Nothing is tuned per table: the budget is the product's own. A directory holds `baselines.json`, scores per
table and task on the same split, and the tables it names; the built-in tables (`table_sets.py`) need no files.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.references import JUDGED_BY, references
from benchmarks.table_sets import BUILT_IN
from mtl_core.data import load
from mtl_core.engine import Training
from mtl_core.resolving import resolve
from mtl_core.specs import parse_experiment

IGNORED = {"students": ["Dalc"], "ai4i2020": ["UDI", "Product ID"]}
KINDS = {"ordinal": "regression"}
NAMES = {"linear": "linear", "mlp": "mlp", "rf": "forest"}
WITHIN = 0.02  # of the MLP
SHARED = "all tasks"  # the arm's name; other arms have the name of their task


class Table(NamedTuple):
    """A table with its targets by kind, and the scores of other models by task."""

    name: str
    frame: pd.DataFrame
    targets: dict[str, str]
    ignored: list[str]
    scores: dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--built-in", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", nargs="*", help="some of them only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    chosen = parser.parse_args()
    if not chosen.built_in and chosen.directory is None:
        parser.error("say --built-in or a directory")
    tables = built_in(chosen.tables) if chosen.built_in else of_directory(chosen.directory, chosen.tables)
    found = pd.DataFrame([row for table in tables for row in measure(table, chosen.seeds)])
    if chosen.json:
        print(found.to_json(orient="records"))
    else:
        print(_markdown(found) if chosen.markdown else found.round(3).to_string(index=False))


def built_in(names: list[str] | None) -> Iterator[Table]:
    """Tables made here, with scores computed here."""
    for name in names or BUILT_IN:
        frame, targets = BUILT_IN[name]()
        test, features = _test_rows(len(frame)), frame.drop(columns=list(targets))
        scores = {task: references(features, frame[task], kind, test) for task, kind in targets.items()}
        yield Table(name, frame, targets, [], scores)


def of_directory(directory: Path, names: list[str] | None) -> Iterator[Table]:
    """Tables of a directory, with the scores it holds."""
    baselines = json.loads((directory / "baselines.json").read_text())
    for name in names or baselines:
        about = baselines[name]["tasks"]
        frame = pd.read_csv(directory / f"{name}.csv", encoding="utf-8-sig")
        targets = {task: KINDS.get(known["type"], known["type"]) for task, known in about.items()}
        scores = {
            task: {ours: known["scores"][theirs][JUDGED_BY[known["type"]]] for theirs, ours in NAMES.items()}
            for task, known in about.items()
        }
        yield Table(name, frame, targets, IGNORED.get(name, []), scores)


def measure(table: Table, seeds: int) -> list[dict[str, Any]]:
    """One row per task: shared and alone (means and worst over seeds), processor seconds of all arms, other models' scores."""
    results, seconds = _train(table, seeds)
    shared = results[SHARED]
    rows = []
    for task, kind in table.targets.items():
        mlp = table.scores[task]["mlp"]
        row: dict[str, Any] = {"table": table.name, "rows": len(table.frame), "task": task, "metric": JUDGED_BY[kind]}
        for arm, trained in (("shared", shared), ("alone", results.get(task, shared))):
            values = _values(trained, task, kind)
            row |= {arm: np.mean(values), f"{arm} worst": np.min(values), f"{arm} - mlp": np.mean(values) - mlp}
        row |= {name: table.scores[task][name] for name in NAMES.values()}
        epochs = {"selected": np.mean([r.selected_epoch or 0 for r in shared]), "trained": np.mean([r.epochs for r in shared])}
        rows.append({**row, **epochs, "seconds": seconds})
    return rows


def _train(table: Table, seeds: int) -> tuple[dict[str, list[Any]], float]:
    """(results by arm: equal weights on all tasks, and on each by itself where there are several; processor seconds)."""
    frame = table.frame.assign(part=np.where(_test_rows(len(table.frame)), "test", "train"))
    arms: dict[str, Any] = {SHARED: {"scheme": "equal"}}
    if len(table.targets) > 1:
        arms |= {task: {"scheme": "equal", "tasks": [task]} for task in table.targets}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{table.name}.csv"
        frame.to_csv(path, index=False)
        data = {"file": str(path), "targets": table.targets, "ignore": table.ignored, "split": "part"}
        spec = parse_experiment({"data": data, "arms": arms, "seeds": seeds})
        problem = load(spec.data)
    start = time.process_time()
    runs = resolve(spec, problem).runs()
    training = Training(problem, list(runs.values()), "cpu")
    for _ in training:
        pass
    found: dict[str, list[Any]] = {}
    for (arm, _seed), result in zip(runs, training.results(), strict=True):
        found.setdefault(arm, []).append(result)
    return found, time.process_time() - start


def _values(results: list[Any], task: str, kind: str) -> list[float]:
    values = [result.metrics["best"]["test"][task][JUDGED_BY[kind]] for result in results if "best" in result.metrics]
    return [np.nan if value is None else value for value in values] or [np.nan]


def _test_rows(rows: int) -> np.ndarray:
    test = np.zeros(rows, dtype=bool)
    test[train_test_split(np.arange(rows), test_size=0.2, random_state=0)[1]] = True
    return test


def _markdown(found: pd.DataFrame) -> str:
    """One line a task, and how many tasks are as good as the MLP or better."""
    wanted = ["table", "rows", "task", "metric", "shared", "shared worst", "alone", "alone worst", *NAMES.values(), "seconds"]
    lines = ["| " + " | ".join(wanted) + " |", "|" + "---|" * len(wanted)]
    for _, row in found[wanted].iterrows():
        cells = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.drop("seconds"))
        lines.append("| " + " | ".join([*cells, f"{row['seconds']:.1f}"]) + " |")
    judged = found.dropna(subset=["shared"])
    reached = {arm: int((judged[f"{arm} - mlp"] >= -WITHIN).sum()) for arm in ("shared", "alone")}
    said = ", ".join(f"{arm} {count}" for arm, count in reached.items())
    return "\n".join([*lines, "", f"Of {len(judged)} tasks within {WITHIN} of the MLP or better: {said}."])


if __name__ == "__main__":
    main()
