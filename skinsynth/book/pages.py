"""The site's own pages, made from results: front page, table of items, ledger, status."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageOps

from ..core import store
from ..networks.table import NETWORKS
from ..project import chapters
from ..project.ledger import VERDICTS, finding, reason
from ..project.markdown import of_frame, pairs, table, title, typeset

ITEMS = {  # item: (what it shows, notebook)
    "fig1": ("Architecture, drawn from the live modules", "03_diffusion"),
    "fig2": ("HAM10000: the seven classes and their counts", "01_data"),
    "fig3": ("Every layer of the CLIP image encoder, as colours", "03_diffusion"),
    "fig4": ("Interpolation, step by step", "05_interpolation"),
    "fig5": ("Reconstruction with 4 and 8 latent channels", "02_vae"),
    "fig6": ("Original, baseline and proposed for VASC and DF", "04_generation"),
    "fig7": ("Samples of all seven classes", "04_generation"),
    "fig8": ("PAD-UFES-20, and how far it lies from HAM10000", "04_generation"),
    "fig9": ("Ablation in pictures", "04_generation"),
    "fig10": ("Guidance: no class, and class at scale 1, 3, 5", "04_generation"),
    "fig11": ("Samples along the interpolation coefficient", "05_interpolation"),
    "fig12": ("CLIP space of random and interpolated samples", "05_interpolation"),
    "fig13": ("Failures, found by a score", "04_generation"),
    "fig14": ("DullRazor, step by step", "01_data"),
    "table1": ("Reconstruction error with 4 and 8 channels", "02_vae"),
    "table2": ("Distance to the originals, baseline against proposed", "04_generation"),
    "table3": ("Classification with real and synthetic images", "06_downstream"),
    "table4": ("The same classifiers on PAD-UFES-20, zero-shot", "06_downstream"),
    "table5": ("Distance to the originals, the ablation", "04_generation"),
    "table6": ("CLIP-space variance, random against interpolated", "05_interpolation"),
}
BADGE = {"reproduced": "success", "not reproduced": "danger", "inconclusive": "warning"}
SHORT = 60  # letters of a note that fits into a table
MEASURED = ["way", "n", "value", "unit", "ratio", "note"]  # columns of a benchmark, and their heads
HEADS = ["Way", "n", "Value", "Unit", "First row is", "Note"]
FORMS = {"n": "{:,}", "Value": "{:.3g}", "First row is": "{:.2f}\u00a0\u00d7 as fast"}
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["quoted"] = "`{}`".format


def render(name, **given):
    """A template filled in."""
    return TEMPLATES.get_template(name).render(**given) + "\n"


def badge(verdict):
    return f"{{bdg-{BADGE.get(verdict, 'muted')}}}`{verdict}`"


def times(text, n):
    """A text, and how often it holds where that is more than once."""
    return text + (f"\u00a0×\u00a0{n}" if n > 1 else "")


def wide(lines):
    """A table as wide as the page."""
    return f"::::{{div}} full-width\n{lines}\n::::\n"


def commit_of(whole):
    """The commit in a manifest, or in its entry of a notebook."""
    return whole["commit"][:12] + (" with local changes" if whole["dirty"] else "")


def images_of(whole):
    """What the images of a manifest are, as a reader should read it."""
    return "the phantom" if whole["data"] == "phantom" else "HAM10000"


@dataclass(frozen=True)
class Shown:
    """A run as the pages show it: this build's, or a published one, whose labels begin with its name."""

    run: store.Run
    rows: list  # its ledger
    manifest: dict
    states: dict = field(default_factory=dict)  # of its notebooks
    changed: tuple = ()  # files of the library that have changed since
    published: bool = False

    @property
    def name(self):
        return self.manifest["run"]

    @property
    def images(self):
        return images_of(self.manifest)

    @property
    def head(self):
        return f"On {self.images}, run {self.name}"

    @property
    def commit(self):
        return commit_of(self.manifest)

    @property
    def minutes(self):
        return sum(n["seconds"] for n in self.manifest["notebooks"].values()) / 60

    def link(self, item, text):
        return f"[{text}](#{self.name + '-' if self.published else ''}{item})"

    def verdicts(self, item):
        """Badges of an item's verdicts, with their numbers."""
        count = Counter(r["verdict"] for r in self.rows if r["item"] == item)
        return " ".join(times(badge(v), n) for v, n in sorted(count.items())) or "no claim"

    def tally(self, verdict):
        """Number of statements with a verdict, and links to their items."""
        items = Counter(r["item"] for r in self.rows if r["verdict"] == verdict)
        links = ", ".join(times(self.link(i, title(i)), n) for i, n in items.items())
        return f"**{items.total()}**" + (f": {links}" if items else "")

    def file(self, name):
        """A link, for a page in book/, to a file in the folder of the run."""
        path = os.path.relpath(self.run.root / name, chapters.project_root() / "book")
        return f"{{download}}`{name} <{path}>`"

    def notebooks(self):
        """Table of the run's notebooks: state, seconds, commit, parameters; one that is no more is stale."""
        folder, rows = "executed" + (f"/{self.name}" if self.published else ""), []
        for name, entry in sorted(self.manifest["notebooks"].items()):
            link, state = f"[{name}]({folder}/{name}.ipynb)", self.states.get(name, "stale")
            made = commit_of(entry), pairs(entry["parameters"])
            rows.append([link, state, f"{entry['seconds']:.0f}", *made])
        heads = ["Notebook", "State", "Seconds", "Commit", "Parameters changed"]
        return table(heads, rows, [":--", ":--", "--:", ":--", ":--"])


def thumbnails(run, folder):
    """Write a small picture of each figure, {item: file name}; what is cut away shows less of a wide figure."""
    found = {}
    for item in (i for i in ITEMS if i.startswith("fig")):
        for file in sorted(run.figures.glob(f"fig{int(item[3:]):02d}*.png"))[:1]:
            with Image.open(file) as picture, store.atomic(folder / f"{item}.png") as part:
                small = ImageOps.fit(picture.convert("RGB"), (192, 120), centering=(0, 0))
                small.quantize(64).save(part, optimize=True)
            found[item] = f"{item}.png"
    return found


def items(runs, thumbs):
    """The table of the twenty items: number, picture, what it shows, notebook, a column of verdicts for each run."""
    rows = []
    for item, (shows, notebook) in ITEMS.items():
        small = f"![{title(item)}, small](book/generated/{thumbs.get(item)}){{width=96px}}"
        link = f"[{notebook[:2]}](book/executed/{notebook}.ipynb)"
        found = [f"{run.link(item, run.name)}: {run.verdicts(item)}" for run in runs]
        cells = [f"[{title(item)}](#{item})", small if item in thumbs else "", shows, link]
        rows.append(cells + found)
    return wide(table(["Item", "", "What it shows", "Notebook", *(r.head for r in runs)], rows))


def summary(runs):
    """What holds here: a table of verdicts with a column for each run, and on what data."""
    rows = [[badge(v), *(r.tally(v) for r in runs)] for v in VERDICTS]
    tally = table([f"{len(runs[-1].rows)} statements", *(r.head for r in runs)], rows)
    return render("summary.md", tally=tally, runs=runs, here=runs[-1])


def ledger(run, others=()):
    """The ledger of one run as a table, in the order of the paper's items; others: further columns of verdicts."""
    others = {f"Run {r.name}": {row["id"]: row["verdict"] for row in r.rows} for r in others}
    rows = []
    for row in sorted(run.rows, key=lambda r: list(ITEMS).index(r["item"])):
        paper = "" if row["paper_value"] == "not available" else f" *{row['paper_value']}.*"
        number, n = finding(row)
        found = f"**{number}**{n}:<br>{row['quantity']}.<br>" if n else ""
        link = run.link(row["item"], title(row["item"]))
        cells = [
            link,
            row["statement"] + paper,
            typeset(found + reason(row)),
            badge(row["verdict"]),
        ]
        known = [found.get(row["id"]) for found in others.values()]
        cells += [badge(verdict) if verdict else "–" for verdict in known]
        rows.append([cell.replace("\n", " ").replace("|", "\\|") for cell in cells])
    return wide(table(["Item", "The paper says", "This run", "Verdict", *others], rows))


def claims(runs):
    """The ledger of each run: published ones first, this build's last, with their verdicts beside its own."""
    parts = []
    for run in runs:
        made = "Published; made" if run.published else "Made"
        parts.append(f"## Run {run.name}: {run.images}\n")
        parts.append(f"{made} at commit {run.commit}. File: {run.file('claims.json')}.\n")
        parts.append(ledger(run, () if run.published else runs[:-1]))
    return "\n".join(parts)


def status(runs):
    """Notebooks with state, seconds and commit; versions and machine; the manifest itself; published runs."""
    measured = benchmarks(chapters.project_root() / "bench" / "results")
    return render("status.md", runs=runs, here=runs[-1], benchmarks=measured)


def benchmarks(folder):
    """Every table of measured speed and memory in a folder; "" where there is none."""
    files, book = sorted(folder.glob("*.csv")), None
    if (path := folder / "book.csv") in files:
        files.remove(path)
        seconds = pd.read_csv(path, dtype={"commit": str}).drop(columns="device")
        seconds = seconds.rename(columns=str.capitalize)
        book = of_frame(seconds, dict.fromkeys(seconds.select_dtypes("number"), "{:.0f}"))
    measured = [text for path in files for text in _measured(pd.read_csv(path))]
    return render("benchmarks.md", book=book, measured=measured) if book or measured else ""


def _measured(found):
    """Paragraphs about a file of a benchmark: its tables, with their notes where these are long."""
    for what, rows in found.groupby("what", sort=False):
        yield f"**{what[0].upper()}{what[1:]}**"
        notes = [typeset(note) for note in rows.note.dropna()]
        long = max(map(len, notes), default=0) > SHORT
        shown = rows[MEASURED].set_axis(HEADS, axis=1).drop(columns=["Note"] if long else [])
        shown = shown.dropna(axis=1, how="all")
        yield typeset(of_frame(shown, {k: form for k, form in FORMS.items() if k in shown}))
        if long:
            yield " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)
    yield f"Measured on {found.device.iloc[-1]} at commit {found.commit.iloc[-1]}."


def weights():
    """The table of other people's networks."""
    return render("weights.md", networks=NETWORKS.values())
