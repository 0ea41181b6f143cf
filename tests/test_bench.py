"""The benchmark in its short form: what it promises to say, and laws of the figures. Nothing here judges a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mtl_core import bench
from mtl_core.bench.compiled import stacked_objective, stacked_parameters
from mtl_core.bench.parts import PARTS, chosen
from mtl_core.bench.plain import PlainRun, evaluated, plain_losses, split_of
from mtl_core.bench.problems import SIZES, Size, mixed_heads, runs_of, training_of
from mtl_core.bench.process import cpu_seconds, peak_kb
from mtl_core.bench.products import flops, jacobian_flops, jacobian_steps, product_steps
from mtl_core.bench.report import cell
from mtl_core.bench.targets import targets
from mtl_core.bench.timing import Spent, measured, ratio
from mtl_core.bench.torchjd_loop import torchjd_present
from mtl_core.engine import Training
from mtl_core.errors import UserError
from mtl_core.lanes.plain import from_module
from mtl_core.shapes import shape_of

QUICK = replace(bench.Form.of(short=True), rounds=1, slice_s=0.0)


@pytest.fixture(autouse=True)
def the_same_threads_afterwards() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == threads
    assert (torch.full((), 1e-39) * 0.5).item() > 0, "subnormal numbers are there again"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return bench.main(QUICK, ["steps", "gramian", "profile", "evaluation", "store", "growth", "import", "memory"])


def test_every_part_of_the_short_form_has_rows_of_plain_data(figures: dict[str, Any]) -> None:
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert list(figures["sections"]) == chosen(QUICK, [])
    assert all(section["rows"] for section in figures["sections"].values())
    assert {"processor", "cores", "caches", "torch", "blas", "threads", "load"} <= set(figures["machine"])
    assert figures["machine"]["threads"] == 1


def test_what_is_measured_is_positive(figures: dict[str, Any]) -> None:
    for section in figures["sections"].values():
        for row in section["rows"]:
            measured = {key: value for key, value in row.items() if isinstance(value, float) and not key.startswith("share_of_")}
            assert measured, row
            assert all(value > 0 for key, value in measured.items() if key != "mb_per_lane"), row


def test_ratios_follow_from_the_rates_beside_them(figures: dict[str, Any]) -> None:
    """In one round a median is the only value."""
    rows = {(row["size"], row["loop"], row["scheme"], row["lanes"]): row for row in figures["sections"]["steps"]["rows"]}
    ours = [key for key in rows if key[1] == "lanes"]
    assert {key[3] for key in ours} == {8, 64, 256}
    for size, _, scheme, lanes in ours:
        row = rows[size, "lanes", scheme, lanes]
        plain, products = rows[size, "plain loop", scheme, 1], rows[size, "bare products", "", lanes]
        assert row["over_plain"] == pytest.approx(row["lane_steps_per_s"] / plain["lane_steps_per_s"])
        assert row["share_of_bound"] == pytest.approx(row["lane_steps_per_s"] / products["lane_steps_per_s"])
        assert 1e6 / row["cpu_us"] == pytest.approx(row["lane_steps_per_s"])


def test_targets_repeat_what_the_parts_say(figures: dict[str, Any]) -> None:
    found = {row["target"]: row for row in figures["targets"]["rows"]}
    steps = figures["sections"]["steps"]["rows"]
    small = [row["over_plain"] for row in steps if (row["size"], row["loop"], row["lanes"]) == ("small", "lanes", 64)]
    assert found["loss-based, 64 lanes over the plain loop, small"]["measured"] == min(small)
    imported = figures["sections"]["import"]["rows"][0]
    assert found["seconds to import mtl_core"]["measured"] == imported["seconds"]
    assert imported["imports_torch"] is False
    for row in found.values():
        if row["measured"] is None:
            assert row["reached"] is None
        else:
            assert row["reached"] == (
                row["measured"] >= row["limit"] if row["sense"] == "at least" else row["measured"] <= row["limit"]
            )


def test_without_a_part_its_targets_are_neither_reached_nor_missed() -> None:
    assert {row["reached"] for row in targets({})} == {None}


def test_the_first_of_every_kind_of_growth_is_what_the_others_are_relative_to(figures: dict[str, Any]) -> None:
    rows = [row for row in figures["sections"]["growth"]["rows"] if row["relative"] is not None]
    first = {}
    for row in rows:
        start = first.setdefault((row["grows"], row["scheme"]), row["cost"])
        assert row["relative"] == pytest.approx(row["cost"] / start)
    assert {row["grows"] for row in rows} == {"lanes", "tasks", "width", "epochs", "rows"}


def test_tables_hold_every_row(figures: dict[str, Any]) -> None:
    rows = sum(len(section["rows"]) for section in figures["sections"].values()) + len(figures["targets"]["rows"])
    tables = bench.markdown(figures)
    assert sum(line.startswith("| ") for line in tables.splitlines()) == rows + len(figures["sections"]) + 1
    assert figures["machine"]["torch"] in bench.text(figures)
    assert [cell(value) for value in (None, True, [1.0, 2.5], 12345.6, 12345, 0.01234)] == [
        "–", "yes", "1 to 2.5", "12,346", "12,345", "0.0123",
    ]  # fmt: skip


def test_a_part_that_there_is_not_is_named() -> None:
    with pytest.raises(UserError, match='No part of the benchmark "step"'):
        bench.main(QUICK, ["step"])
    assert chosen(QUICK, ["mixed", "steps"]) == ["steps", "mixed"]
    assert chosen(bench.Form.of(short=False), []) == list(PARTS)
    assert chosen(bench.Form.of(short=False, device="cuda"), []) == ["steps"]
    with pytest.raises(UserError, match="On cuda only steps"):
        chosen(bench.Form.of(short=False, device="cuda"), ["gramian"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(UserError, match="This machine has no cuda device"):
        bench.main(bench.Form.of(short=True, device="cuda"))


# --- what is compared does the same work ------------------------------------------------------------------------------


def test_the_products_are_as_many_operations_as_the_formula_says() -> None:
    for size in SIZES.values():
        layers = shape_of(mixed_heads(64), training_of(size)).layers
        for job, expected in (
            (product_steps(layers, 3, size.batch), flops(layers, 3, size.batch)),
            (jacobian_steps(layers, 6, 3, size.batch), jacobian_flops(layers, 6, 3, size.batch)),
        ):
            with FlopCounterMode(display=False) as counter:
                job(2)
            assert counter.get_total_flops() == 2 * expected


@pytest.mark.parametrize("scheme", ["equal", "uncertainty", "imtl_l"])
def test_the_plain_loop_and_a_lane_are_the_same_run(scheme: str) -> None:
    """Each minibatch is the whole training split, so that the order of rows is nothing but rounding."""
    problem = mixed_heads(48)
    training = training_of(Size((8, 8), 48)).model_copy(update={"dtype": "float64"})
    plain, lanes = PlainRun(problem, training, scheme), Training(problem, runs_of(training, 2, (scheme,)), "cpu")
    for epoch in range(1, 6):
        plain.step()
        for batch in lanes.batches.of(epoch):
            lanes.live.step(batch)
    assert torch.allclose(from_module(plain.model), lanes.live.flat[0], rtol=0, atol=1e-9)


def test_what_is_compiled_is_the_plain_objective_of_every_lane() -> None:
    problem = mixed_heads(32)
    training = training_of(Size((8, 8), 32)).model_copy(update={"dtype": "float64"})
    plain, split = PlainRun(problem, training), split_of(problem, 0, torch.float64)
    parameters = stacked_parameters(problem, training, 3, torch.float64)
    objective = stacked_objective(problem.tasks, parameters, split.features, split.columns)
    one = plain.objective(plain_losses(problem.tasks, plain.model(split.features), split.columns))
    assert torch.allclose(objective, 3 * one)
    objective.backward()
    one.backward()
    first = next(plain.model.parameters()).grad
    assert first is not None
    assert all(torch.allclose(lane.mT, first) for lane in parameters[0].grad)  # type: ignore[union-attr]


def test_a_plain_run_is_evaluated_on_what_has_labels() -> None:
    problem = mixed_heads(64)
    problem.targets["level"][:] = float("nan")
    problem.targets["level"][::2] = 1.0
    problem.targets["level"][::4] = 2.0
    run = PlainRun(problem, training_of(SIZES["small"]))
    found = evaluated(run.model, problem.tasks, run.validation)
    assert len(found) == len(problem.tasks)
    assert all(torch.tensor(pair).isfinite().all() for pair in found)


# --- how it is measured -----------------------------------------------------------------------------------------------


def test_jobs_are_repeated_in_turns() -> None:
    heard: list[str] = []
    times = measured({"a": lambda _: heard.append("a"), "b": lambda _: heard.append("b")}, replace(QUICK, rounds=3))
    assert "".join(heard) == "aabb" + "ab" * 3  # two that say how long one takes, then in turns
    assert {key: len(found) for key, found in times.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_of_the_same_round() -> None:
    """A machine that is ten times slower in one round does not move it."""
    slow, quick = [Spent(2.0, 4.0), Spent(20.0, 40.0), Spent(2.0, 4.0)], [Spent(1.0, 1.0), Spent(10.0, 10.0), Spent(1.0, 1.0)]
    assert ratio(slow, quick) == (2.0, 2.0, 2.0)
    assert ratio(slow, quick, "cuda") == (4.0, 4.0, 4.0)
    assert ratio(slow, quick, times=64) == (128.0, 128.0, 128.0)


def test_what_a_process_has_held_and_used_only_grows() -> None:
    before, used = peak_kb(), cpu_seconds([os.getpid()])
    kept = torch.ones(50_000_000, dtype=torch.uint8).sum()
    assert peak_kb() >= before
    assert int(kept) == 50_000_000
    assert cpu_seconds([os.getpid()]) >= used
    assert cpu_seconds([]) == 0


def test_what_a_scheme_costs_is_told_beside_equal_weights_and_torchjds_loop() -> None:
    found = bench.schemes("small", ["pcgrad", "softplus"], short=True)
    assert [row["name"] for row in found["table"]] == ["equal", "softplus", "pcgrad"]
    assert all(row["relative_cost"] > 0 and row["lane_steps_per_cpu_s"] > 0 for row in found["table"])
    assert [row["over_torchjd"] is None for row in found["table"]] == [True, True, not torchjd_present()]
