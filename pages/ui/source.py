"""Where data comes from: scenarios with knobs, stored or uploaded tables, and what is understood of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import streamlit as st

from mtl_core.data import inspect, limits
from mtl_core.data.scenarios import SCENARIOS, complete, is_by_task, tasks_of
from mtl_core.specs import DataSpec
from mtl_core.store import Store
from pages.ui import columns, forms, problems, state
from pages.ui.guard import guard
from pages.ui.text import plain, short

BUILT_IN, OWN, TABLE = "Built-in scenario", "My own table", "stored-table"
NEXT_STEP = {BUILT_IN: "Change the settings above.", OWN: "Correct the columns above, or choose another table."}
MOST_TOLD = 6  # warnings shown at once


def choose_way() -> str:
    """Built-in or one's own; starts with what the draft uses."""
    now = BUILT_IN if state.draft().data.scenario else OWN
    return st.segmented_control(
        "Source", [BUILT_IN, OWN], default=now, required=True, key=state.key("way"), label_visibility="collapsed"
    )


def scenario() -> DataSpec:
    """A scenario and its knobs."""
    now = state.draft().data
    names = list(SCENARIOS)
    name = st.selectbox(
        "Scenario",
        names,
        names.index(now.scenario) if now.scenario in names else 0,
        format_func=lambda n: SCENARIOS[n].title,
        key=state.key("data-scenario"),
    )
    chosen = SCENARIOS[name]
    st.markdown(plain(" ".join(chosen.story.split())))
    if chosen.synthetic:
        st.badge("synthetic data", color="blue")
    return DataSpec.model_validate(
        {"scenario": name, "knobs": complete(name, _knobs(name, now.knobs if now.scenario == name else {}))}
    )


def _knobs(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Widgets for the knobs that are one value each, and below a table of those by task."""
    declared = SCENARIOS[name].knobs
    values = complete(name, given)
    single = {knob: one for knob, one in declared.items() if not is_by_task(one)}
    tabled = {knob: one for knob, one in declared.items() if is_by_task(one)}
    with st.grid(min_column_width=170, key="knobs"):
        chosen: dict[str, Any] = {
            knob: forms.knob(knob, one, values[knob], state.key(f"knob-{name}-{knob}")) for knob, one in single.items()
        }
    if not tabled:
        return chosen
    tasks = list(dict.fromkeys(task for one in tabled.values() for task in tasks_of(one, chosen)))
    held = {knob: cast("Mapping[str, float]", values.get(knob, {})) for knob in tabled}
    with st.expander("Task by task", expanded=any(held.values())):
        st.caption("An empty cell leaves a task to the settings above.")
        return chosen | forms.knobs_by_task(tabled, held, tasks, state.key(f"knobs-{name}-{len(tasks)}"))


def own_table(store: Store) -> DataSpec | None:
    """An upload or a stored table, with what was understood as an editable table; None where nothing can follow from it yet."""
    st.caption(plain(limits.describe()))
    upload = st.file_uploader(
        "Table",
        ["csv", "tsv", "txt", "parquet"],
        max_upload_size=limits.MAX_BYTES // 2**20,
        key="upload",
        label_visibility="collapsed",
    )
    with st.container(horizontal=True):
        if st.button("Try the sample table", key="try-sample", type="tertiary"):
            _take(store, "sample.csv", problems.sample())
        st.download_button("Download it", problems.sample, "sample.csv", key="sample", on_click="ignore", type="tertiary")
    if upload is not None and st.session_state.get("upload-taken") != upload.file_id:
        with guard("The table below stays in use." if _in_use() else ""):
            _take(store, upload.name, upload.getvalue())
            st.session_state["upload-taken"] = upload.file_id
    fingerprint = _stored(store)
    if fingerprint is None:
        st.info("Nothing chosen yet. Upload a table, try the sample, or take a built-in scenario.")
        return None
    return _understood(store, fingerprint)


def _take(store: Store, name: str, content: bytes) -> None:
    """Keep a table that can be understood, and use it. Raises TableError for any other."""
    inspect(content, name)
    st.session_state[TABLE] = store.put_table(name, content)


def _stored(store: Store) -> str | None:
    """The table in use: the one just taken, or one of those that were."""
    tables = {table.fingerprint: table for table in store.tables()}
    if not tables:
        return None
    current = _in_use()
    st.session_state[TABLE] = current if current in tables else None
    return st.selectbox(
        "Table in use", list(tables), None, key=TABLE, placeholder="Choose a table", persist_state="session",
        format_func=lambda f: f"{short(tables[f].name, 60)} · {tables[f].size / 1024:,.0f} kB",
    )  # fmt: skip


def _in_use() -> str | None:
    """Fingerprint of the table chosen before, here or in the draft."""
    return cast("str | None", st.session_state.get(TABLE, state.draft().data.fingerprint))


def _understood(store: Store, fingerprint: str) -> DataSpec | None:
    missing = _also_missing(state.of_table(fingerprint).missing, state.key(f"missing-{fingerprint}"))
    key = state.key(f"columns-{fingerprint}-{missing}")
    start = _start(fingerprint, missing, key)
    with guard("Change the values that also mean missing, or choose another table or source."):
        first = problems.understanding(store, start)
        st.subheader(f"{first.rows:,} rows: what was understood", anchor=False)
        before = columns.rows(first, start)
        after = columns.editor(before, key)
        st.caption("Change what a column is used as, or its kind. A missing target is a missing label; no row is dropped for it.")
        with guard():
            said = columns.corrected(before, after, start)
            state.keep_of_table(start if after.equals(before) else said)  # what nobody touched stays inferred
            return said
    return None


def _also_missing(words: tuple[str, ...], key: str) -> tuple[str, ...]:
    """What the person's table writes where it has no value, beside what always means that."""
    about = (
        "Separated by commas. Empty cells, NA, NaN and the like mean missing anyway; a value with a comma goes in double quotes."
    )
    text = st.text_input(
        "Values that also mean missing", columns.text_of(words), 500, key, placeholder="such as -999, 9999", help=about
    )
    return columns.words_of(text)


def _start(fingerprint: str, missing: tuple[str, ...], key: str) -> DataSpec:
    """What the editor's rows start from: kept while it is on the page, as its edits are counted from them."""
    if key not in st.session_state or st.session_state.get("edited-from", ("", None))[0] != key:
        kept = state.of_table(fingerprint).model_copy(update={"missing": missing})
        st.session_state["edited-from"] = (key, kept)
    return cast("DataSpec", st.session_state["edited-from"][1])


def tell(warnings: Sequence[str]) -> None:
    """One sentence each, in one box; those beyond the first few behind a click."""
    first, more = warnings[:MOST_TOLD], warnings[MOST_TOLD:]
    if len(first) == 1:
        st.warning(plain(first[0]))
    elif first:
        st.warning(_points(first))
    if more:
        with st.expander(f"{len(more)} more {'warnings' if len(more) > 1 else 'warning'}"):
            st.markdown(_points(more))


def _points(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {plain(one)}" for one in sentences)


def go(spec: DataSpec) -> None:
    """The way to Compare."""
    if st.button("Compare on this data", type="primary", key="use-data"):
        state.use_data(_without_file(spec))
        st.switch_page("pages/compare.py")


def _without_file(spec: DataSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_defaults=True)
