"""Knobs by task on the Data page: one table for all of them, and what it holds reaches the draft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from mtl_core import runner
from mtl_core.specs import parse_experiment
from mtl_core.store import Store

APP = str(Path(__file__).parent.parent / "app.py")


def data_page(**data: Any) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60).run()
    app.session_state["draft"] = parse_experiment({"data": data, "arms": {"a": "equal"}})
    app.switch_page("pages/data.py").run()
    assert not app.exception, app.exception
    return app


def table(app: AppTest) -> dict[str, dict[str, float]]:
    """The table of knobs by task, by task."""
    [found] = [one.value for one in app.dataframe if "labels_by_task" in one.value or "noise_by_task" in one.value]
    return {task: row.dropna().to_dict() for task, row in found.set_index("task").iterrows()}


def test_the_table_holds_what_the_draft_says_and_nothing_else(store: Store) -> None:
    app = data_page(scenario="osint", samples=400, labels_by_task={"regime": 0.5}, unit_by_task={"forecast": 2})
    cells = table(app)
    assert list(cells) == ["regime", "casualty", "anomaly", "forecast", "transition", "daily_forecast"]
    assert {task: row for task, row in cells.items() if row} == {
        "regime": {"labels_by_task": 0.5},
        "forecast": {"unit_by_task": 2.0},
    }


def test_the_table_goes_along_to_compare(store: Store) -> None:
    app = data_page(scenario="osint", samples=400, labels_by_task={"regime": 0.5})
    next(one for one in app.button if one.key == "use-data").click().run()
    assert app.session_state["draft"].data.knobs["labels_by_task"] == {"regime": 0.5}
    assert "unit_by_task" not in app.session_state["draft"].data.knobs


def test_the_table_has_as_many_tasks_as_there_are(store: Store) -> None:
    assert list(table(data_page(scenario="noise_and_scale", samples=400, tasks=3))) == ["task_1", "task_2", "task_3"]


def test_a_scenario_without_knobs_by_task_has_no_table(store: Store) -> None:
    assert not data_page(scenario="landscape").expander


def test_the_form_of_options_keeps_what_it_has_no_widget_for(store: Store) -> None:
    """A comparison without a network stays one when its page is drawn, and is not called changed."""
    asked = {"data": {"scenario": "landscape", "steps": 20}, "arms": {"a": "equal"}, "seeds": 2, "training": {"clip": 1.0}}
    shown = runner.submit(store, parse_experiment(asked))
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params["run"] = shown
    app.run()
    assert not app.exception, app.exception
    training = app.session_state["draft"].training
    assert (training.trunk, training.clip, training.dtype) == ("point", 1.0, "float64")
    assert app.session_state["draft"] == store.comparison(shown).spec
