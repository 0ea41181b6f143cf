"""Curves: what stands behind each point, and what must never bend it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparisons import EIGHT, comparison, with_extra, with_run
from scipy import stats

from mtl_core.analysis import curves, loss_shares, outside, recorded, task_curves
from mtl_core.analysis.curves import smooth
from mtl_core.records import Channel, Comparison

CRITERION = Channel("validation", "", "criterion")


def with_column(given: Comparison, channel: Channel, values: np.ndarray) -> Comparison:
    history = given.history.copy()
    history[:, :, given.channels.index(channel)] = values
    return replace(given, history=history)


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other is None or np.array_equal(one, other, equal_nan=True)


def test_a_point_is_the_mean_over_seeds_and_the_band_scipys_t_interval() -> None:
    drawn = curves(comparison(EIGHT), CRITERION).curves[0]
    third = np.arange(8) * 10.0 + 3
    low, high = stats.t.interval(0.95, 7, loc=third.mean(), scale=stats.sem(third))
    assert (drawn.mean[2], drawn.low[2], drawn.high[2], drawn.n[2]) == pytest.approx((38, low, high, 8))
    assert drawn.epochs.tolist() == [1, 2, 3, 4, 5]


def test_the_other_band_is_lowest_to_highest_and_says_so() -> None:
    panel = curves(comparison(EIGHT), CRITERION, band="range")
    assert (panel.curves[0].low[0], panel.curves[0].high[0]) == (1, 71)
    assert "lowest to highest" in panel.band


def test_a_run_that_ended_early_counts_only_in_the_epochs_it_trained() -> None:
    given = comparison(EIGHT)
    given.history[3:, 0] = np.nan
    drawn = curves(given, CRITERION).curves[0]
    assert drawn.n.tolist() == [8, 8, 8, 7, 7]
    assert drawn.mean[3] == pytest.approx(np.mean(np.arange(1, 8) * 10 + 4))


@pytest.mark.parametrize("value", [1e30, np.nan, np.inf])
def test_an_added_diverged_run_changes_no_curve_and_no_axis(value: float) -> None:
    plain = comparison(EIGHT)
    before, after = (curves(given, CRITERION) for given in (plain, with_extra(plain, "learned", 99, "diverged", value)))
    for one, other in zip(before.curves, after.curves, strict=True):
        assert all(same(getattr(one, name), getattr(other, name)) for name in ("mean", "low", "high", "n", "runs"))
    assert before.axis == after.axis
    assert [(mark.arm, mark.seed, mark.sentence) for mark in after.marks] == [("learned", 99, "diverged at step 41")]
    assert "1 of 9 runs diverged" in after.notes[0]


FALLING = np.linspace(2.0, 1.0, 5)[:, None] * np.ones(16)  # the first eight runs are the arm learned's


def test_a_run_on_its_way_to_diverging_does_not_bend_the_axis() -> None:
    wild = FALLING.copy()
    wild[:, 3] = [2.0, 50.0, 1e4, 1e8, 1e20]
    wilder = wild.copy()
    wilder[:, 3] = [2.0, 50.0, 1e8, 1e12, 1e30]
    one, other = (curves(with_column(comparison(EIGHT), CRITERION, values), CRITERION) for values in (wild, wilder))
    assert one.axis == other.axis
    assert one.axis is not None
    assert one.axis[0] == 1.0
    assert 2.0 <= one.axis[1] <= 5.0  # the others keep a quarter of the panel
    assert curves(with_column(comparison(EIGHT), CRITERION, FALLING), CRITERION).axis == pytest.approx((1.0, 2.0))


def test_an_arm_that_runs_away_with_all_its_runs_does_not_bend_the_axis_and_is_named() -> None:
    away = FALLING.copy()
    away[:, :8] = np.array([2.0, 50.0, 1e4, 1e8, 1e12])[:, None]
    panel = curves(with_column(comparison(EIGHT), CRITERION, away), CRITERION)
    assert panel.axis is not None
    assert panel.axis[1] <= 5.0
    assert outside([panel]) == "Beyond the axis, in part: learned in fixed criterion (validation)."


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(1 + 0.04 * np.linspace(0, 1, 5), id="4 % worse than in the first epoch"),
        pytest.param([1.0, 0.999, 1.02, 1.03, 1.05], id="the first epoch is nearly the best"),
        pytest.param([1.0, 0.4, 0.5, 0.7, 1.9], id="overfitting to twice the start"),
        pytest.param([0.0, 0.1, 0.2, 0.3, 0.4], id="from 0"),
        pytest.param([-3.0, -2.0, -1.0, 0.0, 1.0], id="across 0"),
        pytest.param([3.0, 3.0, 3.0, 3.0, 3.0], id="flat"),
    ],
)
@pytest.mark.parametrize("both", [True, False])
def test_ordinary_lines_stay_inside_whole(line: list[float], *, both: bool) -> None:
    values = np.array(line)[:, None] * np.ones(16)
    if not both:  # the other arm stays where it begins
        values[:, 8:] = values[0, 8:] + 0.1 * np.ptp(values) * np.linspace(0, -1, 5)[:, None]
    if both or values.min() > 0.1:
        panel = curves(with_column(comparison(EIGHT), CRITERION, values), CRITERION)
        assert panel.axis == (pytest.approx(values.min()), pytest.approx(values.max()))
        assert outside([panel]) == ""


def test_the_axis_of_what_rises_is_bounded_below() -> None:
    channel = Channel("validation", "price", "r2")
    rising = np.linspace(0.1, 0.9, 5)[:, None] * np.ones(16)
    rising[2, 0] = -1e9
    panel = curves(with_column(comparison(EIGHT), channel, rising), channel)
    assert panel.axis is not None
    assert -3.0 <= panel.axis[0] <= 0.1
    assert panel.axis[1] == 0.9
    assert panel.outside == ("learned",)


def test_seeds_in_another_order_draw_the_same_figure() -> None:
    given = comparison(EIGHT)
    order = np.random.default_rng(0).permutation(16)
    mixed = replace(given, runs=tuple(given.runs[i] for i in order), history=given.history[:, order])
    for one, other in zip(curves(given, CRITERION).curves, curves(mixed, CRITERION).curves, strict=True):
        assert all(same(getattr(one, name), getattr(other, name)) for name in ("mean", "low", "high", "n", "runs"))


def test_an_empty_comparison_draws_nothing_and_says_so() -> None:
    given = comparison(EIGHT)
    empty = replace(
        given, history=given.history[:0], runs=tuple(replace(r, status="queued", epoch=0, result=None) for r in given.runs)
    )
    panel = curves(empty, CRITERION)
    assert panel.empty
    assert panel.takeaway == "fixed criterion (validation): nothing recorded yet."
    assert task_curves(empty, "train", "loss") == ()
    assert loss_shares(empty) == ()


def test_one_seed_has_a_line_and_no_band() -> None:
    given = comparison({arm: {task: v[:1] for task, v in tasks.items()} for arm, tasks in EIGHT.items()})
    drawn = curves(given, CRITERION).curves[0]
    assert drawn.mean.tolist() == [1, 2, 3, 4, 5]
    assert np.isnan(drawn.low).all()


def test_an_arm_whose_runs_all_diverged_has_no_line() -> None:
    given = comparison(EIGHT)
    for run in range(8):
        given = with_run(given, run, "diverged", "diverged at step 3")
    assert [curve.arm for curve in curves(given, CRITERION).curves] == ["fixed"]


def test_smoothing_stands_beside_the_raw_mean() -> None:
    drawn = curves(comparison(EIGHT), CRITERION, smoothing=0.5).curves[0]
    assert drawn.mean.tolist() == [36, 37, 38, 39, 40]
    assert drawn.smoothed is not None
    assert drawn.smoothed[:2] == pytest.approx([36, (0.25 * 36 + 0.5 * 37) / 0.75])
    assert smooth(np.full(4, 3.0), 0.1) == pytest.approx(np.full(4, 3.0))


def test_thinning_keeps_the_first_and_the_last_epoch() -> None:
    drawn = curves(comparison(EIGHT, epochs=1000), CRITERION, points=100).curves[0]
    assert len(drawn.epochs) == 100
    assert drawn.epochs[[0, -1]].tolist() == [1, 1000]
    assert len(drawn.mean) == len(drawn.runs) == 100


def test_panels_exist_for_what_was_recorded() -> None:
    given = comparison(EIGHT)
    for task in ("regime", "alarm", "price"):
        given = with_column(given, Channel("train", task, "sigma"), np.full((5, 16), np.nan))
    assert ("train", "weight") in recorded(given)
    assert ("train", "sigma") not in recorded(given)
    assert [panel.channel.task for panel in task_curves(given, "train", "weight")] == ["regime", "alarm", "price"]
    assert task_curves(given, "train", "sigma") == ()


def test_the_takeaway_says_arms_seeds_and_where_they_end() -> None:
    takeaway = curves(comparison(EIGHT), CRITERION).takeaway
    assert takeaway.startswith("fixed criterion (validation), mean over 8 seeds: learned goes from 36 to 40 at epoch 5")


def test_the_takeaway_claims_no_mean_of_one_seed_and_no_one_number_for_all() -> None:
    alone = comparison({arm: {task: v[:1] for task, v in tasks.items()} for arm, tasks in EIGHT.items()})
    assert curves(alone, CRITERION).takeaway.startswith("fixed criterion (validation), 1 seed: learned goes")
    fewer = with_run(comparison(EIGHT), 0, "diverged", "diverged at step 3")
    assert "mean over 7 to 8 seeds" in curves(fewer, CRITERION).takeaway


def test_the_dominating_task_is_named_with_its_share() -> None:
    given = comparison(EIGHT)
    for task, start, end in (("regime", 0.2, 0.3), ("alarm", 0.2, 0.3), ("price", 0.6, 0.4)):
        given = with_column(given, Channel("train", task, "share"), np.linspace(start, end, 5)[:, None] * np.ones(16))
    shares = loss_shares(given)[1]
    assert shares.dominant == "price"
    assert shares.sentence == "fixed: price carries 60 % of the loss in the first epoch and 40 % in the last."
