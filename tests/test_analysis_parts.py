"""Arms on some of the tasks: judged on those alone, and no sum over tasks of theirs stands beside another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from comparisons import EIGHT, TASKS, comparison, spec

from mtl_core.analysis import (
    curves,
    loss_shares,
    metric_table,
    metrics_frame,
    report,
    score,
    selection,
    task_curves,
    trained,
    verdict,
)
from mtl_core.analysis.parts import ALONE
from mtl_core.records import METRICS, Channel, Comparison
from mtl_core.specs import TaskSpec, single_task_arms

ALL = {"learned": {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}
ALONES = {name: arm.model_dump() for name, arm in single_task_arms([task.name for task in TASKS]).items()}


SIX = {"learned": "learned", "fixed": "fixed", "only regime": "learned"}


def only(*arms: str) -> Comparison:
    """Learned and fixed on all tasks, and these single-task arms with the learned arm's numbers on their task."""
    chosen = {**ALL, **{arm: ALONES[arm] for arm in arms}}
    values = {**EIGHT, **dict.fromkeys(arms, EIGHT["learned"])}
    return without_the_others(comparison(values, spec(chosen)))


def without_the_others(given: Comparison) -> Comparison:
    """As the engine records it: nothing of a task that an arm does not train."""
    history, runs = given.history.copy(), list(given.runs)
    for place, run in enumerate(runs):
        mine = trained(given, run.arm)
        for column, channel in enumerate(given.channels):
            if channel.task and channel.task not in mine:
                history[:, place, column] = np.nan
        assert run.result is not None
        metrics = {
            at: {
                split: {task: _kept(values, keep=task in mine) for task, values in tasks.items()} for split, tasks in one.items()
            }
            for at, one in run.result.metrics.items()
        }
        runs[place] = replace(run, result=replace(run.result, metrics=metrics, counted_tasks=mine))
    return replace(given, history=history, runs=tuple(runs))


def _kept(values: Mapping[str, float | None], *, keep: bool) -> dict[str, float | None]:
    return {name: value if keep else None for name, value in values.items()}


def test_a_verdict_speaks_of_the_tasks_it_trains_and_of_no_other() -> None:
    [_, alone] = verdict(only("only regime")).arms
    assert alone.sentence == (
        "only regime is better than fixed on 1 of 1 task it trains (regime accuracy +0.02); 8 seeds, test split, "
        "at the selected epoch."
    )
    assert (alone.better, alone.worse, alone.no_difference, alone.undecided) == (("regime",), (), (), ())


def test_arms_on_all_tasks_are_told_as_if_there_were_no_others() -> None:
    assert verdict(only("only regime", "only alarm")).sentences[0] == verdict(comparison(EIGHT)).sentences[0]


def test_against_a_baseline_on_some_tasks_only_those_count() -> None:
    given = only("only price")
    turned = replace(given, spec=given.spec.model_copy(update={"baseline": "only price"}))
    learned, fixed = verdict(turned).arms
    assert learned.sentence.startswith("learned shows no difference from only price on 1 of 1 task both train")
    assert fixed.better == ("price",)  # 2.4 against 2.5 in every seed but a little


def test_arms_without_a_task_in_common_cannot_be_compared_and_say_so() -> None:
    given = only("only price", "only alarm")
    turned = replace(given, spec=given.spec.model_copy(update={"baseline": "only price"}))
    assert "only alarm and only price train no task in common and cannot be compared." in verdict(turned).sentences


def test_the_correction_counts_the_arms_that_train_the_task() -> None:
    """Three single-task arms beside the learned one are two comparisons a task, for which seven seeds do."""
    given = only(*ALONES)
    judged = metric_table(given).of("regime").cells["learned"].difference
    assert judged is not None
    assert judged.p_holm == pytest.approx(2 * judged.p)
    assert verdict(given).warnings == ()
    assert "corrected for 2 arms" in str(verdict(given))
    assert "corrected for the 1 to 2 arms that train a task" in str(verdict(only("only regime")))


def test_too_few_seeds_are_told_of_the_tasks_with_more_arms() -> None:
    """With six seeds a task of one comparison can be called, a task of two cannot."""
    given = without_the_others(
        comparison(
            {arm: {task: values[:6] for task, values in EIGHT[twin].items()} for arm, twin in SIX.items()},
            spec({**ALL, "only regime": ALONES["only regime"]}, range(6)),
        )
    )
    assert verdict(given).warnings == (
        "With 6 seeds and 2 arms compared the smallest possible p on regime is 0.062: "
        "no difference can be called there below 7 seeds.",
    )
    assert verdict(given).arms[0].worse == ("price",)


def test_with_few_seeds_every_task_is_told_its_own_number() -> None:
    given = without_the_others(
        comparison(
            {arm: {task: values[:3] for task, values in EIGHT[twin].items()} for arm, twin in SIX.items()},
            spec({**ALL, "only regime": ALONES["only regime"]}, range(3)),
        )
    )
    assert verdict(given).warnings == (
        "With 3 seeds and 2 arms compared the smallest possible p on regime is 0.5: "
        "no difference can be called there below 7 seeds.",
        "With 3 seeds the smallest possible p on alarm and price is 0.25: no difference can be called there below 6 seeds.",
    )


def test_conditions_name_the_arms_on_some_tasks() -> None:
    notes = " ".join(verdict(only("only regime", "only alarm")).notes)
    assert "only regime (regime) and only alarm (alarm) train some of the tasks only" in notes
    assert "some of the tasks only" not in " ".join(verdict(comparison(EIGHT)).notes)


@pytest.mark.parametrize("name", ["criterion", "learned_total"])
def test_sums_over_other_tasks_are_not_drawn_and_a_note_says_so(name: str) -> None:
    panel = curves(only("only regime"), Channel("validation", "", name))
    assert [curve.arm for curve in panel.curves] == ["learned", "fixed"]
    assert panel.notes == ("No criterion and no own objective is drawn of only regime: it trains other tasks than fixed.",)
    assert panel.axis == curves(comparison(EIGHT), Channel("validation", "", name)).axis


def test_arms_on_the_baselines_tasks_are_drawn_whatever_those_are() -> None:
    pair = {"a": {"scheme": "softplus", "tasks": ["regime", "alarm"]}, "fixed": {"scheme": "equal", "tasks": ["alarm", "regime"]}}
    given = without_the_others(comparison({"a": EIGHT["learned"], "fixed": EIGHT["fixed"]}, spec(pair)))
    panel = curves(given, Channel("validation", "", "criterion"))
    assert [curve.arm for curve in panel.curves] == ["a", "fixed"]
    assert panel.notes == ()


def test_a_task_is_drawn_of_the_arms_that_train_it() -> None:
    panels = {
        panel.channel.task: [c.arm for c in panel.curves] for panel in task_curves(only("only regime"), "validation", "loss")
    }
    assert panels == {"regime": ["learned", "fixed", "only regime"], "alarm": ["learned", "fixed"], "price": ["learned", "fixed"]}


def test_single_task_arms_stand_in_one_column_beside_the_others() -> None:
    table = metric_table(only(*ALONES))
    assert table.columns == ("learned", "fixed", ALONE)
    for task in ("regime", "alarm", "price"):
        row = table.of(task)
        assert table.cell(row, ALONE) == row.cells[f"only {task}"]
    assert table.cell(metric_table(only("only regime")).of("alarm"), "only regime").estimate.n == 0


def test_one_single_task_arm_keeps_its_name_and_a_task_without_one_is_empty() -> None:
    assert metric_table(only("only regime")).columns == ("learned", "fixed", "only regime")
    table = metric_table(only("only regime", "only price"))
    assert math.isnan(table.cell(table.of("alarm"), ALONE).estimate.mean)


def test_an_arm_on_some_tasks_has_no_score_but_its_parts() -> None:
    found = score(only("only regime"))
    assert math.isnan(found.total.estimates["only regime"].mean)
    assert math.isnan(found.total.differences["only regime"].mean)
    assert found.parts[0].estimates["only regime"].mean == found.parts[0].estimates["learned"].mean
    assert found.partial == ("only regime",)
    assert found.total.estimates["learned"] == score(comparison(EIGHT)).total.estimates["learned"]


def test_an_arm_on_all_tasks_that_count_has_a_score() -> None:
    found = score(only("only regime"), weights={"regime": 1.0})
    assert found.partial == ()
    assert found.total.estimates["only regime"].mean == pytest.approx(found.total.estimates["learned"].mean)


def test_selection_says_over_which_tasks_a_criterion_sums() -> None:
    chosen = selection(only("only regime"))
    assert "the fixed criterion over regime is" in chosen.of("only regime").sentence
    assert "the fixed criterion is" in chosen.of("learned").sentence
    assert chosen.counted_tasks == ("regime", "alarm", "price")


def test_that_one_task_carries_all_of_the_loss_is_not_said() -> None:
    assert [one.arm for one in loss_shares(only("only regime"))] == ["learned", "fixed"]


def test_frames_and_the_report_hold_no_number_of_a_task_that_was_not_trained() -> None:
    given = only("only regime")
    frame = metrics_frame(given)
    mine = frame[(frame.arm == "only regime") & ~frame.metric.str.startswith("baseline_")]
    assert set(mine[mine.value.notna()].task) == {"regime"}
    text = report(given)
    assert "No score of only regime: it does not train all tasks that count." in text
    assert "nan" not in text.lower()


def test_every_kind_has_a_score_or_says_that_it_has_none() -> None:
    tasks = (
        TaskSpec(name="walls", kind="segmentation", classes=("no", "yes"), grid=(2, 2)),
        TaskSpec(name="depth", kind="dense_regression", width=4, grid=(2, 2)),
        TaskSpec(name="cars", kind="detection", classes=("car",), grid=(2, 2)),
        TaskSpec(name="hill", kind="function"),
    )
    assert {task.kind for task in (*TASKS, *tasks)} | {"multi_output", "count"} == set(METRICS)
    values = {arm: {task.name: np.linspace(0.3, 0.6, 8) for task in tasks} for arm in ("learned", "fixed")}
    found = score(comparison(values, spec(ALL), tasks))
    assert {part.task: part.meaning for part in found.parts} == {
        "walls": "mean IoU",
        "depth": "1 - MAE / MAE of the training mean, within 0 to 1",
        "cars": "AP@50",
        "hill": "no component",
    }
    assert found.uncounted_sentence.endswith("Not counted, as a value by itself is not good or bad: hill.")
    assert found.total.estimates["learned"].mean == pytest.approx(0.45)
    assert report(comparison(values, spec(ALL), tasks))
