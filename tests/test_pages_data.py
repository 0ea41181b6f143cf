"""The Data page as a script, and the pure parts of what it draws."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from tables import HEADER, plain, replaced, to_csv, with_column, with_header

from mtl_core.data import scenarios
from mtl_core.data.associations import Associations, of_problem
from mtl_core.data.profile import examine, profile
from mtl_core.problem import Problem
from mtl_core.specs import MAPS, DataSpec
from mtl_core.store import Store
from pages.ui import columns, facts, heatmap, problems

APP = str(Path(__file__).parent.parent / "app.py")
EVIL = "<b>x</b> {a0} $\\frac12$ **q** :red[z]"


def opened() -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60).run().switch_page("pages/data.py").run()
    assert not app.exception, app.exception
    return app


def with_table(store: Store, content: bytes, name: str = "mine.csv") -> AppTest:
    """The page with a stored table in use."""
    store.put_table(name, content)
    app = own_table(opened())
    app.selectbox(key="stored-table").select_index(0).run()
    assert not app.exception, app.exception
    return app


def own_table(app: AppTest) -> AppTest:
    return next(one for one in app.get("button_group") if str(one.key).startswith("way-")).set_value("My own table").run()


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.error, app.warning, app.info, app.subheader)
    return " ".join(str(one.value) for kind in kinds for one in kind).replace("\\", "")


def drawn(app: AppTest) -> dict[str, Any]:
    return dict(json.loads(app.get("echarts_chart")[0].proto.spec))


def test_a_scenario_is_shown_with_what_a_constant_has_and_how_features_go_with_targets(store: Store) -> None:
    app = opened()
    tasks = next(one.value for one in app.dataframe if "a constant has" in one.value).set_index("task")
    assert tasks.loc["regime", "a constant has"] == "accuracy ↑"
    assert tasks.loc["casualty", "a constant has"] == "mae (people) ↓"
    assert tasks.loc["transition", "on test"] == "0.5"
    assert tasks.loc["transition", "labels, train"] == pytest.approx(8, abs=1)
    series = drawn(app)["series"][0]["data"]
    assert len(series) == heatmap.MOST_FEATURES * 6
    assert "Strongest:" in words(app)
    assert "twin" in words(app)


def test_a_leak_and_twins_of_a_table_are_told_before_anything_is_trained(store: Store) -> None:
    rows = [[*row, str(2 * float(row[4]))] for row in plain(100)]
    app = with_table(store, to_csv([*rows, *rows], (*HEADER, "again")))
    told = " ".join(one.value for one in app.warning).replace("\\", "")
    assert '"again" alone predicts "price"' in told
    assert "A training row has the same features as" in told  # nearly the same ones were not found
    assert "use as group" in told
    assert not any("Rows in more than one split" in one.value for one in app.subheader)  # said above already


def test_a_table_that_cannot_be_trained_on_says_why_and_stays_editable(store: Store) -> None:
    flat = [["1", "1", "1", "1", *row[4:]] for row in plain()]
    app = with_table(store, to_csv([row[:5] for row in flat], HEADER[:5]))
    assert "no column" in words(app)
    assert "Correct the columns above" in words(app)
    assert not [one for one in app.button if one.key == "use-data"]
    assert "120 rows: what was understood" in words(app)


Edit = Callable[[pd.DataFrame], pd.DataFrame]


def used_as(use: str, *names: str) -> Edit:
    """What a person does who sets "use as" of columns; of all targets where none is named."""

    def edit(table: pd.DataFrame) -> pd.DataFrame:
        after = table.copy()
        after.loc[after["column"].isin(names) if names else after["use"] == columns.TARGET, "use"] = use
        return after

    return edit


def test_a_table_with_all_targets_left_out_proposes_no_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    app = with_table(store, to_csv(plain()))
    edit = used_as(columns.OUT)
    monkeypatch.setattr(columns, "editor", lambda table, _: edit(table))
    app.run()
    assert [one.value.replace("\\", "") for one in app.error] == [
        'No target is left: set "use as" to "target" for at least one column, to say what is to be predicted.'
    ]
    assert not [one for one in app.button if one.key == "use-data"]
    assert not any(one.value == "Tasks" for one in app.subheader)
    assert "120 rows: what was understood" in words(app)


def use_of(app: AppTest, column: str) -> str:
    """What the editor says that a column is used as."""
    table = next(one.value for one in app.dataframe if "use" in one.value)
    return str(table.set_index("column").loc[column, "use"])


@pytest.mark.parametrize("compared", [True, False])
def test_edits_of_a_table_outlive_another_page_and_other_data(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, compared: bool
) -> None:
    app = with_table(store, to_csv(plain()))
    assert use_of(app, "visits") == columns.TARGET
    edit = used_as(columns.OUT, "visits")
    with monkeypatch.context() as once:
        once.setattr(columns, "editor", lambda table, _: edit(table))
        app.run()
        if compared:
            app.button(key="use-data").click().run()
    app.switch_page("pages/compare.py").run()
    next(one for one in app.selectbox if str(one.key).startswith("scenario-")).set_value("noise_and_scale").run()
    app.switch_page("pages/data.py").run()
    own_table(app)
    assert not app.exception
    assert use_of(app, "visits") == columns.OUT
    assert use_of(app, "price") == columns.TARGET


def test_values_that_also_mean_missing_can_be_named_and_stay_named(store: Store) -> None:
    coded = replaced(plain(), 0, ["-999" if i % 6 == 0 else row[0] for i, row in enumerate(plain())])
    app = with_table(store, to_csv(coded))
    assert 'name it as missing (data.missing: ["-999"])' in words(app)
    field(app).set_value("-999, n. k.").run()
    assert "data.missing" not in words(app)
    app.button(key="use-data").click().run()
    assert app.session_state["draft"].data.missing == ("-999", "n. k.")
    next(one for one in app.selectbox if str(one.key).startswith("scenario-")).set_value("noise_and_scale").run()
    app.switch_page("pages/data.py").run()
    assert field(own_table(app)).value == "-999, n. k."
    assert "data.missing" not in words(app)
    field(app).set_value("").run()
    assert "data.missing" in words(app)


def field(app: AppTest) -> Any:
    return next(one for one in app.text_input if one.label == "Values that also mean missing")


@pytest.mark.parametrize("said", [(), ("-999",), ("-999", "9999"), ("a,b", 'c"d'), ('"', "n. k.")])
def test_the_field_of_missing_values_is_read_as_it_was_written(said: tuple[str, ...]) -> None:
    assert columns.words_of(columns.text_of(said)) == said


def test_empty_and_repeated_values_between_commas_are_none() -> None:
    assert columns.words_of(" -999,, 9999 ,-999, ") == ("-999", "9999")


def test_many_warnings_do_not_bury_the_page(store: Store) -> None:
    names = [f"copy{n}" for n in range(12)]
    rows = [[*row, *(str(float(row[4]) * (n + 2)) for n in range(12))] for row in plain()]
    app = with_table(store, to_csv(rows, (*HEADER[:4], "p", "kind", "target", *names)).replace(b",p,", b",target price,"))
    assert len(app.warning) <= 1
    assert any("more warning" in one.label for one in app.expander)


def test_hostile_names_stay_text_in_every_part(store: Store) -> None:
    names = (EVIL, "__proto__", "constructor", "x" * 110, "amount", "class")
    rows = [[*row[:4], row[4], row[5]] for row in plain()]
    app = with_table(store, to_csv(rows, names))
    tooltips = "".join(cell["tooltip"]["formatter"] for cell in drawn(app)["series"][0]["data"])
    assert "&lt;b&gt;x" in tooltips
    assert set(re.findall(r"<[^>]*>", tooltips)) == {"<b>", "</b>", "<br>"}
    assert "{" not in tooltips
    assert "x" * 110 in tooltips  # the whole name
    labels = drawn(app)["yAxis"]["data"]
    assert all(len(name) <= 41 for name in labels)
    assert "__proto__" not in labels  # ECharts falls over that key


def test_a_rerun_reads_nothing_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    app = with_table(store, to_csv(plain()))
    monkeypatch.setattr(problems, "examine", lambda *_: pytest.fail("read again"))
    app.run()
    assert not app.exception


def test_a_problem_without_a_network_is_told_of_without_rows_and_features(store: Store) -> None:
    app = opened()
    next(one for one in app.selectbox if str(one.key).startswith("data-scenario")).set_value("landscape").run()
    assert not app.exception
    assert [one.value for one in app.subheader] == ["Tasks"]
    assert "No network and no rows" in words(app)
    assert not re.search(r"twin|constant|\bfeatures?\b", words(app))
    assert list(app.dataframe[0].value.columns) == ["task", "loss"]


def test_columns_and_what_encoding_makes_of_them_are_told_apart() -> None:
    rows = with_column(plain(), ("red", "green", "blue") * 40, at=0)
    found = examine(to_csv(rows, with_header("colour", at=0)), "t.csv").profile
    assert found is not None
    assert "; 5 features, 7 after encoding." in facts.about(found)
    single = examine(to_csv([[row[0], row[4]] for row in plain()], ("x", "target")), "t.csv").profile
    assert single is not None
    assert "; 1 feature." in facts.about(single)


# --- pure parts ------------------------------------------------------------------------------------------------------


def few(values: list[list[float]]) -> Associations:
    shape = np.array(values)
    names = tuple(f"f{n}" for n in range(shape.shape[0])), tuple(f"t{n}" for n in range(shape.shape[1]))
    return Associations(*names, shape, np.full_like(shape, np.nan), tuple(("pearson",) * shape.shape[1] for _ in values), "")


def test_the_map_prints_its_numbers_strongest_first() -> None:
    option = heatmap.heatmap(few([[0.1, -0.004], [-0.9, np.nan], [0.5, 0.2]]), "light").option
    assert [name[:2] for name in option["yAxis"]["data"]] == ["f1", "f2", "f0"]
    printed = {tuple(cell["value"][:2]): cell["label"]["formatter"] for cell in option["series"][0]["data"]}
    assert printed == {(0, 0): "−0.90", (1, 0): "–", (0, 1): "0.50", (1, 1): "0.20", (0, 2): "0.10", (1, 2): "0.00"}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_number_stands_out_from_its_cell(theme: Any) -> None:
    for value in np.linspace(-1, 1, 41):
        fill = heatmap.colour(float(value), theme)
        pair = sorted((heatmap.luminance(fill), heatmap.luminance(heatmap.readable(fill))))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5
    assert heatmap.colour(float("nan"), theme) == heatmap.colour(0.0, theme)
    assert heatmap.colour(2.0, theme) == heatmap.colour(1.0, theme)


def test_the_takeaway_names_the_strongest_pair_or_says_that_there_is_none() -> None:
    assert '"f1" with "t1", Pearson\'s correlation -0.80' in heatmap.takeaway(few([[0.1, 0.3], [0.2, -0.8]]))
    assert "No feature" in heatmap.takeaway(few([[np.nan, np.nan]]))


def test_all_features_are_in_the_table_under_heads_of_their_own() -> None:
    found = of_problem(scenarios.load("osint", {"samples": 400}))
    rows = heatmap.rows(found)
    assert len(rows) == 86
    assert list(rows[0]) == ["feature", *heatmap.heads(found)]
    strange = Associations(("feature",), ("feature",), np.ones((1, 1)), np.ones((1, 1)), (("pearson",),), "")
    assert heatmap.rows(strange) == [{"feature": "feature", "feature ": 1.0}]


def test_an_image_problem_is_previewed_by_its_targets_alone() -> None:
    small = scenarios.load("noise_and_scale", {})
    names = tuple(f"p{n}" for n in range(3_072))
    pixels = np.zeros((len(small.split), 3_072))
    wide = Problem("t", pixels, small.targets, small.tasks, small.split, names, input_shape=(3, 32, 32))
    assert list(problems._preview(wide).columns) == [task.name for task in small.tasks]
    assert problems._preview(small).shape[1] == len(small.tasks) + small.features.shape[1]
    assert len(facts.task_rows(profile(wide))) == len(small.tasks)


def test_no_word_in_the_table_of_tasks_is_cut() -> None:
    rows = facts.task_rows(profile(scenarios.load("scenes", {})))
    assert {row["kind"] for row in rows} >= {"dense_regression"}
    widths = facts.widths([*rows, {**rows[0], "their labels": "1.63 ± 1.32, 18.3 % zeros", "task": "x" * 300}])
    assert widths["kind"] >= 16 * facts.LETTER + 32  # the cell's own margins
    assert widths["their labels"] >= 25 * facts.LETTER + 32
    assert widths["task"] == facts.WIDEST


@pytest.mark.parametrize("scenario", ["banknotes", "scenes"])
def test_images_are_looked_at_and_no_map_is_a_column(store: Store, scenario: str) -> None:
    problem = scenarios.load(scenario, {})
    seen = problems.sight(store, DataSpec(scenario=scenario))
    assert seen.images is not None
    assert seen.images.png.startswith(b"\x89PNG")
    maps = [task.name for task in problem.tasks if task.kind in MAPS]
    assert seen.images.titles == ("image", *maps)
    assert seen.preview is not None
    assert list(seen.preview.columns) == [task.name for task in problem.tasks if task.kind not in MAPS]


def test_rows_of_numbers_are_no_images(store: Store) -> None:
    assert problems.sight(store, DataSpec(scenario="osint")).images is None


def test_the_sample_can_be_read_back(store: Store) -> None:
    app = with_table(store, problems.sample(), "sample.csv")
    assert "200 rows: what was understood" in words(app)
