"""A built site without what no reader needs, so that a page is there at once, on a phone too."""

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor

import nbformat
from PIL import Image

UNUSED = ("*.map", "*.ttf", "fontawesome.js")  # maps of scripts; icons that its style has as a font
NEEDED = {  # what a page has that needs them: files of the theme and its extensions
    'id="search-results"': ("searchtools.js", "language_data.js", "searchindex.js"),
    'class="math': ("katex.min.js", "auto-render.min.js", "katex_autorenderer.js"),
    'class="sd-': ("sphinx-design.min.css", "design-tabs.js"),
}
INLINE = re.compile(r"data:image/png;base64,([\w+/=]+)")


def lighten(site):
    """Leave scripts and styles out of pages that have no use for them, and pictures out of notebooks for
    download, whose pages have them. Pictures become WebP, pixel by pixel the same.
    """
    for path in [p for pattern in UNUSED for p in site.rglob(pattern)]:
        path.unlink()
    for path in (site / "_sources").rglob("*.ipynb"):
        page = nbformat.read(path, as_version=4)
        for output in (o for cell in page.cells for o in cell.get("outputs", ())):
            data = output.get("data", {})
            data.pop("image/png", None)
            if "data:image" in data.get("text/html", ""):  # a slider
                del data["text/html"]
        nbformat.write(page, path)
    with ThreadPoolExecutor() as threads:
        list(threads.map(_picture, (site / "_images").glob("*.png")))
        list(threads.map(_page, site.rglob("*.html")))


def _webp(file):
    """A picture file as lossless WebP, in bytes: method 1 makes it as small, a third faster."""
    made = io.BytesIO()
    with Image.open(file) as picture:
        picture.save(made, "WEBP", lossless=True, exact=True, quality=50, method=1)
    return made.getvalue()


def _inline(match):
    small = _webp(io.BytesIO(base64.b64decode(match[1])))
    return "data:image/webp;base64," + base64.b64encode(small).decode()


def _picture(path):
    path.with_suffix(".webp").write_bytes(_webp(path))
    path.unlink()


def _page(path):
    text = path.read_text()
    unused = [name for part, names in NEEDED.items() if part not in text for name in names]
    named = rf'[^>]*["/]({"|".join(map(re.escape, [*unused, "fontawesome.js"]))})["?][^>]*>'
    text = re.sub(f"<script{named}</script>|<link{named}", "", text)
    text = re.sub(r'((?:src|href)="[^"]*_images/[^"]*)\.png"', r'\1.webp"', text)
    path.write_text(INLINE.sub(_inline, text))
