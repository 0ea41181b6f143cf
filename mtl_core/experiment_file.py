"""Reading an experiment file: YAML as people expect it, with mistakes as one sentence and its line.

PyYAML follows YAML 1.1, in which the key `on` is True, `1e-3` is text and `2020-01-01` a date. Here scalars are those of
YAML 1.2 (null, true, false, numbers), all else is text, every key is text, and a key written twice is a mistake.
Aliases and tags (`!!int`) are refused: nothing here needs them, and aliases can blow a small file up without end.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from mtl_core.errors import SpecError
from mtl_core.specs import ExperimentSpec, parse_experiment

MAX_BYTES = 1_000_000


def read_experiment(path: Path) -> ExperimentSpec:
    """The experiment in a YAML (or JSON) file; its table's path is relative to that file. Raises SpecError."""
    spec = parse_experiment(parse_yaml(_text(path), path.name))
    if spec.data.file is None:
        return spec
    table = path.parent / Path(spec.data.file).expanduser()
    return spec.model_copy(update={"data": spec.data.model_copy(update={"file": str(table)})})


def parse_yaml(text: str, name: str) -> Any:
    """Plain data. Raises SpecError with the file's name and the line."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer types
    except yaml.MarkedYAMLError as error:
        raise SpecError(_sentence(error, name)) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise SpecError(f"{name} is not readable as YAML: {problem}.") from None


def dump_yaml(value: Any) -> str:
    """Inverse of `parse_yaml`: what it would take for a number is put in quotation marks."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _text(path: Path) -> str:
    if not path.is_file():
        raise SpecError(f"{path} is {'a folder' if path.is_dir() else 'not there'}: name an experiment file.")
    if path.stat().st_size > MAX_BYTES:
        raise SpecError(f"{path.name} has {path.stat().st_size:,} bytes; an experiment file has at most {MAX_BYTES:,}.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path.name} is not UTF-8 text (byte {error.start:,}): an experiment file is YAML.") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}.") from None


def _sentence(error: yaml.MarkedYAMLError, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
    return f"{where}: {error.problem or error.context}."


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars, text keys, no repeated keys, no aliases, no tags."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            problem = f"the alias *{event.anchor} is not supported, write the value out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        event = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"the tag {short} is not supported, write the value alone, in quotation marks where it is text"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            problem = _complaint(key, seen)
            if problem:
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would not read as text; writes values out where PyYAML would refer back to one."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _complaint(key: yaml.Node, seen: set[str]) -> str:
    if not isinstance(key, yaml.ScalarNode):
        return "a key is a name, not a list or a mapping"
    return f'the key "{key.value}" is written twice' if key.value in seen else ""


_SCALARS: dict[str, tuple[str, list[str]]] = {  # YAML 1.2 core schema: tag, pattern, possible first characters
    "null": (r"^(?:~|null|Null|NULL|)$", [*"~nN", ""]),
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", [*"tTfF"]),
    "int": (r"^[-+]?[0-9]{1,300}$", [*"-+0123456789"]),
    "float": (r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", [*"-+.0123456789"]),
}
for _tag, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: float(node.value))
