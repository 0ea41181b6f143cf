"""What a batch of lanes promises beside the arithmetic: independence, resuming, divergence, selection, records."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import BATCH, EPOCHS, NAMES, TASKS, column, columns, plain_net, problem, run_spec, train
from reference import prepared, task_loss

from mtl_core import engine
from mtl_core.baselines import with_baselines
from mtl_core.engine import Training
from mtl_core.errors import DeviceError
from mtl_core.lanes.rng import batch_order
from mtl_core.problem import Problem
from mtl_core.records import RunResult, channels
from mtl_core.specs import ArmSpec, RunSpec, TaskSpec

MIXED = [
    ArmSpec(scheme="equal"),
    ArmSpec(scheme="equal", settings={"reduction": "sum"}),
    ArmSpec(scheme="fixed", settings={"weights": 0.3}),
    ArmSpec(scheme="uncertainty", settings={"lr_factor": 5.0}),
    ArmSpec(scheme="uncertainty", preset="osint", smooth=0.3),
    ArmSpec(scheme="softplus", gate={"mode": "hard", "threshold": 0.2, "scope": "window"}),  # type: ignore[arg-type]
    ArmSpec(scheme="dwa", settings={"temperature": 0.3}, every=2),
    ArmSpec(scheme="gls"),
    ArmSpec(scheme="scale_invariant", gate={"mode": "soft", "threshold": 0.2, "scope": "batch"}),  # type: ignore[arg-type]
]


def mixed(lanes: int, **training: Any) -> list[RunSpec]:
    """Lanes of every scheme, in an order in which no two neighbours are of one kind; four seeds, three learning rates."""
    rates = (0.003, 0.01, 0.02)
    return [run_spec(MIXED[i % len(MIXED)], seed=i % 4, **({"lr": rates[i % 3]} | training)) for i in range(lanes)]


def same(a: Any, b: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


def assert_results_agree(a: RunResult, b: RunResult) -> None:
    assert (a.status, a.sentence, a.epochs, a.steps, a.selected_epoch) == (
        b.status,
        b.sentence,
        b.epochs,
        b.steps,
        b.selected_epoch,
    )
    for at, splits in a.metrics.items():
        for split, tasks in splits.items():
            for task, values in tasks.items():
                for name, value in values.items():
                    assert value == pytest.approx(b.metrics[at][split][task][name], rel=1e-9, abs=1e-12), (at, split, task, name)


# --- lanes are independent ----------------------------------------------------------------------------------------


def test_a_run_is_the_same_alone_and_among_63_others() -> None:
    runs = mixed(64, epochs=6)
    together, records = train(runs)
    results = together.results()
    for lane in (0, 22, 33, 41, 52, 60, 61, 62, 63):  # every kind of arm
        alone, own = train([runs[lane]])
        same(np.stack([r.values[lane] for r in records]), np.stack([r.values[0] for r in own]))
        assert_results_agree(results[lane], alone.results()[0])


def test_lanes_of_one_arm_and_seed_are_equal_and_others_are_not() -> None:
    run = run_spec(MIXED[3], seed=5, epochs=3)
    _, records = train([run, *mixed(3, epochs=3), run])
    same(records[-1].values[0], records[-1].values[4], rtol=1e-12)
    assert not np.allclose(records[-1].values[0], records[-1].values[1], equal_nan=True)


def test_arms_of_one_seed_start_from_the_same_model_and_see_the_same_batches() -> None:
    """Before any difference in weights has acted, in the first step, the losses of two arms are the same."""
    runs = [
        run_spec(ArmSpec(scheme=name), seed=seed, epochs=1, batch_size=1000) for seed in (0, 1) for name in ("equal", "softplus")
    ]
    training, records = train(runs)
    first = columns(training, records, "train", "loss")[0]
    same(first[0], first[1])
    same(first[2], first[3])
    assert (first[0] != first[2]).all()


def test_values_and_results_come_in_the_order_of_the_runs() -> None:
    runs = mixed(18, epochs=2)
    turned = runs[::-1]
    plain, records = train(runs)
    other, reversed_records = train(turned)
    same(records[-1].values, reversed_records[-1].values[::-1])
    for a, b in zip(plain.results(), other.results()[::-1], strict=True):
        assert_results_agree(a, b)


def test_each_lane_has_its_own_learning_rate_and_weight_decay() -> None:
    pairs = [(0.001, 0.0), (0.001, 0.5), (0.05, 0.0)]
    runs = [run_spec(seed=1, lr=lr, weight_decay=decay, epochs=3) for lr, decay in pairs]
    training, records = train(runs)
    loss = columns(training, records, "validation", "loss")[-1]
    for lane, run in enumerate(runs):
        alone, own = train([run])
        same(loss[lane], columns(alone, own, "validation", "loss")[-1, 0])
    assert len({round(float(x), 9) for x in loss[:, 0]}) == 3


def test_single_precision_tells_the_same_story() -> None:
    single, double = (train(mixed(9, epochs=4, dtype=dtype)) for dtype in ("float32", "float64"))
    for name in ("loss", "weight"):
        np.testing.assert_allclose(columns(*single, "train", name), columns(*double, "train", name), rtol=5e-3, atol=1e-4)


# --- stopping and resuming ----------------------------------------------------------------------------------------


def records_of(training: Training) -> list[Any]:
    return [record for record in training if record is not None]


def assert_bitwise(a: list[Any], b: list[Any]) -> None:
    assert [record.epoch for record in a] == [record.epoch for record in b]
    for one, other in zip(a, b, strict=True):
        assert np.array_equal(one.values, other.values, equal_nan=True)
        assert one.statuses == other.statuses


def lively(**training: Any) -> list[RunSpec]:
    """Lanes of every kind, one that stops early, one that diverges, one judged relative to single tasks."""
    eager = {"stop": {"on": "any", "patience": 1}}
    return [
        *mixed(9, **training),
        run_spec(MIXED[0], selection=eager, **training),
        run_spec(MIXED[3], lr=1e150, **training),
        run_spec(MIXED[5], selection={"scale": "single_task"}, **training),
    ]


@pytest.mark.parametrize(("optimizer", "after"), [("adam", 0), ("adam", 1), ("adam", 4), ("adam", 9), ("sgd", 4)])
def test_resumed_equals_uninterrupted_to_the_bit(optimizer: str, after: int) -> None:
    runs = lively(optimizer=optimizer)
    whole, first = Training(problem(), runs, device="cpu"), Training(problem(), runs, device="cpu")
    uninterrupted, walk, head = records_of(whole), iter(first), []
    while len(head) < after:
        record = next(walk)
        head += [] if record is None else [record]
    second = Training(problem(), runs, device="cpu", checkpoint=first.checkpoint())
    assert_bitwise(head + records_of(second), uninterrupted)
    assert [result.to_json() for result in second.results()] == [result.to_json() for result in whole.results()]


def test_a_checkpoint_taken_in_the_middle_of_an_epoch_is_that_of_the_last_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BREATH_SECONDS", -1.0)  # a breath after every step
    runs = mixed(9, epochs=4)
    whole, first = Training(problem(), runs, device="cpu"), Training(problem(), runs, device="cpu")
    uninterrupted, walk, head, breaths = records_of(whole), iter(first), [], 0
    while breaths < 3:
        record = next(walk)
        head += [] if record is None else [record]
        breaths = breaths + 1 if len(head) == 2 and record is None else 0
    second = Training(problem(), runs, device="cpu", checkpoint=first.checkpoint())
    assert_bitwise(head + records_of(second), uninterrupted)


def test_a_checkpoint_can_be_resumed_twice_and_is_not_changed_by_training_on() -> None:
    runs = mixed(9, epochs=5)
    first = Training(problem(), runs, device="cpu")
    walk = iter(first)
    while next(walk) is None:
        pass
    kept = first.checkpoint()
    rest = [record for record in walk if record is not None]
    for _ in range(2):
        assert_bitwise(records_of(Training(problem(), runs, device="cpu", checkpoint=kept)), rest)


def test_a_checkpoint_holds_plain_tensors_only() -> None:
    training = Training(problem(), lively(epochs=2), device="cpu")
    records_of(training)
    assert isinstance(torch.load(io.BytesIO(training.checkpoint()), weights_only=True), dict)


def test_a_finished_training_resumes_to_its_results() -> None:
    runs = mixed(9, epochs=2)
    whole, _ = train(runs)
    again = Training(problem(), runs, device="cpu", checkpoint=whole.checkpoint())
    assert records_of(again) == []
    assert [r.to_json() for r in again.results()] == [r.to_json() for r in whole.results()]


def test_a_training_that_is_not_asked_on_counts_as_stopped() -> None:
    training = Training(problem(), mixed(3), device="cpu")
    walk, epochs = iter(training), 0
    while epochs < 2:
        epochs += next(walk) is not None
    for result in training.results():
        assert result.status == "stopped"
        assert result.epochs == 2
        assert result.selected_epoch in (1, 2)
        assert result.metrics["best"]["test"]["level"]["rmse"] is not None


# --- divergence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "lr", "dtype"), [("sgd", 1e6, "float64"), ("adam", 1e150, "float64"), ("adam", 1e15, "float32")]
)
def test_a_diverging_lane_is_reported_and_its_neighbours_do_not_notice(optimizer: str, lr: float, dtype: str) -> None:
    runs = mixed(9, optimizer=optimizer, dtype=dtype, epochs=4)
    wild = [run_spec(arm, lr=lr, optimizer=optimizer, dtype=dtype, epochs=4) for arm in (MIXED[0], MIXED[3])]
    calm, records = train(runs)
    mix, disturbed = train([runs[0], wild[0], *runs[1:], wild[1]])
    neighbours = [0, *range(2, 10)]
    same([r.values[neighbours] for r in disturbed], [r.values for r in records], rtol=1e-9 if dtype == "float64" else 1e-3)
    for lane in (1, 10):
        result = mix.results()[lane]
        assert result.status == "diverged"
        assert result.sentence.startswith("diverged ")
        assert any(character.isdigit() for character in result.sentence)
        assert disturbed[-1].statuses[lane] == "diverged"
        assert np.isnan(disturbed[-1].values[lane]).all()
    assert {mix.results()[lane].status for lane in neighbours} == {"done"}
    assert [r.status for r in calm.results()] == ["done"] * 9


def test_the_step_at_which_a_lane_diverged_is_the_first_without_a_finite_loss() -> None:
    """One regression task, SGD at 1e6, against the plain loop's own overflow."""
    data = only("level")
    spec = run_spec(optimizer="sgd", lr=1e6, epochs=5)
    training, _ = train([spec], data)
    net, (x, targets), step = plain_net(data, 0), prepared(data, 0), 0
    optimizer = torch.optim.SGD(net.parameters(), lr=1e6)
    for epoch in range(1, 6):
        for rows in batch_order(0, epoch, data.rows(0)).split(BATCH):
            step += 1
            loss = task_loss(data.tasks[0], net(x[rows])["level"], targets["level"][rows])
            assert loss is not None
            if not torch.isfinite(loss):
                assert training.results()[0].sentence == f"diverged at step {step}"
                return
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    pytest.fail("the plain loop did not diverge")


def test_a_diverged_lane_keeps_the_best_epoch_it_had() -> None:
    """A linear model above its stable learning rate: finite for some epochs, then over the edge."""
    training, records = train([run_spec(optimizer="sgd", lr=10.0, hidden=(), epochs=60)], only("level"))
    result = training.results()[0]
    criterion = column(training, records, "validation", "", "criterion")[:, 0]
    assert result.status == "diverged"
    assert 3 < result.epochs < 60
    assert np.isfinite(criterion[: result.epochs]).all()
    assert result.selected_epoch == int(np.nanargmin(criterion)) + 1
    kept = result.metrics["best"]["validation"]["level"]["loss"]
    assert kept == pytest.approx(np.nanmin(criterion), rel=1e-12)
    assert "final" not in result.metrics or not any(result.metrics["final"]["test"].get("level", {}).values())


def only(*names: str) -> Problem:
    """The problem with some of its tasks."""
    whole = problem()
    tasks = tuple(task for task in whole.tasks if task.name in names)
    targets = {name: whole.targets[name] for name in names}
    return Problem("part", whole.features, targets, tasks, whole.split, whole.feature_names)


# --- the fixed criterion ------------------------------------------------------------------------------------------


def test_the_criterion_is_the_mean_of_raw_validation_losses_whatever_the_scheme() -> None:
    training, records = train(mixed(36, epochs=4))
    losses = columns(training, records, "validation", "loss")
    same(column(training, records, "validation", "", "criterion"), losses.mean(-1))


def test_the_criterion_does_not_move_with_learned_state() -> None:
    """Two runs with one path through parameter space and different log-variances: same criterion, other learned total."""
    settings = {"likelihood": "shared_half", "clamp": [-1e-9, 1e-9]}  # s held at 0: the same weights and the same path
    free = ArmSpec(scheme="fixed", settings={"weights": 0.5})
    runs = [run_spec(free), run_spec(ArmSpec(scheme="uncertainty", settings=settings | {"regulariser": 100.0}))]
    training, records = train(runs)
    criterion = column(training, records, "validation", "", "criterion")
    np.testing.assert_allclose(criterion[:, 0], criterion[:, 1], rtol=1e-6)
    live = training
    before = live.criterion
    assert before is not None
    again = Training(problem(), runs, device="cpu")
    walk = iter(again)
    while next(walk) is None:
        pass
    learned = [[leaf.clone() for leaf in leaves] for leaves in again.live.weighing.leaves()]
    for group in learned:
        for leaf in group:
            if leaf.is_floating_point():
                leaf.fill_(1e3)  # whatever the schemes have learned
    again.live.weighing.fill(learned)
    assert again.criterion is not None
    raw = columns(again, records[:1], "validation", "loss")[0]
    labelled = np.ones(len(TASKS), dtype=bool)
    same(again.criterion(raw, labelled), criterion[0])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("uniform", dict.fromkeys(NAMES, 1.0)),
        ("domain", {"level": 3.0, "rare": 1.0}),
        ("priors", {task.name: math.exp(-task.prior) for task in TASKS}),
        ({"path": 2.0, "events": 6.0}, {"path": 2.0, "events": 6.0}),
    ],
)
def test_criterion_weights_are_what_was_said(weights: Any, expected: dict[str, float]) -> None:
    whole = problem()
    data = Problem(**{**whole.__dict__, "domain_weights": {"level": 3.0, "rare": 1.0}})
    training, records = train([run_spec(selection={"weights": weights}, epochs=2)], data)
    losses = columns(training, records, "validation", "loss")[:, 0]
    shares = np.array([expected.get(name, 0.0) for name in NAMES]) / sum(expected.values())
    same(column(training, records, "validation", "", "criterion")[:, 0], losses @ shares)


def test_weights_are_renormalised_over_tasks_with_validation_labels() -> None:
    whole = problem()
    targets = {name: values.copy() for name, values in whole.targets.items()}
    targets["rare"][whole.split == 1] = np.nan
    targets["path"][whole.split == 1] = np.nan
    data = Problem(**{**whole.__dict__, "targets": targets})
    training, records = train([run_spec(epochs=2)], data)
    losses = columns(training, records, "validation", "loss")[:, 0]
    assert np.isnan(losses[:, NAMES.index("rare")]).all()
    same(column(training, records, "validation", "", "criterion")[:, 0], np.nanmean(losses, axis=1))
    assert set(training.results()[0].counted_tasks) == set(NAMES) - {"rare", "path"}


def test_without_any_validation_label_there_is_no_best_epoch() -> None:
    whole = problem()
    targets = {name: np.where((whole.split == 1)[:, None], np.nan, values) for name, values in whole.targets.items()}
    data = Problem(**{**whole.__dict__, "targets": targets})
    training, records = train([run_spec(epochs=2)], data)
    result = training.results()[0]
    assert np.isnan(column(training, records, "validation", "", "criterion")).all()
    assert result.selected_epoch is None
    assert result.selected_criterion is None
    assert result.regret is None
    assert result.status == "done"


def test_losses_relative_to_the_constant_predictor() -> None:
    training, records = train([run_spec(MIXED[4], selection={"scale": "baseline"}, epochs=3)])
    baseline = with_baselines(problem()).baselines["validation"]
    losses = columns(training, records, "validation", "loss")[:, 0]
    constants = np.array([baseline[name]["loss"] for name in NAMES], dtype=float)
    same(column(training, records, "validation", "", "criterion")[:, 0], (losses / constants).mean(-1), rtol=1e-6)


def test_losses_relative_to_single_task_training() -> None:
    """The reference of a task is its best validation loss when it is trained alone with the same seed and settings."""
    run = run_spec(seed=2, selection={"scale": "single_task"}, epochs=4)
    training, records = train([run])
    losses = columns(training, records, "validation", "loss")[:, 0]
    alone = []
    for name in NAMES:
        arm = ArmSpec(scheme="fixed", settings={"weights": {other: float(other == name) for other in NAMES}})
        single, own = train([run_spec(arm, seed=2, epochs=4)])
        alone.append(column(single, own, "validation", name, "loss").min())
    same(column(training, records, "validation", "", "criterion")[:, 0], (losses / np.array(alone)).mean(-1))


# --- early stopping and selection ---------------------------------------------------------------------------------


def overfitting(**more: Any) -> RunSpec:
    """A run whose criterion turns: large, fast, few rows."""
    return run_spec(**({"lr": 0.03, "epochs": 40, "hidden": (32,)} | more))


def epochs_until(values: np.ndarray, patience: int, min_delta: float = 0.0) -> int:
    """When a plain patience rule stops: this many epochs without falling below the last mark by more than min_delta."""
    mark, waited = math.inf, 0
    for epoch, value in enumerate(values, start=1):
        if value < mark - min_delta:
            mark, waited = value, 0
        else:
            waited += 1
        if waited >= patience:
            return epoch
    return len(values)


def test_each_lane_stops_on_its_own_patience_and_keeps_its_best_epoch() -> None:
    rules: list[tuple[int, float]] = [(1, 0.0), (2, 0.0), (5, 0.0), (3, 0.05)]
    stops = [{"stop": {"patience": patience, "min_delta": delta}} for patience, delta in rules]
    training, records = train([overfitting(), *(overfitting(selection=stop) for stop in stops)])
    criterion = column(training, records, "validation", "", "criterion")
    for lane, (patience, delta) in enumerate(rules, start=1):
        expected = epochs_until(criterion[:, 0], patience, delta)
        result = training.results()[lane]
        assert expected < 40
        assert result.epochs == expected
        assert result.status == "done"
        assert str(expected) in result.sentence
        assert np.isnan(criterion[expected:, lane]).all()
        same(criterion[:expected, lane], criterion[:expected, 0])
        assert result.selected_epoch == int(criterion[:expected, 0].argmin()) + 1


@pytest.mark.parametrize("on", ["any", "all", "primary"])
def test_stopping_by_task(on: str) -> None:
    stop: dict[str, Any] = {"on": on, "patience": 3}
    if on == "primary":
        stop["task"] = "events"
    training, records = train([overfitting(epochs=60), overfitting(epochs=60, selection={"stop": stop})])
    losses = columns(training, records, "validation", "loss")[:, 0]
    waits = np.full((len(losses), len(NAMES)), 0)
    best = np.full(len(NAMES), np.inf)
    for epoch, row in enumerate(losses):
        waits[epoch] = np.where(row < best, 0, (waits[epoch - 1] if epoch else 0) + 1)
        best = np.minimum(best, row)
    over = waits >= 3
    stopping = {"any": over.any(1), "all": over.all(1), "primary": over[:, NAMES.index("events")]}[on]
    expected = int(stopping.argmax()) + 1 if stopping.any() else 60
    result = training.results()[1]
    assert result.epochs == expected
    if on == "primary":
        assert result.selected_epoch == int(losses[:expected, NAMES.index("events")].argmin()) + 1
    else:
        criterion = column(training, records, "validation", "", "criterion")[:expected, 0]
        assert result.selected_epoch == int(criterion.argmin()) + 1


def test_the_best_epoch_is_what_is_judged_and_the_last_one_beside_it() -> None:
    training, records = train([overfitting()])
    result, losses = training.results()[0], columns(training, records, "validation", "loss")[:, 0]
    assert result.selected_epoch is not None
    assert result.selected_epoch < 40
    for number, name in enumerate(NAMES):
        assert result.metrics["best"]["validation"][name]["loss"] == pytest.approx(
            losses[result.selected_epoch - 1, number], rel=1e-12
        )
        assert result.metrics["final"]["validation"][name]["loss"] == pytest.approx(losses[-1, number], rel=1e-12)
        assert result.best_epoch_by_task[name] == int(losses[:, number].argmin()) + 1
    short, _ = train([overfitting(epochs=result.selected_epoch)])
    for name in NAMES:
        kept, last = result.metrics["best"]["test"][name], short.results()[0].metrics["final"]["test"][name]
        assert {key: pytest.approx(value, rel=1e-12) for key, value in last.items()} == kept


def test_the_counterfactual_is_where_the_learned_objective_is_lowest() -> None:
    arm = ArmSpec(scheme="uncertainty", settings={"lr_factor": 10.0})
    training, records = train([overfitting(arm=arm), overfitting()])
    learned = column(training, records, "validation", "", "learned_total")
    criterion = column(training, records, "validation", "", "criterion")
    losses = columns(training, records, "validation", "loss")
    for lane, result in enumerate(training.results()):
        there, here = int(learned[:, lane].argmin()), int(criterion[:, lane].argmin())
        assert result.counterfactual_epoch == there + 1
        assert result.selected_epoch == here + 1
        assert result.selected_criterion == pytest.approx(criterion[here, lane])
        assert result.regret == pytest.approx(criterion[there, lane] - criterion[here, lane], abs=1e-12)
        assert result.regret_relative == pytest.approx((result.regret or 0) / criterion[here, lane], abs=1e-12)
        for number, name in enumerate(NAMES):
            assert result.task_regret[name].absolute == pytest.approx(losses[there, lane, number] - losses[here, lane, number])
    assert training.results()[0].regret != 0, "the arms here should disagree about the epoch"


def test_test_regret_compares_the_same_two_epochs_on_rows_that_chose_neither() -> None:
    arm = ArmSpec(scheme="uncertainty", settings={"lr_factor": 10.0})
    training, _ = train([overfitting(arm=arm)])
    result = training.results()[0]
    assert result.counterfactual_epoch is not None
    assert result.selected_epoch is not None
    judged = []
    for epochs in (result.counterfactual_epoch, result.selected_epoch):
        short, _ = train([overfitting(arm=arm, epochs=epochs)])
        judged.append([short.results()[0].metrics["final"]["test"][name]["loss"] or 0.0 for name in NAMES])
    there, here = np.array(judged)
    assert result.test_regret == pytest.approx(float((there - here).mean()), abs=1e-10)
    for number, name in enumerate(NAMES):
        assert result.task_test_regret[name].absolute == pytest.approx(there[number] - here[number], abs=1e-10)


# --- steps and records --------------------------------------------------------------------------------------------


def test_steps_without_any_task_are_skipped_and_counted() -> None:
    whole = problem()
    keep = np.arange(len(whole.split)) % 7 == 0
    targets = {"level": np.where(keep[:, None] | (whole.split > 0)[:, None], whole.targets["level"], np.nan)}
    data = Problem("sparse", whole.features, targets, whole.tasks[:1], whole.split, whole.feature_names)
    runs = [run_spec(ArmSpec(scheme=name), batch_size=2, epochs=2, weight_decay=0.5) for name in ("equal", "uncertainty", "dwa")]
    training, _ = train(runs, data)
    train_rows = np.isfinite(targets["level"][whole.split == 0])[:, 0]
    empty = sum(not train_rows[rows.numpy()].any() for epoch in (1, 2) for rows in batch_order(0, epoch, data.rows(0)).split(2))
    assert empty > 10
    for result in training.results():
        assert result.skipped_steps == empty
        assert result.steps == 70


def test_a_gate_that_shuts_every_task_out_skips_every_step() -> None:
    gate: Any = {"mode": "hard", "threshold": 1.0, "scope": "dataset"}
    training, records = train([run_spec(ArmSpec(scheme="uncertainty", gate=gate), weight_decay=0.9, epochs=3)])
    losses = columns(training, records, "validation", "loss")[:, 0]
    same(losses[0], losses[2])
    assert training.results()[0].skipped_steps == training.results()[0].steps == 18
    assert (columns(training, records, "train", "weight") == 0).all()
    assert (columns(training, records, "train", "gate") == 0).all()


def test_shares_of_the_weighted_loss_sum_to_one() -> None:
    training, records = train(mixed(9, epochs=2))
    for split in ("train", "validation"):
        same(np.nansum(columns(training, records, split, "share"), axis=-1), np.ones((2, 9)))


def test_recorded_availability_is_the_share_of_labels() -> None:
    data = problem()
    training, records = train([run_spec(epochs=1, batch_size=1000)], data)
    for split, number in (("train", 0), ("validation", 1)):
        expected = data.availability(number)
        same(columns(training, records, split, "available")[0, 0], [expected[name] for name in NAMES])


def test_validation_metrics_are_recorded_for_every_epoch_and_agree_with_the_result() -> None:
    training, records = train([run_spec(epochs=3)])
    result = training.results()[0]
    for name, metric in (("level", "rmse"), ("regime", "f1_macro"), ("focus", "auroc"), ("events", "nll"), ("path", "mae")):
        last = column(training, records, "validation", name, metric)[-1, 0]
        assert result.metrics["final"]["validation"][name][metric] == pytest.approx(last, rel=1e-12)


def test_records_have_one_value_for_every_channel_and_lane() -> None:
    training, records = train(mixed(9, epochs=2))
    assert training.channels == channels(TASKS)
    for number, record in enumerate(records, start=1):
        assert record.epoch == number
        assert record.values.shape == (9, len(training.channels))
        assert record.values.dtype == np.float64
    for channel, values in zip(training.channels, records[-1].values.T, strict=True):
        if channel.name in ("loss", "weight", "available", "criterion", "learned_total"):
            assert np.isfinite(values).all(), channel


def test_a_gate_is_recorded_with_the_share_it_let_through() -> None:
    gate: Any = {"mode": "hard", "threshold": 0.3, "scope": "dataset"}
    training, records = train([run_spec(ArmSpec(scheme="equal", gate=gate), epochs=1, batch_size=1000)])
    shares = problem().availability(0)
    expected = [float(shares[name] >= 0.3) for name in NAMES]
    assert 0 < sum(expected) < len(NAMES)
    assert columns(training, records, "train", "gate")[0, 0].tolist() == expected
    assert (columns(training, records, "train", "weight")[0, 0] > 0).tolist() == [bool(x) for x in expected]


def test_a_problem_of_one_task_is_plain_training() -> None:
    data = only("level")
    training, records = train([run_spec(ArmSpec(scheme=name)) for name in ("equal", "dwa", "fixed")], data)
    losses = columns(training, records, "validation", "loss")[:, :, 0]
    same(losses[:, 0], losses[:, 1])
    same(losses[:, 0], losses[:, 2])


def test_a_feature_that_never_varies_in_training_does_no_harm() -> None:
    whole = problem()
    features = whole.features.copy()
    features[whole.split != 0, 4] = 1e6  # constant in training, anything later
    features[:, 4] += 0.1
    data = Problem(**{**whole.__dict__, "features": features})
    _, records = train([run_spec(epochs=2)], data)
    assert np.isfinite(records[-1].values[0, [0, -1]]).all()


def test_scaling_of_targets_uses_training_rows_only() -> None:
    whole = problem()
    targets = dict(whole.targets)
    targets["level"] = np.where((whole.split == 2)[:, None], targets["level"] * 1e3, targets["level"])
    moved = Problem(**{**whole.__dict__, "targets": targets})
    plain, disturbed = train([run_spec(epochs=2)]), train([run_spec(epochs=2)], moved)
    assert np.array_equal(plain[1][-1].values, disturbed[1][-1].values, equal_nan=True)
    assert plain[0].results()[0].metrics["final"]["test"] != disturbed[0].results()[0].metrics["final"]["test"]


def test_a_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(DeviceError, match="cuda"):
        Training(problem(), [run_spec()], device="cuda")


def test_a_task_that_is_never_labelled_in_training_is_no_obstacle() -> None:
    whole = problem()
    targets = dict(whole.targets)
    targets["rare"] = np.where((whole.split == 0)[:, None], np.nan, targets["rare"])
    data = Problem(**{**whole.__dict__, "targets": targets})
    training, records = train(mixed(9, epochs=EPOCHS), data)
    assert {result.status for result in training.results()} == {"done"}
    losses = columns(training, records, "validation", "loss")[:, :, NAMES.index("rare")]
    assert np.isfinite(losses).all()
    assert (columns(training, records, "train", "weight")[:, :, NAMES.index("rare")] == 0).all()


def test_task_specs_reach_the_loss() -> None:
    """Positive weights, smoothing and Huber thresholds are not lost on the way into the lanes."""
    whole = problem()
    changed = {"rare": {"positive_weight": 9.0}, "regime": {"label_smoothing": 0.4}, "drift": {"huber_delta": 0.1}}
    tasks = tuple(TaskSpec.model_validate(task.model_dump() | changed.get(task.name, {})) for task in whole.tasks)
    plain, other = train([run_spec(epochs=1)]), train([run_spec(epochs=1)], Problem(**{**whole.__dict__, "tasks": tasks}))
    before, after = (columns(*run, "validation", "loss")[0, 0] for run in (plain, other))
    for name in changed:
        assert before[NAMES.index(name)] != pytest.approx(after[NAMES.index(name)], rel=1e-3)


def test_a_scheme_without_an_objective_selects_its_epoch_all_the_same() -> None:
    training, records = train([run_spec(ArmSpec(scheme="mgda")), run_spec(ArmSpec(scheme="equal"))])
    criterion = column(training, records, "validation", "", "criterion")
    for lane, result in enumerate(training.results()):
        assert result.selected_epoch == int(np.argmin(criterion[:, lane])) + 1
        assert result.selected_criterion == pytest.approx(criterion[:, lane].min())
        assert result.counted_tasks == tuple(NAMES)
        assert result.best_epoch_by_task
    assert training.results()[0].counterfactual_epoch is None
    assert training.results()[0].regret is None
