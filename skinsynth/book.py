"""The site: pages made from results, a strict build from a clean folder, and the gates."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from PIL import Image, ImageOps

from . import chapters, gates, store
from . import run as runner
from .claims import VERDICTS
from .errors import UserError

ITEMS = {  # item: (what it shows, notebook)
    "fig1": ("Architecture, drawn from the live modules", "03_clip"),
    "fig2": ("HAM10000: the seven classes and their counts", "01_data"),
    "fig3": ("Every layer of the CLIP image encoder, as colours", "03_clip"),
    "fig4": ("Interpolation, step by step", "05_interpolation"),
    "fig5": ("Reconstruction with 4 and 8 latent channels", "02_vae"),
    "fig6": ("Original, baseline and proposed for VASC and DF", "04_synthesis"),
    "fig7": ("Samples of all seven classes", "04_synthesis"),
    "fig8": ("PAD-UFES-20, and how far it lies from HAM10000", "04_synthesis"),
    "fig9": ("Ablation in pictures", "04_synthesis"),
    "fig10": ("Guidance: no class, and class at scale 1, 3, 5", "04_synthesis"),
    "fig11": ("Samples along the interpolation coefficient", "05_interpolation"),
    "fig12": ("CLIP space of random and interpolated samples", "05_interpolation"),
    "fig13": ("Failures, found by a score", "04_synthesis"),
    "fig14": ("DullRazor, step by step", "01_data"),
    "table1": ("Reconstruction error with 4 and 8 channels", "02_vae"),
    "table2": ("FID and IS, baseline against proposed", "04_synthesis"),
    "table3": ("Classification with real and synthetic images", "06_downstream"),
    "table4": ("The same classifiers on PAD-UFES-20, zero-shot", "06_downstream"),
    "table5": ("FID and IS of the ablation", "04_synthesis"),
    "table6": ("CLIP-space variance, random against interpolated", "05_interpolation"),
}
BADGE = {"reproduced": "success", "not reproduced": "danger", "inconclusive": "warning"}
SOURCES = ("_config.yml", "_toc.yml", "index.md", "book")
COMMAND = "from jupyter_book.cli.main import main; main()"


def title(item):
    """fig5 -> Fig 5."""
    return ("Fig\u00a0" if item.startswith("fig") else "Table\u00a0") + item.lstrip("figtable")


def badge(verdict):
    return f"{{bdg-{BADGE.get(verdict, 'muted')}}}`{verdict}`"


def thumbnails(run, folder):
    """Write a small picture of each figure, {item: file name}; what is cut away shows less of a wide figure."""
    found = {}
    for item in ITEMS:
        files = sorted(run.figures.glob(f"fig{int(item[3:]):02d}*.png")) if item.startswith("fig") else []
        if files:
            with Image.open(files[0]) as picture, store.atomic(folder / f"{item}.png") as part:
                small = ImageOps.fit(picture.convert("RGB"), (192, 120), centering=(0, 0))
                small.quantize(64).save(part, optimize=True)
            found[item] = f"{item}.png"
    return found


def items_page(rows, data, thumbs=None):
    """The table of the twenty items: number, picture, what it shows, notebook, verdicts, data."""
    lines = ["| Item | | What it shows | Notebook | Verdict | Data |", "|:--|:--|:--|:--|:--|:--|"]
    thumbs = thumbs or {}
    for item, (shows, notebook) in ITEMS.items():
        count = Counter(r["verdict"] for r in rows if r["item"] == item)
        said = " ".join(
            f"{badge(v)}" + (f" × {n}" if n > 1 else "") for v, n in sorted(count.items())
        )
        link = f"[{notebook[:2]}](book/executed/{notebook}.ipynb)"
        picture = f"![{title(item)}, small](book/generated/{thumbs[item]}){{width=96px}}" if item in thumbs else ""
        lines.append(
            f"| [{title(item)}](#{item}) | {picture} | {shows} | {link} | {said or 'no claim'} | {data} |"
        )
    return "\n".join(lines) + "\n"


def summary_page(rows, whole):
    """What holds here, in a few sentences, and on what data."""
    minutes = sum(n["seconds"] for n in whole["notebooks"].values()) / 60
    text = (
        f"This book was made by the run `{whole['run']}` (profile `{whole['profile']}`) on "
        f"{whole['device']}; its notebooks took {minutes:.1f} minutes. "
        f"The paper makes {len(rows)} statements that can be listed. What became of them here:\n"
    )
    if whole["data"] == "phantom":
        text += (
            "\n:::{warning}\nEvery picture and number of this run comes from the *phantom*: skin "
            "drawn by a program, with known truth. It shows whether the method does what is "
            "said of it where the answer is known. It says nothing about HAM10000 or patients.\n:::\n"
        )
    cards = []
    for verdict in VERDICTS:
        items = Counter(r["item"] for r in rows if r["verdict"] == verdict)
        links = ", ".join(f"[{title(i)}](#{i})" + (f" × {n}" if n > 1 else "") for i, n in items.items())
        cards.append(f":::{{grid-item-card}} {items.total()} {verdict}\n{links or 'none'}\n:::\n")
    return text + "\n::::{grid} 1 2 2 4\n:gutter: 2\n\n" + "".join(cards) + "::::\n"


def reference_verdicts(root):
    """{run: {claim: verdict}} of the published runs in book/reference."""
    found = sorted((root / "book" / "reference").glob("*/claims.json"))
    return {p.parent.name: {row["id"]: row["verdict"] for row in store.read_json(p)} for p in found}


def claims_page(rows, others=None):
    """The ledger as one table, in the order of the paper's items; others: verdicts of other runs."""
    from .claims import finding, reason

    others = others or {}
    heads = ["Item", "The paper says", "This run", "Verdict", *(f"Run {name}" for name in others)]
    lines = ["| " + " | ".join(heads) + " |", "|" + ":--|" * len(heads)]
    for row in sorted(rows, key=lambda r: list(ITEMS).index(r["item"])):
        known = row["paper_value"] != "not available"
        said = row["statement"] + (f" *{row['paper_value']}.*" if known else "")
        found = "" if row["value"] is None else f"{finding(row)}: {row['quantity']}. "
        link = f"[{title(row['item'])}](#{row['item']})"
        cells = [link, said, found + reason(row), badge(row["verdict"])]
        cells += [badge(verdicts[row["id"]]) if row["id"] in verdicts else "–" for verdicts in others.values()]
        lines.append(
            "| " + " | ".join(c.replace("\n", " ").replace("|", "\\|") for c in cells) + " |"
        )
    return "\n".join(lines) + "\n"


def status_page(run, whole, states):
    """Notebooks with state, seconds and commit; versions and machine; the manifest itself."""
    lines = [
        "| Notebook | State | Seconds | Commit | Parameters changed |",
        "|:--|:--|--:|:--|:--|",
    ]
    for name, entry in sorted(whole["notebooks"].items()):
        commit = entry["commit"][:12] + (" + local changes" if entry["dirty"] else "")
        given = ", ".join(f"{k} = {v}" for k, v in entry["parameters"].items()) or "none"
        link = f"[{name}](executed/{name}.ipynb)"
        lines.append(f"| {link} | {states[name]} | {entry['seconds']:.0f} | {commit} | {given} |")
    versions = [f"| {k} | {v} |" for k, v in sorted(whole["versions"].items())]
    machine = [f"| {k} | {whole[k]} |" for k in ("device", "platform", "data", "profile")]
    lines += ["", "| What | Value |", "|:--|:--|", *machine, *versions, ""]
    manifest = os.path.relpath(runner.manifest_path(run), chapters.project_root() / "book")
    ledger = os.path.relpath(run.root / "claims.json", chapters.project_root() / "book")
    lines.append(
        f"Files: {{download}}`manifest.json <{manifest}>`, {{download}}`claims.json <{ledger}>`."
    )
    return "\n".join(lines) + "\n"


def write_pages(run, root):
    """Write book/generated/*.md from the run's results, and its claims.json."""
    from . import claims

    rows, whole = claims.evaluate(run), runner.manifest(run)
    data = "phantom" if whole["data"] == "phantom" else "HAM10000"
    pages = {
        "summary": summary_page(rows, whole),
        "items": items_page(rows, data, thumbnails(run, root / "book" / "generated")),
        "claims": claims_page(rows, reference_verdicts(root)),
        "status": status_page(run, whole, runner.status(run, root=root)),
    }
    for name, text in pages.items():
        with store.atomic(root / "book" / "generated" / f"{name}.md") as part:
            part.write_text(text)


def fingerprint(run, root):
    """Hash of all that the site is built from."""
    sources = [
        p for s in SOURCES for p in ([root / s] if (root / s).is_file() else (root / s).rglob("*"))
    ]
    sources += [*run.figures.glob("*"), *run.tables.glob("*"), run.root / "manifest.json"]
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
        write_pages(run, root)
        problems = list(gates.contract_problems(run))
        problems += [f"{n}: {s}" for n, s in runner.status(run, root=root).items() if s == "failed"]
        for page in sorted((root / "book" / "executed").glob("*.ipynb")):
            problems += gates.notebook_problems(page)
        now = fingerprint(run, root)
        if not problems and stamp.exists() and stamp.read_text() == now:
            say(f"site is up to date: {site / 'index.html'}")
        elif not problems:
            shutil.rmtree(root / "_build", ignore_errors=True)
            problems = strict_build(root) or list(gates.page_problems(site))
            if not problems:
                stamp.write_text(now)
                say(f"site built: {site / 'index.html'}")
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
