"""Threads and cores: what may be asked for, and that results do not depend on it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_cases import problem, run_spec, train

from mtl_core import cores
from mtl_core.__main__ import main
from mtl_core.errors import SpecError
from mtl_core.plan import plan
from mtl_core.runner import threads
from mtl_core.runner.trainer import real, versions
from mtl_core.specs import ArmSpec, RunSpec

ARMS = ("equal", "uncertainty", "mgda", "nash_mtl")


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("MTL_WORKERS", "MTL_THREADS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def runs(seeds: int = 4) -> list[RunSpec]:
    return [run_spec(ArmSpec(scheme=name), seed, epochs=3) for name in ARMS for seed in range(seeds)]


def last(batch: list[RunSpec]) -> dict[str, np.ndarray]:
    """Every value of the last epoch, by run."""
    _, records = train(batch)
    return {run.id: row for run, row in zip(batch, records[-1].values, strict=True)}


def test_a_run_has_the_same_numbers_in_one_batch_and_in_the_parts_of_a_cut() -> None:
    together = last(runs())
    parts = plan(runs(), features=5, rows=70, max_lanes=6)
    assert len(parts) == 3
    for part in parts:
        for run, values in last(part).items():
            np.testing.assert_allclose(values, together[run], rtol=1e-9, atol=1e-12)


def test_a_run_has_the_same_numbers_with_one_thread_and_with_two() -> None:
    torch.set_num_threads(1)
    one = last(runs())
    torch.set_num_threads(2)
    for run, values in last(runs()).items():
        np.testing.assert_allclose(values, one[run], rtol=1e-9, atol=1e-12)


def test_the_number_of_threads_is_one_a_number_or_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.wanted_threads() == 1
    for text, wanted in (("3", 3), (" 1 ", 1), ("auto", None)):
        monkeypatch.setenv("MTL_THREADS", text)
        assert cores.wanted_threads() == wanted
    for text in ("0", "65", "-1", "two", "1.5", "²"):
        monkeypatch.setenv("MTL_THREADS", text)
        with pytest.raises(SpecError, match="is auto or a number from 1 to 64"):
            cores.wanted_threads()


def test_the_command_line_refuses_a_wrong_number_of_threads_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tmp_path / "none.yaml"), "--threads", "many"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--threads" in told


def test_what_the_command_line_is_told_is_told_to_those_it_starts_and_waiting_threads_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY")
    cores.ask_threads("2")
    assert (os.environ["MTL_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("2", "PASSIVE")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    cores.ask_threads(None)
    assert (os.environ["MTL_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("2", "ACTIVE"), "a person's own choice stays"


def test_one_thread_unless_asked_for_more_and_afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    with threads.few_threads():
        assert torch.get_num_threads() == 1
        assert threads.set_threads(problem(), runs(1), 1) == 1
        monkeypatch.setenv("MTL_THREADS", "2")
        assert threads.set_threads(problem(), runs(1), 1) == 2
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("cores_here", "workers", "unfinished", "tried"),
    [(4, "1", 1, 4), (4, "2", 1, 4), (4, "2", 5, 2), (4, "4", 4, 0), (1, "1", 1, 0)],
)
def test_auto_tries_the_threads_that_no_other_process_needs(
    monkeypatch: pytest.MonkeyPatch, cores_here: int, workers: str, unfinished: int, tried: int
) -> None:
    asked: list[int] = []
    monkeypatch.setenv("MTL_THREADS", "auto")
    monkeypatch.setenv("MTL_WORKERS", workers)
    monkeypatch.setattr(threads, "cores", lambda: cores_here)
    monkeypatch.setattr(threads, "_gains", lambda _problem, _runs, most: bool(asked.append(most)) or most > 2)
    assert threads.set_threads(problem(), runs(1), unfinished) == (tried if tried > 2 else 1)
    assert asked == ([tried] if tried else [])


@pytest.mark.parametrize("pace", [1.0, 10.0])
def test_more_threads_are_taken_when_steps_are_quicker_with_them(monkeypatch: pytest.MonkeyPatch, pace: float) -> None:
    clock = [0.0]

    def tell() -> float:
        clock[0] += pace if torch.get_num_threads() == 1 else 2.0
        return clock[0]

    monkeypatch.setattr(threads.time, "perf_counter", tell)
    assert threads._gains(problem(), runs(8), 2) is (pace > 2.0)


def test_the_record_says_with_how_many_threads_a_run_was_trained() -> None:
    assert versions("cpu", 3)["threads"] == "3"
    assert real().tune is threads.set_threads


def test_a_run_from_the_command_line_says_its_threads_in_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MTL_WORKERS", "0")
    monkeypatch.setenv("MTL_STORE_URL", str(tmp_path / "store.sqlite"))
    (tmp_path / "a.yaml").write_text(
        "data: {scenario: noise_and_scale, samples: 200}\narms: {a: {scheme: equal}}\nseeds: 1\ntraining: {epochs: 1}\n"
    )
    assert main(["run", str(tmp_path / "a.yaml"), "--threads", "2", "--json", "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["versions"]["threads"] == "2"
