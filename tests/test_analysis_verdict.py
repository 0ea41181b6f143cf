"""Verdict and selection: the sentences, word by word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparisons import EIGHT, comparison, spec, with_extra, with_run

from mtl_core.analysis import curves, lost_runs, metric_table, nothing_counted, report, selection, taking_part, verdict
from mtl_core.records import Channel, Comparison, RunRecord, RunResult, TaskRegret
from mtl_core.specs import StopSpec


def first(seeds: int) -> dict[str, dict[str, np.ndarray]]:
    return {arm: {task: values[:seeds] for task, values in tasks.items()} for arm, tasks in EIGHT.items()}


def test_the_sentence_counts_tasks_with_figures_intervals_and_seeds() -> None:
    assert verdict(comparison(EIGHT)).sentences == (
        "learned is better than fixed on 1 of 3 tasks (regime accuracy +0.02), "
        "worse on 1 (price rmse +0.098 [+0.087, +0.109] EUR), "
        "no difference shown on 1 (alarm auroc +0.000 [-0.064, +0.064]); 8 seeds, test split, at the selected epoch.",
    )


def test_the_numbers_behind_the_sentence_are_there() -> None:
    one = verdict(comparison(EIGHT)).arms[0]
    assert (one.better, one.worse, one.no_difference, one.undecided, one.seeds) == (("regime",), ("price",), ("alarm",), (), 8)


def test_identical_arms_show_no_difference() -> None:
    one = verdict(comparison(dict.fromkeys(EIGHT, EIGHT["fixed"])))
    assert one.arms[0].no_difference == ("regime", "alarm", "price")
    assert one.sentences[0].startswith("learned shows no difference from fixed on 3 of 3 tasks")


def test_two_arms_that_are_one_run_say_so() -> None:
    given = comparison(EIGHT)
    shared = tuple(replace(run, run_id=f"run-{run.seed}") for run in given.runs)
    assert verdict(replace(given, runs=shared)).sentences == ("learned and fixed are the same runs: no difference on any task.",)


def test_arms_that_are_the_same_runs_count_as_one_comparison() -> None:
    names = ("fixed", "a", "b", "again")  # b is the runs of a, again those of the baseline
    arms = {name: {"scheme": "equal"} for name in names}
    values = {"fixed": first(6)["fixed"], "again": first(6)["fixed"], "a": first(6)["learned"], "b": first(6)["learned"]}
    given = comparison(values, spec(arms, range(6)))
    same = {"a": "a", "b": "a", "fixed": "fixed", "again": "fixed"}
    shared = replace(given, runs=tuple(replace(run, run_id=f"{same[run.arm]}-{run.seed}") for run in given.runs))
    found = verdict(shared)
    assert found.warnings == ()
    assert "b and a are the same runs and count as one comparison." in found.notes
    assert "again and fixed are the same runs: no difference on any task." in found.sentences
    assert "corrected for" not in str(found)
    cells = metric_table(shared).of("regime").cells
    assert [cells[arm].difference.p_holm for arm in ("a", "b", "again")] == [2 / 2**6, 2 / 2**6, 1.0]  # type: ignore[union-attr]
    assert verdict(given).warnings  # were they three comparisons, six seeds would not do


@pytest.mark.parametrize(("seeds", "warned"), [(1, True), (3, True), (5, True), (6, False), (8, False)])
def test_below_six_seeds_the_verdict_warns_and_calls_nothing(seeds: int, *, warned: bool) -> None:
    one = verdict(comparison(first(seeds)))
    assert bool(one.warnings) == warned
    assert (one.arms[0].undecided == ("regime", "alarm", "price")) == warned


def test_the_warning_says_the_smallest_p_and_the_seeds_needed() -> None:
    assert verdict(comparison(first(3))).warnings == (
        "With 3 seeds the smallest possible p is 0.25: no difference can be called below 6 seeds.",
    )


def test_more_arms_need_more_seeds() -> None:
    arms = {name: {"scheme": "equal"} for name in ("fixed", "a", "b", "c")}
    three = comparison({name: first(6)["fixed"] for name in arms}, spec(arms, range(6)))
    assert verdict(three).warnings == (
        "With 6 seeds and 3 arms compared the smallest possible p is 0.094: no difference can be called below 7 seeds.",
    )


def test_a_lone_arm_has_no_verdict_and_no_warning() -> None:
    alone = comparison({"fixed": EIGHT["fixed"]}, spec({"fixed": {"scheme": "equal"}}))
    assert verdict(alone).sentences == ()
    assert verdict(alone).warnings == ()


def test_no_arm_is_ever_called_the_winner() -> None:
    text = str(verdict(comparison(EIGHT))).lower()
    assert not [word for word in ("winner", "wins", "best arm", "overall") if word in text]


def test_conditions_are_said() -> None:
    text = str(verdict(comparison(EIGHT, synthetic=True)))
    assert "The data is synthetic." in text
    assert "intervals say nothing of other data; a seed sets initial parameters and batches" in text
    assert "synthetic" not in str(verdict(comparison(EIGHT)))


@pytest.mark.parametrize(("seeds", "kind"), [(16, "an exact sign-flip test"), (17, "a sampled sign-flip test")])
def test_the_verdict_says_whether_its_test_is_exact(seeds: int, kind: str) -> None:
    values = {arm: {task: np.resize(series, seeds) for task, series in tasks.items()} for arm, tasks in EIGHT.items()}
    assert kind in str(verdict(comparison(values)))


def with_warnings(*warnings: str) -> Comparison:
    given = comparison(EIGHT)
    return replace(given, problem=replace(given.problem, warnings=warnings))


def test_what_was_noticed_in_the_data_is_told_with_the_verdict_and_the_report() -> None:
    given = with_warnings("x alone predicts price almost perfectly.")
    assert verdict(given).notes[0] == "Data: x alone predicts price almost perfectly."
    assert "Data: x alone predicts price almost perfectly." in report(given)


def test_beyond_ten_warnings_of_the_data_only_their_number_is_told() -> None:
    told = [note for note in verdict(with_warnings(*map(str, range(13)))).notes if note.startswith("Data: ")]
    assert told == [*(f"Data: {n}" for n in range(10)), "Data: 3 more warnings in the record."]
    assert len([note for note in verdict(with_warnings(*map(str, range(10)))).notes if "more warning" in note]) == 0


def test_runs_that_did_not_end_well_are_mentioned() -> None:
    given = with_run(with_run(comparison(EIGHT), 0, "diverged", "diverged at step 41"), 9, "failed")
    given = with_run(with_run(given, 1, "stopped"), 15, "running")
    notes = verdict(given).notes
    assert "learned: 1 of 8 runs diverged (diverged at step 41); they count in no mean." in notes
    assert "fixed: 1 of 8 runs failed and count in no mean." in notes
    assert any(note.startswith("learned: 1 of 8 runs stopped by hand") for note in notes)
    assert "fixed: 1 of 8 runs not finished." in notes


def test_an_arm_without_a_finished_pair_cannot_be_compared() -> None:
    given = comparison(EIGHT)
    for run in range(8):
        given = with_run(given, run, "failed")
    assert verdict(given).sentences == ("learned and fixed cannot be compared: no seed has finished in both.",)


def test_runs_that_finished_without_a_metric_are_not_said_to_be_unfinished() -> None:
    nowhere = {arm: {task: [float("nan")] * 8 for task in tasks} for arm, tasks in EIGHT.items()}
    sentence = verdict(comparison(nowhere)).sentences[0]
    assert sentence.endswith("no task has a headline metric on the test split, whose labels are too few or do not vary.")


def diverged(runs: int) -> Comparison:
    given = comparison(EIGHT)
    for run in range(runs):
        given = with_run(given, run, "diverged", "diverged at step 2")
    return given


def test_divergence_is_named_as_the_reason_with_what_to_do() -> None:
    assert verdict(diverged(8)).sentences == (
        "learned and fixed cannot be compared: 8 of 8 runs of learned diverged; lower the learning rate and run again.",
    )
    assert verdict(diverged(16)).sentences == (
        "learned and fixed cannot be compared: 8 of 8 runs of learned and 8 of 8 runs of fixed diverged; "
        "lower the learning rate and run again.",
    )


def test_divergence_is_not_blamed_for_what_it_did_not_do() -> None:
    given = comparison(EIGHT)
    for run in range(8):
        given = with_run(given, run, "diverged" if run < 3 else "failed")
    assert verdict(given).sentences == ("learned and fixed cannot be compared: no seed has finished in both.",)


def test_why_there_are_no_numbers_is_said_with_what_to_do() -> None:
    said = "No run has a result: 16 of 16 runs diverged; lower the learning rate and run again."
    assert nothing_counted(diverged(16)) == said
    assert nothing_counted(with_run(diverged(16), 0, "running")).startswith("No run has finished yet")


def test_runs_that_are_lost_are_counted_beyond_the_first() -> None:
    marks = curves(diverged(16), Channel("validation", "", "criterion")).marks
    assert lost_runs(marks, 2) == "learned, seed 0: diverged at step 2. learned, seed 1: diverged at step 2. And 14 more."
    assert lost_runs(marks[:1]) == "learned, seed 0: diverged at step 2."


def test_a_difference_that_is_called_on_very_few_rows_says_so_in_the_verdict() -> None:
    given = comparison(EIGHT)
    few = replace(given, problem=replace(given.problem, rows={"test": 20}))
    sentence = verdict(few).sentences[0]
    assert "(price rmse +0.098 [+0.087, +0.109] EUR, from only 20 labels)" in sentence
    assert "alarm auroc +0.000 [-0.064, +0.064])" in sentence  # nothing is called here


def test_an_arm_no_better_than_a_constant_is_named() -> None:
    dull = {arm: {**tasks, "alarm": np.full(8, 0.5)} for arm, tasks in EIGHT.items()}
    assert "alarm: learned and fixed are no better than a constant prediction (auroc 0.5)." in verdict(comparison(dull)).notes


def test_the_constant_of_a_number_is_called_the_training_mean() -> None:
    dull = {arm: {**tasks, "price": np.full(8, 3.5)} for arm, tasks in EIGHT.items()}
    notes = verdict(comparison(dull)).notes
    assert "price: learned and fixed are no better than a constant prediction (training mean, rmse 3)." in notes


def test_an_added_diverged_run_changes_no_sentence_about_the_others() -> None:
    plain = comparison(EIGHT)
    more = with_extra(plain, "learned", 99, "diverged", 1e9)
    assert verdict(more).sentences == verdict(plain).sentences
    assert len(verdict(more).notes) == len(verdict(plain).notes) + 1


def with_results(**changes: object) -> tuple[RunRecord, ...]:
    runs = comparison(EIGHT).runs
    return tuple(replace(run, result=replace(run.result, **changes)) for run in runs)  # type: ignore[type-var, arg-type]


def test_regret_is_estimated_over_seeds_and_tasks() -> None:
    given = comparison(EIGHT)
    regrets = np.linspace(0.1, 0.8, 8)
    runs = [replace(r, result=replace(r.result, regret=float(regrets[i % 8]))) for i, r in enumerate(given.runs)]  # type: ignore[type-var]
    one = selection(replace(given, runs=tuple(runs))).of("learned")
    assert one.regret.absolute.mean == pytest.approx(0.45)
    assert one.regret.absolute.low > 0
    assert one.regret.test.mean == pytest.approx(0.05)
    assert one.tasks["regime"].absolute.mean == pytest.approx(0.1)
    assert one.tasks["price"].absolute.n == 0
    assert one.disagreeing == {"regime": 3.0}


def test_the_test_regret_is_tested_and_the_validation_regret_is_not() -> None:
    given = comparison(EIGHT)
    both_signs = 0.1 * np.array([1, -1, 1, -1, 1, -1, 1, -1])
    runs = [replace(r, result=replace(r.result, test_regret=float(both_signs[i % 8]))) for i, r in enumerate(given.runs)]  # type: ignore[type-var]
    one = selection(replace(given, runs=tuple(runs))).of("learned")
    assert one.regret.p == 1
    assert "(+10 %); on the test split +0.000 [-0.089, +0.089] (p 1)." in one.sentence
    assert selection(given).of("learned").regret.p == 2 / 2**8


def test_with_stop_on_primary_the_primary_tasks_loss_is_what_selects() -> None:
    given = comparison(EIGHT)
    chosen = given.spec.selection.model_copy(update={"stop": StopSpec(on="primary", task="price")})
    loss, on_test = TaskRegret(0.4, 0.2), TaskRegret(-0.3, -0.1)
    runs = with_results(regret=-0.1, regret_relative=-0.1, task_regret={"price": loss}, task_test_regret={"price": on_test})
    found = selection(replace(given, runs=runs, spec=given.spec.model_copy(update={"selection": chosen})))
    one = found.of("learned")
    assert found.criterion == "the validation loss of price alone, the task that early stopping watches"
    assert one.sentence.startswith(
        "learned: its own objective would have chosen epoch 5 instead of 2 (medians of 8 runs); "
        "the validation loss of price is +0.4 there (+20 %); on the test split -0.3 (p 0.0078)."
    )
    assert one.counted_tasks == ("price",)
    assert (one.regret.absolute.mean, one.regret.test.mean) == (pytest.approx(0.4), pytest.approx(-0.3))


def test_whether_the_objective_kept_falling_is_counted() -> None:
    given = comparison(EIGHT)
    history = given.history.copy()
    history[:, :5, given.channels.index(Channel("validation", "", "learned_total"))] *= -1
    one = selection(replace(given, history=history)).of("learned")
    assert (one.kept_falling, one.kept_falling_train, one.later, one.runs) == (5, 0, 8, 8)
    assert "lower at the end than at the selected epoch in 5 of 8" in one.sentence


def test_the_counterfactual_is_labelled() -> None:
    sentence = selection(comparison(EIGHT)).of("learned").sentence
    assert sentence.startswith("learned: its own objective would have chosen epoch 5 instead of 2 (medians of 8 runs)")
    assert "counterfactual" in sentence


def test_choosing_the_same_epochs_is_said_in_one_sentence() -> None:
    given = replace(comparison(EIGHT), runs=with_results(counterfactual_epoch=2, regret=0.0))
    assert selection(given).of("fixed").sentence == (
        "fixed: its own objective would have chosen the same epochs as the fixed criterion in all 8 runs."
    )


def test_arms_without_results_are_left_out_and_the_criterion_is_named() -> None:
    given = comparison(EIGHT)
    runs = tuple(replace(r, result=RunResult("failed"), status="failed") if r.arm == "learned" else r for r in given.runs)
    got = selection(replace(given, runs=runs))
    assert [one.arm for one in got.arms] == ["fixed"]
    assert got.criterion == "uniform fixed weights over raw losses of the validation split"


def test_a_run_without_any_counterfactual_epoch_is_no_accident() -> None:
    given = replace(
        comparison(EIGHT), runs=with_results(counterfactual_epoch=None, regret=None, regret_relative=None, test_regret=None)
    )
    one = selection(given).of("learned")
    assert one.sentence == "learned: its own objective chose no epoch."
    assert one.regret.absolute.n == 0


def test_a_task_that_was_never_trained_is_named() -> None:
    given = comparison(EIGHT)
    history = given.history.copy()
    history[:, :8, given.channels.index(Channel("train", "alarm", "weight"))] = 0.0
    text = str(verdict(replace(given, history=history)))
    assert "learned never trained alarm (gated out or of weight 0 in every step" in text
    assert "fixed never trained" not in text


def test_metrics_that_rest_on_very_few_rows_are_named() -> None:
    given = comparison(EIGHT)
    few = replace(given, problem=replace(given.problem, rows={"test": 40}))
    assert "alarm: only 4 positives among 40 labels in the test split: its metrics rest on very few rows." in verdict(few).notes
    fewer = replace(given, problem=replace(given.problem, rows={"test": 20}))
    assert "price: only 20 labels in the test split: its metrics rest on very few rows." in verdict(fewer).notes
    assert "rest on very few rows" not in str(verdict(given))


def test_availability_and_gate_are_means_over_epochs_and_seeds() -> None:
    one = taking_part(comparison(EIGHT))[0]
    assert one.available["regime"].mean == pytest.approx(38)
    assert one.gate["regime"].n == 8
    assert one.left_out == ()
