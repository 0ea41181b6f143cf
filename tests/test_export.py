"""Exports: exact columns and names, safe cells, nothing that a reader must guess."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparisons import EIGHT, comparison, spec, with_run
from hypothesis import given as drawn
from hypothesis import strategies as st
from tables import plain, to_csv

from mtl_core import runner
from mtl_core.errors import TableError
from mtl_core.experiment_file import dump_yaml, parse_yaml, read_experiment
from mtl_core.export import (
    experiment_yaml,
    file_name,
    history_csv,
    metrics_csv,
    protected,
    record,
    record_json,
    save,
    unprotected,
)
from mtl_core.links import from_link
from mtl_core.specs import TaskSpec, parse_experiment
from mtl_core.store import open_store

METRICS = {"loss", "accuracy", "f1_macro", "f1", "auroc", "average_precision", "mae", "rmse", "mse", "r2", "nll"}
ONE_LINE = st.characters(exclude_categories=("C", "Zl", "Zp"))  # names of columns are cleaned of all else
SIGNALS = {"loss", "weight", "sigma", "share", "available", "gate", "criterion", "learned_total"}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_history_has_exactly_the_columns_and_names_of_the_contract() -> None:
    text = history_csv(comparison(EIGHT))
    assert text.splitlines()[0] == "arm,seed,epoch,split,task,name,value"
    assert {row["name"] for row in rows(text)} <= SIGNALS | METRICS
    assert {row["name"] for row in rows(text)} >= SIGNALS
    assert {row["split"] for row in rows(text)} == {"train", "validation"}


def test_metrics_have_exactly_the_columns_and_names_of_the_contract() -> None:
    text = metrics_csv(comparison(EIGHT))
    assert text.splitlines()[0] == "arm,seed,split,task,metric,value,at"
    assert {row["metric"].removeprefix("baseline_") for row in rows(text)} <= METRICS
    assert {row["at"] for row in rows(text)} == {"best", "final"}
    assert {row["split"] for row in rows(text)} == {"validation", "test"}


def test_values_come_back_as_they_were() -> None:
    given = comparison(EIGHT)
    accuracy = [
        float(row["value"])
        for row in rows(metrics_csv(given))
        if (row["arm"], row["task"], row["metric"], row["at"], row["split"]) == ("learned", "regime", "accuracy", "best", "test")
    ]
    assert accuracy == EIGHT["learned"]["regime"].tolist()
    criterion = [
        row for row in rows(history_csv(given)) if row["name"] == "criterion" and row["seed"] == "3" and row["arm"] == "fixed"
    ]
    assert [float(row["value"]) for row in criterion] == [111, 112, 113, 114, 115]
    assert [row["epoch"] for row in criterion] == ["1", "2", "3", "4", "5"]
    assert {row["task"] for row in criterion} == {""}


def test_what_is_not_finite_is_an_empty_cell() -> None:
    given = comparison(EIGHT)
    given.history[2, 0] = math.nan
    given.history[3, 0] = math.inf
    first = [row["value"] for row in rows(history_csv(given)) if row["name"] == "criterion"][:5]
    assert first == ["1", "2", "", "", "5"]


def test_a_run_has_rows_for_the_epochs_it_trained_only() -> None:
    given = comparison(EIGHT)
    given.history[3:, 0] = math.nan
    shorter = replace(given, runs=(replace(given.runs[0], epoch=3), *given.runs[1:]))
    epochs = [
        row["epoch"]
        for row in rows(history_csv(shorter))
        if (row["arm"], row["seed"], row["name"]) == ("learned", "0", "criterion")
    ]
    assert epochs == ["1", "2", "3"]


def test_lost_runs_have_a_history_and_a_record_but_no_metrics() -> None:
    given = with_run(comparison(EIGHT), 0, "diverged", "diverged at step 41")
    assert not [row for row in rows(metrics_csv(given)) if (row["arm"], row["seed"]) == ("learned", "0")]
    assert [row for row in rows(history_csv(given)) if (row["arm"], row["seed"]) == ("learned", "0")]
    assert (record(given)["runs"][0]["status"], record(given)["runs"][0]["sentence"]) == ("diverged", "diverged at step 41")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "\rx", "＝1", "'quoted"])
def test_no_name_reaches_a_spreadsheet_as_a_formula(name: str) -> None:
    task = TaskSpec(name=name, kind="regression")
    arm = name.strip()  # as the door does
    arms = {arm: {"scheme": "softplus"}, "fixed": {"scheme": "equal"}}
    given = comparison({one: {name: [1.0]} for one in arms}, spec(arms, [0]), tasks=(task,))
    for text in (history_csv(given), metrics_csv(given)):
        cells = {cell for row in rows(text) for cell in (row["arm"], row["task"])}
        assert cells == {f"'{name}", protected(arm), "fixed", ""} - ({""} if text.startswith("arm,seed,split") else set())
    assert record(given)["runs"][0]["arm"] == arm


@drawn(st.text())
def test_every_protected_name_comes_back(name: str) -> None:
    assert unprotected(protected(name)) == name
    assert protected(name)[:1] not in set("=+-@\t\r")


def test_a_negative_value_stays_a_number() -> None:
    given = comparison(EIGHT)
    given.history[:] = -1.5
    assert {row["value"] for row in rows(history_csv(given))} == {"-1.5"}


def test_names_with_separators_quotes_and_newlines_survive() -> None:
    task = TaskSpec(name='a,"b"\nc;é', kind="regression")
    given = comparison({arm: {task.name: [1.0]} for arm in ("learned", "fixed")}, spec(seeds=[0]), tasks=(task,))
    assert {row["task"] for row in rows(metrics_csv(given))} == {task.name}
    assert "\r" not in metrics_csv(given)


def test_the_record_says_spec_versions_data_and_every_run() -> None:
    given = replace(comparison(EIGHT), versions={"torch": "2"}, created="2026-01-01T00:00:00Z")
    got = json.loads(record_json(given))
    assert got["versions"] == {"torch": "2"}
    assert got["spec"]["arms"]["learned"]["scheme"] == "softplus"
    assert from_link(got["link"]) == given.spec
    assert len(got["data_fingerprint"]) == 16
    assert len(got["runs"]) == 16
    assert {"arm", "seed", "status", "selected_epoch", "counterfactual_epoch", "regret", "run_id"} <= set(got["runs"][0])
    assert got["verdict"]["sentences"][0].startswith("learned is better than fixed on 1 of 3 tasks")


def test_the_record_is_strict_json_even_without_results() -> None:
    given = comparison(EIGHT)
    given.history[:] = np.nan
    empty = replace(given, runs=tuple(replace(r, status="queued", epoch=0, result=None) for r in given.runs))
    assert json.loads(record_json(empty))["runs"][0]["status"] == "queued"
    assert "NaN" not in record_json(empty)
    assert len(history_csv(empty).splitlines()) == len(metrics_csv(empty).splitlines()) == 1


def test_a_tables_fingerprint_is_that_of_its_bytes() -> None:
    given = comparison(EIGHT)
    table = given.spec.data.model_copy(update={"scenario": None, "file": "a.csv", "fingerprint": "0123456789abcdef"})
    of_file = replace(given, spec=given.spec.model_copy(update={"data": table}))
    assert record(of_file)["data_fingerprint"] == "0123456789abcdef"


def test_save_writes_the_three_files(tmp_path: Path) -> None:
    paths = save(comparison(EIGHT), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["record.json", "history.csv", "metrics.csv"]
    assert paths[1].read_text(encoding="utf-8") == history_csv(comparison(EIGHT))


def test_the_record_says_what_epochs_were_selected_by() -> None:
    given = comparison(EIGHT)
    assert record(given)["selected_by"] == "uniform fixed weights over raw losses of the validation split"
    stop = {"selection": {"stop": {"on": "primary", "task": "price"}}}
    assert record(replace(given, spec=spec(**stop)))["selected_by"].startswith("the validation loss of price alone")


# --- the experiment file ---------------------------------------------------------------------------------------------


@pytest.fixture
def taken_elsewhere(tmp_path: Path) -> tuple[str, Path, Path]:
    """(id of an experiment on an uploaded table, its experiment file, where its table has to lie), with the table there."""
    store = open_store(f"sqlite:///{tmp_path / 'here.sqlite'}")
    fingerprint = store.put_table("students.csv", to_csv(plain()))
    asked = parse_experiment({"data": {"fingerprint": fingerprint}, "arms": {"a": "equal", "b": "softplus"}, "seeds": 2})
    prepared, _ = runner.prepare(store, asked)
    store.close()
    path = tmp_path / "experiment.yaml"
    path.write_text(experiment_yaml(replace(comparison(EIGHT), spec=prepared), "students.csv"), encoding="utf-8")
    (tmp_path / "students.csv").write_bytes(to_csv(plain()))
    return prepared.id, path, tmp_path / "students.csv"


def prepared_in_another_store(path: Path) -> str:
    store = open_store(f"sqlite:///{path.parent / 'elsewhere.sqlite'}")
    try:
        return runner.prepare(store, read_experiment(path))[0].id
    finally:
        store.close()


def test_an_experiment_on_an_own_table_runs_beside_that_table_with_the_same_id(taken_elsewhere: tuple[str, Path, Path]) -> None:
    known, path, _ = taken_elsewhere
    assert prepared_in_another_store(path) == known


def test_another_table_under_that_name_is_refused(taken_elsewhere: tuple[str, Path, Path]) -> None:
    _, path, table = taken_elsewhere
    table.write_bytes(to_csv(plain(130)))
    with pytest.raises(TableError, match="has changed since this experiment was made"):
        prepared_in_another_store(path)


def test_without_the_table_the_sentence_says_where_to_put_it(taken_elsewhere: tuple[str, Path, Path]) -> None:
    _, path, table = taken_elsewhere
    table.unlink()
    with pytest.raises(TableError, match=r"There is no file .*students\.csv.*put the table there"):
        prepared_in_another_store(path)


@drawn(
    st.lists(st.one_of(st.text(ONE_LINE), st.sampled_from(["08", "1e5", "no", "~", "2020-01-01", "007", "-.5", "0x1F", "1_000"])))
)
def test_names_that_look_like_numbers_come_back_as_names(names: list[str]) -> None:
    assert parse_yaml(dump_yaml({"ignore": names}), "e.yaml") == {"ignore": names}


@pytest.mark.parametrize("name", ["students.csv", "../students.csv", "C:\\data\\students.csv", "/data/students.csv"])
def test_a_table_is_named_without_its_folder(name: str) -> None:
    assert file_name(name) == "students.csv"
