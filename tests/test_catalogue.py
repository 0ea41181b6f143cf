"""What is said of each scheme: complete, in sentences, in one shape, and the same in the code, in JSON and in the documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from one_scheme import ALL, after, known, saying, scheme_of, tensor
from torch import Tensor

from mtl_core.schemes import SCHEMES, describe
from mtl_core.schemes.base import Family, Trait
from mtl_core.schemes.catalogue import FAMILIES, TRAITS
from mtl_core.schemes.costs import COSTS
from mtl_core.schemes.markdown import LISTS, document, table
from mtl_core.schemes.trees import tree_leaves
from mtl_core.specs import ArmSpec

ROOT = Path(__file__).parent.parent
TEXTS = ("name", "title", "family", "idea", "formula", "source")
SENTENCES = ("pros", "cons", "when", "when_not", "failure_modes", "deviations")
MAY_BE_EMPTY = {"deviations"}
FACTS = {"needs", "settings", "relative_cost", "gradients", "head_gradients", "positive_losses", "traits", "presets"}
SETTING = {"name", "kind", "default", "help", "low", "high", "choices", "source", "limits"}
WORDS = {"losses", "norms", "gramian", "jacobian", "second forward"}

CATALOGUE = {entry["name"]: entry for entry in json.loads(json.dumps(describe(), default=list, allow_nan=False))}
every_scheme = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))


def test_the_catalogue_is_the_registry_in_its_order_family_after_family() -> None:
    assert list(CATALOGUE) == list(SCHEMES)
    assert all(name == cls.name for name, cls in SCHEMES.items())
    assert list(FAMILIES) == list(get_args(Family))
    families = [list(FAMILIES).index(entry["family"]) for entry in CATALOGUE.values()]
    assert families == sorted(families)


@every_scheme
def test_every_entry_has_the_same_fields(entry: dict[str, Any]) -> None:
    assert set(entry) == {*TEXTS, *SENTENCES, *FACTS}
    assert all(isinstance(entry[key], str) and entry[key] for key in TEXTS)
    assert all(isinstance(entry[key], list) for key in (*SENTENCES, "needs", "settings", "traits"))
    assert all(set(one) == SETTING for one in entry["settings"])


@every_scheme
def test_what_is_said_of_a_scheme_is_in_whole_sentences(entry: dict[str, Any]) -> None:
    allowed = {*SCHEMES, *(word for one in entry["settings"] for word in (one["name"], *one["choices"]))}
    for key in SENTENCES:
        assert entry[key] or key in MAY_BE_EMPTY, f"{key} is empty"
        assert len(set(entry[key])) == len(entry[key])
        for one in entry[key]:
            assert re.fullmatch(r"\S.{9,}\.", one), f"{key}: {one!r} is no sentence"
            assert "  " not in one
            first = re.split(r"[\s,:]", one)[0]
            name = len(first) < 3 or not first.isalpha() or first in allowed
            assert name or not first[0].islower(), f"{key}: {one!r} begins with a small letter"
    assert entry["idea"].endswith((".", ":")), f"the docstring's first line is no sentence: {entry['idea']!r}"


@every_scheme
def test_needs_traits_and_gradients_are_of_their_vocabularies(entry: dict[str, Any]) -> None:
    cls = SCHEMES[entry["name"]]
    assert entry["needs"][0] == "losses"
    assert set(entry["needs"]) <= WORDS
    assert (len(entry["needs"]) > 1) == bool(cls.needs)
    assert set(entry["traits"]) <= set(get_args(Trait)) == set(TRAITS)
    assert (entry["gradients"] is not None) == (entry["family"] in ("gradient-based", "full-Jacobian"))
    assert entry["head_gradients"] == ArmSpec(scheme=entry["name"]).head_gradients
    assert ("jacobian" in entry["needs"]) == (entry["family"] == "full-Jacobian")


@every_scheme
def test_every_setting_says_what_it_is_and_where_its_default_comes_from(entry: dict[str, Any]) -> None:
    for one in entry["settings"]:
        assert one["help"], one["name"]
        assert one["source"], f"{one['name']} does not say where the default comes from"


def test_costs_are_measured_figures_of_schemes_that_exist() -> None:
    assert set(COSTS) == set(SCHEMES), "durations.py plans by them"
    assert all(0.5 < cost < 100 for cost in COSTS.values())


def test_schemes_declared_as_reading_lengths_alone_are_those_that_do_not_see_angles() -> None:
    def weights(name: str, cosine: float) -> Tensor:
        gramian = tensor([[1.0, 3 * cosine], [3 * cosine, 9.0]])
        return after(scheme_of(name, ALL[:2]), known(ALL[:2]), [saying([2.0, 1.0])._replace(gramian=gramian)] * 2)[0]

    on_gramians = [name for name, cls in SCHEMES.items() if "gramian" in cls.needs]
    declared = {name for name, cls in SCHEMES.items() if cls.lengths_only}
    assert {name for name in on_gramians if torch.equal(weights(name, -0.4), weights(name, -0.5))} == declared


def test_schemes_listed_as_counting_epochs_are_those_that_begin_otherwise_with_longer_ones() -> None:
    def start(name: str, steps: int) -> list[Tensor]:
        settings = {"weights": 1.0} if name == "fixed" else {}
        setup = known(ALL[:2], steps_per_epoch=steps)._replace(parameters=3)
        return tree_leaves(scheme_of(name, ALL[:2], **settings).init(setup))

    def alike(name: str) -> bool:
        pairs = zip(start(name, 3), start(name, 5), strict=True)
        return all(torch.allclose(one, other, equal_nan=True) for one, other in pairs)

    assert {name for name in SCHEMES if not alike(name)} == {name for name, cls in SCHEMES.items() if cls.epochs}


# --- documents -------------------------------------------------------------------------------------------------------


def test_the_document_of_the_schemes_is_the_one_the_code_gives() -> None:
    written = (ROOT / "docs" / "schemes.md").read_text(encoding="utf-8")
    assert written == document(describe()), "python -m mtl_core schemes --markdown > docs/schemes.md"


def test_the_document_tells_everything_of_every_scheme() -> None:
    text = document(describe())
    for entry in describe():
        start = text.index(f"\n### {entry['name']}\n")
        section = text[start : text.find("\n### ", start + 5)]
        for _, key in LISTS:
            assert all(f"- {one}" in section for one in entry[key])
        assert f"`{entry['formula']}`" in section
        assert entry["source"] in section


def test_headings_of_the_document_are_links_that_lead_somewhere() -> None:
    text = document(describe())
    headings = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    assert len(set(headings)) == len(headings)
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(headings)


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a"], [["|x|"]]).splitlines()[-1] == "| \\|x\\| |"
