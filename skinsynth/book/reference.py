"""Published runs: what of a run may be shown without its data, and its chapters in the book."""

import json
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from html import escape

import nbformat
import numpy as np
import yaml

from ..core import code, store
from ..core.errors import UserError
from ..figures import drawings, grids
from ..project import chapters, ledger, state
from . import asked, gates, pages

LIMIT = 15e6  # bytes of a published run
DRAWN_BY = ("figures/", "diffusion/architecture.py")
PICTURE = re.compile(r'"image/|data:image|<svg')
PRIVATE = (".npy", ".safetensors", ".jpg", ".pt")  # neither arrays, weights nor photographs
GREY = "Grey: here stood an image too like a photograph, or one. It is not published."
NO_TILES = {"gaps": [], "photographs": [], "withheld": []}  # of a figure that is drawn from a table


@dataclass(frozen=True)
class Published(store.Run):
    """A run in book/reference: figures, tables, ledger and manifest, without stages and photographs."""

    @property
    def root(self):
        return chapters.project_root() / "book" / "reference" / self.name

    @property
    def notebooks(self):
        return sorted((self.root / "notebooks").glob("*.ipynb"))


def published():
    """The published runs, by name."""
    found = (chapters.project_root() / "book" / "reference").glob("[!.]*/manifest.json")
    return [Published(path.parent.name) for path in sorted(found)]


def recipes(folder):
    """What the figures of a folder are drawn from besides their tables, {name: recipe}; some have tiles."""
    paths = sorted((folder / "source").glob("*.json"))
    return {path.stem: store.read_json(path) for path in paths}


def _squares(picture):
    """The square images that lie side by side in a picture (H, W, 3); none where it is no row of them."""
    height, width = picture.shape[:2]
    if width % height:
        return picture[None][:0]
    return picture.reshape(height, width // height, height, 3).swapaxes(0, 1)


def _publish_drawing(folder, name, target, photographs):
    """Copy what a figure is drawn from, without photographs; returns the number of images withheld.

    Of a frame that holds several images side by side only those too like a photograph are, as `parts`.
    """
    given, bad, parts = store.read_json(folder / "source" / f"{name}.json"), set(), []
    if shape := given.get("tiles"):
        tiles = drawings.tiles(folder, name).copy()
        gaps = {tuple(place) for place in shape["gaps"]}
        bad = {tuple(place) for place in shape["photographs"]}
        for place in sorted(set(np.ndindex(tiles.shape[:2])) - gaps - bad if photographs else ()):
            squares = _squares(tiles[place])
            found = np.flatnonzero(photographs.shown(squares)).tolist()
            if len(squares) > 1:
                squares[found] = grids.EMPTY
                parts += [[*place, k] for k in found]
            elif found or not len(squares):  # of no known shape: nobody has looked at it
                bad.add(place)
        for place in bad:
            tiles[place] = 255
        shape |= dict(withheld=sorted(map(list, bad)), parts=parts)
        drawings.write_tiles(target, name, tiles)
    store.write_json(target / "source" / f"{name}.json", given)
    if (table := folder / f"{name}.csv").exists():
        shutil.copy(table, target)
    return len(bad) + len(parts)


def _publish_page(path, name, target):
    """Copy an executed notebook without its pictures; they are drawn anew for each build."""
    page = nbformat.read(path, 4)
    link = re.compile(rf"<[^<>`]*/{re.escape(name)}/(tables|figures)/")  # wherever the results lay
    for i, cell in enumerate(page.cells):
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](#", f"](#{name}-")
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            figure["name"] = f"{name}-{figure['name']}"  # a name serves once in a book
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            mark = output.get("metadata", {}).get("skinsynth", {})
            if "figure" in mark:
                output["data"] = {"text/plain": mark["figure"]}
                output["metadata"] = {"skinsynth": mark}
            elif "text/markdown" in data:
                text = link.sub(rf"<../../reference/{name}/\1/", data["text/markdown"])
                text = text.replace("](#", f"](#{name}-")
                output["data"] = {"text/markdown": text.replace("\n:name: ", f"\n:name: {name}-")}
            if PICTURE.search(json.dumps(output)):
                wrong = "a picture that is not drawn by session.figure cannot be published"
                raise UserError(f"{path.name}, cell {i}: {wrong}")
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(page, target)


def _listed(run):
    """Name the chapters that a published run has in _toc.yml, as a part of its own after the first."""
    path, folder = chapters.project_root() / "_toc.yml", f"book/executed/{run.name}/"
    toc, whole = yaml.safe_load(path.read_text()), state.manifest(run)
    caption = f"The same on {pages.images_of(whole)}, run {run.name}"
    files = [{"file": folder + page.stem} for page in run.notebooks]
    parts = [p for p in toc["parts"] if not p["chapters"][0]["file"].startswith(folder)]
    toc["parts"] = [parts[0], {"caption": caption, "chapters": files}, *parts[1:]]
    with store.atomic(path) as part:
        part.write_text(yaml.safe_dump(toc, sort_keys=False, width=1000))


def _stages(run, cfg):
    """What a run's stages took, and on which machines, longest first: a notebook executed again finds them, and a stage
    may have been made elsewhere."""
    made = [facts["path"] for facts in asked.stages(run, cfg).values() if facts["finished"]]
    taken = Counter()
    for facts in (store.read_json(path / "stage.json") for path in made):
        taken[facts["machine"]] += facts["seconds"]
    machines = {machine: round(seconds) for machine, seconds in taken.most_common()}
    return dict(stage_seconds=round(taken.total()), stage_machines=machines)


def publish(run, cfg):
    """Write book/reference/<run> from a finished run; returns (folder, number of tiles withheld).

    Tables, what figures are drawn from, ledger, manifest and notebooks without pictures. Tiles that
    show a photograph, or anything too like one, are left out. Raises UserError where a notebook is not
    current, or the whole is too large.
    """
    states = state.status(run, cfg.data)
    if wrong := [f"{name} is {how}" for name, how in states.items() if how != "current"]:
        raise UserError(f"run {run.name} cannot be published: {', '.join(wrong)}; execute it first")
    from .photographs import Photographs  # late: it imports every network, which no build needs

    final = Published(run.name)
    part = final.root.with_name(f".{run.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "tables").mkdir(parents=True)
    pages_of_run = [run.root / "executed" / f"{name}.ipynb" for name in states]
    linked = "".join(path.read_text() for path in pages_of_run)
    for path in run.tables.glob("*.csv"):
        if f"/tables/{path.name}" in linked:  # others are left from an earlier execution
            shutil.copy(path, part / "tables")
    whole = state.manifest(run)
    cfg, _ = chapters.configured(whole["profile"], cfg.data, pages.given(whole), chapters.present())
    store.write_json(part / "manifest.json", whole | _stages(run, cfg))
    store.write_json(part / "claims.json", ledger.evaluate(run))
    given = part / "figures", Photographs(run, cfg) if cfg.real else None
    withheld = sum(_publish_drawing(run.figures, name, *given) for name in recipes(run.figures))
    for path in pages_of_run:
        _publish_page(path, run.name, part / "notebooks" / path.name)
    if (size := gates.total(part) * 1e6) > LIMIT:
        most = f"{size / 1e6:.0f} MB to publish, {LIMIT / 1e6:.0f} MB at most"
        raise UserError(f"run {run.name}: {most}; see {part}")
    shutil.rmtree(final.root, ignore_errors=True)
    os.replace(part, final.root)
    _listed(final)
    return final.root, withheld


def changed_since(run):
    """Files of the library that differ from those that made a published run, by its manifest; code comes first."""
    whole = state.manifest(run)
    before, now = whole.get("library", {}), code.library_hashes(whole["profile"])
    changed = (name for name in {*before, *now} if before.get(name) != now.get(name))
    return sorted(changed, key=lambda name: (not name.endswith(".py"), name))


def redraw(run):
    """Draw every figure of a published run from its files, unless neither they nor the code have changed."""
    grids.use_style()
    names, stamp = recipes(run.figures), run.figures / "drawn.txt"
    given = [h for name, h in code.library_hashes(run.name).items() if name.startswith(DRAWN_BY)]
    files = sorted([*run.figures.glob("*.csv"), *(run.figures / "source").iterdir()])
    now = code.digest(given + [[p.name, code.digest(p.read_bytes())] for p in files])
    drawn = [stamp, *(run.figures / f"{name}.png" for name in names)]
    if all(path.exists() for path in drawn) and stamp.read_text() == now:
        return
    for name in names:
        drawings.save(run.figures, name)
    stamp.write_text(now)


def note(run, how):
    """What stands at the top of each chapter of a published run; how: "current" or another state."""
    whole = state.manifest(run)
    words = dict(manifest=whole, given=pages.given(whole), changed=changed_since(run))
    return pages.render("published.md", run=run, state=how, **words)


def _shown(folder, name):
    """(MIME bundle, metadata) of a redrawn figure; a slider all of whose frames are withheld is a picture with its own alt text.

    A picture all of whose tiles are withheld is shown at half its width: there is nothing to see in it.
    Where some are, a slider says what its grey squares are.
    """
    given = store.read_json(folder / "source" / f"{name}.json")
    slider, shape = given["draw"] == "slider", given.get("tiles", NO_TILES)
    some, shut = len(shape["withheld"]), shape.get("parts")
    empty = some and some + len(shape["gaps"]) == shape["rows"] * shape["columns"]
    figure = drawings.draw(folder, name) if slider and not empty else None
    bundle, about = drawings.shown(folder, name, figure)
    if slider and not empty and (some or shut):
        bundle["text/html"] += f"<p>{GREY}</p>"
    if empty:
        about["image/png"]["width"] //= 2
    if not (slider and empty):
        return bundle, about
    alt = escape(f"{given['words']['alt']}: empty frames, photographs are not published")
    look = f'style="width:{about["image/png"]["width"]}px;max-width:100%"'
    html = f'<img alt="{alt}" {look} src="data:image/png;base64,{bundle["image/png"]}">'
    return {"text/html": html, "text/plain": name}, about


def write_chapters(run):
    """Write the chapters of a published run to book/executed/<run>; yields their problems."""
    redraw(run)
    states = state.status(run)
    for path in run.notebooks:
        page = nbformat.read(path, 4)
        for output in (o for cell in page.cells for o in cell.get("outputs", [])):
            if name := output.get("metadata", {}).get("skinsynth", {}).get("figure"):
                found = map(nbformat.from_dict, _shown(run.figures, name))
                output["data"], output["metadata"] = found
        said = note(run, states.get(path.stem, "stale"))
        page.cells.insert(1, nbformat.v4.new_markdown_cell(said, id="published"))
        target = chapters.project_root() / "book" / "executed" / run.name / path.name
        with store.atomic(target) as part:
            nbformat.write(page, part)
        yield from (f"{run.name}/{p}" for p in gates.notebook_problems(target))


def picture_problems(run):
    """A published run: no picture in its notebooks, no tile where a photograph was."""
    for path in run.notebooks:
        if PICTURE.search(path.read_text()):
            yield f"{path.name}: holds a picture; publish the run again"
    for name, recipe in recipes(run.figures).items():
        shape = recipe.get("tiles", NO_TILES)
        if missing := [p for p in shape["photographs"] if p not in shape["withheld"]]:
            yield f"{name}.json: the photograph at {missing[0]} is not withheld; publish the run again"
        for r, c in shape["withheld"]:
            if (drawings.tiles(run.figures, name)[r, c] != 255).any():
                yield f"{name}.png: a withheld tile at {[r, c]} is not empty; publish the run again"
        for r, c, k in shape.get("parts", ()):
            if (_squares(drawings.tiles(run.figures, name)[r, c])[k] != grids.EMPTY).any():
                yield f"{name}.png: image {k} of {[r, c]} is not empty; publish the run again"
    for path in sorted(run.root.rglob("*")):
        if path.suffix in PRIVATE:
            yield f"{path.name}: neither arrays nor weights belong in a published run"
