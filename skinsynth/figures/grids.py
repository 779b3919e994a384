"""The look of every figure: class colours, grids with untouched pixels, intervals, sliders."""

import base64
import io
import json
from pathlib import Path

import jinja2
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Circle, Rectangle
from PIL import Image

CLASS_NAMES = {
    "akiec": "actinic keratosis, Bowen's disease",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic naevus",
    "vasc": "vascular lesion",
}
CLASS_COLORS = {  # Okabe and Ito: told apart by colour-blind readers
    "akiec": "#E69F00",
    "bcc": "#56B4E9",
    "bkl": "#009E73",
    "df": "#CC79A7",
    "mel": "#D55E00",
    "nv": "#0072B2",
    "vasc": "#444444",
}
DPI = 300  # of the files, as in style.mplstyle; pages show a third of it
PAGE = 7.6  # inches a page is wide
WITHHELD = "photograph,\nor made from one:\nnot published"  # stand for an image, and say why
TOO_LIKE = "too like a\nphotograph:\nnot published"
EMPTY = 238  # grey of a frame in whose place an image would be
HERE = Path(__file__).parent
SLIDER = jinja2.Template((HERE / "slider.html").read_text(), autoescape=True)


def use_style():
    """Apply the project's matplotlib style."""
    plt.style.use(HERE / "style.mplstyle")


def frame(image):
    """An image as uint8 RGB (H, W, 3); raises ValueError on floats, whose range is unknown."""
    image = np.asarray(image)
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(f"need a uint8 image (H, W[, 3]), got {image.dtype} {image.shape}")
    return np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image


def grid(images, rows=(), columns=(), cell=1.1, circles=()):
    """Figure of images, each pixel enlarged by one whole number and its colour untouched.

    images: sequence of rows, each a sequence of uint8 images (H, W, 3) or (H, W), None for a gap,
    WITHHELD or TOO_LIKE for one that may not be shown.
    rows, columns: labels (a line break is kept); cell: wanted side in inches; circles: regions to
    mark, each (row, column, x, y, radius) in pixels of the image. Returns a Figure.
    """
    wide = max(map(len, images))
    seen = [im for row in images for im in row if im is not None and not isinstance(im, str)]
    height, width = np.shape(seen[0])[:2] if seen else (64, 64)
    left = 18 + 20 * max((len(line) for r in rows for line in str(r).split("\n")), default=-1)
    top, gap = 51 * max((str(c).count("\n") + 1 for c in columns), default=0), 12
    room = min(cell * DPI, (PAGE * DPI - left) / wide - gap)
    zoom = max(1, int(room // width))
    w, h = zoom * width, zoom * height
    size = (left + wide * (w + gap), top + len(images) * (h + gap))
    figure = plt.figure(figsize=(size[0] / DPI, size[1] / DPI), layout="none")
    for r, row in enumerate(images):
        for c in range(wide):
            x, y = left + c * (w + gap), size[1] - top - (r + 1) * (h + gap) + gap
            axes = figure.add_axes((x / size[0], y / size[1], w / size[0], h / size[1]))
            marks = [mark[2:] for mark in circles if tuple(mark[:2]) == (r, c)]
            _cell(axes, row[c] if c < len(row) else None, marks)
            if r == 0 and c < len(columns):
                axes.set_title(columns[c], fontsize=8, loc="center", pad=2)
            if c == 0 and r < len(rows):
                words = dict(ha="right", va="center", fontsize=8, transform=axes.transAxes)
                axes.text(-18 / w, 0.5, rows[r], **words)
    return figure


def _cell(axes, image, marks):
    """Draw an image of a grid, with circles (x, y, radius) around the marked regions, or an empty frame."""
    axes.axis("off")
    if isinstance(image, str):
        place = axes.transAxes
        look = dict(facecolor="#EEEEEE", edgecolor="#888888", linewidth=0.6, transform=place)
        axes.add_patch(Rectangle((0, 0), 1, 1, **look))
        words = dict(ha="center", va="center", fontsize=4.2, color="#444444", transform=place)
        axes.text(0.5, 0.5, image, **words)
        return
    if image is not None:
        axes.imshow(frame(image), interpolation="none", aspect="auto")
    for x, y, radius in marks:
        ring = Circle((x, y), radius, fill=False, edgecolor="#D55E00", linewidth=1.4)
        axes.add_patch(ring)


def slider(images, label, values, alt, start=0):
    """FrameSlider over a row of frames, some of which may be withheld; where all are, a grid of empty frames."""
    seen = [image for image in images[0] if not isinstance(image, str)]
    if not seen:
        return grid(images, columns=values)
    blank = np.full_like(seen[0], EMPTY)
    frames = [blank if isinstance(image, str) else image for image in images[0]]
    return FrameSlider(frames, label, values, alt, start)


def png(image):
    """A uint8 image (H, W, 3) as a PNG file in base64."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


class FrameSlider:
    """A range control over ready-made images, without kernel and network; a strip where static.

    frames: uint8 images (H, W, 3) of one size; values: a name or number of each; alt: what is seen.
    """

    def __init__(self, frames, label, values, alt, start=0):
        if len(frames) != len(values) or not alt:
            raise ValueError(f"{len(frames)} frames, {len(values)} values; alt text {alt!r}")
        self.frames = [frame(f) for f in frames]
        self.label, self.alt, self.start = label, alt, start
        self.values = [v if isinstance(v, str) else f"{v:g}" for v in values]

    @property
    def strip(self):
        """All frames side by side, uint8 (H, W, 3)."""
        gaps = [np.pad(f, ((0, 0), (0, 4), (0, 0)), constant_values=255) for f in self.frames]
        return np.concatenate(gaps, 1)[:, :-4]

    def savefig(self, path):
        """Write the strip as PNG, enlarged by a whole number to about 200 pixels."""
        zoom = max(1, 200 // self.strip.shape[0])
        Image.fromarray(self.strip.repeat(zoom, 0).repeat(zoom, 1)).save(path)

    def _repr_html_(self):
        return SLIDER.render(slider=self, values=json.dumps(self.values), png=png)
