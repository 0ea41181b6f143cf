"""What a page needs to know of data before anything runs, cached by what decides the data's content."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from mtl_core import data, runner
from mtl_core.data.table import Understanding
from mtl_core.problem import SPLITS, Problem, problem_info
from mtl_core.records import ProblemInfo
from mtl_core.specs import DataSpec, ExperimentSpec
from mtl_core.store import Store, problem_key

if TYPE_CHECKING:
    import pandas as pd

PREVIEW_ROWS, PREVIEW_COLUMNS, SAMPLE_ROWS = 20, 40, 200


class Sight(NamedTuple):
    """A problem as a page shows it."""

    info: ProblemInfo
    preview: pd.DataFrame
    scales: pd.DataFrame


def sight(store: Store, spec: DataSpec) -> Sight:
    """The problem that a spec names. Raises UserError."""
    return _sight(problem_key(spec), spec, store)


def understanding(store: Store, spec: DataSpec) -> Understanding:
    """What is understood of a stored table, with the corrections in the spec. Raises UserError."""
    return _understanding(problem_key(spec), spec, store)


def resolved(store: Store, spec: ExperimentSpec) -> ExperimentSpec:
    """The experiment with everything spelled out. Raises UserError."""
    return _resolved(spec.id, spec, store)


@st.cache_data(max_entries=64, show_spinner=False)
def _resolved(key: str, _spec: ExperimentSpec, _store: Store) -> ExperimentSpec:  # noqa: ARG001
    return runner.prepare(_store, _spec)[0]


@st.cache_data(max_entries=16, show_spinner="Reading the data …")
def _sight(key: str, _spec: DataSpec, _store: Store) -> Sight:  # noqa: ARG001
    problem = data.load(_spec, _store.get_table)
    return Sight(problem_info(problem), _preview(problem), _scales(problem))


@st.cache_data(max_entries=16, show_spinner="Reading the table …")
def _understanding(key: str, _spec: DataSpec, _store: Store) -> Understanding:  # noqa: ARG001
    name, content = _store.get_table(_spec.fingerprint or "")
    return data.inspect(content, name, _spec)


@st.cache_data(show_spinner=False)
def sample() -> bytes:
    """A small table to try an upload with."""
    problem = data.load(DataSpec(scenario="noise_and_scale"))
    return _frame(problem, SAMPLE_ROWS).to_csv(index=False).encode()


def _preview(problem: Problem) -> pd.DataFrame:
    frame = _frame(problem, PREVIEW_ROWS)
    features = len(problem.feature_names)
    order = [*range(features, frame.shape[1]), *range(features)]  # targets first
    return frame.iloc[:, order[:PREVIEW_COLUMNS]]


def _frame(problem: Problem, rows: int) -> pd.DataFrame:
    """The first rows: features, then targets with class names, empty where a label is missing."""
    import pandas as pd

    columns: list[pd.Series] = [pd.Series(problem.features[:rows, n], name=name) for n, name in enumerate(problem.feature_names)]
    for task in problem.tasks:
        values = problem.targets[task.name][:rows]
        if task.kind == "multiclass" or (task.kind == "binary" and len(task.classes) == 2):
            named = [task.classes[int(v)] if np.isfinite(v) else None for v in values[:, 0]]
            columns.append(pd.Series(named, name=task.name, dtype="object"))
        else:
            columns += [
                pd.Series(values[:, n], name=f"{task.name} {n + 1}" if task.width > 1 else task.name) for n in range(task.width)
            ]
    return pd.concat(columns, axis=1)


def _scales(problem: Problem) -> pd.DataFrame:
    """One row a task: kind, what it predicts, share of labels by split, spread of its labels."""
    import pandas as pd

    shares = [problem.availability(split) for split in range(len(SPLITS))]
    rows = []
    for task in problem.tasks:
        values = problem.targets[task.name]
        finite = values[np.isfinite(values)]
        what = f"{len(task.classes)} classes" if task.kind == "multiclass" else f"{task.width} values" if task.width > 1 else ""
        spread = "" if task.kind in ("multiclass", "binary") or not finite.size else f"{finite.mean():.3g} ± {finite.std():.3g}"
        present = {f"labels, {name}": 100 * share[task.name] for name, share in zip(SPLITS, shares, strict=True)}
        rows.append(
            {
                "task": task.name,
                "kind": task.kind,
                "predicts": what,
                "loss": task.loss,
                "mean ± spread": spread,
                "unit": task.unit,
                **present,
            }
        )
    return pd.DataFrame(rows)
