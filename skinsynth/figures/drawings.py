"""What a figure is drawn from: a table, tiles and words on disk, so that it can be drawn again."""

import base64
import inspect
import json

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

from ..core.errors import UserError
from ..core.store import atomic, read_json, write_csv, write_json
from ..diffusion import architecture
from . import grids, plots

_FUNCTIONS = (architecture.draw, grids.grid, grids.slider)
_FUNCTIONS += (plots.curves, plots.forest, plots.heatmaps, plots.panels, plots.scatter)
DRAWINGS = {function.__name__: function for function in _FUNCTIONS}


def keep(folder, name, draw, data=None, images=None, photographs=False, **words):
    """Write what a drawing needs into a folder: `<name>.csv`, source/`<name>.png` and source/`<name>.json`.

    draw: a function that returns the figure; it is given those of data and images that it takes, and
    the words. images: rows of uint8 images (H,W[,3]) of one size, None for a gap; photographs: bool,
    which of them show a photograph or a picture that a model made of one, broadcast to (rows, columns).
    """
    plain = json.dumps(words, default=lambda number: number.tolist())
    recipe = dict(draw=draw.__name__, words=json.loads(plain))
    if data is not None:
        write_csv(folder / f"{name}.csv", data)
    if images is not None:
        columns = max(map(len, images))
        cells = [[*row, *[None] * (columns - len(row))] for row in images]
        blank = next(np.full_like(grids.frame(im), 255) for im in sum(cells, []) if im is not None)
        gaps = np.array([[im is None for im in row] for row in cells])
        flags = np.broadcast_to(photographs, gaps.shape) & ~gaps
        places = dict(gaps=np.argwhere(gaps).tolist(), photographs=np.argwhere(flags).tolist())
        recipe["tiles"] = dict(rows=len(cells), columns=columns, withheld=[], **places)
        pictures = [[blank if im is None else grids.frame(im) for im in row] for row in cells]
        write_tiles(folder, name, np.array(pictures))
    write_json(folder / "source" / f"{name}.json", recipe)


def write_tiles(folder, name, pictures):
    """Write uint8 images (rows, columns, H, W, 3) as one picture, source/`<name>.png`."""
    whole = np.concatenate([np.concatenate(list(row), 1) for row in pictures])
    with atomic(folder / "source" / f"{name}.png") as part:
        Image.fromarray(whole).save(part, optimize=True)


def tiles(folder, name):
    """Array of a drawing's images, uint8 (rows, columns, H, W, 3); a gap is white."""
    shape = read_json(folder / "source" / f"{name}.json")["tiles"]
    with Image.open(folder / "source" / f"{name}.png") as picture:
        whole = np.asarray(picture.convert("RGB"))
    height, width = whole.shape[0] // shape["rows"], whole.shape[1] // shape["columns"]
    return whole.reshape(shape["rows"], height, shape["columns"], width, 3).swapaxes(1, 2)


def draw(folder, name, function=None):
    """The figure, from the files that `keep` wrote; function: by default the one of DRAWINGS of that name.

    Raises UserError on a recipe that names another.
    """
    recipe = read_json(folder / "source" / f"{name}.json")
    function = function or DRAWINGS.get(recipe["draw"])
    if function is None:
        wrong = f"drawn by {recipe['draw']!r}, which is not in drawings.DRAWINGS"
        raise UserError(f"{folder / 'source' / name}.json: {wrong}")
    given = dict(recipe["words"])
    if shape := recipe.get("tiles"):
        given["images"] = [list(row) for row in tiles(folder, name)]
        for r, c in shape["gaps"]:
            given["images"][r][c] = None
        for r, c in shape["withheld"]:
            flagged = [r, c] in shape["photographs"]
            given["images"][r][c] = grids.WITHHELD if flagged else grids.TOO_LIKE
    if "data" in inspect.signature(function).parameters:
        given["data"] = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, na_values=[""])
    return function(**given)


def shown(folder, name, figure=None):
    """(MIME bundle, its metadata) of a drawn figure for display on a page: its file, or the slider itself."""
    mark = {"skinsynth": {"figure": name}}
    if isinstance(figure, grids.FrameSlider):
        seen = {"text/html": figure._repr_html_(), "image/png": grids.png(figure.strip)}
        return seen | {"text/plain": name}, mark
    with Image.open(folder / f"{name}.png") as picture:
        size = {"width": round(picture.width * 100 / grids.DPI)}  # CSS pixels
    png = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
    return {"image/png": png, "text/plain": name}, mark | {"image/png": size}


def save(folder, name, function=None):
    """Draw a figure from its files into `<name>.png`; returns it, closed where it is matplotlib's."""
    figure = draw(folder, name, function)
    with atomic(folder / f"{name}.png") as part:
        figure.savefig(part)
    if hasattr(figure, "get_dpi"):
        plt.close(figure)
    return figure
