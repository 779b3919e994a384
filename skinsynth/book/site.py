"""The site: a strict build from a clean folder, and the gates."""

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import nbformat
from PIL import Image

from ..core import store
from ..core.errors import UserError
from ..project import chapters, ledger
from ..project import run as runner
from . import gates, pages, reference

SOURCES = ("_config.yml", "_toc.yml", "index.md", "book")
COMMAND = "from jupyter_book.cli.main import main; main()"
NEEDED = {  # what a page has that needs them: files of the theme and its extensions
    'id="search-results"': ("searchtools.js", "language_data.js", "searchindex.js"),
    'class="math': ("katex.min.js", "auto-render.min.js", "katex_autorenderer.js"),
    'class="sd-': ("sphinx-design.min.css", "design-tabs.js"),
}
INLINE = re.compile(r"data:image/png;base64,([\w+/=]+)")


def write_pages(run, root):
    """Write book/generated/*.md from the run's results and the published ones, and its claims.json."""
    rows, whole = ledger.evaluate(run), runner.manifest(run)
    shown = [
        (p, runner.manifest(p), runner.status(p, root=root), reference.changed_since(p))
        for p in reference.published(root)
    ]
    others = [(ledger.recorded(p.root / "claims.json"), manifest) for p, manifest, *_ in shown]
    made = {
        "summary": pages.summary(rows, whole, others),
        "items": pages.items(
            rows, whole, pages.thumbnails(run, root / "book" / "generated"), others
        ),
        "claims": pages.claims(
            [
                *((p, *known) for (p, *_), known in zip(shown, others, strict=True)),
                (run, rows, whole),
            ]
        ),
        "weights": pages.weights(),
        "status": pages.status(run, whole, runner.status(run, root=root), shown),
    }
    for name, text in made.items():
        with store.atomic(root / "book" / "generated" / f"{name}.md") as part:
            part.write_text(text)


def fingerprint(run, root):
    """Hash of all that the site is built from."""
    sources = [
        p for s in SOURCES for p in ([root / s] if (root / s).is_file() else (root / s).rglob("*"))
    ]
    sources += [*run.figures.glob("*"), *run.tables.glob("*"), run.root / "manifest.json"]
    sources += sorted((store.PACKAGE / "book").glob("*.py"))
    total = hashlib.sha256()
    for path in sorted(p for p in sources if p.is_file() and "__pycache__" not in p.parts):
        total.update(os.path.relpath(path, root).encode() + path.read_bytes())
    return total.hexdigest()


def last_run(root):
    """The run whose notebooks lie in book/executed; raises UserError where there is none."""
    path = root / "book" / "executed" / "run.json"
    if not path.exists():
        raise UserError("no executed notebooks in book/executed: run `skinsynth run` first")
    return store.read_json(path)["run"]


def build(name="", pdf=False, root=None, say=print):
    """Build and check the site of a run; returns the problems found, one line each.

    name: the run, "" for the one executed last. The strict build starts from an empty _build and is
    left out where nothing changed since the last good one. Raises UserError without notebooks.
    """
    root = Path(root or chapters.project_root())
    if version("jupyter-book").split(".")[0] != "1":
        raise UserError(f"jupyter-book {version('jupyter-book')}: this book needs version 1")
    run = store.Run(name or last_run(root))
    site, stamp = root / "_build" / "html", root / "_build" / "built"
    with (
        store.locked(store.results_root() / ".book.lock"),
        runner.environment(SKINSYNTH_ROOT=str(root)),
    ):
        missing = [
            n for n in chapters.NOTEBOOKS if not (run.root / "executed" / f"{n}.ipynb").exists()
        ]
        if missing:
            raise UserError(f"run {run.name} lacks {', '.join(missing)}: run `skinsynth run` first")
        runner.publish(run, root)
        problems = reference.pages(root)
        problems += [
            f"{p.name}/{x}"
            for p in reference.published(root)
            for x in reference.picture_problems(p)
        ]
        write_pages(run, root)
        problems += gates.contract_problems(run)
        problems += [f"{n}: {s}" for n, s in runner.status(run, root=root).items() if s == "failed"]
        for page in sorted((root / "book" / "executed").glob("*.ipynb")):
            problems += gates.notebook_problems(page)
        now = fingerprint(run, root)
        if not problems and stamp.exists() and stamp.read_text() == now:
            say(f"site is up to date: {site / 'index.html'}")
        elif not problems:
            shutil.rmtree(root / "_build", ignore_errors=True)
            problems = strict_build(root)
            if not problems:
                lighten(site)
                problems = list(gates.page_problems(site))
            if not problems:
                stamp.write_text(now)
                page, most = max(gates.weights(site).items(), key=lambda item: item[1])
                say(
                    f"site built: {site / 'index.html'}, {gates.total(site):.0f} MB; the heaviest page is {page}, {most:.1f} MB"
                )
        if pdf and not problems:
            say(f"printed: {print_pdf(root)}")
    return problems


def strict_build(root, builder="html"):
    """Run jupyter-book on the project, a warning being an error; returns these, one a line."""
    order = [sys.executable, "-c", COMMAND, "build", str(root), "-W", "-n", "--keep-going", "-q"]
    done = subprocess.run([*order, "--builder", builder], capture_output=True, text=True)
    if not done.returncode:
        return []
    lines = [x.replace(f"{root}/", "") for x in (done.stdout + done.stderr).splitlines()]
    wrong = [x for x in lines if "WARNING" in x or "ERROR" in x or "Error" in x]
    return wrong or [f"jupyter-book ended with {done.returncode}: {' '.join(lines[-3:])}"]


def lighten(site):
    """Leave out of a built site what no reader needs, so that a page is there at once, on a phone too.

    Maps of the theme's scripts; its icons as a script, which its style has as a font too; scripts and styles
    on pages that have no use for them; in notebooks for download the pictures, which the pages themselves
    have. Pictures become WebP, pixel by pixel the same.
    """
    for path in [
        p for pattern in ("*.map", "*.ttf", "fontawesome.js") for p in site.rglob(pattern)
    ]:
        path.unlink()
    for path in (site / "_sources").rglob("*.ipynb"):
        page = nbformat.read(path, as_version=4)
        for output in (o for cell in page.cells for o in cell.get("outputs", ())):
            output.get("data", {}).pop("image/png", None)
        nbformat.write(page, path)
    with ThreadPoolExecutor() as threads:
        list(threads.map(_picture, (site / "_images").glob("*.png")))
        list(threads.map(_page, site.rglob("*.html")))


def _webp(file):
    """A picture file as lossless WebP, in bytes."""
    made = io.BytesIO()
    with Image.open(file) as picture:
        picture.save(
            made, "WEBP", lossless=True, exact=True, quality=50, method=1
        )  # as small, a third faster
    return made.getvalue()


def _picture(path):
    path.with_suffix(".webp").write_bytes(_webp(path))
    path.unlink()


def _page(path):
    text = path.read_text()
    unused = [
        "fontawesome.js",
        *(name for part, names in NEEDED.items() if part not in text for name in names),
    ]
    named = rf'[^>]*["/]({"|".join(map(re.escape, unused))})["?][^>]*>'
    text = re.sub(f"<script{named}</script>|<link{named}", "", text)
    text = re.sub(r'((?:src|href)="[^"]*_images/[^"]*)\.png"', r'\1.webp"', text)
    path.write_text(
        INLINE.sub(
            lambda m: (
                "data:image/webp;base64,"
                + base64.b64encode(_webp(io.BytesIO(base64.b64decode(m[1])))).decode()
            ),
            text,
        )
    )


def print_pdf(root):
    """Print the one-page book by headless Chromium to _build/skinsynth.pdf."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if not browser:
        raise UserError("printing needs Chromium: install the package chromium and run again")
    if wrong := strict_build(root, "singlehtml"):
        raise UserError(f"the one-page build failed: {wrong[0]}")
    page, target = root / "_build" / "singlehtml" / "index.html", root / "_build" / "skinsynth.pdf"
    order = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    done = subprocess.run([*order, f"--print-to-pdf={target}", page.as_uri()], capture_output=True)
    if done.returncode or not target.exists():
        raise UserError(f"{browser} could not print {page.name}: exit code {done.returncode}")
    return target
