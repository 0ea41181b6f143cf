"""An arm as code to take away: a script with this package, or one file of plain PyTorch."""

from __future__ import annotations

import re

import streamlit as st

from mtl_core import code
from mtl_core.records import Comparison
from pages.ui.guard import guard
from pages.ui.text import short

WITH, WITHOUT = "with mtl_core", "plain PyTorch"
ABOUT = {
    WITH: "The arm as it was run, and its weighting in a loop of your own.",
    WITHOUT: "One file without this package that reads your tensors and trains as this arm did.",
}


def code_of(comparison: Comparison) -> None:
    """One arm's code, shown and to download."""
    arms = list(comparison.spec.arms)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        others = [arm for arm in arms if arm != comparison.spec.baseline]
        arm = st.selectbox("Arm", arms, arms.index((others or arms)[0]), format_func=short, key="code-arm", width=260)
        way = st.segmented_control("Code", [WITH, WITHOUT], default=WITH, required=True, key="code-way")
    st.caption(ABOUT[way])
    with guard():
        text = written(comparison, arm, way)
        name = f"{re.sub(r'[^A-Za-z0-9]+', '-', arm).strip('-') or 'arm'}-{'mtl' if way == WITH else 'plain'}.py"
        st.download_button("Download", text, name, "text/x-python", key=f"code-download-{way}", on_click="ignore")
        st.code(text, language="python", height=520)


def written(comparison: Comparison, arm: str, way: str) -> str:
    """The code. Raises SpecError where an arm cannot be written out that way."""
    if way == WITH:
        return code.snippet(comparison.spec, arm, comparison.problem)
    return code.plain_torch(comparison.spec, comparison.problem, arm)
