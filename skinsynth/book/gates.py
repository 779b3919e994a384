"""What must hold before a book is shown: each function yields one line a problem."""

import json
import re
from functools import cache
from urllib.parse import unquote, urldefrag

import nbformat
from bs4 import BeautifulSoup

MACHINE_PATH = re.compile(
    r"(?<![\w.])/(home|Users|root|tmp|private|work|mnt|opt|srv|scratch|var)/\w.*"
)
INLINE = re.compile(r"data:image/[^\"')]+")  # base64 may spell anything
FIGURES, TABLES = range(1, 15), range(1, 7)


def _texts(output):
    """Texts of an output that a reader sees."""
    yield INLINE.sub("", output.get("text", ""))
    for kind, value in output.get("data", {}).items():
        if not kind.startswith("image/"):
            yield INLINE.sub("", value if isinstance(value, str) else json.dumps(value))


def _output_problems(output):
    if output.output_type == "error":
        yield f"error {output.ename}"
    if output.get("name") == "stderr":
        yield f"writes to stderr: {output.text.strip()[:80]!r}"
    if any("widget" in kind for kind in output.get("data", {})):
        yield "widget output"
    for text in _texts(output):
        if match := MACHINE_PATH.search(text):
            yield f"path of this machine in an output: {match[0][:60]!r}"


def notebook_problems(path):
    """An executed notebook: run whole, no errors, no stderr, nothing of the machine in it."""
    book = nbformat.read(path, 4)
    if "papermill" not in book.metadata:
        yield f"{path.name}: not executed by papermill"
        return
    if book.metadata.get("widgets"):
        yield f"{path.name}: widget state is stored; it is blank without a kernel"
    for i, cell in enumerate(book.cells):
        where = f"{path.name}, cell {i}"
        if "papermill-error-cell-tag" in cell.metadata.get("tags", []):
            yield f"{where}: error marker of papermill"
        if cell.cell_type != "code":
            continue
        state = cell.metadata.get("papermill", {}).get("status")
        if state != "completed" or (cell.source.strip() and cell.execution_count is None):
            yield f"{where}: not completed ({state})"
        for output in cell.outputs:
            yield from (f"{where}: {problem}" for problem in _output_problems(output))


@cache
def _page(path):
    return BeautifulSoup(path.read_text(), "html.parser")


@cache
def _anchors(path):
    return {tag["id"] for tag in _page(path).select("[id]")} | {"", "top"}


def html_pages(site):
    """The pages of a site, without those of its scripts."""
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)


def page_problems(site):
    """A built site: alt text on each image, no broken local link, no request that leaves it."""
    _page.cache_clear()
    _anchors.cache_clear()
    for path in html_pages(site):
        where, page = path.relative_to(site), _page(path)
        for image in page.select("img"):
            alt = image.get("alt", "")
            if not alt or alt.endswith((".png", ".svg", ".jpg")):
                yield f"{where}: image without alt text: {image.get('src', '')[:60]}"
        for tag in page.select("a[href], img[src], script[src], link[href]"):
            address = tag.get("href") or tag.get("src")
            leaves = re.match(r"(https?:)?//", address) and tag.get("rel") != ["canonical"]
            if leaves and tag.name != "a":
                yield f"{where}: a request leaves the page: {address[:80]}"
            yield from (f"{where}: {p}" for p in _broken(path, address))


def _broken(path, address):
    """Problems of one local address seen from a page."""
    if re.match(r"[a-z][a-z0-9+.-]*:|//", address):
        return
    file, anchor = urldefrag(address)
    target = (path.parent / unquote(file.split("?")[0])).resolve() if file else path
    if not target.exists():
        yield f"broken link {address[:80]}"
    elif anchor and target.suffix == ".html" and unquote(anchor) not in _anchors(target):
        yield f"link to a missing anchor {address[:80]}"


def weights(site):
    """{page: MB of it with the scripts, styles and pictures that it names}; fonts come on top."""
    found = {}
    for path in html_pages(site):
        tags = _page(path).select("script[src], link[rel=stylesheet], img[src]")
        names = {(t.get("src") or t.get("href")).split("?")[0] for t in tags}
        named = {(path.parent / unquote(n)).resolve() for n in names if not n.startswith("data:")}
        found[str(path.relative_to(site))] = sum(p.stat().st_size for p in {path, *named}) / 1e6
    return found


def total(folder):
    """MB of all files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def contract_problems(run):
    """A results folder: fourteen figures, six tables, the ledger and the manifest."""
    wanted = [f"figures/fig{n:02d}*.png" for n in FIGURES]
    wanted += [f"tables/table{n}.csv" for n in TABLES] + ["claims.json", "manifest.json"]
    for pattern in wanted:
        if not any(run.root.glob(pattern)):
            yield f"results/{run.name}: {pattern.replace('*', '')} is missing"
