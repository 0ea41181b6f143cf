"""NASA's C-MAPSS text: what is recognised, what is not, what it becomes, and the real FD001 where it is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl_core import compare
from mtl_core.__main__ import main
from mtl_core.data import cmapss, inspect, load, pin
from mtl_core.data.engines import CHANNELS
from mtl_core.data.limits import MAX_CELLS
from mtl_core.data.profile import examine
from mtl_core.errors import SpecError, TableError
from mtl_core.problem import TEST, TRAIN, VALIDATION, Problem
from mtl_core.specs import DataSpec, digest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "cmapss"
real = pytest.mark.skipif(not (REAL / "train_FD001.txt").is_file(), reason="NASA's FD001 is not at hand")
CONSTANT = 2  # channel without variation in `written`


def written(lives: Sequence[int], seed: int = 0, end: str = "  \n") -> bytes:
    """A file of engines with such lives, as NASA writes them: blanks between, and at the ends of lines."""
    rng = np.random.default_rng(seed)
    lines = []
    for engine, life in enumerate(lives, 1):
        for cycle in range(1, life + 1):
            cells = rng.normal(500, 1, 24).round(9)
            cells[CONSTANT] = 100.0
            cells[-1] = life - cycle  # a sensor by which windows can be told
            lines.append(f"{engine} {cycle} " + " ".join(map(str, cells)))
    return end.join([*lines, ""]).encode()


def lived(left: Sequence[int]) -> bytes:
    return "".join(f"{one} \n" for one in left).encode()


TRAIN_LIVES, TEST_LIVES, LEFT = (40, 60, 35, 50, 45), (40, 33, 20), (112, 7, 160)
PARTS = {"train": written(TRAIN_LIVES), "test": written(TEST_LIVES, 1), "RUL": lived(LEFT)}


def stored(data: bytes, name: str = "any.txt", **more: Any) -> Problem:
    """As a worker loads it: by fingerprint, from a store."""
    return load(DataSpec(fingerprint=digest(data), **more), lambda _: (name, data))


# --- what is recognised ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["  \n", "\n", " \r\n"], ids=["blanks at line ends", "none", "Windows"])
def test_a_train_file_is_recognised(end: str) -> None:
    seen = inspect(written(TRAIN_LIVES, end=end), "train_FD001.txt")
    assert seen.recognised.format == "cmapss"
    assert [(target.name, target.kind) for target in seen.targets] == [("rul", "regression"), ("health", "multiclass")]
    assert seen.rows == sum(life - 29 for life in TRAIN_LIVES)


def changed(line: int, cell: int, value: str) -> bytes:
    lines = [text.split() for text in PARTS["train"].decode().splitlines()]
    lines[line][cell] = value
    return "\n".join(map(" ".join, lines)).encode()


def without(column: int) -> bytes:
    lines = [text.split() for text in PARTS["train"].decode().splitlines()]
    return "\n".join(" ".join([*cells[:column], *cells[column + 1 :]]) for cells in lines).encode()


@pytest.mark.parametrize(
    "data",
    [
        changed(10, 1, "12"),  # a cycle is left out
        changed(10, 1, "11.5"),
        changed(0, 1, "2"),
        changed(40, 0, "3"),  # engine 2 is called 3
        changed(45, 0, "1"),  # an engine changes its number on the way
        changed(7, 9, "nan"),
        changed(7, 9, "x"),
        without(25),
        written((70,)),  # one engine
        written((70, 80)),
    ],
)
def test_a_text_that_does_not_fit_throughout_is_no_recording(data: bytes) -> None:
    assert cmapss.recognise(data, "train_FD001.txt") is None


def test_a_table_of_26_columns_of_numbers_stays_an_ordinary_table() -> None:
    rng = np.random.default_rng(0)
    rows = [f"{n % 7 + 1} {n % 11 + 1} " + " ".join(map(str, rng.normal(size=24).round(3))) for n in range(200)]
    seen = inspect("\n".join(rows).encode(), "train_FD001.txt")
    assert seen.recognised.format == "csv"
    assert len(seen.features) + len(seen.targets) == 26


@pytest.mark.parametrize("more", [{"header": False}, {"targets": ["column 26"]}])
def test_a_person_can_have_it_as_an_ordinary_table(more: dict[str, Any]) -> None:
    seen = inspect(PARTS["train"], "train_FD001.txt", DataSpec(file="train_FD001.txt", **more))
    assert seen.recognised.format == "csv"
    assert stored(PARTS["train"], targets=["column 26"]).features.shape[0] == sum(TRAIN_LIVES)


# --- one file --------------------------------------------------------------------------------------------------------


def test_every_window_of_every_engine_is_a_row_that_ends_with_its_cycle() -> None:
    problem = stored(PARTS["train"], "train_FD009.txt")
    seen = problem.features.reshape(-1, *problem.input_shape)
    assert problem.name == "train_FD009"
    assert seen.shape == (sum(life - 29 for life in TRAIN_LIVES), 23, 30)
    np.testing.assert_array_equal(seen[:, -1, -1], problem.targets["rul"][:, 0])  # the telling sensor, now
    np.testing.assert_array_equal(seen[:, -1, 0], problem.targets["rul"][:, 0] + 29)
    assert problem.feature_names[-1] == "sensor_21, now"
    assert not problem.synthetic


def test_no_engine_is_in_two_splits_and_the_seed_says_which_is_where() -> None:
    def of(seed: int) -> list[set[float]]:
        problem = stored(PARTS["train"], split_seed=seed)
        seen = problem.features.reshape(-1, 23, 30)[:, 0]
        return [set(seen[problem.split == split].ravel().tolist()) for split in (TRAIN, VALIDATION, TEST)]

    first, second = of(0), of(1)
    assert not first[0] & first[1]
    assert not (first[0] | first[1]) & first[2]
    assert all(first)
    assert first != second
    assert first == of(0)


def test_rul_stops_at_the_cap_and_health_follows_the_whole_life() -> None:
    problem = stored(written((200, 180, 190, 210)))
    rul, health = problem.targets["rul"][:, 0], problem.targets["health"][:, 0]
    assert rul.max() == 125
    left = problem.features.reshape(-1, 23, 30)[:, -1, -1]
    np.testing.assert_array_equal(rul, np.minimum(left, 125))
    np.testing.assert_array_equal(health, (left <= 125) * 1.0 + (left <= 50))


def test_what_does_not_vary_over_training_is_left_out_and_said() -> None:
    problem = stored(PARTS["train"])
    assert not any(name.startswith("setting_3") for name in problem.feature_names)
    assert any('Left out "setting_3": no variation' in warning for warning in problem.warnings)
    assert next(one for one in inspect(PARTS["train"], "t.txt").features if one.name == "setting_3").kind == "constant"


def test_columns_can_be_ignored_and_tasks_left_out() -> None:
    problem = stored(PARTS["train"], ignore=["sensor_01", "health"])
    assert [task.name for task in problem.tasks] == ["rul"]
    assert problem.input_shape == (22, 30)
    robust = stored(PARTS["train"], targets={"rul": {"loss": "huber", "huber_delta": 5}})
    assert robust.tasks[0].loss == "huber"
    assert robust.tasks[0].extra_metrics == ("nasa_score",)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"ignore": ["sensor_22"]}, 'No column of C-MAPSS "sensor_22". Did you mean "sensor_21"?'),
        ({"targets": ["rul", "sensor_01"]}, '"sensor_01" cannot be a target here: C-MAPSS has the targets rul and health.'),
        ({"targets": {"rul": "binary"}}, "rul is a regression target and cannot be read as binary."),
        ({"targets": {"rul": {"loss": "ce"}}}, 'a regression task trains on mse or l1 or huber, not "ce"'),
        ({"group": "sensor_01"}, "data.group is for ordinary tables"),
        ({"columns": {"sensor_01": "category"}}, "data.columns is for ordinary tables"),
        ({"missing": ["-999"]}, "data.missing is for ordinary tables"),
        ({"ignore": list(CHANNELS)}, "No setting and no sensor is left as a feature"),
    ],
)
def test_what_it_does_not_have_gets_a_sentence(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises((SpecError, TableError)) as error:
        stored(PARTS["train"], **more)
    assert sentence in str(error.value)


def test_an_engine_with_fewer_cycles_than_a_window_has_one_and_it_is_said() -> None:
    problem = stored(written((12, 60, 35, 50)))
    assert len(problem.split) == 1 + 31 + 6 + 21
    assert any("1 engine has fewer than 30 cycles" in warning for warning in problem.warnings)


def test_too_few_windows_get_a_sentence() -> None:
    with pytest.raises(TableError, match="has 3 windows of 30 cycles and at least 20 are needed"):
        stored(written((5, 6, 7)))


def test_a_large_set_is_thinned_to_what_is_read_and_keeps_every_last_window(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl_core.data import engines

    monkeypatch.setattr(engines, "MAX_CELLS", MAX_CELLS // 400)
    problem = stored(PARTS["train"])
    assert problem.features.size <= MAX_CELLS // 400 * 1.1
    assert (problem.targets["rul"] == 0).sum() == len(TRAIN_LIVES)
    assert inspect(PARTS["train"], "t.txt").rows == len(problem.split)
    assert any("Only every 2. window" in warning for warning in problem.warnings)


# --- three files -----------------------------------------------------------------------------------------------------


def test_three_files_are_nasas_test_on_last_windows_and_uncapped_lives() -> None:
    problem = stored(cmapss.join(PARTS))
    test = problem.split == TEST
    assert test.sum() == len(TEST_LIVES)
    assert problem.targets["rul"][test, 0].tolist() == list(LEFT)
    assert problem.targets["health"][test, 0].tolist() == [1, 2, 0]
    assert problem.targets["rul"][~test].max() <= 125
    seen = problem.features.reshape(-1, 23, 30)[test]
    np.testing.assert_array_equal(seen[:, -1, -1], [0, 0, 0])  # their last recorded cycles
    assert problem.rows(TRAIN) + problem.rows(VALIDATION) == sum(life - 29 for life in TRAIN_LIVES)
    assert problem.rows(VALIDATION) > 0
    assert any("up to 160" in warning for warning in problem.warnings)


@pytest.mark.parametrize("order", [("train", "test", "RUL"), ("RUL", "test", "train")])
def test_both_orders_in_which_files_are_joined_are_understood(order: tuple[str, ...]) -> None:
    joined, usual = stored(b"".join(PARTS[role] for role in order)), stored(cmapss.join(PARTS))
    np.testing.assert_array_equal(joined.features, usual.features)
    np.testing.assert_array_equal(joined.targets["rul"], usual.targets["rul"])


@pytest.mark.parametrize(
    ("data", "name", "sentence"),
    [
        (PARTS["test"], "test_FD001.txt", "its engines stop before they fail"),
        (PARTS["train"] + PARTS["test"], "x.txt", "2 files of engines and no RUL file"),
        (PARTS["test"] + PARTS["RUL"], "x.txt", "1 file of engines and one RUL file"),
        (PARTS["train"] * 3, "x.txt", "3 files of engines"),
        (PARTS["train"] + PARTS["test"] + lived((3, 4)), "x.txt", "3 engines are to be tested and 2 remaining lives"),
        (PARTS["train"] + PARTS["test"] + lived((3, 4, -5)), "x.txt", "take the files of one set"),
    ],
)
def test_parts_that_do_not_make_a_whole_get_a_sentence(data: bytes, name: str, sentence: str) -> None:
    with pytest.raises(TableError, match=sentence):
        inspect(data, name)


def test_files_beside_each_other_are_read_together_and_all_of_them_are_the_fingerprint(tmp_path: Path) -> None:
    for role, data in PARTS.items():
        (tmp_path / f"{role}_FD001.txt").write_bytes(data)
    whole, table = pin(DataSpec(file=str(tmp_path / "train_FD001.txt")))
    assert table == ("FD001.txt", cmapss.join(PARTS))
    assert whole.fingerprint == digest(cmapss.join(PARTS))
    assert pin(DataSpec(file=str(tmp_path / "test_FD001.txt")))[0].fingerprint == whole.fingerprint
    assert load(whole).rows(TEST) == len(TEST_LIVES)
    (tmp_path / "RUL_FD001.txt").write_bytes(lived((1, 2, 3)))
    assert pin(DataSpec(file=str(tmp_path / "train_FD001.txt")))[0].fingerprint != whole.fingerprint
    with pytest.raises(TableError, match="has changed since this experiment was made"):
        load(whole)
    (tmp_path / "RUL_FD001.txt").unlink()
    assert load(DataSpec(file=str(tmp_path / "train_FD001.txt"))).rows(TEST) > len(TEST_LIVES)


def test_an_experiment_on_the_train_file_alone_stays_on_it_when_others_appear(tmp_path: Path) -> None:
    (tmp_path / "train_FD001.txt").write_bytes(PARTS["train"])
    alone, _ = pin(DataSpec(file=str(tmp_path / "train_FD001.txt")))
    for role, data in PARTS.items():
        (tmp_path / f"{role}_FD001.txt").write_bytes(data)
    np.testing.assert_array_equal(load(alone).features, stored(PARTS["train"]).features)


def test_files_beside_each_other_are_left_apart_where_they_are_no_recording_or_none_is_meant(tmp_path: Path) -> None:
    for role, data in PARTS.items():
        (tmp_path / f"{role}_FD001.txt").write_bytes(data)
    table = DataSpec(file=str(tmp_path / "train_FD001.txt"), header=False, targets=["column 26"])
    assert len(load(table).split) == sum(TRAIN_LIVES)
    (tmp_path / "train_FD001.txt").write_bytes(changed(10, 1, "12"))
    assert pin(DataSpec(file=str(tmp_path / "train_FD001.txt")))[0].fingerprint == digest(changed(10, 1, "12"))


def test_a_comparison_on_three_files_trains_from_what_the_store_keeps(tmp_path: Path) -> None:
    for role, data in PARTS.items():
        (tmp_path / f"{role}_FD001.txt").write_bytes(data)
    store = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    result = compare(tmp_path / "train_FD001.txt", {"equal": "equal"}, seeds=1, store=store, training={"epochs": 1})
    assert result.comparison.spec.data.file is None
    assert result.comparison.problem.name == "FD001"
    assert result.comparison.problem.rows["test"] == len(TEST_LIVES)
    assert not result.comparison.problem.synthetic
    test = result.metrics.query("split == 'test' and at == 'best'").set_index("metric")["value"]
    assert np.isfinite(test[["rmse", "nasa_score", "accuracy"]]).all()


def test_a_recording_is_examined_as_it_is_trained_on() -> None:
    found = examine(cmapss.join(PARTS), "FD001.txt")
    assert found.understanding.recognised.format == "cmapss"
    assert found.problem is not None
    assert found.profile is not None
    assert found.profile.rows["test"] == len(TEST_LIVES)
    assert [facts.task.name for facts in found.profile.tasks] == ["rul", "health"]
    assert "at least 20 are needed" in examine(written((5, 6, 7)), "t.txt").refusal


def test_the_command_line_inspects_the_three_files_as_it_trains_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for role, data in PARTS.items():
        (tmp_path / f"{role}_FD001.txt").write_bytes(data)
    assert main(["inspect", str(tmp_path / "train_FD001.txt")]) == 0
    assert "the last window of each of the 3 engines of the test file" in capsys.readouterr().out


# --- the real FD001 --------------------------------------------------------------------------------------------------


@real
def test_the_real_recording_has_its_known_facts() -> None:
    data = cmapss.join({role: (REAL / f"{role}_FD001.txt").read_bytes() for role in ("train", "test", "RUL")})
    recording = cmapss.recognise(data, "FD001.txt")
    assert recording is not None
    assert (len(recording.train), sum(map(len, recording.train))) == (100, 20_631)
    assert (len(recording.test), sum(map(len, recording.test))) == (100, 13_096)
    assert len(recording.train[0]) == 192
    assert recording.left[:3].tolist() == [112, 98, 69]
    assert recording.train[0][0, 4] == 641.82  # sensor 2, T24, in its first cycle


@real
def test_the_real_train_file_alone_becomes_windows_of_seventeen_channels() -> None:
    problem = stored((REAL / "train_FD001.txt").read_bytes(), "train_FD001.txt")
    assert problem.input_shape == (17, 30)  # 15 sensors and 2 settings vary
    assert len(problem.split) == 20_631 - 100 * 29
    assert (problem.targets["rul"] == 0).sum() == 100
    assert not problem.synthetic
    left_out = next(warning for warning in problem.warnings if warning.startswith("Left out"))
    assert all(name in left_out for name in ("setting_3", "sensor_01", "sensor_05", "sensor_10", "sensor_16", "sensor_18"))
    assert problem.rows(TRAIN) > problem.rows(TEST) > 2_500


@real
def test_the_real_test_file_is_refused_alone() -> None:
    with pytest.raises(TableError, match="its engines stop before they fail"):
        inspect((REAL / "test_FD001.txt").read_bytes(), "test_FD001.txt")
