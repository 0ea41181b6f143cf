"""What is shown of data: its tasks, how features go with targets, rows in two splits at once, the first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from mtl_core.analysis.wording import number
from mtl_core.data.profile import Profile, TaskFacts
from mtl_core.records import HIGHER_IS_BETTER
from pages.ui import frame, heatmap
from pages.ui.live import draw
from pages.ui.tables import Rows
from pages.ui.text import plain

if TYPE_CHECKING:
    import pandas as pd

    from pages.ui.problems import Images

WIDEST, MARGIN, LETTER = 320, 40, 7  # pixels of a column at most, beside its text, and of a letter
PERCENT = st.column_config.NumberColumn(format="%.0f %%")
HOW = (
    "Pearson's correlation of two numbers, −1 to 1; the correlation ratio of a number and classes and Cramér's V of two kinds of "
    "classes, 0 to 1, corrected for their number of classes. Each feature alone, on all rows that have both; nothing is fitted "
    "by it. A model may use what no single feature shows."
)


def tasks(found: Profile) -> None:
    """One row a task, with what a predictor that ignores the features scores."""
    st.subheader("Tasks", anchor=False)
    st.caption(plain(about(found)))
    rows = task_rows(found)
    config: dict[str, Any] = {f"labels, {name}": PERCENT for name in found.rows}
    config |= {name: st.column_config.TextColumn(width=width) for name, width in widths(rows).items()}
    st.dataframe(rows, hide_index=True, column_config=config, key="tasks")


def about(found: Profile) -> str:
    """Pure: how much there is to learn from, and what the table beside it compares with."""
    if found.without_network:
        return "No network and no rows: a point is trained, and each task is a function of it that is to become small."
    rows = ", ".join(f"{count:,} {split}" for split, count in found.rows.items())
    features = f"{found.columns:,} {'feature' if found.columns == 1 else 'features'}"
    encoded = f", {found.features:,} after encoding" if found.features != found.columns else ""
    return f"{rows} rows; {features}{encoded}. A constant always says what the training labels are on average."


def widths(rows: Rows) -> dict[str, int]:
    """Pure: pixels for the columns of words, so that none is cut unless it is very long."""
    words = [name for name, value in rows[0].items() if isinstance(value, str)]
    return {
        name: min(WIDEST, MARGIN + LETTER * max(len(str(text)) for text in (name, *(r[name] for r in rows)))) for name in words
    }


def task_rows(found: Profile) -> Rows:
    """Pure: the table of tasks; of functions only what they are called, as they have no labels."""
    if found.without_network:
        return [{"task": one.task.name, "loss": one.task.loss} for one in found.tasks]
    return [
        {
            "task": one.task.name,
            "kind": one.task.kind,
            "their labels": one.scale,
            **{f"labels, {split}": 100 * share for split, share in one.shares.items()},
            "a constant has": _metric(one),
            **{f"on {split}": "–" if value is None else number(value) for split, value in one.constant.items()},
            "loss": one.task.loss,
        }
        for one in found.tasks
    ]


def _metric(one: TaskFacts) -> str:
    better = "↑" if one.metric in HIGHER_IS_BETTER else "↓"
    unit = (
        f" ({one.task.unit})"
        if one.task.unit and one.task.kind in ("regression", "multi_output", "count", "dense_regression")
        else ""
    )
    return f"{one.metric.replace('_', ' ')}{unit} {better}"


def associations(found: Profile) -> None:
    """The strongest features as a map, all of them as a table; nothing without a network."""
    pairs = found.associations
    if found.without_network:
        return
    st.subheader("How features go with targets", anchor=False)
    if not pairs.features or not pairs.targets:
        st.caption(plain(pairs.note or "There is nothing to compare."))
        return
    st.caption(plain(f"{heatmap.takeaway(pairs)} {pairs.note}".rstrip()), help=HOW)
    draw(heatmap.heatmap(pairs, frame.theme()), "associations")
    more = len(pairs.features) > heatmap.MOST_FEATURES or len(pairs.targets) > heatmap.MOST_TARGETS
    if more:
        shown = f"The {heatmap.MOST_FEATURES} strongest of {len(pairs.features):,} features are drawn"
        with st.expander(f"{shown}: all as a table"):
            config = {name: st.column_config.NumberColumn(format="%.2f") for name in heatmap.heads(pairs)}
            st.dataframe(heatmap.rows(pairs), hide_index=True, column_config=config, key="all-associations")


def twins(found: Profile, warnings: tuple[str, ...]) -> None:
    """Whether rows are judged on that were trained on; silent where a warning says it, and without rows."""
    if not found.without_network and not any(warning.startswith(found.twins.sentence) for warning in warnings):
        st.subheader("Rows in more than one split", anchor=False)
        st.markdown(plain(found.twins.sentence))


def first_images(images: Images | None) -> None:
    """The first images with their labels, where rows are images."""
    if images is None:
        return
    st.subheader("First images", anchor=False)
    st.image(images.png)
    st.caption(plain(f"A row an image; from the left: {', '.join(images.titles)}. Grey: no label."))


def first_rows(preview: pd.DataFrame, found: Profile) -> None:
    """The first rows as a model is given them; nothing where every target is a map, or without a network."""
    if preview.empty or found.without_network:
        return
    st.subheader("First rows", anchor=False)
    shown = "Targets first." if preview.shape[1] > len(found.tasks) else "Targets only."
    st.caption(
        f"{shown} Features as a model is given them, before they are standardised: categories in columns of 0 and 1, gaps filled."
    )
    st.dataframe(preview, hide_index=True, key="preview")
