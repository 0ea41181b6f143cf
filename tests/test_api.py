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
