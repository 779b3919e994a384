"""Published runs: what of a run may be shown without its data, and its chapters in the book."""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
import numpy as np

from ..core import store
from ..core.errors import UserError
from ..figures import drawings, grids
from ..numerics.arrays import load_array, records_of
from ..numerics.pixels import to_square
from ..project import chapters
from ..project import run as runner
from . import gates

LIMIT = 15e6  # bytes of a published run
DRAWN_BY = ("figures/drawings", "figures/plots", "figures/grids", "diffusion/architecture")
PICTURE = re.compile(r'"image/|data:image|<svg')
SAME = 30.0  # dB: a tile as near as this to a photograph is the photograph, or was made from it


@dataclass(frozen=True)
class Published(store.Run):
    """A run in book/reference: figures, tables, ledger and manifest, without stages and photographs."""

    @property
    def root(self):
        return chapters.project_root() / "book" / "reference" / self.name


def published(root):
    """The published runs, by name."""
    found = sorted((Path(root) / "book" / "reference").glob("[!.]*/manifest.json"))
    return [Published(path.parent.name) for path in found]


class Photographs:
    """All photographs of a run's data, to be recognised in any of their eight views.

    It imports every network, which no build of the site needs, so it does so late.
    """

    def __init__(self, run, cfg):
        from .. import recipe
        from ..evaluation import copies, panel

        made = recipe.records(run, cfg)
        images = load_array(made / "images.npy")
        other = load_array(recipe.clinical(run, cfg) / "images.npy")
        self.gallery = np.concatenate([self._small(images), self._small(other)])
        try:
            self.near = copies.checker(images, records_of(made), panel.Judge().embed)
        except UserError:  # a handful of photographs is too few to calibrate with
            self.near = None
        self.classes = records_of(made).dx.to_numpy()

    @staticmethod
    def _small(images):
        return (
            np.stack([to_square(x, 32) for x in images]).reshape(len(images), -1).astype(np.float32)
            / 255
        )

    def shown(self, images):
        """(N,) bool of square images: a photograph, what was made from one, or a copy by `copies`."""
        from ..evaluation.copies import sides

        if not len(images):
            return np.zeros(0, bool)
        own = (self.gallery**2).sum(1)
        error = np.full(len(images), np.inf)
        for view in sides(images):
            x = self._small(view)
            error = np.minimum(
                error, ((x**2).sum(1)[:, None] + own - 2 * x @ self.gallery.T).min(1)
            )
        found = -10 * np.log10(np.maximum(error / self.gallery.shape[1], 1e-10)) > SAME
        if self.near:
            score, match = self.near(images)
            found |= score > self.near.thresholds(self.classes[match])
        return found


def _copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _squares(picture):
    """The square images that lie side by side in a picture (H, W, 3); none where it is no row of them."""
    height, width = picture.shape[:2]
    return (
        picture.reshape(height, width // height, height, 3).swapaxes(0, 1)
        if width % height == 0
        else picture[None][:0]
    )


def _publish_drawing(folder, name, target, photographs):
    """Copy what a figure is drawn from, without photographs; returns the number of tiles withheld."""
    given = store.read_json(folder / "source" / f"{name}.json")
    if (table := folder / f"{name}.csv").exists():
        _copy(table, target / table.name)
    bad = set()
    if shape := given.get("tiles"):
        tiles = drawings.tiles(folder, name).copy()
        gaps = {tuple(place) for place in shape["gaps"]}
        bad = {tuple(place) for place in shape["photographs"]}
        for r, c in set(np.ndindex(tiles.shape[:2])) - gaps - bad:
            if photographs and photographs.shown(_squares(tiles[r, c])).any():
                bad.add((r, c))
        for place in bad:
            tiles[place] = 255
        shape["withheld"] = sorted(map(list, bad))
        drawings.write_tiles(target, name, tiles)
    store.write_json(target / "source" / f"{name}.json", given)
    return len(bad)


def _publish_page(path, name, target):
    """Copy an executed notebook without its pictures; they are drawn anew for each build."""
    page = nbformat.read(path, 4)
    link = re.compile(rf"<[^<>`]*/{re.escape(name)}/(tables|figures)/")  # wherever the results lay
    for i, cell in enumerate(page.cells):
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            figure["name"] = f"{name}-{figure['name']}"  # a name serves once in a book
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if mark := output.get("metadata", {}).get("skinsynth"):
                output["data"], output["metadata"] = (
                    {"text/plain": mark["figure"]},
                    {"skinsynth": mark},
                )
            elif "text/markdown" in data:
                text = link.sub(rf"<../../reference/{name}/\1/", data["text/markdown"])
                output["data"] = {"text/markdown": text.replace("\n:name: ", f"\n:name: {name}-")}
            if PICTURE.search(json.dumps(output)):
                raise UserError(
                    f"{path.name}, cell {i}: a picture that is not drawn by session.figure cannot be published"
                )
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(page, target)


def _listed(root, run):
    """Name a published run's chapters in _toc.yml, as a part of its own after the first."""
    path = root / "_toc.yml"
    text, files = (
        path.read_text(),
        [f"book/executed/{run.name}/{name}" for name in chapters.NOTEBOOKS],
    )
    if files[0] not in text:
        what = "HAM10000" if runner.manifest(run)["data"] != "phantom" else "the phantom"
        part = f"  - caption: The same on {what}, run {run.name}\n    chapters:\n" + "".join(
            f"      - file: {f}\n" for f in files
        )
        first = text.index("  - caption: ") + 1
        second = text.index("  - caption: ", first)
        with store.atomic(path) as temporary:
            temporary.write_text(text[:second] + part + text[second:])


def publish(run, cfg, root=None):
    """Write book/reference/<run> from a finished run; returns (folder, number of tiles withheld).

    Tables, what figures are drawn from, ledger, manifest and notebooks without pictures. Tiles that
    show a photograph, or anything too like one, are left out. Raises UserError where a notebook is not
    current, or the whole is too large.
    """
    root = Path(root or chapters.project_root())
    states = runner.status(run, cfg.data, root)
    if wrong := [f"{name} is {state}" for name, state in states.items() if state != "current"]:
        raise UserError(f"run {run.name} cannot be published: {', '.join(wrong)}; execute it first")
    final = Published(run.name).root
    part = final.with_name(f".{run.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for path in sorted(run.tables.glob("*.csv")):
        _copy(path, part / path.relative_to(run.root))
    # a notebook executed again finds its stages; what they took is told apart
    taken = sum(store.read_json(path)["seconds"] for path in run.stages.glob("*/stage.json"))
    store.write_json(part / "manifest.json", runner.manifest(run) | {"stage_seconds": round(taken)})
    from ..project.ledger import evaluate

    store.write_json(part / "claims.json", evaluate(run))
    photographs = Photographs(run, cfg) if cfg.real else None
    withheld = sum(
        _publish_drawing(run.figures, path.stem, part / "figures", photographs)
        for path in sorted((run.figures / "source").glob("*.json"))
    )
    for path in sorted((run.root / "executed").glob("*.ipynb")):
        _publish_page(path, run.name, part / "notebooks" / path.name)
    if (size := sum(p.stat().st_size for p in part.rglob("*") if p.is_file())) > LIMIT:
        raise UserError(
            f"run {run.name}: {size / 1e6:.0f} MB to publish, {LIMIT / 1e6:.0f} MB at most; see {part}"
        )
    shutil.rmtree(final, ignore_errors=True)
    os.replace(part, final)
    _listed(root, Published(run.name))
    return final, withheld


def changed_since(run):
    """Files of the library that differ from those that made a published run, by its manifest."""
    before, now = runner.manifest(run).get("library", {}), store.library_hashes()
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def redraw(run):
    """Draw every figure of a published run from its files, unless neither they nor the code have changed."""
    grids.use_style()
    names = sorted(p.stem for p in (run.figures / "source").glob("*.json"))
    total = hashlib.sha256("".join(store.library_hashes()[f"{m}.py"] for m in DRAWN_BY).encode())
    total.update((store.PACKAGE / "figures" / "style.mplstyle").read_bytes())
    for path in sorted(
        p
        for p in run.figures.rglob("*")
        if p.suffix in (".csv", ".json") or p.parent.name == "source"
    ):
        total.update(path.name.encode() + path.read_bytes())
    stamp = run.figures / "drawn.txt"
    if (
        stamp.exists()
        and stamp.read_text() == total.hexdigest()
        and all((run.figures / f"{n}.png").exists() for n in names)
    ):
        return
    for name in names:
        drawings.save(run.figures, name)
    stamp.write_text(total.hexdigest())


def note(run, state):
    """What stands at the top of each chapter of a published run."""
    whole = runner.manifest(run)
    changed = changed_since(run)
    stale = (
        ""
        if state == "current"
        else (
            "\n\n**Stale**: since this run the notebook or the library has changed"
            + (
                f" ({', '.join(f'`{n}`' for n in changed[:6])}{' and others' if len(changed) > 6 else ''})"
                if changed
                else ""
            )
            + ". The numbers are those of the commit named."
        )
    )
    if not (run.tables / "sight.csv").exists():
        stale += (
            " Its distances rest on small networks of our own (FD-micro, LPIPS-micro), which later turned out to be blind to blur: what it says of detail, "
            "colour, class and variety decides nothing, and [the ledger](../../claims.md) counts it as not testable."
        )
    kind = "warning" if stale else "note"
    return (
        f":::{{admonition}} Run {run.name}, published\n:class: {kind}\n\nMade on {whole['device']} at commit {whole['commit'][:12]}{' with local changes' if whole['dirty'] else ''}, "
        f"from {'drawn images' if whole['data'] == 'phantom' else 'HAM10000'}. Its pictures are drawn from the files of the run each time this book is built. "
        "Photographs, pictures that a model made directly from one, and samples too like one are not published: empty frames "
        f"stand in their place, and with a copy of the data the run draws them.{stale}\n:::\n"
    )


def _shown(folder, name):
    """(MIME bundle, metadata) of a redrawn figure; a slider whose photographs are withheld is a picture with its own alt text.

    A picture all of whose tiles are withheld is shown at half its width: there is nothing to see in it.
    """
    given = store.read_json(folder / "source" / f"{name}.json")
    shape = given.get("tiles") or {"withheld": []}
    if given["draw"] == "slider" and not shape["withheld"]:
        return drawings.shown(folder, name, drawings.draw(folder, name))
    bundle, about = drawings.shown(folder, name)
    if shape["withheld"] and len(shape["withheld"]) + len(shape["gaps"]) == np.prod(
        drawings.tiles(folder, name).shape[:2]
    ):
        about["image/png"]["width"] //= 2
    if given["draw"] != "slider":
        return bundle, about
    alt = escape(f"{given['words']['alt']}: empty frames, photographs are not published")
    return {
        "text/html": f'<img alt="{alt}" style="width:{about["image/png"]["width"]}px;max-width:100%" src="data:image/png;base64,{bundle["image/png"]}">',
        "text/plain": name,
    }, about


def pages(root):
    """Write the chapters of every published run to book/executed/<run>; returns their problems."""
    problems = []
    for run in published(root):
        redraw(run)
        states = runner.status(run, root=root)
        for path in sorted((run.root / "notebooks").glob("*.ipynb")):
            page = nbformat.read(path, 4)
            for output in (o for cell in page.cells for o in cell.get("outputs", [])):
                if name := output.get("metadata", {}).get("skinsynth", {}).get("figure"):
                    output["data"], output["metadata"] = map(
                        nbformat.from_dict, _shown(run.figures, name)
                    )
            page.cells.insert(
                1, nbformat.v4.new_markdown_cell(note(run, states.get(path.stem, "stale")), id="published")
            )
            target = Path(root) / "book" / "executed" / run.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with store.atomic(target) as part:
                nbformat.write(page, part)
            problems += [f"{run.name}/{p}" for p in gates.notebook_problems(target)]
    return problems


def picture_problems(run):
    """A published run: no picture in its notebooks, no tile where a photograph was."""
    for path in sorted((run.root / "notebooks").glob("*.ipynb")):
        text = path.read_text()
        if PICTURE.search(text):
            yield f"{path.name}: holds a picture; publish the run again"
    for path in sorted((run.figures / "source").glob("*.json")):
        shape = store.read_json(path).get("tiles", {})
        if missing := [p for p in shape.get("photographs", []) if p not in shape["withheld"]]:
            yield f"{path.name}: the photograph at {missing[0]} is not withheld; publish the run again"
        for r, c in shape.get("withheld", []):
            if (drawings.tiles(run.figures, path.stem)[r, c] != 255).any():
                yield f"{path.with_suffix('.png').name}: a withheld tile at {[r, c]} is not empty; publish the run again"
    for path in sorted(run.root.rglob("*")):
        if path.suffix in (".npy", ".safetensors", ".jpg", ".pt"):
            yield f"{path.name}: neither arrays nor weights belong in a published run"
