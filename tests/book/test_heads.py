"""Under a chapter's title stand its run, the way to the other run and the findings; alt texts say the run."""

import nbformat
import pytest
from conftest import write_notebook
from nbformat.v4 import new_code_cell, new_output

from skinsynth.book import heads, pages, reference
from skinsynth.core import store

FOUND = "::::{div} findings\n**Found.** Eight is better.\n::::\n"


def executed(project, name, folder, figure):
    """An executed chapter with a figure, and with findings in its last cell; returns its path."""
    look = {"figure": {"name": figure, "caption": "Words."}, "image": {"alt": "Four rows."}}
    last = new_output("display_data", {"text/markdown": FOUND})
    last.metadata = {"skinsynth": {"findings": True}}
    cells = [new_code_cell(metadata={"mystnb": look}), new_code_cell(outputs=[last])]
    write_notebook(project, name, *cells, folder=f"book/executed/{folder}")
    return project / "book/executed" / folder / f"{name}.ipynb"


@pytest.fixture
def runs(project):
    """A published run and this build's, with a row about Figure 5."""
    row = {"item": "fig5", "quantity": "error of 8ch minus 4ch", "verdict": "reproduced"}
    row |= {"value": -0.5, "low": -0.6, "high": -0.4, "parts": [1], "n": 7}
    manifests = [
        {"run": name, "profile": name, "data": data}
        for name, data in (("ham64", "data"), ("micro", "phantom"))
    ]
    old = reference.Published("ham64")
    executed(project, "04_generation", "ham64", "ham64-fig5")
    write_notebook(old.root, "04_generation")
    return [
        pages.Shown(old, [row | {"value": None}], manifests[0], published=True),
        pages.Shown(store.Run("micro"), [row], manifests[1]),
    ]


def test_head_of_a_chapter_and_its_switch(project, runs):
    paths = [executed(project, name, "", "fig5") for name in ("04_generation", "07_checks")]
    source = project / "notebooks/04_generation.ipynb"
    before = source.read_bytes()
    heads.dress(runs)
    first, checks = (nbformat.read(path, 4) for path in paths)
    title, head, found, prose = first.cells[0].source.split("\n\n")
    assert title == "# 04_generation" and found == FOUND.strip() and prose == "Some prose."
    assert "Run micro: the phantom, 64 × 64 pixels" in head
    link = "On HAM10000, run ham64: [the same chapter](ham64/04_generation.ipynb)."
    assert link in head and "no such chapter" in checks.cells[0].source
    assert all(not cell.outputs for cell in first.cells if cell.cell_type == "code")
    other = nbformat.read(project / "book/executed/ham64/04_generation.ipynb", 4)
    assert "[the same chapter](../04_generation.ipynb)" in other.cells[0].source
    assert FOUND.strip() in other.cells[0].source
    assert source.read_bytes() == before, "the source stays as it is"


def test_alt_text_says_the_run_and_what_it_found(project, runs):
    path = executed(project, "04_generation", "", "fig5")
    heads.dress(runs)
    alts = [
        nbformat.read(p, 4).cells[2].metadata.mystnb["image"]["alt"]
        for p in (path, project / "book/executed/ham64/04_generation.ipynb")
    ]
    assert alts == [
        "Four rows. On the phantom, run micro. Error of 8ch minus 4ch: -0.5 [-0.6, -0.4], reproduced.",
        "Four rows. On HAM10000, run ham64.",
    ]
