"""Parameters are checked before any work, and results go where the contract says."""

import base64
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tqdm
from conftest import write_notebook
from matplotlib import pyplot as plt

from skinsynth.core import store
from skinsynth.core.config import PROFILES
from skinsynth.core.errors import UserError
from skinsynth.figures import drawings, grids, plots
from skinsynth.numerics import stats
from skinsynth.project import chapters, markdown, session

PLAIN = {"profile": "smoke", "data": "", "seed": 0, "extras": False}
VAE = PLAIN | {"vae_steps": 0}


@pytest.fixture
def shown(monkeypatch):
    """What the notebook would display: [(data, metadata), ...]."""
    found = []
    monkeypatch.setattr(
        "IPython.display.display",
        lambda data, metadata=None, raw=False: found.append((data, metadata)),
    )
    return found


def test_defaults_are_read_as_literals(project):
    assert chapters.declared_parameters("02_vae") == VAE | {"profile": "micro"}


@pytest.mark.parametrize("body", ["x = int(3)", "x, y = 1, 2", "import os"])
def test_parameters_cell_takes_literals_only(project, body):
    path = project / "notebooks" / "02_vae.ipynb"
    path.write_text(path.read_text().replace("vae_steps = 0", body))
    with pytest.raises(UserError, match="literals"):
        chapters.declared_parameters("02_vae")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"extras": "false"}, "extras should be bool, got str 'false'"),
        ({"vae_steps": 2.5}, "vae_steps should be int"),
        ({"vae_steps": True}, "vae_steps should be int"),
        ({"profile": "macro"}, "unknown profile 'macro'; choose one of: smoke"),
        ({"profile": "ham64"}, "reads HAM10000"),
        ({"data": "nowhere"}, "nowhere: no such data folder"),
    ],
)
def test_wrong_values_stop_at_the_start(project, changed, message):
    with pytest.raises(UserError, match=message):
        session.start("02_vae", VAE | changed)
    assert not (project / "results").exists()


def test_unknown_name_through_plain_papermill_stops(project):
    injected = {"In": ["", "profile = 'micro'", "# Parameters\nvae_stepz = 3\n"], "vae_stepz": 3}
    with pytest.raises(UserError, match="unknown parameter 'vae_stepz'; known: profile"):
        session.start("02_vae", VAE | injected)


def test_zero_means_as_the_profile_says_and_overrides_reach_downstream(project):
    assert session.start("02_vae", VAE).cfg.vae_steps == PROFILES["smoke"].vae_steps
    assert session.start("02_vae", VAE | {"vae_steps": 7, "seed": 3}).cfg.vae_steps == 7
    later = session.start("04_generation", PLAIN | {"guidance": 5, "seed": 4})
    assert (later.cfg.vae_steps, later.cfg.guidance, later.cfg.seed) == (7, 5.0, 4)
    assert session.start("01_data", PLAIN).cfg.vae_steps != 7  # upstream of 02: not reached


def test_only_the_runner_writes_to_a_published_run(project, monkeypatch):
    assert session.start("01_data", PLAIN).run.name == "scratch-smoke"
    monkeypatch.setenv("SKINSYNTH_RUN", "smoke")
    assert session.start("01_data", PLAIN).run.name == "smoke"


def test_data_folder_is_found_from_the_project_and_names_the_run(project, monkeypatch):
    (project / "somewhere" / "ham10000").mkdir(parents=True)
    opened = session.start("01_data", PLAIN | {"data": "somewhere"})
    assert opened.run.name == "scratch-smoke-ham" and opened.source.startswith("HAM10000")
    monkeypatch.setenv("SKINSYNTH_DATA", str(project / "somewhere"))
    assert session.start("01_data", PLAIN).cfg.data == opened.cfg.data


def test_figure_is_drawn_from_its_files_and_shows_exactly_that(project, shown):
    opened, others = session.start("02_vae", VAE), plt.get_fignums()
    opened.figure(
        "fig05",
        plots.curves,
        data=pd.DataFrame({"x": [1 / 3, 1], "y": [1, 2]}),
        x="x",
        y="y",
        size=(3, 2),
    )
    file = opened.run.figures / "fig05.png"
    assert base64.b64decode(shown[0][0]["image/png"]) == file.read_bytes()
    assert shown[0][1]["image/png"]["width"] == 300 and shown[0][1]["skinsynth"] == {
        "figure": "fig05"
    }
    assert file.with_suffix(".csv").read_text() == "x,y\n0.333333,1\n1,2\n"
    assert plt.get_fignums() == others, "closed"
    before = file.read_bytes()
    drawings.save(opened.run.figures, "fig05")
    assert file.read_bytes() == before
    file.with_suffix(".csv").write_text("x,y\n0,1\n1,9\n")
    drawings.save(opened.run.figures, "fig05")
    assert file.read_bytes() != before


def test_tiles_and_labels_come_back_from_disk(project, shown):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), dtype=np.uint8)
    rows = [[*images[0]], [images[1, 0], None, images[1, 2, ..., 0] > 99]]
    given = dict(
        images=rows,
        rows=("a", "b"),
        columns=np.arange(3),
        photographs=[[False], [True]],
        data=pd.DataFrame({"n": [1]}),
    )
    opened = session.start("02_vae", VAE)
    opened.figure("fig05", grids.grid, **given)
    recipe = store.read_json(opened.run.figures / "source/fig05.json")
    assert recipe["tiles"]["photographs"] == [], "on the phantom nothing is a photograph"
    real = replace(opened, cfg=replace(opened.cfg, data="of photographs"))
    real.figure("fig05", grids.grid, **given)
    recipe = store.read_json(opened.run.figures / "source/fig05.json")
    assert recipe["tiles"]["photographs"] == [[1, 0], [1, 2]] and recipe["tiles"]["gaps"] == [
        [1, 1]
    ]
    found = drawings.tiles(opened.run.figures, "fig05")
    assert np.array_equal(found[0], images[0]) and np.array_equal(found[1, 0], images[1, 0])
    assert set(np.unique(found[1, 2])) == {0, 255} and recipe["words"] == {
        "rows": ["a", "b"],
        "columns": [0, 1, 2],
    }
    store.write_json(opened.run.figures / "source/fig05.json", recipe | {"draw": "exec"})
    with pytest.raises(UserError, match="fig05.json: drawn by 'exec', which is not in"):
        drawings.draw(opened.run.figures, "fig05")


def test_table_writes_csv_and_labelled_myst(project, shown):
    opened = session.start("02_vae", VAE)
    frame = pd.DataFrame({"model": ["4ch", "a|b"], "MSE": [0.012345678, np.nan], "n": [100, 7]})
    opened.table("table1", frame, "Errors.", fmt={"MSE": "{:.3f}"})
    myst = shown[0][0]["text/markdown"]
    assert ":name: table1" in myst and "**Table 1.** Errors." in myst
    assert "| 4ch | 0.012 | 100 |" in myst and "| a\\|b | – | 7 |" in myst
    assert "0.0123457" in (opened.run.tables / "table1.csv").read_text()
    assert "<table>" in shown[0][0]["text/html"]  # what JupyterLab shows
    joined = frame.assign(**{"MSE low": 0.01, "MSE high": 0.0149})
    assert "| 4ch | 0.0123<br>[0.0100,\u00a00.0149] | 100 |" in markdown.of_frame(joined)
    assert "| 4ch | 0.012<br>[0.010,\u00a00.015] | 100 |" in markdown.of_frame(
        joined, {"MSE": "{:.3f}"}
    )
    wide = frame.assign(**{"MSE": 30.279, "MSE low": -30.1, "MSE high": 30.44})
    assert "| 30<br>[\u221230,\u00a030] |" in markdown.of_frame(wide)
    nothing = frame.assign(**{"MSE": -0.0003, "MSE low": -0.011, "MSE high": 0.010})
    assert "| 4ch | 0.000<br>[\u22120.011,\u00a00.010] |" in markdown.of_frame(nothing)
    with pytest.raises(ValueError, match="lacks"):
        opened.table("table1", frame, "Errors.", fmt={"MSEE": "{}"})


def test_a_table_of_many_columns_reaches_into_the_margin(project, shown):
    opened = session.start("02_vae", VAE)
    for columns in (session.WIDE, session.WIDE + 1):
        opened.table("more", pd.DataFrame([dict.fromkeys("abcdefgh"[:columns], 1)]), "Many.")
    assert ["full-width" in s[0]["text/markdown"] for s in shown if "Many." in str(s)] == [
        False,
        True,
    ]


def test_a_table_of_long_numbers_reaches_into_the_margin(project, shown):
    """Five columns, of which the intervals do not break: they were cut off at the text's width."""
    opened = session.start("02_vae", VAE)
    for size in (1.0, 1e-5):
        row = {
            f"{c}{end}": k * size
            for c in "abcde"
            for k, end in ((1, ""), (0.9, " low"), (1.1, " high"))
        }
        opened.table("long", pd.DataFrame([row]), "Long.")
    assert ["full-width" in s[0]["text/markdown"] for s in shown if "Long." in str(s)] == [
        False,
        True,
    ]


def test_numbers_in_sentences_have_a_file_that_the_footer_links(project, shown):
    s = session.start("02_vae", VAE)
    for seen in (1, 2_540_729):  # a cell that is run again says it again
        s.numbers({"pairs": seen, "share": stats.wilson(3, 4)})
    found = pd.read_csv(s.run.tables / "numbers-02_vae.csv")
    assert list(found.what) == ["pairs", "share"] and found.value.tolist() == [2_540_729, 0.75]
    assert (
        found.low[1] == pytest.approx(stats.wilson(3, 4).low)
        and found.n[1] == 4
        and pd.isna(found.low[0])
    )
    s.footer()
    assert (
        "Numbers in the sentences" in shown[-2][0]["text/markdown"]
        and "numbers-02_vae.csv" in shown[-2][0]["text/markdown"]
    )


def test_a_cell_run_again_in_any_order_writes_and_shows_the_same(project, shown, capsys):
    kept, drawn = {}, pd.DataFrame({"x": [0, 1], "y": [1, 2], "y low": [0, 1], "y high": [2, 3]})

    def begin():
        kept["s"] = session.start("02_vae", VAE)

    cells = [
        begin,
        lambda: kept["s"].figure("loss", plots.curves, data=drawn, x="x", y="y", size=(3, 2)),
        lambda: kept["s"].figure("fig05", plots.curves, data=drawn, x="x", y="y", size=(3, 2)),
        lambda: kept["s"].table("table1", drawn, "Errors."),
        lambda: kept["s"].table("more", drawn, "More."),
        lambda: kept["s"].numbers({"a": 1}),
        lambda: kept["s"].numbers({"b": stats.wilson(3, 4)}),
        lambda: kept["s"].evidence("table1-mse", stats.Estimate(-0.2, -0.3, -0.1, 9), "again"),
        lambda: kept["s"].table("hidden", drawn, "Not shown.", shown=False),
        lambda: kept["s"].figure(
            "dots", plots.curves, data=drawn, x="x", y="y", size=(3, 2), shown=False
        ),
        lambda: kept["s"].findings("Down by -2.", "One run.", "64 pixels."),
        lambda: kept["s"].results("fig5"),
        lambda: kept["s"].results("table1"),
        lambda: kept["s"].footer(),
    ]

    def execute(cell):
        shown.clear()
        cell()
        return str(shown), capsys.readouterr().out

    def files():
        return {p: p.read_bytes() for p in project.rglob("*") if p.is_file()}

    first, written = [execute(cell) for cell in cells], files()
    for order in (
        reversed(range(len(cells))),
        (0, 13, 6, 5, 0, 9, 7, 8, 1, 13, 12, 11, 10, 4, 3, 2),
    ):
        for i in order:
            assert execute(cells[i]) == first[i] and files() == written, i


def test_what_is_not_shown_is_written_and_linked_in_the_footer(project, shown):
    s, frame = session.start("02_vae", VAE), pd.DataFrame({"x": [0, 1], "y": [1, 2]})
    s.table("table1a", frame, "Errors.", shown=False)
    s.figure("fig05b", plots.curves, data=frame, x="x", y="y", size=(3, 2), shown=False)
    assert shown == [] and (s.run.tables / "table1a.csv").exists()
    assert (s.run.figures / "fig05b.png").exists() and (s.run.figures / "fig05b.csv").exists()
    s.footer()
    assert "table1a.csv" in (said := shown[0][0]["text/markdown"]) and "fig05b.png" in said


def test_a_figure_and_a_table_of_one_name_are_refused(project, shown):
    s, frame = session.start("02_vae", VAE), pd.DataFrame({"x": [0, 1], "y": [1, 2]})
    s.table("worst", frame, "Errors.", shown=False)
    with pytest.raises(ValueError, match="worst: names a figure and a table"):
        s.figure("worst", plots.curves, data=frame, x="x", y="y", size=(3, 2), shown=False)
    s.footer()
    assert shown[0][0]["text/markdown"].count("worst.csv") == 2, "once as a name, once as a path"


def test_the_footer_leaves_seconds_to_the_status_page(project, shown):
    session.start("02_vae", VAE).footer()
    assert "Provenance" in (said := shown[-1][0]["text/markdown"]) and "second" not in said


def test_findings_are_three_sentences_that_a_page_knows(project, shown):
    session.start("02_vae", VAE).findings("Down by -2e-05.", "n = 7 of 5 lesions.", "64 pixels.")
    (data, about) = shown[0]
    said = data["text/markdown"]
    heads = [said.index(f"**{head}.**") for head in ("Found", "How sure", "Limits")]
    assert heads == sorted(heads) and about == {"skinsynth": {"findings": True}}
    assert (
        "\u22122" in said and "n\u00a0=\u00a07" in said and "<p><strong>Found" in data["text/html"]
    )


def test_evidence_hands_on_margin_and_trainings(project):
    s = session.start("02_vae", VAE)
    s.evidence("table1-mse", stats.Estimate(-0.2, -0.3, -0.1, 9), margin=0.01, seeds=3)
    found = store.read_json(s.run.root / "evidence/table1-mse.json")
    assert (found["margin"], found["seeds"]) == (0.01, 3)
    s.evidence("table1-mse", [], measure=(True, "A chapter planted it."))
    found = store.read_json(s.run.root / "evidence/table1-mse.json")
    assert found["sight"] == [True, "A chapter planted it."]


def test_results_of_a_question_of_our_own_have_no_place_in_the_paper(project, shown):
    session.start("02_vae", VAE).results("endpoint")
    assert "Our own question" in (said := shown[0][0]["text/markdown"]) and "doi" not in said


def test_results_link_every_file_of_the_item_and_no_other(project, shown):
    opened = session.start("04_generation", PLAIN | {"guidance": 0.0})
    for name in ("fig01.png", "fig10.png", "fig10.csv", "fig10a.png"):
        (opened.run.figures / name).write_text("")
    opened.results("fig10")
    myst = shown[0][0]["text/markdown"]
    for name in ("fig10.png", "fig10.csv", "fig10a.png"):
        assert f"{{download}}`{name} <../../results/{opened.run.name}/figures/{name}>`" in myst
    assert "fig01" not in myst and "(https://doi.org/10.1371/journal.pone.0331404.g010)" in myst
    assert markdown.paper_address("table6").endswith("0331404.t006")


def test_quiet_silences_every_bar(monkeypatch, capsys):
    monkeypatch.setattr(tqdm.tqdm, "__init__", tqdm.tqdm.__init__)
    session.quiet()
    assert list(tqdm.tqdm(range(3), disable=False)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("word", ["short", "phantom test images, spherical"])
def test_a_legend_is_never_wider_than_its_figure(word):
    grids.use_style()
    names = [f"{word} {k}" for k in range(4)]
    table = pd.DataFrame(dict(x=[0, 1] * 4, y=[0, 1] * 4, by=np.repeat(names, 2)))
    figure = plots.curves(table, "x", "y", by="by")
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert [t.get_text() for t in legend.get_texts()] == names
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width


def test_grid_keeps_pixels_and_slider_is_whole(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    figure = grids.grid([[image, None], [image, image]], rows=["a", "b"], columns=["c", "d"])
    figure.savefig(tmp_path / "grid.png", dpi=grids.DPI)
    drawn = (plt.imread(tmp_path / "grid.png")[..., :3] * 255).round().astype(np.uint8)
    height, width = drawn.shape[:2]
    for axes in (figure.axes[0], figure.axes[3]):
        place = axes.get_position()
        x, y = round(place.x0 * width), round(height - place.y1 * height)
        zoom = round(place.width * width) // 16
        block = drawn[y : y + 16 * zoom, x : x + 16 * zoom]
        assert zoom > 5 and np.array_equal(block, image.repeat(zoom, 0).repeat(zoom, 1))
    with pytest.raises(ValueError, match="uint8"):
        grids.grid([[image / 255]])
    slider = grids.FrameSlider([image, image], "guidance", [1, 3.5], alt="noise")
    html = slider._repr_html_()
    assert html.count("<img") == 2 and 'alt="noise, guidance 3.5"' in html and "http" not in html


def test_a_notebook_without_the_tag_is_named(project):
    book = write_notebook(project, "03_diffusion", "print(1)")
    path = project / "notebooks" / "03_diffusion.ipynb"
    assert book.cells[1].metadata.tags == ["parameters"]
    path.write_text(path.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(
        UserError, match="03_diffusion.ipynb: needs one cell tagged 'parameters', has 0"
    ):
        chapters.declared_parameters("03_diffusion")
