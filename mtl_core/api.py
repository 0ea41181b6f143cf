"""The same as the app and the command line, from Python: data and arms in, a comparison with tidy frames out."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_core.analysis import Selection, Verdict, history_frame, metrics_frame, report, selection, verdict
from mtl_core.data.limits import MAX_COLUMNS
from mtl_core.data.scenarios import SCENARIOS
from mtl_core.errors import SpecError, StoreError, unknown
from mtl_core.experiment_file import read_experiment
from mtl_core.export import save
from mtl_core.records import Comparison
from mtl_core.specs import ArmSpec, DataSpec, ExperimentSpec, parse_experiment
from mtl_core.store import Store, open_store

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

Arms = Mapping[str, "str | Mapping[str, Any] | ArmSpec"]


@dataclass(frozen=True)
class Result:
    """A finished comparison. `print(result)` is what the command line prints."""

    comparison: Comparison

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Columns arm, seed, split, task, metric, value, at (`best`: the selected epoch, or `final`)."""
        return metrics_frame(self.comparison)

    @cached_property
    def history(self) -> pd.DataFrame:
        """Columns arm, seed, epoch, split, task, name, value."""
        return history_frame(self.comparison)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was noticed while the data was read: possible leaks, cells that were not understood, rows left out."""
        return self.comparison.problem.warnings

    @cached_property
    def verdict(self) -> Verdict:
        """Every arm against the baseline arm, in sentences and as data."""
        return verdict(self.comparison)

    @cached_property
    def selection(self) -> Selection:
        """Epochs selected, epochs that the learned objective would have selected, and the regret."""
        return selection(self.comparison)

    def save(self, folder: str | Path) -> list[Path]:
        """Write record.json, history.csv and metrics.csv; returns their paths."""
        return save(self.comparison, Path(folder))

    def __repr__(self) -> str:
        return report(self.comparison)


def compare(
    data: Any,
    arms: Arms,
    *,
    seeds: int | Sequence[int] = 8,
    store: str | Path | Store | None = None,
    trunk: Callable[[], nn.Module] | None = None,
    **more: Any,
) -> Result:
    """Train every arm with every seed on the data and compare them, in this process and in helpers if it takes long.

    data: a scenario's name, a path to a CSV, TSV or Parquet file, a pandas DataFrame, or what an experiment file
    has under `data`. arms: by name, a scheme's name or what an experiment file has under `arms`.
    more: `targets`, `ignore`, `group`, `split` for a table; `baseline`, `training`, `selection`, `score`, `device`,
    `name` as in an experiment file. store: where runs are kept and found again (default: as for the command line).
    trunk: a function that returns a new `nn.Module` of your own, from `[rows, features]` (images: `[rows, channels, height,
    width]`) to `[rows, width]` or to a map `[rows, width, ...]`; each lane is one, drawn under its seed (`mtl_core.own`).
    A DataFrame's index is not read: reset_index() makes it a column. Raises UserError with one sentence.
    """
    _check_arms(arms)
    with _opened(store) as opened:
        about_data = {name: more.pop(name) for name in list(more) if name in DataSpec.model_fields}
        value = {"data": {**_source(data, opened), **about_data}, "arms": {name: _arm(arm) for name, arm in arms.items()}}
        spec = parse_experiment({**value, "seeds": _plain(seeds), **more})
        return Result(_train(spec if trunk is None else _with_trunk(spec, trunk, opened), opened))


def run(experiment: ExperimentSpec | str | Path, store: str | Path | Store | None = None) -> Result:
    """Train an experiment, or the one in a YAML file. Raises UserError with one sentence."""
    spec = experiment if isinstance(experiment, ExperimentSpec) else read_experiment(Path(experiment))
    with _opened(store) as opened:
        return Result(_train(spec, opened))


def _with_trunk(spec: ExperimentSpec, trunk: Callable[[], nn.Module], store: Store) -> ExperimentSpec:
    """The experiment with a module of one's own as its trunk. Raises SpecError for one that cannot be lanes."""
    from mtl_core.data import load
    from mtl_core.own import make_known

    if spec.training.trunk not in (None, "module"):
        raise SpecError(f"trunk is a module of your own, and training.trunk says {spec.training.trunk}; leave one of them out.")
    for option in ("hidden", "channels", "dropout", "layer_norm"):
        if getattr(spec.training, option):
            raise SpecError(
                f"training.{option} belongs to a built-in trunk, and trunk is a module of your own; leave one of them out."
            )
    problem = load(spec.data, store.get_table)
    name = make_known(trunk, problem.input_shape or (problem.features.shape[1],))
    return spec.model_copy(update={"training": spec.training.model_copy(update={"trunk": "module", "module": name})})


def folder_of(comparison: Comparison, parent: Path) -> Path:
    """Where a comparison is written unless a folder is named: `parent/NAME-ID`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", comparison.spec.name).strip("-.")[:60]
    return parent / f"{name or 'comparison'}-{comparison.experiment_id[:8]}"


def _train(spec: ExperimentSpec, store: Store) -> Comparison:
    from mtl_core import runner

    return runner.run(spec, store)


@contextmanager
def _opened(store: str | Path | Store | None) -> Iterator[Store]:
    if store is None or isinstance(store, str | Path):
        with closing(_open(store)) as opened:
            yield opened
    elif callable(getattr(store, "put_table", None)):
        yield store
    else:
        raise SpecError(f"store is a URL, a file's path or a store that is open, not {type(store).__name__}.")


def _open(store: str | Path | None) -> Store:
    try:
        return open_store(None if store is None else str(store))
    except StoreError as error:
        raise SpecError(str(error)) from error


def _check_arms(arms: Any) -> None:
    if not isinstance(arms, Mapping):
        raise SpecError(
            f'arms maps names to schemes, as in {{"learned": "softplus", "fixed": "equal"}}; not {type(arms).__name__}.'
        )


def _plain(seeds: Any) -> Any:
    """NumPy's integers and arrays of them as Python's; anything else as it is, to be refused by name."""
    if isinstance(seeds, Integral) and not isinstance(seeds, bool):
        return int(seeds)
    if isinstance(seeds, Iterable) and not isinstance(seeds, str | bytes | Mapping):
        return [_plain(seed) for seed in seeds]
    return seeds


def _arm(arm: str | Mapping[str, Any] | ArmSpec) -> Any:
    return {"scheme": arm} if isinstance(arm, str) else arm


def _source(data: Any, store: Store) -> dict[str, Any]:
    if isinstance(data, DataSpec):
        return data.model_dump(exclude_defaults=True)
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, str) and data in SCENARIOS:
        return {"scenario": data}
    if isinstance(data, str | Path):
        return {"file": str(_file(data))}
    return {"fingerprint": store.put_table("DataFrame", _parquet(data))}


def _file(data: str | Path) -> Path:
    path = Path(data).expanduser()
    if not path.is_file():
        known = unknown("scenario", str(data), SCENARIOS)
        raise SpecError(
            f"There is no file {data}." if path.suffix or isinstance(data, Path) else f"{known} There is no such file either."
        )
    return path


def _parquet(frame: Any) -> bytes:
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(frame, pandas.DataFrame):
        raise SpecError(f"data is a scenario's name, a path, a pandas DataFrame or a mapping, not {type(frame).__name__}.")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise SpecError(f'The DataFrame has more than one column "{twice[0]}": rename or drop all but one.')
    if frame.shape[1] > MAX_COLUMNS:
        raise SpecError(f"The DataFrame has {frame.shape[1]:,} columns and at most {MAX_COLUMNS:,} are read: leave some out.")
    data = _written(frame)
    if data is not None:
        return data
    for name, dtype in frame.dtypes.items():
        if _written(frame[[name]]) is None:
            raise SpecError(
                f'Column "{name}" of the DataFrame (dtype {dtype}) cannot be read: '
                "make it all numbers or all text, with astype(float) or astype(str), or drop it."
            )
    raise SpecError("The DataFrame cannot be written as Parquet: convert its columns to numbers or text.")


def _written(frame: pd.DataFrame) -> bytes | None:
    """Parquet; None where a value has no place in it."""
    from pyarrow import ArrowException

    buffer = io.BytesIO()
    try:
        frame.to_parquet(buffer, index=False)
    except (ArrowException, ValueError, TypeError, OverflowError):
        return None
    return buffer.getvalue()
