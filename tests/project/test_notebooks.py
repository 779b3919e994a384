"""The source notebooks: thin cells, no name used twice, and what the book needs to know of a cell."""

import ast
import re
from collections import Counter
from dataclasses import replace

import nbformat
import pytest
from conftest import ROOT

from skinsynth import phantom
from skinsynth.book import asked
from skinsynth.core.config import configure
from skinsynth.core.errors import UserError
from skinsynth.core.store import Run
from skinsynth.project import chapters

OPEN, LONGEST, WHOLE = 8, 25, 1400  # lines of code: shown unfolded, of a cell, of all notebooks


def code(name):
    """The code cells after the parameters."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    return [
        c for c in cells if c.cell_type == "code" and "parameters" not in c.metadata.get("tags", [])
    ]


def lines(cell):
    return len(cell.source.splitlines())


@pytest.mark.parametrize("name", chapters.NOTEBOOKS)
def test_cells_are_short_and_short_ones_stand_open(name):
    for cell in code(name):
        assert lines(cell) <= LONGEST, cell.source
        assert ("hide-input" in cell.metadata.get("tags", [])) == (lines(cell) > OPEN), cell.source


def test_all_notebooks_together_are_short():
    assert sum(lines(c) for name in chapters.NOTEBOOKS for c in code(name)) <= WHOLE


@pytest.mark.parametrize("name", chapters.NOTEBOOKS)
def test_a_name_belongs_to_one_cell(name):
    """Otherwise an earlier cell that is run again computes with a later cell's value."""
    found = Counter()
    for cell in code(name):
        inside = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.comprehension)]
        local = {x for n in inside for x in ast.walk(n.target)}
        names = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name)]
        bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        bound -= {x.id for x in local if isinstance(x, ast.Name)}
        found.update(bound)
    assert [name for name, n in found.items() if n > 1] == []


@pytest.mark.parametrize("name", chapters.NOTEBOOKS)
def test_a_cell_that_shows_a_table_says_that_it_is_myst(name):
    for cell in code(name):
        shows = re.search(r"\bs\.(table|results|footer)\(", cell.source)
        assert bool(shows) == ("markdown_format" in cell.metadata.get("mystnb", {})), cell.source


OTHER = {"version": "released", "backbone": "tf_efficientnet_lite0,resnet18", "inpainter": "telea"}


@pytest.mark.parametrize("data", ["", "photographs"])
def test_a_parameter_is_declared_where_it_is_first_used(data, monkeypatch, tmp_path):
    """Else the notebooks before compute with the profile's value, those after with another, and the plan with one."""
    if data:
        phantom.write_dataset(tmp_path / data, size=32, n_train=84, n_test_lesions=1, n_pad=6)
        data = str(tmp_path / data)
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    cfg, late = configure("smoke", data=data), []
    declared = {n: chapters.declared_parameters(n) for n in chapters.NOTEBOOKS}
    for name in {k for names in declared.values() for k in names} - {"profile", "data"}:
        before = chapters.NOTEBOOKS[: [name in declared[n] for n in declared].index(True)]
        old = getattr(cfg, name)
        new = OTHER[name] if name in OTHER else not old if isinstance(old, bool) else old + 1
        both = (asked.stages(Run("x"), c, before) for c in (cfg, replace(cfg, **{name: new})))
        if len({frozenset(found) for found in both}) > 1:
            late.append(name)
    assert late == []


@pytest.mark.parametrize(
    ("profile", "given", "own"),
    [
        ("smoke", {"limit": 0}, 60),
        ("smoke", {"course": False}, True),
        ("micro", {"trained": True}, None),
    ],
)
def test_a_value_that_stands_for_the_profile_s_is_refused_where_that_is_another(
    profile, given, own
):
    if own is None:  # the profile has the same
        assert chapters.configured(profile, "", given, chapters.NOTEBOOKS)
        return
    with pytest.raises(
        UserError, match=f"stands for what the profile says, and {profile} has {own}"
    ):
        chapters.configured(profile, "", given, chapters.NOTEBOOKS)
