"""The whole book at smoke size, end to end: run, strict build, gates; and plain papermill."""

import copy
import json
import shutil

import browser
import numpy as np
import pandas as pd
import papermill
import pytest
import yaml
from conftest import ROOT, write_notebook
from papermill.clientwrap import PapermillNotebookClient
from PIL import Image

from skinsynth import cli
from skinsynth.book import asked, gates, reference, site
from skinsynth.core import store, versions
from skinsynth.core.config import configure
from skinsynth.project import chapters
from skinsynth.project import run as runner

ALL = {"extras": True, "more_arms": True}
EXTRAS = {"parameters": ALL}


def shown(cell):
    """What a reader sees under a code cell; bars are not compared."""
    said = "".join(o.text for o in cell.outputs if o.get("name") == "stdout")  # in one piece or two
    return said, [json.dumps(o.data, sort_keys=True) for o in cell.outputs if "data" in o]


def then_in_reverse(found):
    """papermill's way through the cells, and then every code cell once more, the last one first.

    found: list that takes (first lines of the cell) of each cell that then shows something else.
    """
    forward = PapermillNotebookClient.papermill_execute_cells

    def both(client):
        forward(client)
        for index, cell in reversed(list(enumerate(client.nb.cells))):
            if cell.cell_type == "code":
                again = copy.deepcopy(cell)
                client.execute_cell(again, index)
                client.nb.cells[index] = cell
                if shown(again) != shown(cell):
                    found.append(cell.source[:80])

    return both


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A project with the smoke book built, extras and all; what the run and the build said; cells
    that show something else when they are run again in reverse order."""
    project, patch = tmp_path_factory.mktemp("smoke"), pytest.MonkeyPatch()
    for key, value in (
        ("SKINSYNTH_ROOT", project),
        ("SKINSYNTH_RESULTS", project / "results"),
        ("PYTHONPATH", ROOT),
    ):
        patch.setenv(key, str(value))
    for key in ("SKINSYNTH_DATA", "SKINSYNTH_RUN", "SKINSYNTH_QUIET"):
        patch.delenv(key, raising=False)
    for name in ("_config.yml", "_toc.yml", "index.md"):
        shutil.copy(ROOT / name, project)
    skip = shutil.ignore_patterns("executed", "generated")
    shutil.copytree(ROOT / "book", project / "book", ignore=skip)
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    moved = []
    with pytest.MonkeyPatch.context() as once:
        once.setattr(PapermillNotebookClient, "papermill_execute_cells", then_in_reverse(moved))
        done = runner.run_notebooks("smoke", **EXTRAS)
    yield project, tuple(done), site.build(), moved
    patch.undo()


@pytest.mark.book
@pytest.mark.timeout(1200)
def test_smoke_book_end_to_end(smoke):
    project, done, problems, moved = smoke
    assert done == chapters.NOTEBOOKS and problems == []
    assert moved == [], "any cell, any time: it shows the same"
    assert "Pair 1 of 20" in (project / "_build/html/book/tell.html").read_text()
    for name in done:
        page = (project / f"_build/html/book/executed/{name}.html").read_text()
        assert page.index('class="findings') < page.index('class="cell'), "first what was found"
    assert runner.run_notebooks("smoke", **EXTRAS) == []
    planned = asked.stages(store.Run("smoke"), configure("smoke", **ALL))
    made = {p.parent.name for p in (project / "results/smoke/stages").glob("*/stage.json")}
    assert set(planned) == made and all(facts["finished"] for facts in planned.values()), (
        "the plan is what was done"
    )
    rungs = pd.read_csv(project / "results/smoke/tables/rungs.csv")
    assert list(rungs.model) == [name for name, how in versions.ladder() if how.steps <= 100]
    verdicts = {row["verdict"] for row in store.read_json(project / "results/smoke/claims.json")}
    assert verdicts == {"not testable here"}  # smoke sizes only test the plumbing

    options = ["--profile", "smoke", "-n", "2", "--classes", "mel,df", "--references", "none"]
    assert cli.main(["sample", str(project / "drawn"), *options]) == 0
    drawn = pd.read_csv(project / "drawn" / "metadata.csv")
    assert sorted(drawn["class"]) == ["df", "df", "mel", "mel"]
    assert all((project / "drawn" / name).exists() for name in drawn.file_name)
    assert cli.main(["sample", str(project / "drawn"), *options]) == 1, "nothing is overwritten"
    assert cli.main(["sample", str(project / "other"), "--classes", "melanoma"]) == 1

    with runner.environment(JUPYTER_PREFER_ENV_PATH="1"):  # finished stages are found in any run
        source, target = project / "notebooks" / "02_vae.ipynb", project / "out.ipynb"
        options = {"cwd": str(project), "kernel_name": "python3", "progress_bar": False}
        papermill.execute_notebook(str(source), str(target), {"profile": "smoke"}, **options)
    assert (project / "results/scratch-smoke/tables/table1.csv").exists()


@pytest.mark.book
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not browser.found(), reason="no Chromium on this machine")
def test_a_browser_finds_nothing_wrong(smoke):
    """Every page in light, dark and phone width: console, requests, alt texts, width, sliders, axe.

    Of several published runs, whose pages are made alike, all but the first in light alone.
    """
    html = smoke[0] / "_build" / "html"
    first, *others = reference.published()
    problems, seen = browser.problems(html, [f"executed/{run.name}/" for run in others])
    assert problems == []

    def whole(run):
        """Sliders of a run of which some frame is shown; others are shown as a picture."""
        sources = [store.read_json(p) for p in (run.figures / "source").glob("*.json")]
        tiles = [x["tiles"] for x in sources if x["draw"] == "slider"]
        return sum(len(x["withheld"]) < x["columns"] for x in tiles)

    sliders = 3 * (2 + whole(first)) + sum(map(whole, others))  # two are those of the smoke run
    assert seen["pages"] >= 3 * 21 + 7 * len(others) and seen["sliders"] == sliders
    assert seen["pictures"] > 3 * 20
    weights = gates.weights(html)
    large = "/ham128/"  # its pictures have four times the pixels
    assert max(mb for page, mb in weights.items() if large not in page) < 3
    assert gates.total(html) < 40 and max(weights.values()) < 4.5


@pytest.mark.book
@pytest.mark.timeout(600)
def test_a_published_run_is_drawn_from_its_files(smoke):
    """Every figure of the run comes back, pixel by pixel, from the files that are published."""
    project = smoke[0]
    assert cli.main(["publish", "--profile", "smoke"]) == 0
    run = reference.Published("smoke")
    assert list(reference.picture_problems(run)) == [] and reference.changed_since(run) == []
    assert sum(p.stat().st_size for p in run.root.rglob("*") if p.is_file()) < reference.LIMIT
    reference.redraw(run)
    first = store.Run("smoke").figures
    names = sorted(p.name for p in first.glob("*.png"))
    assert len(names) > 25 and names == sorted(p.name for p in run.figures.glob("*.png"))
    for name in names:
        assert np.array_equal(
            *(np.asarray(Image.open(folder / name)) for folder in (first, run.figures))
        ), name
    before = {p: p.stat().st_mtime_ns for p in run.figures.glob("*.png")}
    assert list(reference.write_chapters(run)) == []
    assert before == {p: p.stat().st_mtime_ns for p in before}, (
        "what has not changed is not drawn again"
    )
    for name in chapters.NOTEBOOKS:
        own, page = (
            project / "book/executed" / folder / f"{name}.ipynb" for folder in ("", "smoke")
        )
        assert own.read_text().count("image/png") == page.read_text().count("image/png")
        assert (
            "../../results" not in page.read_text() and "Run smoke, published" in page.read_text()
        )
    left = store.Run("smoke").tables / "of-another-time.csv"
    left.write_text("a\n1\n")
    assert cli.main(["publish", "--profile", "smoke"]) == 0, "publishing again replaces it"
    left.unlink()
    own, there = ({path.name for path in r.tables.glob("*.csv")} for r in (store.Run("smoke"), run))
    assert own == there, "what no chapter links is not published"
    assert (project / "_toc.yml").read_text().count("book/executed/smoke/") == len(
        chapters.NOTEBOOKS
    )
    toc = yaml.safe_load((project / "_toc.yml").read_text())
    toc["parts"] = [p for p in toc["parts"] if "/ham" not in p["chapters"][0]["file"]]
    (project / "_toc.yml").write_text(yaml.safe_dump(toc))
    for other in set(reference.published()) - {run}:  # they were built above
        shutil.rmtree(other.root)
        shutil.rmtree(project / "book/executed" / other.name)
    assert site.build() == [], "a strict build with the published run as a part of its own"
    folder = project / "_build/html/book"
    assert 'id="smoke-fig7"' in (folder / "executed/smoke/04_generation.html").read_text()
    assert "Published run smoke" in (folder / "status.html").read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"extras": "false"}, "parameter extras should be bool, got str 'false'"),
        ({"sead": 3}, "unknown parameter 'sead'; known: profile, data, seed, extras"),
    ],
)
def test_plain_papermill_refuses_wrong_parameters(project, given, message):
    body = 'from skinsynth.project import session\ns = session.start("01_data", globals())'
    write_notebook(project, "01_data", body, "raise SystemExit('work was done')")
    source, target = project / "notebooks" / "01_data.ipynb", project / "out.ipynb"
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        options = {"kernel_name": "python3", "progress_bar": False}
        papermill.execute_notebook(str(source), str(target), given, **options)
    assert caught.value.ename == "UserError" and message in caught.value.evalue
    assert not (project / "results").exists()
