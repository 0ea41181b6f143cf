"""From a comparison to what is shown of it: pure functions `Comparison -> info`, numbers and sentences only.

    curves(c, Channel("validation", "", "criterion"))   one panel: mean and band per arm over epochs
    task_curves(c, "validation", "loss")                one panel per task (loss, weight, sigma, share, gate, metrics ...)
    recorded(c)                                         which (split, name) exist at all
    metric_table(c, at="best" | "final" | 12, split)    per-task metrics, arms side by side, differences to the baseline
    verdict(c)                                          sentences, warnings and conditions; `str()` of it is the text
    selection(c)                                        selected against counterfactual epoch, regret per arm and task
    loss_shares(c)                                      which task dominates the loss
    taking_part(c)                                      labels present, gate state, tasks never trained, per arm
    score(c, weights=...)                               aggregate score with its parts
    spans(training), phases_sentence(training)          phases as spans of epochs, and in a sentence
    trained(c, arm), sums_note(c)                       arms on some of the tasks, and which sums are not drawn of them
    endings(c)                                          how many runs are done, stopped, diverged, failed, unfinished
    trajectories(c)                                     paths over the two-task landscape, and which end on its front
    report(c)                                           the whole comparison as text for a terminal
    history_frame(c), metrics_frame(c)                  tidy pandas frames

Everything can be asked at any moment: what is not there yet is NaN, 0 or empty. `wording` writes numbers for people.
"""

from mtl_core.analysis.axes import outside
from mtl_core.analysis.curves import Curve, Curves, Mark, curves, lost_runs, marks, recorded, task_curves
from mtl_core.analysis.frames import history_frame, metrics_frame
from mtl_core.analysis.labels import TakingPart, taking_part
from mtl_core.analysis.metrics import Cell, MetricRow, MetricTable, beaten, headline, metric_table
from mtl_core.analysis.parts import sums_note, trained
from mtl_core.analysis.phases import Span, phases_sentence, spans
from mtl_core.analysis.runs import Endings, counted, direction, ending_notes, endings, nothing_counted
from mtl_core.analysis.score import Score, ScorePart, score
from mtl_core.analysis.seeds import Difference, Estimate
from mtl_core.analysis.selection import ArmSelection, Regret, Selection, selection
from mtl_core.analysis.shares import ArmShares, loss_shares
from mtl_core.analysis.text import report
from mtl_core.analysis.trajectories import Path, Trajectories, is_plane, trajectories
from mtl_core.analysis.verdict import ArmVerdict, Verdict, verdict

__all__ = [
    "ArmSelection",
    "ArmShares",
    "ArmVerdict",
    "Cell",
    "Curve",
    "Curves",
    "Difference",
    "Endings",
    "Estimate",
    "Mark",
    "MetricRow",
    "MetricTable",
    "Path",
    "Regret",
    "Score",
    "ScorePart",
    "Selection",
    "Span",
    "TakingPart",
    "Trajectories",
    "Verdict",
    "beaten",
    "counted",
    "curves",
    "direction",
    "ending_notes",
    "endings",
    "headline",
    "history_frame",
    "is_plane",
    "loss_shares",
    "lost_runs",
    "marks",
    "metric_table",
    "metrics_frame",
    "nothing_counted",
    "outside",
    "phases_sentence",
    "recorded",
    "report",
    "score",
    "selection",
    "spans",
    "sums_note",
    "taking_part",
    "task_curves",
    "trained",
    "trajectories",
    "verdict",
]
