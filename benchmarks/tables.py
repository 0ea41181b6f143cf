"""Test metrics of the equal-weights arm on real tables, beside scikit-learn's single-task MLP of the same size.

    python -m benchmarks.tables DIRECTORY [--seeds 3] [--json]

The directory holds `baselines.json` (scores per table and task on the split `train_test_split(rows, test_size=0.2,
random_state=0)` over all rows) and the tables it names. Nothing is tuned per table: the budget is the product's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from mtl_core.data import load
from mtl_core.engine import Training
from mtl_core.resolving import resolve
from mtl_core.specs import parse_experiment

IGNORED = {"students": ["Dalc"], "ai4i2020": ["UDI", "Product ID"]}
KINDS = {"ordinal": "regression"}
JUDGED_BY = {"regression": "r2", "ordinal": "r2", "count": "r2", "binary": "auroc"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    baselines = json.loads((chosen.directory / "baselines.json").read_text())
    rows = [row for name in chosen.tables or baselines for row in measure(chosen.directory, name, baselines[name], chosen.seeds)]
    table = pd.DataFrame(rows)
    print(table.to_json(orient="records") if chosen.json else table.round(3).to_string(index=False))


def measure(directory: Path, name: str, baseline: dict[str, Any], seeds: int) -> list[dict[str, Any]]:
    """One row per task: ours (mean and range over seeds) and the constant, linear and MLP scores on the same test rows."""
    frame = pd.read_csv(directory / f"{name}.csv", encoding="utf-8-sig")
    frame["part"] = "train"
    frame.loc[train_test_split(np.arange(len(frame)), test_size=0.2, random_state=0)[1], "part"] = "test"
    targets = {task: KINDS.get(about["type"], about["type"]) for task, about in baseline["tasks"].items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        frame.to_csv(path, index=False)
        data = {"file": str(path), "targets": targets, "ignore": IGNORED.get(name, []), "split": "part"}
        spec = parse_experiment({"data": data, "arms": {"equal": {"scheme": "equal"}}, "seeds": seeds})
        problem = load(spec.data)
    training = Training(problem, list(resolve(spec, problem).runs().values()), "cpu")
    for _ in training:
        pass
    results = training.results()
    return [_row(name, task, about, results) for task, about in baseline["tasks"].items()]


def _row(name: str, task: str, about: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    metric = JUDGED_BY[about["type"]]
    ours = [value for result in results if (value := result.metrics["best"]["test"][task][metric]) is not None]
    theirs = about["scores"]
    return {
        "table": name,
        "task": task,
        "metric": metric,
        "ours": float(np.mean(ours)) if ours else np.nan,
        "worst seed": min(ours, default=np.nan),
        "mlp": theirs["mlp"][metric],
        "gain": float(np.mean(ours)) - theirs["mlp"][metric] if ours else np.nan,
        "linear": theirs["linear"][metric],
        "forest": theirs["rf"][metric],
        "epoch": float(np.mean([result.selected_epoch or 0 for result in results])),
        "trained": float(np.mean([result.epochs for result in results])),
    }


if __name__ == "__main__":
    main()
