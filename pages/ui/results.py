"""What came out: verdict, metric cards, and the parts below them. Draws infos of `mtl_core.analysis`; computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from mtl_core.analysis import (
    ArmVerdict,
    Cell,
    MetricRow,
    MetricTable,
    Verdict,
    loss_shares,
    metric_table,
    nothing_counted,
    selection,
    verdict,
)
from mtl_core.analysis.parts import ALONE, singles
from mtl_core.analysis.runs import At
from mtl_core.analysis.wording import count, listed, number
from mtl_core.records import Comparison
from mtl_core.specs import digest
from pages.ui import exports, frame, live, panels, scores, tables, takeaway
from pages.ui.palette import looks
from pages.ui.text import label, plain, short

GOOD = {(1, "better"): "normal", (1, "worse"): "normal", (-1, "better"): "inverse", (-1, "worse"): "inverse"}
FOLDED = 4  # arms compared, from which on a verdict shows their first lines
HEAD = 26  # letters of a table's heading


def stamp(comparison: Comparison) -> str:
    """Changes whenever anything that is computed from the comparison may change."""
    return digest(f"{comparison.experiment_id}{comparison.created}{[(run.status, run.epoch) for run in comparison.runs]}")


def tell(comparison: Comparison) -> None:
    """Verdict sentences, with warnings before and conditions behind them."""
    found = _verdict(comparison, stamp(comparison))
    for warning in found.warnings:
        st.warning(plain(warning))
    if lost_to_divergence(comparison):
        st.error(plain(nothing_counted(comparison)))
    elif len(found.arms) > 1 and all(one.too_few for one in found.arms):
        st.markdown(f"None of the {len(found.arms)} arms has enough seeds to be told from {label(found.baseline)}.")
        with st.expander("The differences, arm by arm"):
            st.markdown("\n".join(f"- {plain(sentence)}" for sentence in found.sentences))
    else:
        _arm_by_arm(found, set(singles(comparison).values()))


def _arm_by_arm(found: Verdict, alone: set[str]) -> None:
    """A sentence each; first lines where there are many. Arms on one task each are one of them, as they are one in tables."""
    apart = [one for one in found.arms if one.arm in alone and len(alone) > 1]
    others = [one for one in found.arms if one not in apart]
    for one in others:
        if len(others) + bool(apart) < FOLDED:
            st.markdown(plain(one.sentence))
        else:
            with st.expander(plain(first_line(one))):
                st.markdown(plain(one.sentence))
    if apart:
        with st.expander(plain(first_line(together(apart)))):
            st.markdown("\n".join(f"- {plain(one.sentence)}" for one in apart))


def together(arms: Sequence[ArmVerdict]) -> ArmVerdict:
    """Arms on one task each as if they were one arm."""
    better, worse, same, undecided = (
        tuple(task for one in arms for task in getattr(one, name)) for name in ("better", "worse", "no_difference", "undecided")
    )
    return ArmVerdict(
        ALONE, better, worse, same, undecided, max(one.seeds for one in arms), " ".join(one.sentence for one in arms)
    )


def lost_to_divergence(comparison: Comparison) -> bool:
    """Every run has diverged: there is nothing to draw or to compare."""
    return bool(comparison.runs) and all(run.status == "diverged" for run in comparison.runs)


def first_line(one: ArmVerdict) -> str:
    """`softplus: better on 2, no difference shown on 4 tasks`."""
    found = {"better on": one.better, "worse on": one.worse, "no difference shown on": one.no_difference}
    said = [f"{words} {len(tasks)}" for words, tasks in {**found, "undecided on": one.undecided}.items() if tasks]
    total = sum(len(tasks) for tasks in (*found.values(), one.undecided))
    return f"{short(one.arm)}: {', '.join(said) or 'not compared'} of {count(total, 'task')}"


def conditions(comparison: Comparison) -> None:
    """Under which conditions the verdict holds."""
    with st.popover("When this holds", type="tertiary"):
        for note in _verdict(comparison, stamp(comparison)).notes:
            st.markdown(f"- {plain(note)}")


def cards(comparison: Comparison) -> None:
    """Headline metric of every task for one arm, with its difference to the baseline arm."""
    table = _table(comparison, "best", "test", stamp(comparison))
    others = [arm for arm in table.columns if arm != table.baseline]
    if not others or table.empty:
        return
    arm = others[0]
    if len(others) > 1:
        arm = st.segmented_control(
            "Arm", others, default=arm, required=True, format_func=label, key=f"card-arm-{comparison.experiment_id}"
        )
    with st.grid(min_column_width=165, key="cards"):
        for row in table.headlines:
            _card(row, table.cell(row, arm))
    compared = f"below each the difference to {table.baseline} with its 95 % interval, grey where no difference is called."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(plain(f"{arm} on the test split at the selected epoch; {compared}"), width="content")
        conditions(comparison)


def _card(row: MetricRow, cell: Cell) -> None:
    difference = cell.difference
    assert difference is not None  # the baseline arm has no card
    half = (difference.high - difference.low) / 2
    st.metric(
        f"{label(row.task, 20)} · {row.metric.replace('_', ' ')}",
        f"{number(cell.estimate.mean, (cell.estimate.high - cell.estimate.low) / 2)} {plain(row.unit)}".strip(),
        number(difference.mean, half, signed=True),
        delta_color=GOOD.get((row.direction, difference.outcome), "off"),  # type: ignore[arg-type]
        delta_arrow="off" if difference.outcome not in scores.MARKED else "auto",
        delta_description=f"± {number(half, half)}" if half > 0 else None,
        border=True,
    )


def details(comparison: Comparison, arms: list[str] | None) -> None:
    """One part at a time, so that a rerun draws little."""
    parts: dict[str, Callable[[], None]] = {
        "Per task": lambda: per_task(comparison),
        "Differences": lambda: differences(comparison),
        "σ and shares": lambda: inner(comparison, arms),
        "Selection": lambda: counterfactual(comparison),
        "Score": lambda: scores.aggregate(comparison),
        "Code": lambda: takeaway.code_of(comparison),
        "Export": lambda: exports.downloads(comparison, stamp(comparison)),
    }
    chosen = st.segmented_control(
        "Details", list(parts), default="Per task", required=True, key="details", label_visibility="collapsed"
    )
    parts[chosen]()


def per_task(comparison: Comparison) -> None:
    """Every metric side by side at a point of training, and the differences as a figure."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        at_words = st.segmented_control(
            "At", ["selected epoch", "last epoch", "epoch …"], default="selected epoch", required=True, key="at"
        )
        last = max(len(comparison.history), 2)
        epoch = (
            st.slider("Epoch", 1, last, last // 2, key=f"at-epoch-{comparison.experiment_id}", width=220)
            if at_words == "epoch …"
            else 0
        )
        split = (
            "validation"
            if epoch
            else st.segmented_control("Split", ["test", "validation"], default="test", required=True, key="at-split")
        )
        every = st.toggle("All metrics", key="every-metric")
    at: At = epoch or ("best" if at_words == "selected epoch" else "final")
    table = _table(comparison, at, split, stamp(comparison))
    _table_of(tables.metrics(table, headlines_only=not every), "metrics", "Metrics of every task, arms side by side")
    st.caption(
        "Mean over seeds with its 95 % interval; differences are paired by seed. ▲ better, ▼ worse, no mark: no difference shown."
    )
    for note in table.notes:
        st.caption(plain(note))


def _table_of(rows: tables.Rows, key: str, alt: str) -> None:
    """A table whose long headings are shortened; the whole name is at the pointer."""
    names = rows[0] if rows else {}
    heads = {name: st.column_config.Column(short(name, HEAD), help=name) for name in names if len(name) > HEAD}
    st.dataframe(rows, hide_index=True, key=key, alt=alt, column_config=heads)


def differences(comparison: Comparison) -> None:
    """Every arm against the baseline as a figure."""
    from pages.ui.forest import forest  # brings Plotly, which takes a moment in Python and in the browser

    table = _table(comparison, "best", "test", stamp(comparison))
    if len(table.arms) < 2:
        st.info("There is nothing to compare: add a second arm and run.")
        return
    if table.empty:
        st.info(plain(nothing_counted(comparison)))
        return
    alt = f"Improvement of each arm over {table.baseline} by task, with 95 % intervals."
    figure = forest(table, looks(comparison.spec, frame.theme()), frame.theme())
    st.plotly_chart(figure, key="forest", config={"displaylogo": False}, alt=alt)
    st.caption("Headline metric of every task, test split, selected epoch; 95 % intervals of differences paired by seed.")


def inner(comparison: Comparison, arms: list[str] | None) -> None:
    """Sigma and share-of-loss panels."""
    for one in loss_shares(comparison):
        st.markdown(plain(one.sentence))
    if lost_to_divergence(comparison):
        st.info(plain(nothing_counted(comparison)))
        return
    live.draw(panels.inner_figure(comparison, frame.theme(), arms), "inner")
    st.caption("σ exists only for schemes that learn one. Shares are of the training loss, weights included.")


def counterfactual(comparison: Comparison) -> None:
    """Which epoch the learned objective would have chosen, and at what cost."""
    chosen = selection(comparison)
    if not chosen.arms:
        st.info(plain(nothing_counted(comparison)))
        return
    st.caption(plain(f"Epochs are selected by {chosen.criterion}. Tasks counted: {listed(chosen.counted_tasks)}."))
    for one in chosen.arms:
        st.markdown(plain(one.sentence))
    _table_of(tables.selections(chosen), "selections", "Selected and counterfactual epoch of every arm")
    _table_of(tables.task_regrets(chosen), "regrets", "Regret of every task")


@st.cache_data(max_entries=64, show_spinner=False)
def _verdict(_comparison: Comparison, stamp: str) -> Verdict:  # noqa: ARG001
    return verdict(_comparison)


@st.cache_data(max_entries=64, show_spinner=False)
def _table(_comparison: Comparison, at: At, split: str, stamp: str) -> MetricTable:  # noqa: ARG001
    return metric_table(_comparison, at, split)
