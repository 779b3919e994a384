"""The site's own pages, made from results: front page, table of items, ledger, status."""

import os
import tomllib
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
from ..project.markdown import of_frame, pairs, title, typeset
from .gates import FIGURES

ITEMS = tomllib.loads(
    Path(__file__).with_name("items.toml").read_text()
)  # {item: [words, notebook]}
BADGE = {"reproduced": "success", "not reproduced": "danger", "inconclusive": "warning"}
SHORT = 60  # letters of a note that fits into a table
MEASURED = ["way", "n", "value", "unit", "ratio", "note"]  # columns of a benchmark, and their heads
HEADS = ["Way", "n", "Value", "Unit", "First row is", "Note"]
FORMS = {"n": "{:,}", "Value": "{:.3g}", "First row is": "{:.2f}\u00a0\u00d7 as fast"}


def badge(verdict):
    return f"{{bdg-{BADGE.get(verdict, 'muted')}}}`{verdict}`"


def times(text, n):
    """A text, and how often it holds where that is more than once."""
    return text + (f"\u00a0×\u00a0{n}" if n > 1 else "")


def cell(text):
    """A text as it may stand in a table."""
    return text.replace("\n", " ").replace("|", "\\|")


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
    states: dict = field(default_factory=dict)  # of its notebooks; one that is no more is stale
    changed: tuple = ()  # files of the library that have changed since
    published: bool = False

    @property
    def name(self):
        return self.manifest["run"]

    @property
    def head(self):
        return f"On {images_of(self.manifest)}, run {self.name}"

    def link(self, item, text=""):
        return f"[{text or title(item)}](#{self.name + '-' if self.published else ''}{item})"

    def ledger(self):
        """The rows in the order of the paper's items."""
        return sorted(self.rows, key=lambda row: list(ITEMS).index(row["item"]))

    def verdict(self, claim):
        """Badge of the verdict on a claim, by its id."""
        return next((badge(row["verdict"]) for row in self.rows if row["id"] == claim), "–")

    def verdicts(self, item):
        """Badges of an item's verdicts, with their numbers."""
        count = Counter(r["verdict"] for r in self.rows if r["item"] == item)
        return " ".join(times(badge(v), n) for v, n in sorted(count.items())) or "no claim"

    def tally(self, verdict):
        """Number of statements with a verdict, and links to their items."""
        items = Counter(r["item"] for r in self.rows if r["verdict"] == verdict)
        links = ", ".join(times(self.link(item), n) for item, n in items.items())
        return f"**{items.total()}**" + (f": {links}" if items else "")

    def file(self, name):
        """A link, for a page in book/, to a file in the folder of the run."""
        path = os.path.relpath(self.run.root / name, chapters.project_root() / "book")
        return f"{{download}}`{name} <{path}>`"


def thumbnails(run, folder):
    """Write a small picture of each figure, {item: file name}; what is cut away shows less of a wide figure."""
    found = {}
    for n in FIGURES:
        for file in sorted(run.figures.glob(f"fig{n:02d}*.png"))[:1]:
            found[f"fig{n}"] = f"fig{n}.png"
            with Image.open(file) as picture, store.atomic(folder / f"fig{n}.png") as part:
                small = ImageOps.fit(picture.convert("RGB"), (192, 120), centering=(0, 0))
                small.quantize(64).save(part, optimize=True)
    return found


def benchmarks():
    """Every table of measured speed and memory in bench/results; "" where there is none."""
    files, book = sorted((chapters.project_root() / "bench" / "results").glob("*.csv")), None
    measured = [text for path in files if path.stem != "book" for text in _measured(path)]
    for path in (p for p in files if p.stem == "book"):
        seconds = pd.read_csv(path, dtype={"commit": str}).drop(columns="device")
        seconds = seconds.rename(columns=str.capitalize)
        book = of_frame(seconds, dict.fromkeys(seconds.select_dtypes("number"), "{:.0f}"))
    return render("benchmarks.md", book=book, measured=measured) if files else ""


def _measured(path):
    """Paragraphs about a file of a benchmark: its tables, with their notes where these are long."""
    found = pd.read_csv(path)
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


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.globals |= dict(ITEMS=ITEMS, NETWORKS=NETWORKS, VERDICTS=VERDICTS, benchmarks=benchmarks)
TEMPLATES.filters |= dict(badge=badge, cell=cell, commit=commit_of, finding=finding)
TEMPLATES.filters |= dict(images=images_of, named=title, pairs=pairs, typeset=typeset)
TEMPLATES.filters |= dict(quoted="`{}`".format, reason=reason)


def render(name, **given):
    """A template filled in."""
    return TEMPLATES.get_template(name).render(**given) + "\n"


def page(name, runs, thumbs=()):
    """Text of a page: "summary" (what holds here, on what data), "items" (the twenty, with thumbs: {item: file}),
    "claims" (the ledger of each run), "weights" (other people's networks) or "status" (notebooks, versions,
    machine). runs: published ones first, this build's last, with the others' verdicts beside its own.
    """
    return render(f"{name}.md", runs=runs, here=runs[-1], thumbs=thumbs)
