"""What is read and drawn of all runs at once is what plain loops give, and nothing is read or drawn for nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import drawn_comparison
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import stored
from mtl_core.analysis import curves, metric_table, score, taking_part, verdict
from mtl_core.analysis.axes import limits
from mtl_core.analysis.runs import LOST, by_arm, by_pair, pairs, read
from mtl_core.records import Channel, Comparison
from mtl_core.store import Store
from pages.ui import live
from pages.ui.lines import full_strength, rounded, rounded_all, spread

ROOT = Path(__file__).parent.parent
LOSS = Channel("validation", "regime", "loss")
FOUR = {"a": "equal", "b": "softplus", "c": "dwa", "d": "famo"}


def ragged(draw: int) -> Comparison:
    """Runs that ended early, lost runs, gaps."""
    rng = np.random.default_rng(draw)
    whole = drawn_comparison(FOUR, seeds=5, epochs=23)
    history = np.where(rng.random(whole.history.shape) < 0.1, np.nan, whole.history)
    for run in rng.choice(len(whole.runs), 6, replace=False):
        history[rng.integers(0, 23) :, run] = np.nan
    lost = set(rng.choice(len(whole.runs), draw % 5, replace=False).tolist())
    runs = [replace(run, status="diverged") if n in lost else run for n, run in enumerate(whole.runs)]
    return replace(whole, history=history, runs=tuple(runs))


# --- all at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", range(6))
def test_arms_drawn_together_are_what_each_is_by_itself(draw: int) -> None:
    comparison = ragged(draw)
    column = comparison.column(*LOSS)
    for curve in curves(comparison, LOSS, band="range").curves:
        runs = [run for run in comparison.runs_of(curve.arm) if comparison.runs[run].status not in LOST]
        for epoch, mean, low, high, n in zip(curve.epochs, curve.mean, curve.low, curve.high, curve.n, strict=True):
            values = [value for value in column[epoch - 1, runs].tolist() if np.isfinite(value)]
            assert n == len(values)
            assert mean == pytest.approx(np.mean(values) if values else np.nan, nan_ok=True)
            ends = (min(values), max(values)) if len(values) > 1 else (np.nan, np.nan)
            assert (low, high) == pytest.approx(ends, nan_ok=True)


@pytest.mark.parametrize("draw", range(6))
def test_the_axis_is_that_of_numpys_medians_and_quantiles(draw: int) -> None:
    lines = [(one.epochs, one.runs) for one in curves(ragged(draw), LOSS).curves]
    usual, best = [], min(float(np.nanmin(runs)) for _, runs in lines)
    begun = []
    for _, runs in lines:
        medians = np.nanmedian(runs[np.isfinite(runs).any(axis=1)], axis=1)
        level = np.quantile(medians, 0.75)
        usual.append(level + max(abs(level), 4 * (level - best)))
        begun.append(medians[0])
    worst = max(float(np.nanmax(runs)) for _, runs in lines)
    expected = (best, min(worst, max(sorted(usual)[(len(usual) - 1) // 2], *begun)))
    assert limits(lines, -1, [1]) == pytest.approx(expected)


@pytest.mark.parametrize("at", ["best", "final", 7])
def test_numbers_of_all_runs_are_those_of_each_run(at: str | int) -> None:
    comparison = ragged(3)
    values = read(comparison, at, "validation", "regime", "accuracy")  # type: ignore[arg-type]
    for n, run in enumerate(comparison.runs):
        if run.status in LOST:
            expected = np.nan
        elif isinstance(at, int):
            expected = comparison.column("validation", "regime", "accuracy")[at - 1, n]
        else:
            assert run.result is not None
            expected = run.result.metrics[at]["validation"]["regime"]["accuracy"]
        assert values[n] == pytest.approx(expected, nan_ok=True)
    assert by_arm(comparison, "b", values).tolist() == pytest.approx(values[comparison.runs_of("b")].tolist(), nan_ok=True)
    matched = [(values[mine], values[theirs]) for mine, theirs in pairs(comparison, "b")]
    assert np.array_equal(np.transpose(by_pair(comparison, "b", values)), matched, equal_nan=True)


def test_what_is_stored_as_float32_is_computed_with_as_float64() -> None:
    comparison = ragged(1)
    stored_as = replace(comparison, history=comparison.history.astype(np.float32))
    wide = replace(comparison, history=stored_as.history.astype(np.float64))
    for asked in (metric_table, verdict, score, taking_part):
        assert repr(asked(stored_as)) == repr(asked(wide))
    for one, other in zip(curves(stored_as, LOSS).curves, curves(wide, LOSS).curves, strict=True):
        assert one.mean.dtype == np.float64
        assert np.array_equal(one.mean, other.mean, equal_nan=True)
        assert np.array_equal(one.high, other.high, equal_nan=True)


# --- drawing ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_rounding_all_is_rounding_each(values: list[float]) -> None:
    assert rounded_all(np.array(values)).tolist() == [rounded(value) for value in values]


@given(st.lists(st.integers(0, 10**8).map(lambda n: n / 10**4 + 0.5), max_size=20), st.integers(-12, 12))
def test_ties_are_rounded_as_text_rounds_them(values: list[float], exponent: int) -> None:
    scaled = [value * 10.0**exponent for value in values]
    assert rounded_all(np.array(scaled)).tolist() == [rounded(value) for value in scaled]


@pytest.mark.parametrize("ticks", [[1], [1, 8, 15, 22], [1, 5, 40]])
def test_a_line_has_its_value_at_every_tick_and_nothing_where_there_is_none(ticks: list[int]) -> None:
    drawn = curves(ragged(2), LOSS).curves
    for curve, (mean, low, height) in zip(drawn, spread(drawn, ticks), strict=True):
        for values, found in ((curve.mean, mean), (curve.low, low), (curve.high - curve.low, height)):
            kept = full_strength(curve) & np.isfinite(values)
            known = {int(epoch): rounded(float(value)) for epoch, value in zip(curve.epochs[kept], values[kept], strict=True)}
            assert found == [known.get(tick) for tick in ticks]


# --- watching --------------------------------------------------------------------------------------------------------


def test_a_look_that_finds_nothing_new_reads_no_history(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment_id, problem = stored.submit(store, arms=2, seeds=2, epochs=5)
    claims = stored.claims(store)
    for claim in claims:
        stored.begin(store, claim, problem)
    read_: list[str] = []
    comparison = store.comparison
    monkeypatch.setattr(store, "comparison", lambda name: (read_.append(name), comparison(name))[1])

    def look() -> int:
        figure = live.as_far_as(store, (store.url, experiment_id), store.progress(experiment_id), "light", None)
        line = next(one for one in figure.option["series"] if one["name"] == "equal")
        return sum(value is not None for value in line["data"])

    def train(first: int, last: int) -> None:
        for claim in claims:
            store.queue.append(claim, list(stored.history(claim.runs, problem.tasks, 5))[first:last])

    train(0, 1)
    assert [look(), look(), look()] == [1, 1, 1]
    assert len(read_) == 1
    train(1, 3)
    assert [look(), look()] == [3, 3]
    assert len(read_) == 2
    stored.finish(store, claims[-1], problem, 3)
    look()
    assert len(read_) == 3  # runs that ended are news, too


DRAWN = """
import sys
from streamlit.testing.v1 import AppTest
for part in ("Per task", "Differences", "σ and shares", "Selection", "Score", "Code", "Export"):
    app = AppTest.from_file("{app}", default_timeout=60)
    app.query_params["run"] = "{run}"
    app.session_state["details"] = part
    app.run()
    assert not app.exception, app.exception
    assert app.get("echarts_chart"), part
for page in ("pages/runs.py", "pages/data.py", "pages/schemes.py"):
    app.switch_page(page).run()
    assert not app.exception, app.exception
print(sorted({{"torch", "scipy.stats", "mtl_core.engine", "mtl_core.lanes"}} & set(sys.modules)))
"""


def test_no_page_waits_for_torch_whatever_it_draws(store: Store) -> None:
    code = DRAWN.format(app=ROOT / "app.py", run=stored.keep(store, arms=2, seeds=18, epochs=3))
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.stdout.strip() == "[]", told.stderr[-2000:]
