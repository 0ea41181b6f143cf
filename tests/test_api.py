"""The Python interface: anything for data, schemes by name, tidy frames out, and an import that costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtl_core

ROOT = Path(__file__).parent.parent
SMALL = {"epochs": 2, "hidden": [4], "batch_size": 32}


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


@pytest.fixture
def frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    features = draw.normal(size=(120, 3))
    price = features @ [1.0, 2.0, 0.5] + draw.normal(size=120)
    return pd.DataFrame({"a": features[:, 0], "b": features[:, 1], "c": features[:, 2], "price": price, "sold": price > 0})


TARGETS = {"price": "regression", "sold": "binary"}
ARMS = {"learned": "softplus", "fixed": {"scheme": "equal"}}


def test_a_frame_goes_in_and_tidy_frames_come_out(frame: pd.DataFrame, store: str, tmp_path: Path) -> None:
    result = mtl_core.compare(frame, ARMS, targets=TARGETS, seeds=2, training=SMALL, store=store, device="cpu")
    assert set(result.metrics["task"]) == {"price", "sold"}
    assert set(result.metrics["arm"]) == {"learned", "fixed"}
    assert set(result.history["epoch"]) == {1, 2}
    assert result.verdict.baseline == "fixed"
    assert "2 seeds" in str(result)
    assert [path.name for path in result.save(tmp_path / "out")] == ["record.json", "history.csv", "metrics.csv"]


def test_a_path_gives_what_the_same_table_gives_as_a_frame(frame: pd.DataFrame, store: str, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "table.parquet", index=False)
    more = {"targets": TARGETS, "seeds": [3], "training": SMALL, "store": store, "device": "cpu"}
    one, other = mtl_core.compare(frame, ARMS, **more), mtl_core.compare(tmp_path / "table.parquet", ARMS, **more)
    pd.testing.assert_frame_equal(one.metrics, other.metrics)


def test_what_was_noticed_in_the_data_is_told_with_the_result(frame: pd.DataFrame, store: str) -> None:
    leaking = frame.assign(copy=frame["price"] * 2)
    more = {"targets": {"price": "regression"}, "seeds": 1, "training": SMALL, "store": store, "device": "cpu"}
    result = mtl_core.compare(leaking, {"fixed": "equal"}, **more)
    leak = next(warning for warning in result.warnings if "copy" in warning)
    assert f"Data: {leak}" in result.verdict.notes
    assert f"Data: {leak}" in repr(result)


def test_an_experiment_file_runs_like_on_the_command_line(frame: pd.DataFrame, store: str, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "table.csv", index=False)
    data, arms = "data: {file: table.csv, targets: {price: null}}", "arms: {one: {scheme: equal}}"
    (tmp_path / "e.yaml").write_text(f"{data}\n{arms}\nseeds: 1\ntraining: {{epochs: 1}}\ndevice: cpu")
    assert set(mtl_core.run(tmp_path / "e.yaml", store=store).metrics["task"]) == {"price"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("osnit", 'Did you mean "osint"'),
        ("nowhere.csv", "There is no file nowhere.csv."),
        (Path("nowhere"), "There is no file nowhere."),
        (3, "not int"),
    ],
)
def test_data_that_is_none_is_one_sentence(data: object, sentence: str, store: str) -> None:
    with pytest.raises(mtl_core.UserError) as caught:
        mtl_core.compare(data, ARMS, store=store)
    assert sentence in str(caught.value)


def test_a_wrong_scheme_is_one_sentence(store: str) -> None:
    with pytest.raises(mtl_core.UserError, match='No scheme "dva"'):
        mtl_core.compare("osint", {"a": "dva"}, store=store)


@pytest.mark.parametrize(
    "values",
    [[1, "a", None, 2.5] * 30, np.ones(120) * 1j, pd.cut(np.arange(120.0), 4), pd.arrays.SparseArray(np.arange(120) % 2)],
    ids=["mixed", "complex", "intervals", "sparse"],
)
def test_a_column_that_no_table_holds_is_named(values: object, frame: pd.DataFrame, store: str) -> None:
    with pytest.raises(mtl_core.UserError, match=r'^Column "odd" of the DataFrame .*\.$'):
        mtl_core.compare(frame.assign(odd=values), ARMS, store=store)


def test_a_column_name_that_is_there_twice_is_named(frame: pd.DataFrame, store: str) -> None:
    with pytest.raises(mtl_core.UserError, match='more than one column "a"'):
        mtl_core.compare(frame.rename(columns={"b": "a"}), ARMS, store=store)


def test_what_is_wrong_with_a_frame_is_said_of_the_frame(frame: pd.DataFrame, store: str) -> None:
    with pytest.raises(mtl_core.UserError, match=r'^"DataFrame" has 5 rows'):
        mtl_core.compare(frame[:5], ARMS, store=store)


@pytest.mark.parametrize("arms", [["equal"], None, "equal"])
def test_arms_that_are_no_mapping_are_one_sentence(arms: object, store: str) -> None:
    with pytest.raises(mtl_core.UserError, match="arms maps names to schemes"):
        mtl_core.compare("osint", arms, store=store)  # type: ignore[arg-type]


@pytest.mark.parametrize(("store", "sentence"), [(3, "not int"), ("nope://x", 'no kind of database "nope"')])
def test_a_store_that_is_none_is_one_sentence(store: object, sentence: str) -> None:
    with pytest.raises(mtl_core.UserError, match=sentence):
        mtl_core.compare("osint", ARMS, store=store)  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", [np.int64(2), np.arange(2), [np.int32(0), np.int32(1)], range(2)])
def test_the_integers_of_numpy_are_seeds(seeds: object, frame: pd.DataFrame, tmp_path: Path) -> None:
    more = {"targets": TARGETS, "training": SMALL, "store": tmp_path / "store.sqlite", "device": "cpu"}
    assert mtl_core.compare(frame, {"fixed": "equal"}, seeds=seeds, **more).comparison.spec.seeds == (0, 1)


def test_every_public_name_is_there() -> None:
    for name in mtl_core.__all__:
        assert getattr(mtl_core, name) is not None
        assert name in dir(mtl_core)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mtl_core.nothing  # noqa: B018


def test_importing_the_package_is_quick_and_brings_nothing_heavy() -> None:
    code = "\n".join(
        (
            "import sys, time",
            "started = time.process_time()",
            "import mtl_core",
            "assert time.process_time() - started < 0.15",
            "assert not {'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)",
        )
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
