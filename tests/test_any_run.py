"""Any table, to the end: looked at, made a problem, trained for two epochs; only a person's mistake may stop it."""

from __future__ import annotations

import math
import string

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import to_csv

from mtl_core.data import inspect
from mtl_core.data.table import to_problem
from mtl_core.engine import Training
from mtl_core.errors import UserError
from mtl_core.problem import SPLITS, Problem
from mtl_core.records import RunResult
from mtl_core.specs import ArmSpec, DataSpec, RunSpec, SelectionSpec, TrainingSpec

NAMES = st.one_of(
    st.sampled_from(["y", "target", "label", "id", "date", "loss", "nan", "=1", "<b>", "{0}", "a\nb", "", "x", "x ", "\u202ex"]),
    st.text(alphabet=string.printable + "äß€\u200b", max_size=10),
)
SCALES = st.sampled_from([1e-300, 1e-30, 1e-12, 1.0, 1e8, 1e29, 1e31])


@st.composite
def cells(draw: st.DrawFn, rows: int) -> list[str]:
    """One column: a kind of values, perhaps with holes, codes and words among them."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    kind = draw(
        st.sampled_from(["normal", "offset", "heavy", "whole", "counts", "few", "words", "flags", "constant", "dates", "units"])
    )
    scale = draw(SCALES)
    values = {
        "normal": lambda: [f"{v:.6g}" for v in scale * rng.normal(size=rows)],
        "offset": lambda: [f"{v:.17g}" for v in 1e9 + rng.normal(size=rows)],
        "heavy": lambda: [f"{v:.6g}" for v in np.exp(8 * rng.normal(size=rows))],
        "whole": lambda: [str(v) for v in rng.integers(-(10**6), 10**6, rows)],
        "counts": lambda: [str(v) for v in rng.poisson(draw(st.sampled_from([0.1, 2, 5000])), rows)],
        "few": lambda: [str(v) for v in rng.integers(0, draw(st.integers(1, 5)), rows)],
        "words": lambda: [f"w{v}" for v in rng.integers(0, draw(st.sampled_from([2, 3, 40, 10_000])), rows)],
        "flags": lambda: [("yes", "no")[v] for v in rng.integers(0, 2, rows)],
        "constant": lambda: ["7"] * rows,
        "dates": lambda: [f"2024-01-{1 + v:02d}" for v in rng.integers(0, 28, rows)],
        "units": lambda: [f"{v:.2f} kg" for v in rng.normal(size=rows)],
    }[kind]()
    gone, word = draw(st.sampled_from([0.0, 0.0, 0.1, 0.6, 0.97])), draw(st.sampled_from(["", "NA", "-999", "inf", "oops"]))
    return [word if rng.random() < gone else value for value in values]


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, dict[str, object]]:
    """A table and, mostly, what is said of its targets."""
    rows, width = draw(st.sampled_from([19, 20, 25, 40, 90])), draw(st.integers(2, 6))
    names = [draw(NAMES) for _ in range(width)]
    columns = [draw(cells(rows)) for _ in range(width)]
    data = to_csv(list(zip(*columns, strict=True)), names, draw(st.sampled_from(",;\t")))
    asked = draw(st.booleans()) and names[-1].strip()
    kind = draw(st.sampled_from([None, "regression", "binary", "multiclass", "count"]))
    return data, {"targets": {names[-1]: kind}} if asked else {}


def run(problem: Problem) -> list[RunResult]:
    training = TrainingSpec.model_validate({"epochs": 2, "batch_size": 16, "hidden": (4,), "lr": 0.01})
    arms = [ArmSpec(scheme="equal"), ArmSpec(scheme="uncertainty"), ArmSpec(scheme="dwa")]
    runs = [RunSpec(data=DataSpec(file="t.csv"), arm=arm, seed=0, training=training, selection=SelectionSpec()) for arm in arms]
    trained = Training(problem, runs, "cpu")
    for _ in trained:
        pass
    return trained.results()


@given(tables())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_table_is_trained_on_or_refused_and_a_run_that_ends_well_has_numbers(drawn: tuple[bytes, dict[str, object]]) -> None:
    data, said = drawn
    try:
        spec = DataSpec.model_validate({"file": "t.csv", **said})
        inspect(data, "t.csv", spec)
        problem = to_problem(data, "t.csv", spec)
    except UserError:
        return
    assert np.isfinite(problem.features).all()
    for result in run(problem):
        result.to_json()
        if result.status != "done":
            assert result.sentence
            continue
        for split, name in enumerate(SPLITS):
            for task, labelled in problem.availability(split).items():
                loss = result.metrics["best"][name][task]["loss"] if labelled else 0.0
                assert loss is not None
                assert math.isfinite(loss)
