"""Taking it elsewhere: a link that restores everything, and files."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from mtl_core import export
from mtl_core.records import Comparison
from mtl_core.specs import to_link
from pages.ui import state
from pages.ui.text import plain


def draw(comparison: Comparison, stamp: str) -> None:
    """Links, downloads, and what the numbers were made with."""
    with st.container(key="share"):
        _links(comparison)
    downloads(comparison, stamp)
    made = ", ".join(f"{name} {value}" for name, value in comparison.versions.items())
    st.caption(plain(f"Made with {made or 'unknown versions'}; {comparison.created or 'no date'}."))


def _links(comparison: Comparison) -> None:
    spec = comparison.spec
    st.caption("This link holds every setting, defaults too; whoever opens it sees the same experiment.")
    st.code(address({"v": "1", "c": to_link(spec)}), language=None, wrap_lines=True)
    if state.shown() not in (None, state.RECORDED):
        st.caption("This short one opens the stored runs, on this server.")
        st.code(address({"run": comparison.experiment_id}), language=None, wrap_lines=True)
    st.caption("Experiment, by the hash of its settings:")
    with st.container(key="experiment-id"):
        st.code(spec.id, language=None)


def downloads(comparison: Comparison, stamp: str) -> None:
    """CSV and JSON, written only when asked for."""
    name = f"mtl-{comparison.spec.id[:8]}"
    with st.container(horizontal=True):
        for words, write, suffix, mime in (
            ("Metrics, CSV", export.metrics_csv, "metrics.csv", "text/csv"),
            ("History, CSV", export.history_csv, "history.csv", "text/csv"),
            ("Record, JSON", export.record_json, "record.json", "application/json"),
        ):
            make = lambda write=write: write(comparison)  # noqa: E731
            st.download_button(words, make, f"{name}-{suffix}", mime, key=f"download-{suffix}-{stamp}", on_click="ignore")


def address(query: dict[str, str]) -> str:
    """This app's Compare page with parameters."""
    here = urlsplit(st.context.url or "http://localhost:8501/")
    folder = here.path.rsplit("/", 1)[0]
    return urlunsplit((here.scheme, here.netloc, f"{folder}/", urlencode(query), ""))
