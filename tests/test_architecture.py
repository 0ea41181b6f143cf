"""Imports run one way, the core knows no interface, and nothing that a page needs costs an import of torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "mtl_core"

LAYERS: tuple[tuple[str, ...], ...] = (  # a module may import its own layer and those above it in this list
    ("errors", "columns", "cores", "deferred", "devices", "landscape", "own"),
    ("schemes",),
    ("fields", "specs", "links", "experiment_file"),
    ("problem", "records", "schedule", "shapes", "resolving", "data", "detection", "counts"),
    ("tasks", "labels", "ranking", "metrics"),
    ("selection", "lanes", "modules", "baselines"),
    ("plan", "durations", "engine", "store"),
    ("analysis", "export", "listing", "code", "lab", "plane", "calculator", "chooser"),
    ("runner", "jobs", "bench", "recorded"),
    ("api", "arguments", "__init__", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
READERS = {"analysis", "export"}  # read arrays and the store only
TRAINERS = {
    "engine",
    "lanes",
    "modules",
    "tasks",
    "counts",
    "detection",
    "labels",
    "ranking",
    "metrics",
    "baselines",
    "selection",
}


def _guarded(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(path: Path, *, inside_functions: bool) -> Iterator[str]:
    """Dotted names a file imports at run time; what only type checkers see does not count."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node, path)
        elif _guarded(node):
            pending.extend(node.orelse)  # type: ignore[attr-defined]
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))


def _from(node: ast.ImportFrom, path: Path) -> Iterator[str]:
    assert node.level == 0, f"{path} imports relatively: write mtl_core.NAME"
    yield node.module or ""
    yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(dotted: str) -> Path | None:
    """The file of one of our modules, if it is one."""
    base = ROOT.joinpath(*dotted.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _unit(path: Path) -> str:
    """The part of the core that a file belongs to: `store` for mtl_core/store/sql.py."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def _core_imports(path: Path) -> set[str]:
    files = (_file(name) for name in _imports(path, inside_functions=True) if name.startswith("mtl_core."))
    return {_unit(file) for file in files if file is not None} - {"__init__"}


def _at_import(path: Path) -> set[Path]:
    """Files of ours that importing this one runs, parents included."""
    found: set[Path] = set()
    for name in _imports(path, inside_functions=False):
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            file = _file(".".join(parts[:end]))
            if file is not None:
                found.add(file)
    return found


def _reached(starts: list[Path]) -> set[Path]:
    reached, pending = set(), list(starts)
    while pending:
        path = pending.pop()
        if path not in reached:
            reached.add(path)
            pending.extend(_at_import(path))
    return reached


CORE_FILES = sorted(CORE.rglob("*.py"))
PAGE_FILES = sorted([*(ROOT / "pages").rglob("*.py"), *ROOT.glob("app.py")])


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_core_module_imports_only_its_own_layer_and_lower_ones(path: Path) -> None:
    unit = _unit(path)
    assert unit in RANK, f"{unit} has no layer: add it to LAYERS, or it does not belong here"
    above = {other for other in _core_imports(path) if RANK.get(other, 99) > RANK[unit]}
    assert not above, f"{path.name} ({unit}) imports {sorted(above)} from above"


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_knows_no_interface(path: Path) -> None:
    tops = {name.split(".")[0] for name in _imports(path, inside_functions=True)}
    assert not tops & {"streamlit", "pages", "app"}


def test_analysis_and_export_never_train() -> None:
    readers = [path for path in CORE_FILES if _unit(path) in READERS]
    for path in readers:
        assert not _core_imports(path) & (TRAINERS | {"runner", "jobs", "plan"}), path
        assert "torch" not in {name.split(".")[0] for name in _imports(path, inside_functions=True)}, path


def test_pages_never_train_and_their_widgets_know_no_page() -> None:
    for path in PAGE_FILES:
        names = set(_imports(path, inside_functions=True))
        assert not {n for n in names if n.split(".")[0] == "torch"}, path
        assert not _core_imports(path) & TRAINERS, path
        if "ui" in path.relative_to(ROOT).parts:
            assert not {n for n in names if n.startswith("pages.") and not n.startswith("pages.ui")}, path


def test_nothing_that_a_page_imports_imports_torch() -> None:
    for path in _reached([*PAGE_FILES, CORE / "__init__.py", CORE / "specs" / "__init__.py", CORE / "records.py"]):
        tops = {name.split(".")[0] for name in _imports(path, inside_functions=False)}
        assert "torch" not in tops, f"{path.relative_to(ROOT)} imports torch when it is imported"


def test_importing_the_core_brings_no_torch_and_no_streamlit() -> None:
    names = ["mtl_core", "mtl_core.specs", "mtl_core.schemes", "mtl_core.records", "mtl_core.problem"]
    code = f"import sys, {', '.join(names)}; print(sorted({{'torch', 'streamlit'}} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {path: {p for p in _at_import(path) if p != path and p.name != "__init__.py"} for path in CORE_FILES}
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(p.name for p in (*trail, path))
        if path not in done:
            for other in graph.get(path, ()):
                visit(other, (*trail, path))
            done.add(path)

    for path in graph:
        visit(path, ())
