"""A published run holds no photograph, says when it is stale, and draws its figures from its files."""

import ast
import hashlib
import json
import shutil
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import yaml
from conftest import write_notebook
from PIL import Image

from skinsynth import phantom
from skinsynth.book import photographs, reference
from skinsynth.core import code, store
from skinsynth.core.config import CLASSES, PROFILES
from skinsynth.core.errors import UserError
from skinsynth.evaluation import copies
from skinsynth.figures import drawings, grids
from skinsynth.numerics.pixels import jpeg


def lesions(seed, n):
    return np.stack([phantom.dermatoscopy(seed, i, CLASSES[i % 7], 64).clean for i in range(n)])


@pytest.fixture
def gallery():
    """A search over 28 drawn lesions that stand for photographs, without calibration of copies."""
    images = lesions(1, 28)
    found = object.__new__(photographs.Photographs)
    found.gallery, found.near = found._small(images), None
    return found, images


def test_photographs_are_recognised_turned_and_coded_and_strangers_are_not(gallery):
    found, images = gallery
    assert found.shown(copies.planted(images)).all()
    assert not found.shown(lesions(2, 28)).any()

    class Near:
        """A search for copies in which the k-th image has score k."""

        def __call__(self, images):
            return np.arange(len(images)), np.zeros(len(images), int)

        def thresholds(self, classes):
            return np.full(len(classes), 20.0)

    found.near, found.classes = Near(), np.array(["nv"])
    assert found.shown(lesions(2, 28)).tolist() == [False] * 21 + [True] * 7, "copies are found too"


def test_a_real_run_is_published_without_photographs_or_not_at_all(project, monkeypatch, gallery):
    found, images = gallery
    run, cfg = store.Run("ham64"), replace(PROFILES["ham64"], data=str(project))
    drawings.keep(run.figures, "fig07", grids.grid, images=[[images[3], 255 - images[3]]])
    write_notebook(run.root, "01_data", folder="executed")
    store.write_json(run.root / "manifest.json", dict(profile="ham64", data="data", notebooks={}))
    first = {"caption": "first", "chapters": [{"file": "first"}]}
    (project / "_toc.yml").write_text(yaml.safe_dump({"root": "index", "parts": [first]}))
    states = {"01_data": "stale"}
    monkeypatch.setattr(reference.state, "status", lambda run, data: states)
    monkeypatch.setattr(reference.chapters, "configured", lambda *given: (cfg, {}))
    made = {k: dict(finished=True, path=run.stages / k) for k in ("a", "b")}
    for k, facts in made.items():
        store.write_json(facts["path"] / "stage.json", dict(seconds=60 + ord(k), machine=k))
    monkeypatch.setattr(reference.asked, "stages", lambda run, cfg: made)
    monkeypatch.setattr(reference.ledger, "evaluate", lambda run: {})
    monkeypatch.setattr(photographs, "Photographs", lambda run, cfg: found)
    with pytest.raises(UserError, match="ham64 cannot be published: 01_data is stale"):
        reference.publish(run, cfg)
    states["01_data"] = "current"
    root, withheld = reference.publish(run, cfg)
    whole = store.read_json(root / "manifest.json")
    assert (whole["stage_seconds"], whole["stage_machines"]) == (315, {"b": 158, "a": 157})
    drawn = root / "figures/source/fig07.json"
    assert withheld == 1 and store.read_json(drawn)["tiles"]["withheld"] == [[0, 0]]
    monkeypatch.setattr(reference, "LIMIT", 1)
    with pytest.raises(UserError, match="ham64: 0 MB to publish, 0 MB at most"):
        reference.publish(run, cfg)
    assert drawn.exists(), "what was published before stays"


def test_tiles_of_photographs_are_left_out_flagged_or_not(tmp_path, gallery):
    found, images = gallery
    own = np.random.default_rng(2).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    beside = np.concatenate([own[0], images[7]], 1)  # a frame of a slider: two squares in a row
    portrait = own[0][:, :40]  # of no shape that can be searched
    for name, rows, flags in (
        ("portrait", [[portrait]], False),
        (
            "grid",
            [[own[0], images[3], None], [own[1], own[2], jpeg(images[4:5], 80)[0]]],
            [[False], [True]],
        ),
        ("frames", [[np.concatenate([own[0], own[1]], 1), beside]], False),
    ):
        drawings.keep(tmp_path / "run", name, grids.grid, images=rows, photographs=flags)
        reference._publish_drawing(tmp_path / "run", name, tmp_path / "out", found)
    shape = store.read_json(tmp_path / "out/source/portrait.json")["tiles"]
    assert shape["withheld"] == [[0, 0]]
    shape = store.read_json(tmp_path / "out/source/grid.json")["tiles"]
    assert shape["withheld"] == [[0, 1], [1, 0], [1, 1], [1, 2]], (
        "the second row is flagged, [0, 1] is found"
    )
    tiles = drawings.tiles(tmp_path / "out", "grid")
    assert np.array_equal(tiles[0, 0], own[0]) and all(
        (tiles[r, c] == 255).all() for r, c in shape["withheld"]
    )
    shape = store.read_json(tmp_path / "out/source/frames.json")["tiles"]
    assert (shape["withheld"], shape["parts"]) == ([], [[0, 1, 1]]), (
        "only the one image of the frame"
    )
    frames = drawings.tiles(tmp_path / "out", "frames")
    assert np.array_equal(frames[0, 1][:, :64], own[0]) and (frames[0, 1][:, 64:] == 238).all()
    drawings.keep(
        tmp_path / "run",
        "two",
        grids.slider,
        images=[[images[0], own[0]]],
        photographs=True,
        label="x",
        values=["a", "b"],
        alt="Two & more",
    )
    reference._publish_drawing(tmp_path / "run", "two", tmp_path / "out", None)
    grids.use_style()
    drawings.save(tmp_path / "out", "two")
    html = reference._shown(tmp_path / "out", "two")[0]["text/html"]
    assert html.startswith('<img alt="Two &amp; more: empty frames, photographs are not published"')
    drawings.save(tmp_path / "out", "grid")
    before = np.asarray(Image.open(tmp_path / "out/grid.png").convert("RGB"))
    assert (before == 238).all(-1).sum() > 4 * 300**2 / 2, (
        "an empty frame stands in the place of each"
    )

    def width():
        return reference._shown(tmp_path / "out", "grid")[1]["image/png"]["width"]

    whole, path = width(), tmp_path / "out/source/grid.json"
    shape = store.read_json(path)
    shape["tiles"]["withheld"] = [[0, 0], [0, 1], [1, 0], [1, 1], [1, 2]]
    store.write_json(path, shape)
    assert whole == round(before.shape[1] / 3) and width() == whole // 2, "nothing but empty frames"


def test_a_withheld_image_says_why_and_leaves_the_slider(tmp_path):
    images = np.random.default_rng(3).integers(0, 200, (3, 8, 16, 3), dtype=np.uint8)
    words = dict(label="x", values=["a", "b", "c"], alt="Three")
    drawings.keep(tmp_path, "slider", grids.slider, images=[list(images)], **words)
    drawings.keep(tmp_path, "grid", grids.grid, images=[list(images)], photographs=[[1, 0, 0]])
    for name, withheld in (("slider", [[0, 1]]), ("grid", [[0, 0], [0, 2]])):
        path = tmp_path / f"source/{name}.json"
        recipe = store.read_json(path)
        recipe["tiles"]["withheld"] = withheld
        store.write_json(path, recipe)
        drawings.save(tmp_path, name)
    html = reference._shown(tmp_path, "slider")[0]["text/html"]
    assert html.count("<img") == 3 and "range" in html and html.endswith(f"<p>{reference.GREY}</p>")
    frames = drawings.draw(tmp_path, "slider").frames
    assert (frames[1] == 238).all() and np.array_equal(frames[2], images[2])
    said = [text.get_text() for axes in drawings.draw(tmp_path, "grid").axes for text in axes.texts]
    assert said == [grids.WITHHELD, grids.TOO_LIKE]


def test_gate_finds_planted_photographs(project):
    run = reference.Published("ham64")
    images = [[np.full((8, 8, 3), k, np.uint8) for k in (10, 20)]]
    drawings.keep(run.figures, "fig02", grids.grid, images=images, photographs=True)
    store.write_json(run.root / "manifest.json", {})
    (only,) = reference.picture_problems(run)
    assert "fig02.json: the photograph at [0, 0] is not withheld" in only
    path = run.figures / "source/fig02.json"
    recipe = store.read_json(path)
    recipe["tiles"]["withheld"] = [[0, 0], [0, 1]]
    store.write_json(path, recipe)
    assert sum("withheld tile" in p for p in reference.picture_problems(run)) == 2
    drawings.write_tiles(run.figures, "fig02", np.full((1, 2, 8, 8, 3), 255, np.uint8))
    assert list(reference.picture_problems(run)) == []
    pair = np.full((1, 1, 8, 16, 3), 20, np.uint8)
    drawings.keep(run.figures, "fig10a", grids.slider, images=[list(pair[0])])
    recipe = store.read_json(run.figures / "source/fig10a.json")
    recipe["tiles"]["parts"] = [[0, 0, 1]]
    store.write_json(run.figures / "source/fig10a.json", recipe)
    assert ["image 1 of [0, 0]" in p for p in reference.picture_problems(run)] == [True]
    pair[0, 0, :, 8:] = grids.EMPTY
    drawings.write_tiles(run.figures, "fig10a", pair)
    assert list(reference.picture_problems(run)) == []
    page = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                outputs=[nbformat.v4.new_output("display_data", {"image/png": "x"})]
            )
        ]
    )
    (run.root / "notebooks").mkdir()
    nbformat.write(page, run.root / "notebooks/01_data.ipynb")
    (run.root / "weights.safetensors").write_text("")
    assert [p.split(":")[0] for p in reference.picture_problems(run)] == [
        "01_data.ipynb",
        "weights.safetensors",
    ]
    store.write_json(run.root.with_name(".other.part") / "manifest.json", {})  # left by a failure
    assert [r.name for r in reference.published()] == ["ham64"]


@pytest.mark.parametrize(
    "data",
    [
        {"image/png": "x"},
        {"text/html": "<img src='data:image/png;base64,x'>"},
        {"text/html": "<svg/>"},
    ],
)
def test_a_picture_drawn_around_the_session_is_refused(tmp_path, data):
    output = nbformat.v4.new_output("display_data", data | {"text/plain": "a"})
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])]),
        tmp_path / "x.ipynb",
    )
    with pytest.raises(
        UserError, match="x.ipynb, cell 0: a picture that is not drawn by session.figure"
    ):
        reference._publish_page(tmp_path / "x.ipynb", "ham64", tmp_path / "out.ipynb")


def test_links_inside_a_published_chapter_stay_in_it(tmp_path):
    """The labels of both parts of the book differ by the run's name."""
    table = {"text/markdown": ":::{table} [Fig 1](#fig1)\n:name: table1\n\nx\n:::\n"}
    output = nbformat.v4.new_output("display_data", table | {"text/plain": "a"})
    cells = [
        nbformat.v4.new_markdown_cell("see [Table 1](#table1) and [](02_vae.ipynb)"),
        nbformat.v4.new_code_cell(outputs=[output]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    reference._publish_page(tmp_path / "x.ipynb", "ham64", tmp_path / "out.ipynb")
    text, code_cell = nbformat.read(tmp_path / "out.ipynb", 4).cells
    assert text.source == "see [Table 1](#ham64-table1) and [](02_vae.ipynb)"
    shown = code_cell.outputs[0].data["text/markdown"]
    assert "(#ham64-fig1)" in shown and ":name: ham64-table1" in shown


def test_stale_runs_name_what_changed(project):
    run = reference.Published("ham64")
    now = code.library_hashes("ham64")
    whole = dict(device="CPU", data="phantom", commit="0123456789abcdef", dirty=False, library=now)
    whole |= {"notebooks": {}, "profile": "ham64"}
    store.write_json(run.root / "manifest.json", whole)
    said = reference.note(run, "current")
    assert reference.changed_since(run) == [] and "Stale" not in said and "settings" not in said
    store.write_json(run.root / "manifest.json", whole | {"library": now | {"vae.py": "other"}})
    assert reference.changed_since(run) == ["vae.py"] and "(`vae.py`)" in reference.note(
        run, "stale"
    )
    both = now | {"vae.py": "other", "assets/card.json": "other"}
    store.write_json(run.root / "manifest.json", whole | {"library": both})
    assert reference.changed_since(run) == ["vae.py", "assets/card.json"], "code first"
    changed = {"notebooks": {"02_vae": {"parameters": {"vae_steps": 7}}}}
    store.write_json(run.root / "manifest.json", whole | changed)
    assert "than the profile's: vae_steps = 7." in reference.note(run, "current")


def test_a_published_run_is_listed_by_the_chapters_that_it_has(project):
    parts = [{"caption": what, "chapters": [{"file": what}]} for what in ("first", "last")]
    (project / "_toc.yml").write_text(yaml.safe_dump({"root": "index", "parts": parts}))
    run = reference.Published("ham64")
    store.write_json(run.root / "manifest.json", {"data": "data", "notebooks": {}})
    for names in (["01_data", "03_clip"], ["01_data", "03_diffusion"]):  # published, and once more
        shutil.rmtree(run.root / "notebooks", ignore_errors=True)
        for name in names:
            write_notebook(run.root, name)
        reference._listed(run)
        first, own, last = yaml.safe_load((project / "_toc.yml").read_text())["parts"]
        assert [first, last] == parts and own["caption"] == "The same on HAM10000, run ham64"
        assert own["chapters"] == [{"file": f"book/executed/ham64/{name}"} for name in names]


def test_hash_of_the_library_is_the_same_under_every_python():
    """Known hash of a known tree: it must not depend on how a version of Python prints trees."""
    tree = ast.parse('def f(x, *, y=1):\n    "prose"\n    return [x, f"{y:.2f}", None, -1.5]\n')
    text = json.dumps(code.without_prose(tree))
    assert "prose" not in text and text.count("Name") == 2 and '"-1.5"' not in text
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "6cb331c00341"
