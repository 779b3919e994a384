"""The site's own pages, made from results: front page, table of items, ledger, status."""

import os
import re
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import recipe
from ..core import config, store
from ..core.code import SETTINGS, library_hashes
from ..core.config import PROFILES
from ..networks.table import NETWORKS
from ..project import chapters
from ..project.ledger import MODELS, models_of
from ..project.markdown import of_frame, pairs, title, typeset
from ..project.verdicts import BLIND, CHANCE, DECIDED, OURS, UNTESTABLE, VERDICTS
from ..project.words import brief, covered, finding, power, reason, trainings
from . import beside
from .measured import paragraphs

# {item: [words, notebook]}
ITEMS = tomllib.loads(Path(__file__).with_name("items.toml").read_text())
BADGE = {"reproduced": "success", "not reproduced": "danger", "inconclusive": "warning"}
BADGE |= {"yes": "success", "no": "danger", "open": "warning"}  # on our own questions
TOPICS = ("reconstruction", "samples", "classifiers", "interpolation", "hair")
BASES = {"micro": "small bundled networks of our own in the layout of Stable Diffusion"}
BASES |= {"scratch": "networks of our own, trained from nothing"}  # else the name of the model
STEPS = {"autoencoders": "vae_steps", "denoisers": "unet_steps", "classifiers": "classify_steps"}


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


def given(whole):
    """{parameter: value} in a manifest that stand in place of its profile's."""
    entries = whole["notebooks"].values()
    return {k: v for entry in entries for k, v in entry.get("parameters", {}).items()}


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
    def drawn(self):
        """Whether the images are the phantom's."""
        return self.manifest["data"] == "phantom"

    @property
    def stale(self):
        """Whether the library or a notebook has changed since, so that the run may give other numbers now."""
        return any(state != "current" for state in self.states.values())

    @property
    def head(self):
        return f"On {images_of(self.manifest)}, run {self.name}"

    @property
    def tab(self):
        """What the switch between the runs says."""
        images = images_of(self.manifest)
        return f"{images[0].upper()}{images[1:]}: run {self.name}".replace("The p", "P")

    def link(self, item, text=""):
        return f"[{text or title(item)}](#{self.name + '-' if self.published else ''}{item})"

    def beside(self, row):
        """What has to be read beside a decided row, from the run's tables."""
        return beside.said(self, row) if row["verdict"] in DECIDED else ""

    def home(self, row):
        """A link to where the numbers of a ledger's row stand: the paper's item, or the chapter of our own question."""
        if row["kind"] != OURS:
            return self.link(row["item"])
        name = Path(row["source"]).stem
        folder = f"/book/executed/{self.name + '/' if self.published else ''}"
        return f"[Chapter\u00a0{int(name[:2])}]({folder}{name}.ipynb)"

    def ledger(self):
        """The rows on the paper's statements, in the order of its items."""
        rows = [row for row in self.rows if row["kind"] != OURS]
        return sorted(rows, key=lambda row: list(ITEMS).index(row["item"]))

    def questions(self):
        """The rows on our own questions."""
        return [row for row in self.rows if row["kind"] == OURS]

    def answers(self):
        """{topic: the row of the ledger that answers it, or None}: of several the last that could be tested."""
        found = {topic: [r for r in self.rows[::-1] if r["answer"] == topic] for topic in TOPICS}
        best = partial(max, key=lambda row: row["verdict"] in DECIDED, default=None)
        return {topic: best(rows) for topic, rows in found.items()}

    @property
    def counts(self):
        """How often each verdict was given by an interval, as text."""
        found = Counter(row["verdict"] for row in self.rows if row["verdict"] in DECIDED)
        return ", ".join(f"{n} {verdict}" for verdict, n in found.most_common()) or "no verdict"

    def trained(self):
        """{kind of model: (verdicts that rest on it, those whose interval covers its other trainings)}."""
        rows = [row for row in self.rows if row["verdict"] in DECIDED and row["value"] is not None]
        found = {}
        for kind in MODELS:
            own = [row for row in rows if kind in models_of(row)]
            within = sum(models_of(row)[0] == kind and covered(row) > 1 for row in own)
            found |= {kind: (len(own), within)} if own else {}
        return found

    def lengths(self):
        """Training steps of the run, as text; "" where the manifest does not say that the profile is still the same."""
        known, now = self.manifest.get("library", {}), library_hashes(self.manifest["profile"])
        if any(known.get(name) != now[name] for name in ("core/config.py", SETTINGS)):
            return ""
        values = asdict(PROFILES[self.manifest["profile"]]) | given(self.manifest)
        if self.drawn and self.name in PROFILES:  # whom the package's generators serve
            values |= recipe.steps(store.Run(self.name), config.Config(**values))
        paper = asdict(PROFILES["paper"])
        said = (f"{kind} {values[f]:,} ({paper[f]:,})" for kind, f in STEPS.items())
        return ", ".join(said)

    def judged(self):
        """(numbers that depend on what a measure sees, those whose measure saw it, those whose did not)."""
        rows = [row for row in self.rows if row["property"] and row["parts"]]
        blind = sum(row["verdict"] == BLIND for row in rows)
        saw = sum(bool(row.get("sight") and row["sight"][0]) for row in rows)
        return len(rows), saw, blind

    def by_chance(self):
        """(verdicts on differences, verdicts that two things do not differ, false ones of the first to expect on either
        side if there were no difference anywhere). Of an equivalence no difference is no false verdict.
        """
        rows = [row["direction"] for row in self.rows if row["verdict"] in DECIDED]
        same = rows.count("equivalent")
        return len(rows) - same, same, CHANCE * (len(rows) - same)

    @property
    def networks(self):
        """Size and networks in words, by the profile."""
        profile = PROFILES[self.manifest["profile"]]
        return f"{profile.size} × {profile.size} pixels, {BASES.get(profile.base, profile.base)}"

    @property
    def seconds(self):
        """What the stages of the run took to compute; where none is left, its notebooks."""
        made = sum(store.read_json(p)["seconds"] for p in self.run.stages.glob("*/stage.json"))
        last = sum(entry["seconds"] for entry in self.manifest["notebooks"].values())
        return self.manifest.get("stage_seconds") or made or last

    def verdicts(self, item):
        """Badges of an item's verdicts, with their numbers."""
        count = Counter(r["verdict"] for r in self.rows if r["item"] == item)
        return " ".join(times(badge(v), n) for v, n in sorted(count.items())) or "no claim"

    def tally(self, verdict):
        """Number of statements with a verdict, and links to their items."""
        items = Counter(r["item"] for r in self.ledger() if r["verdict"] == verdict)
        links = ", ".join(times(self.link(item), n) for item, n in items.items())
        return f"**{items.total()}**" + (f": {links}" if items else "")

    def file(self, name):
        """A link, for a page in book/, to a file in the folder of the run."""
        path = os.path.relpath(self.run.root / name, chapters.project_root() / "book")
        return f"{{download}}`{name} <{path}>`"


def cold():
    """What `make book` took from nothing on each machine it was measured on: texts, fastest first."""
    path = chapters.project_root() / "bench" / "results" / "book.csv"
    rows = pd.read_csv(path).sort_values("cold").itertuples() if path.exists() else ()
    return [
        f"{minutes(r.cold)} with {r.instructions} and {r.precision} on {r.threads} threads"
        for r in rows
    ]


def minutes(seconds):
    """Seconds as text."""
    n = max(round(seconds / 60), 1)
    return f"{n} minute{'s' if n > 1 else ''}"


def machines(whole):
    """Where a run's stages were made, by its manifest, as text; each machine with its time where there are several."""
    found = whole.get("stage_machines", {})
    if len(found) < 2:
        return next(iter(found), whole["device"])
    return "; ".join(f"{minutes(seconds)} on {name}" for name, seconds in found.items())


def taken(profile, runs):
    """What runs of a profile took, as text: the published ones, this build's, and `make book` as it was measured."""
    known = [shown for shown in runs if shown.manifest["profile"] == profile]
    said = []
    for r in known:
        changed = f" with {pairs(given(r.manifest))}" if given(r.manifest) else ""
        where = machines(r.manifest)
        said.append(f"{minutes(r.seconds)} for the stages alone (run {r.name}{changed}, {where})")
    return "; ".join([*(cold() if profile == "micro" else []), *said]) or "no book of it here"


def benchmarks(folder=None):
    """Every table of measured speed and memory in a folder, by default bench/results; "" where there is none."""
    folder = folder or chapters.project_root() / "bench" / "results"
    files, book = sorted(folder.glob("*.csv")), None
    measured = [text for path in files if path.stem != "book" for text in paragraphs(path)]
    for path in (p for p in files if p.stem == "book"):
        seconds = pd.read_csv(path, dtype={"commit": str}).drop(columns="device")
        seconds = seconds.rename(columns=str.capitalize)
        book = of_frame(seconds, dict.fromkeys(seconds.select_dtypes("number"), "{:.0f}"))
    return render("benchmarks.md", book=book, measured=measured) if files else ""


def sources(profile):
    """(name, value, where it comes from) of each setting of a profile that has a comment in profiles.toml."""
    text = Path(config.__file__).with_name("profiles.toml").read_text()
    own = text.split(f"[{profile}]", 1)[1].split("\n[", 1)[0]
    return re.findall(r"^(\w+) = (\S+)  # (.+)$", own, re.M)


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.globals |= dict(
    ITEMS=ITEMS, NETWORKS=NETWORKS, VERDICTS=VERDICTS, benchmarks=benchmarks, sources=sources
)
TEMPLATES.globals |= dict(
    PROFILES=PROFILES,
    UNTESTABLE=UNTESTABLE,
    DECIDED=DECIDED,
    cold=cold,
    given=given,
    taken=taken,
    machines=machines,
)
TEMPLATES.filters |= dict(badge=badge, cell=cell, commit=commit_of, finding=finding)
TEMPLATES.filters |= dict(images=images_of, named=title, pairs=pairs, typeset=typeset)
TEMPLATES.filters |= dict(quoted="`{}`".format, reason=reason, power=power, minutes=minutes)
TEMPLATES.filters |= dict(trainings=trainings, brief=brief, copied=beside.copied)


def render(name, **given):
    """A template filled in."""
    return TEMPLATES.get_template(name).render(**given) + "\n"


def page(name, runs, files=None):
    """Text of a page: "summary" (what holds, a tab for each run), "rule" (what a verdict rests on), "items" (the
    twenty), "claims" (the ledger), "weights" (other people's networks), "profiles" (sizes and times) or "status"
    (notebooks, versions, machine). runs: published ones first, this build's last; files: those of front.pictures.
    """
    files = files or {run.name: {} for run in runs}
    return render(f"{name}.md", runs=runs, here=runs[-1], files=files)
