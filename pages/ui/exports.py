"""Taking it elsewhere: a link that restores everything, and files."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from mtl_core import export
from mtl_core.links import to_link
from mtl_core.records import Comparison
from mtl_core.specs import ExperimentSpec
from mtl_core.store import Store
from pages.ui import frame, problems, state
from pages.ui.guard import guard
from pages.ui.text import plain


def share(store: Store, comparison: Comparison) -> None:
    """The link to the draft as it stands, run or not."""
    with st.popover("Share", type="tertiary", key="share"), guard():
        spec = problems.resolved(store, state.draft()) if state.changed(comparison) else comparison.spec
        links(spec, stored=state.shown() == spec.id)


def links(spec: ExperimentSpec, *, stored: bool) -> None:
    """What to send to somebody, and the hash by which two people see that they look at the same."""
    st.caption(f"This link holds every setting, defaults too; {_opens(spec)}")
    st.code(address({"v": "1", "c": to_link(spec)}), language=None, wrap_lines=True, height=120)
    if stored:
        st.caption("This short one opens the stored runs, on this server.")
        st.code(address({"run": spec.id}), language=None, wrap_lines=True)
    st.caption("Experiment, by the hash of its settings:")
    with st.container(key="experiment-id"):
        st.code(spec.id, language=None)


def downloads(comparison: Comparison, stamp: str) -> None:
    """CSV, JSON and the experiment itself, written only when asked for; and what the numbers were made with."""
    name = f"mtl-{comparison.spec.id[:8]}"
    with st.container(horizontal=True):
        for words, write, suffix, mime in (
            ("Metrics, CSV", export.metrics_csv, "metrics.csv", "text/csv"),
            ("History, CSV", export.history_csv, "history.csv", "text/csv"),
            ("Record, JSON", export.record_json, "record.json", "application/json"),
            ("Experiment, YAML", experiment_yaml, "experiment.yaml", "application/yaml"),
        ):
            make = lambda write=write: write(comparison)  # noqa: E731
            st.download_button(words, make, f"{name}-{suffix}", mime, key=f"download-{suffix}-{stamp}", on_click="ignore")
    made = ", ".join(f"{name} {value}" for name, value in comparison.versions.items())
    st.caption(plain(f"Made with {made or 'unknown versions'}; {comparison.created or 'no date'}."))
    beside = table(comparison)
    lies = f", with the table {beside} in the same folder" if beside else ""
    st.caption(plain(f"The experiment file runs elsewhere{lies}:"))
    st.code(f"python -m mtl_core run {name}-experiment.yaml --out results", language=None)


def _opens(spec: ExperimentSpec) -> str:
    if spec.data.fingerprint is None:
        return "whoever opens it sees the same experiment."
    return "it opens on this server. Elsewhere, upload the table on the Data page first: the link does not hold it."


def experiment_yaml(comparison: Comparison) -> str:
    """The experiment file, with the name of its table where that is one's own."""
    return export.experiment_yaml(comparison, table(comparison))


def table(comparison: Comparison) -> str | None:
    """The file name of an own table; None for a scenario, or where the table is not in this store."""
    if comparison.spec.data.fingerprint is None:
        return None
    names = {one.fingerprint: one.name for one in frame.current_store().tables()}
    name = names.get(comparison.spec.data.fingerprint)
    return None if name is None else export.file_name(name)


def address(query: dict[str, str]) -> str:
    """This app's Compare page with parameters."""
    here = urlsplit(st.context.url or "http://localhost:8501/")
    folder = here.path.rsplit("/", 1)[0]
    return urlunsplit((here.scheme, here.netloc, f"{folder}/", urlencode(query), ""))
