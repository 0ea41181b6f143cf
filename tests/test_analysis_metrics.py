"""Tables, scores and frames: exact numbers, directions, and who counts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from comparisons import EIGHT, comparison, spec, with_extra, with_run
from scipy import stats

from mtl_core.analysis import beaten, endings, history_frame, metric_table, metrics_frame, score
from mtl_core.records import Comparison
from mtl_core.specs import TaskSpec

THREE_ARMS = {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}, "dwa": {"scheme": "dwa"}}


def test_a_cell_is_the_mean_over_seeds_and_the_paired_difference() -> None:
    row = metric_table(comparison(EIGHT)).of("price")
    learned, fixed = EIGHT["learned"]["price"], EIGHT["fixed"]["price"]
    interval = stats.ttest_rel(learned, fixed).confidence_interval(0.95)
    difference = row.cells["learned"].difference
    assert difference is not None
    assert row.metric == "rmse"
    assert row.cells["learned"].estimate.mean == pytest.approx(learned.mean())
    assert (difference.mean, difference.low, difference.high) == pytest.approx(
        ((learned - fixed).mean(), interval.low, interval.high)
    )
    assert (difference.n, difference.p, difference.outcome) == (8, 2 / 2**8, "worse")
    assert row.cells["fixed"].difference is None


def test_swapping_the_baseline_swaps_better_and_worse() -> None:
    given = comparison(EIGHT)
    swapped = replace(given, spec=given.spec.model_copy(update={"baseline": "learned"}))
    for task, ours, theirs in (
        ("regime", "better", "worse"),
        ("price", "worse", "better"),
        ("alarm", "no difference", "no difference"),
    ):
        one = metric_table(given).of(task).cells["learned"].difference
        other = metric_table(swapped).of(task).cells["fixed"].difference
        assert one
        assert other
        assert (one.outcome, other.outcome) == (ours, theirs)
        assert one.mean == pytest.approx(-other.mean)
        assert one.p == other.p


def test_p_is_corrected_over_the_arms_compared() -> None:
    three = {**EIGHT, "dwa": {**EIGHT["fixed"], "regime": EIGHT["fixed"]["regime"] + np.array([1, 1, 1, 1, 1, 1, 1, -1]) * 0.01}}
    row = metric_table(comparison(three, spec(THREE_ARMS))).of("regime")
    ps = {arm: row.cells[arm].difference.p_holm for arm in ("learned", "dwa")}  # type: ignore[union-attr]
    assert ps == {"learned": 2 * 2 / 2**8, "dwa": pytest.approx(18 / 2**8)}


def test_predicted_rates_stand_beside_the_label_rate_and_are_never_better() -> None:
    row = metric_table(comparison(EIGHT)).of("alarm", "positive_rate")
    assert row.direction == 0
    assert row.label_rate == 0.1
    assert row.best() == ()
    assert row.cells["learned"].difference.outcome == "no direction"  # type: ignore[union-attr]
    assert beaten(row, "learned") is None


def test_the_constant_predictor_stands_beside_and_may_be_the_better_one() -> None:
    table = metric_table(comparison(EIGHT))
    assert table.of("regime").constant == 0.5
    assert beaten(table.of("regime"), "learned") is True
    assert beaten(table.of("price", "mae"), "learned") is False


@pytest.mark.parametrize("status", ["diverged", "failed", "queued", "running"])
def test_an_added_lost_run_changes_no_other_number(status: str) -> None:
    plain = comparison(EIGHT)
    more = with_extra(plain, "learned", 99, status, 1e30)  # type: ignore[arg-type]
    assert metric_table(more).rows == pytest.approx(metric_table(plain).rows) or repr(metric_table(more).rows) == repr(
        metric_table(plain).rows
    )
    assert repr(score(more)) == repr(score(plain))


def test_an_added_arm_that_always_diverged_costs_the_others_nothing() -> None:
    three = comparison({**EIGHT, "dwa": EIGHT["fixed"]}, spec(THREE_ARMS))
    for run in range(16, 24):
        three = with_run(three, run, "diverged")
    one, other = metric_table(three).of("regime").cells["learned"], metric_table(comparison(EIGHT)).of("regime").cells["learned"]
    assert repr(one) == repr(other)


def test_a_diverged_run_takes_its_partner_out_of_the_difference_only() -> None:
    row = metric_table(with_run(comparison(EIGHT), 0, "diverged")).of("regime")
    assert (row.cells["learned"].estimate.n, row.cells["fixed"].estimate.n) == (7, 8)
    assert row.cells["learned"].difference.n == 7  # type: ignore[union-attr]


def stopped_at(given: Comparison, run: int, epoch: int) -> Comparison:
    given = with_run(given, run, "stopped")
    return replace(given, runs=(*given.runs[:run], replace(given.runs[run], epoch=epoch), *given.runs[run + 1 :]))


def test_a_stopped_run_is_compared_only_with_one_stopped_at_the_same_epoch() -> None:
    alone = stopped_at(comparison(EIGHT), 0, 3)
    assert metric_table(alone).of("regime").cells["learned"].difference.n == 7  # type: ignore[union-attr]
    assert metric_table(alone).of("regime").cells["learned"].estimate.n == 8
    together = stopped_at(alone, 8, 3)
    assert metric_table(together).of("regime").cells["learned"].difference.n == 8  # type: ignore[union-attr]
    assert endings(together)[0].stopped == 1


def test_a_table_at_an_epoch_reads_the_history() -> None:
    row = metric_table(comparison(EIGHT), at=3, split="validation").of("regime")
    assert row.cells["learned"].estimate.mean == pytest.approx(38)
    assert row.cells["learned"].difference.mean == pytest.approx(-80)  # type: ignore[union-attr]
    assert metric_table(comparison(EIGHT), at=6, split="validation").empty
    with pytest.raises(ValueError, match="validation"):
        metric_table(comparison(EIGHT), at=3)


def test_seeds_in_another_order_give_the_same_table_and_score() -> None:
    given = comparison(EIGHT)
    order = np.random.default_rng(3).permutation(16)
    mixed = replace(given, runs=tuple(given.runs[i] for i in order), history=given.history[:, order])
    assert repr(metric_table(mixed)) == repr(metric_table(given))
    assert repr(score(mixed)) == repr(score(given))


def test_the_score_is_the_weighted_mean_of_components_between_0_and_1() -> None:
    two = {
        "learned": {"regime": [0.8], "alarm": [0.7], "price": [9.0]},
        "fixed": {"regime": [0.6], "alarm": [0.9], "price": [9.0]},
    }
    given = with_mae(comparison(two), 0.5)
    got = score(given, weights={"regime": 2, "alarm": 1, "price": 1})
    assert [part.weight for part in got.parts] == [0.5, 0.25, 0.25]
    assert got.parts[2].estimates["learned"].mean == pytest.approx(1 - 0.5 / 2.0)
    assert got.total.estimates["learned"].mean == pytest.approx(0.5 * 0.8 + 0.25 * 0.7 + 0.25 * 0.75)
    assert [part.constant for part in got.parts] == [0.5, 0.5, 0.0]
    assert got.total.differences["learned"].mean == pytest.approx(0.5 * 0.2 - 0.25 * 0.2)


def test_a_component_worse_than_the_constant_predictor_is_0_not_negative() -> None:
    assert score(with_mae(comparison(EIGHT), 7.0)).parts[2].estimates["learned"].mean == 0


def test_a_task_without_a_component_is_left_out_and_said() -> None:
    gone = {arm: {**tasks, "alarm": np.full(8, math.nan)} for arm, tasks in EIGHT.items()}
    got = score(comparison(gone))
    assert got.uncounted == ("alarm",)
    assert [part.weight for part in got.parts] == [0.5, 0, 0.5]


def test_weights_of_the_experiment_are_used_unless_others_are_given() -> None:
    given = comparison(EIGHT, spec(score={"regime": 1.0, "alarm": 0.0, "price": 0.0}))
    assert score(given).total.estimates["learned"].mean == pytest.approx(EIGHT["learned"]["regime"].mean())


def with_mae(given: Comparison, value: float) -> Comparison:
    def changed(splits: dict) -> dict:
        return {split: {**tasks, "price": {**tasks["price"], "mae": value}} for split, tasks in splits.items()}

    runs = [
        replace(run, result=replace(run.result, metrics={at: changed(splits) for at, splits in run.result.metrics.items()}))  # type: ignore[type-var, union-attr]
        for run in given.runs
    ]
    return replace(given, runs=tuple(runs))


def test_frames_hold_one_value_a_row() -> None:
    given = comparison(EIGHT)
    history, metrics = history_frame(given), metrics_frame(given)
    assert list(history.columns) == ["arm", "seed", "epoch", "split", "task", "name", "value"]
    assert list(metrics.columns) == ["arm", "seed", "split", "task", "metric", "value", "at"]
    one = history.query("arm == 'fixed' and seed == 2 and epoch == 4 and split == 'validation' and name == 'criterion'")
    assert one["value"].tolist() == [104.0]
    chosen = metrics.query("arm == 'learned' and split == 'test' and metric == 'accuracy' and task == 'regime' and at == 'best'")
    assert chosen["value"].to_numpy() == pytest.approx(EIGHT["learned"]["regime"])
    assert set(metrics.query("metric == 'baseline_accuracy' and task == 'regime'")["value"]) == {0.5}


def test_a_comparison_without_any_result_has_empty_frames_and_tables() -> None:
    given = comparison(EIGHT)
    empty = replace(given, runs=tuple(replace(r, status="queued", epoch=0, result=None) for r in given.runs))
    assert metrics_frame(empty).empty
    assert history_frame(empty).empty
    assert metric_table(empty).empty
    assert math.isnan(score(empty).total.estimates["learned"].mean)


def test_the_first_metric_of_every_kind_is_its_headline() -> None:
    tasks = (TaskSpec(name="n", kind="count"), TaskSpec(name="v", kind="multi_output", width=3))
    given = comparison({arm: {"n": [1.0], "v": [1.0]} for arm in ("learned", "fixed")}, tasks=tasks)
    assert [(row.task, row.metric) for row in metric_table(given).headlines] == [("n", "mae"), ("v", "rmse")]
