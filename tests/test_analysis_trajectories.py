"""Paths over the landscape: where runs begin and end, which are on the front, and the sentence about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mtl_core.analysis import is_plane, trajectories
from mtl_core.data.scenarios import load
from mtl_core.landscape import STARTS, landscape
from mtl_core.problem import problem_info
from mtl_core.records import Comparison, RunRecord, Status, channels
from pages.ui.palette import looks
from pages.ui.trajectories import figure
from tests import comparisons

PROBLEM = load("landscape", {"drawn": 1})
COLUMNS = channels(PROBLEM.tasks)
ON_THE_FRONT, OFF = (-2.0, -8.36), (5.1, 9.0)


def walked(ends: dict[str, list[tuple[float, float]]], status: Status = "done", blind: str = "") -> Comparison:
    """Runs that go in a straight line from their start to these ends in three epochs; task `blind` records nothing."""
    spec = comparisons.spec(
        arms={arm: {"scheme": "equal"} for arm in ends}, seeds=range(len(next(iter(ends.values())))), baseline=""
    )
    runs = tuple(RunRecord(arm, seed, f"{arm}{seed}", status, 3) for arm in ends for seed in range(len(ends[arm])))
    history = np.full((4, len(runs), len(COLUMNS)), np.nan)
    for place, run in enumerate(runs):
        start, end = PROBLEM.starts[run.seed % len(PROBLEM.starts)], np.array(ends[run.arm][run.seed])
        for epoch in range(3):
            x1, x2 = start + (end - start) * (epoch + 1) / 3
            for n, channel in enumerate(COLUMNS):
                if channel.task != blind and channel.name in ("x1", "x2"):
                    history[epoch, place, n] = x1 if channel.name == "x1" else x2
    return Comparison("e", spec, problem_info(PROBLEM), runs, COLUMNS, history)


def test_only_problems_whose_tasks_are_functions_are_a_plane() -> None:
    assert is_plane(walked({"equal": [OFF]}))
    assert not is_plane(replace(walked({"equal": [OFF]}), problem=comparisons.problem()))


def test_a_path_goes_from_the_seeds_start_through_every_recorded_epoch() -> None:
    [path] = [one for one in trajectories(walked({"equal": [OFF, ON_THE_FRONT]})).paths if one.seed == 1]
    assert path.start == STARTS[1]
    assert len(path.points) == 4
    np.testing.assert_allclose(path.end, ON_THE_FRONT)
    assert path.reached


def test_seeds_beyond_the_starts_begin_at_the_first_again() -> None:
    found = trajectories(walked({"equal": [OFF] * 8}))
    assert found.paths[6].start == found.paths[0].start == STARTS[0]
    assert found.paths[5].start == tuple(PROBLEM.starts[5])


def test_the_sentence_counts_starts_and_names_those_that_end_elsewhere() -> None:
    found = trajectories(walked({"equal": [ON_THE_FRONT, ON_THE_FRONT, OFF], "other": [ON_THE_FRONT] * 3}))
    assert found.sentences == (
        "equal: 2 of 3 starts end on the Pareto front; still moving from (9, 9).",
        "other: 3 of 3 starts end on the Pareto front.",
    )


def test_what_ends_off_the_front_is_stuck_moving_or_lost() -> None:
    stuck = walked({"equal": [STARTS[0], ON_THE_FRONT]})
    assert trajectories(stuck).sentences == ("equal: 1 of 2 starts end on the Pareto front; stuck from (-8.5, 7.5).",)
    lost = walked({"equal": [OFF]}, status="diverged")
    assert trajectories(lost).sentences == ("equal: 0 of 1 start end on the Pareto front; diverged from (-8.5, 7.5).",)


def test_a_run_that_failed_is_no_diverged_one_and_counts_among_the_starts() -> None:
    """Also one that failed before its first epoch: it is a point."""
    given = walked({"equal": [ON_THE_FRONT, OFF, OFF]})
    ended = [replace(run, status=status) for run, status in zip(given.runs, ("done", "failed", "diverged"), strict=True)]
    history = given.history.copy()
    history[:, 1] = np.nan
    found = trajectories(replace(given, runs=tuple(ended), history=history))
    assert found.sentences == ("equal: 1 of 3 starts end on the Pareto front; diverged from (9, 9); failed from (0, 0).",)
    assert [len(path.points) for path in found.paths] == [4, 1, 4]
    drawn = figure(found, ["equal"], looks(given.spec, "dark"), "dark")
    assert "failed" in drawn.data[3].text[1]


def test_a_task_that_is_not_trained_does_not_hide_the_path() -> None:
    assert trajectories(walked({"equal": [ON_THE_FRONT]}, blind="L1")).paths[0].reached
    assert trajectories(walked({"equal": [ON_THE_FRONT]}, blind="L2")).paths[0].reached


def test_nothing_recorded_is_no_path_and_no_sentence() -> None:
    given = walked({"equal": [OFF]})
    empty = trajectories(replace(given, history=given.history[:0]))
    assert empty.paths == ()
    assert empty.sentences == ()


def test_the_surface_is_the_sum_of_the_losses_row_by_row() -> None:
    found = trajectories(walked({"equal": [OFF]}))
    losses, _ = landscape(np.array([found.x1[10], found.x2[70]]))
    assert found.total[70, 10] == losses.sum()


def test_the_figure_tells_runs_on_the_front_from_others_and_keeps_runs_apart() -> None:
    given = walked({"equal": [ON_THE_FRONT, OFF], "other": [OFF, OFF]})
    drawn = figure(trajectories(given), ["equal"], looks(given.spec, "dark"), "dark")
    names = [trace.name for trace in drawn.data]
    assert names == [None, "Pareto front", "equal", "equal", "starts"]
    line, ends = drawn.data[2], drawn.data[3]
    assert np.isnan(line.x[4])  # a gap between the runs
    assert list(ends.marker.symbol) == ["circle", "circle-open"]
    assert "on the front" in ends.text[0]
    assert "still moving" in ends.text[1]
