"""What a page needs to know of data before anything runs, cached by what decides the data's content."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from mtl_core import data, runner
from mtl_core.data.pictures import picture, png
from mtl_core.data.profile import Profile, examine, profile
from mtl_core.data.table import Understanding
from mtl_core.errors import TableError
from mtl_core.problem import Problem, problem_info
from mtl_core.records import ProblemInfo
from mtl_core.specs import MAPS, DataSpec, ExperimentSpec
from mtl_core.store import Store, problem_key

if TYPE_CHECKING:
    import pandas as pd

PREVIEW_ROWS, PREVIEW_COLUMNS, SAMPLE_ROWS = 20, 40, 200
WIDE = 1_000  # features beyond which they are not shown one by one


class Images(NamedTuple):
    """The first images with their maps beside them, as a PNG file, and what stands in its columns from the left."""

    png: bytes
    titles: tuple[str, ...]


class Sight(NamedTuple):
    """Data as a page shows it; without profile and all behind it where it cannot be trained on, for the reason given."""

    warnings: tuple[str, ...]
    refusal: str = ""
    info: ProblemInfo | None = None
    profile: Profile | None = None
    preview: pd.DataFrame | None = None
    images: Images | None = None  # where rows are images


def sight(store: Store, spec: DataSpec) -> Sight:
    """What a spec names. Raises UserError where it is not even understood."""
    return _sight(problem_key(spec), spec, store)


def info(store: Store, spec: DataSpec) -> ProblemInfo:
    """The problem that a spec names. Raises UserError where there is none."""
    seen = sight(store, spec)
    if seen.info is None:
        raise TableError(seen.refusal)
    return seen.info


def understanding(store: Store, spec: DataSpec) -> Understanding:
    """What is understood of a stored table, with the corrections in the spec. Raises UserError."""
    return _understanding(problem_key(spec), spec, store)


def resolved(store: Store, spec: ExperimentSpec) -> ExperimentSpec:
    """The experiment with everything spelled out. Raises UserError."""
    said = sorted(spec.selection.model_fields_set)  # the rest is left to the data, which its hash does not tell
    return _resolved(f"{spec.id} {said}", spec, store)


@st.cache_data(max_entries=64, show_spinner=False)
def _resolved(key: str, _spec: ExperimentSpec, _store: Store) -> ExperimentSpec:  # noqa: ARG001
    return runner.prepare(_store, _spec)[0]


@st.cache_data(max_entries=16, show_spinner="Looking at the data …")
def _sight(key: str, _spec: DataSpec, _store: Store) -> Sight:  # noqa: ARG001
    if _spec.fingerprint is None:
        problem = data.load(_spec, _store.get_table)
        found = profile(problem)
        return _seen(problem, found, (*problem.warnings, *found.twins.warnings()))
    name, content = _store.get_table(_spec.fingerprint)
    table = examine(content, name, _spec)
    if table.problem is None or table.profile is None:
        return Sight(table.understanding.warnings, table.refusal)
    return _seen(table.problem, table.profile, table.understanding.warnings)


def _seen(problem: Problem, found: Profile, warnings: tuple[str, ...]) -> Sight:
    return Sight(warnings, "", problem_info(problem), found, _preview(problem), _images(problem))


def _images(problem: Problem) -> Images | None:
    drawn = picture(problem)
    return None if drawn is None else Images(png(drawn.pixels), drawn.titles)


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
    """The first rows, targets first; targets only where there are thousands of features."""
    import pandas as pd

    targets = _targets(problem, PREVIEW_ROWS)
    room = max(PREVIEW_COLUMNS - targets.shape[1], 0) if problem.features.shape[1] <= WIDE and not problem.input_shape else 0
    return pd.concat([targets.iloc[:, :PREVIEW_COLUMNS], _features(problem, PREVIEW_ROWS, room)], axis=1)


def _frame(problem: Problem, rows: int) -> pd.DataFrame:
    """The first rows: features, then targets."""
    import pandas as pd

    return pd.concat([_features(problem, rows, len(problem.feature_names)), _targets(problem, rows)], axis=1)


def _features(problem: Problem, rows: int, most: int) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(problem.features[:rows, :most], columns=list(problem.feature_names[:most]))


def _targets(problem: Problem, rows: int) -> pd.DataFrame:
    """Labels with class names, empty where missing; of vectors the first elements. Maps are no columns: they are drawn."""
    import pandas as pd

    columns: list[pd.Series] = []
    for task in (task for task in problem.tasks if task.kind not in MAPS):
        values = problem.targets[task.name][:rows]
        if task.kind == "multiclass" or (task.kind == "binary" and len(task.classes) == 2):
            named = [task.classes[int(v)] if np.isfinite(v) else None for v in values[:, 0]]
            columns.append(pd.Series(named, name=task.name, dtype="object"))
        else:
            columns += [
                pd.Series(values[:, n], name=f"{task.name} {n + 1}" if task.width > 1 else task.name)
                for n in range(min(task.width, PREVIEW_COLUMNS))
            ]
    return pd.concat(columns, axis=1) if columns else pd.DataFrame()
