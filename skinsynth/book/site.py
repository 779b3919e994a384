"""The site: a strict build from a clean folder, and the gates."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version

from ..core import code, store
from ..core.errors import UserError
from ..project import chapters, ledger, state
from ..project import run as runner
from . import front, gates, heads, pages, reference, tell
from .lighten import lighten

SOURCES = ("_config.yml", "_toc.yml", "index.md", "book")
COMMAND = "from jupyter_book.cli.main import main; main()"


def shown(run):
    """The published runs and this one as pages show them, this one last; writes its claims.json."""
    runs = []
    for other in reference.published():
        rows, changed = ledger.recorded(other.root / "claims.json"), reference.changed_since(other)
        known = state.manifest(other), state.status(other), changed
        runs.append(pages.Shown(other, rows, *known, published=True))
    return [*runs, pages.Shown(run, ledger.evaluate(run), state.manifest(run), state.status(run))]


def write_pages(runs):
    """Write book/generated/*.md and a ZIP of each run's tables from the runs as they are shown."""
    folder, run = chapters.project_root() / "book" / "generated", runs[-1].run
    files = front.pictures(runs, folder)
    for known in runs:
        pack_tables(known.run, folder / f"tables-{known.name}.zip")
    tell.write(run, folder / "tell.md")
    for name in ("summary", "rule", "command", "items", "claims", "weights", "profiles", "status"):
        with store.atomic(folder / f"{name}.md") as part:
            part.write_text(pages.page(name, runs, files))


def pack_tables(run, target):
    """Write all tables of a run, and what its figures are drawn from as tables, into one ZIP; the same tables, the same bytes."""
    with store.atomic(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted([*run.tables.glob("*.csv"), *run.figures.glob("*.csv")]):
            name = zipfile.ZipInfo(f"{run.name}/{path.parent.name}/{path.name}")
            packed.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)


def fingerprint(run):
    """Hash of all that the site is built from."""
    root = chapters.project_root()
    sources = [*run.figures.glob("*"), *run.tables.glob("*"), run.root / "manifest.json"]
    for top in (*(root / name for name in SOURCES), code.PACKAGE / "book"):
        sources += [top] if top.is_file() else top.rglob("*")
    files = sorted(p for p in sources if p.is_file() and p.suffix != ".pyc")
    return code.digest([[os.path.relpath(p, root), code.digest(p.read_bytes())] for p in files])


def last_run():
    """The run whose notebooks lie in book/executed; raises UserError where there is none."""
    path = chapters.project_root() / "book" / "executed" / "run.json"
    if not path.exists():
        raise UserError("no executed notebooks in book/executed: run `skinsynth run` first")
    return store.read_json(path)["run"]


def build(name="", pdf=False, say=print):
    """Build and check the site of a run; returns the problems found, one line each.

    name: the run, "" for the one executed last. The strict build starts from an empty _build and is
    left out where nothing changed since the last good one. Raises UserError without notebooks.
    """
    root, found = chapters.project_root(), version("jupyter-book")
    if found.split(".")[0] != "1":
        raise UserError(f"jupyter-book {found}: this book needs version 1")
    run = store.Run(name or last_run())
    lock = store.locked(store.results_root() / ".book.lock")
    with lock, runner.environment(SKINSYNTH_ROOT=str(root)):
        there = {p.stem for p in (run.root / "executed").glob("*.ipynb")}
        if missing := [n for n in chapters.NOTEBOOKS if n not in there]:
            raise UserError(f"run {run.name} lacks {', '.join(missing)}: run `skinsynth run` first")
        problems = prepare(run)
        stamp, now = root / "_build" / "built", fingerprint(run)
        if not problems and stamp.exists() and stamp.read_text() == now:
            say(f"site is up to date: {root / '_build/html/index.html'}")
        elif not problems and not (problems := make(say)):
            stamp.write_text(now)
        if pdf and not problems:
            say(f"printed: {print_pdf()}")
    return problems


def prepare(run):
    """Write all that jupyter-book reads, from a run and the published ones; returns what is wrong with it."""
    runner.publish(run)
    problems = []
    for other in reference.published():
        problems += reference.write_chapters(other)
        problems += [f"{other.name}/{p}" for p in reference.picture_problems(other)]
    runs = shown(run)
    write_pages(runs)
    heads.dress(runs)
    problems += gates.contract_problems(run)
    problems += [f"{n}: {how}" for n, how in state.status(run).items() if how == "failed"]
    for notebook in chapters.NOTEBOOKS:
        page = chapters.project_root() / "book" / "executed" / f"{notebook}.ipynb"
        problems += gates.notebook_problems(page)
    return problems


def make(say=print):
    """Build the site anew from what `prepare` wrote; returns the problems found."""
    root = chapters.project_root()
    if (root / "_build").exists():
        shutil.rmtree(root / "_build")
    if problems := strict_build():
        return problems
    site = root / "_build" / "html"
    lighten(site)
    tell.leave_out(site)
    problems = list(gates.page_problems(site))
    if not problems:
        page, most = max(gates.weights(site).items(), key=lambda item: item[1])
        size = f"{gates.total(site):.0f} MB; the heaviest page is {page}, {most:.1f} MB"
        say(f"site built: {site / 'index.html'}, {size}")
    return problems


def strict_build(builder="html"):
    """Run jupyter-book on the project, a warning being an error; returns these, one a line."""
    root = str(chapters.project_root())
    order = [sys.executable, "-c", COMMAND, "build", root, "-W", "-n", "--keep-going", "-q"]
    done = subprocess.run([*order, "--builder", builder], capture_output=True, text=True)
    if not done.returncode:
        return []
    lines = [x.replace(f"{root}/", "") for x in (done.stdout + done.stderr).splitlines()]
    wrong = [x for x in lines if "WARNING" in x or "ERROR" in x or "Error" in x]
    return wrong or [f"jupyter-book ended with {done.returncode}: {' '.join(lines[-3:])}"]


def print_pdf():
    """Print the one-page book by headless Chromium to _build/skinsynth.pdf."""
    root, names = chapters.project_root(), ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if not browser:
        raise UserError("printing needs Chromium: install the package chromium and run again")
    if wrong := strict_build("singlehtml"):
        raise UserError(f"the one-page build failed: {wrong[0]}")
    page, target = root / "_build" / "singlehtml" / "index.html", root / "_build" / "skinsynth.pdf"
    order = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    done = subprocess.run([*order, f"--print-to-pdf={target}", page.as_uri()], capture_output=True)
    if done.returncode or not target.exists():
        raise UserError(f"{browser} could not print {page.name}: exit code {done.returncode}")
    return target
