"""What a notebook calls: checked parameters at its start, figures, tables and evidence after it."""

import os
import re
from dataclasses import asdict, dataclass, is_dataclass

import pandas as pd
import tqdm
from IPython import display
from markdown_it import MarkdownIt

from .. import recipe
from ..core import machine, store
from ..core.config import check, configure
from ..evaluation import ablation, judges
from ..figures import drawings, grids
from . import chapters, ledger, markdown, state, words

# columns and letters that the text's width holds; a table of more reaches into the margin
WIDE, LETTERS = 6, 90
_MEMORIES = {}  # of the notebooks of this process, so that a first cell run again forgets nothing


@dataclass
class Memory:
    """What an open notebook has shown so far, for its footer. Cells that run again change nothing in it."""

    files: dict  # of figures that are no item, and of what is not shown, as keys in their order
    numbers: dict  # in sentences, {what: row of their file}
    named: dict  # {name: "figure" or "table"}


def quiet():
    """Switch every tqdm bar off, whatever its flavour (the variable TQDM_DISABLE misses some)."""
    original = tqdm.tqdm.__init__

    def silent(self, *args, **kwargs):
        original(self, *args, **(kwargs | {"disable": True}))

    tqdm.tqdm.__init__ = silent


def start(notebook, namespace):
    """Check a notebook's parameters and open its run; call it in the first cell after them.

    notebook: name of the source file without .ipynb; namespace: the notebook's globals().
    Inside the runner the results go to the run that SKINSYNTH_RUN names, otherwise to a scratch
    run, so that work cell by cell never overwrites a published one. Overrides given to earlier
    notebooks of the same run hold here too, own values first. Raises UserError.
    """
    declared = chapters.declared_parameters(notebook)
    for cell in namespace.get("In", ()):
        if cell.startswith("# Parameters\n"):  # injected by papermill, which takes any name
            check(chapters.assigned(cell, notebook), declared, f"{notebook}: ")
    given = {name: namespace[name] for name in declared if name in namespace}
    check(given, declared, f"{notebook}: ")
    profile, own = given.get("profile", "micro"), chapters.overrides(given, declared)
    data = chapters.data_folder(given.get("data", ""), profile)
    plain = configure(profile, data=data)
    run = store.Run(os.environ.get("SKINSYNTH_RUN") or f"scratch-{plain.run}")
    changed = {}
    for name in chapters.upstream(notebook):
        path = run.root / "parameters" / f"{name}.json"
        changed |= store.read_json(path) if path.exists() else {}
    changed |= own
    cfg = configure(profile, data=data, **changed)
    recipe.require(cfg)
    recipe.check(cfg)
    store.write_json(run.parameters / f"{notebook}.json", own)
    if os.environ.get("SKINSYNTH_QUIET"):
        quiet()
    grids.use_style()
    memory = _MEMORIES.setdefault((run.root, notebook), Memory({}, {}, {}))
    session = Session(notebook, cfg, run, memory)
    also = "".join(f", {k} = {v}" for k, v in changed.items())
    print(f"Run {run.name}: {session.source}, {cfg.size} pixels, seed {cfg.seed}{also}.")
    return session


def show(myst, plain=None, mark=""):
    """Display Markdown: MyST for the book, HTML for JupyterLab, which does not know MyST; mark: what a page knows it by."""
    html = MarkdownIt().enable("table").render(plain or myst)
    bundle = {"text/markdown": myst, "text/html": html, "text/plain": plain or myst}
    display.display(bundle, metadata={"skinsynth": {mark: True}} if mark else None, raw=True)


def link(files, said="File: "):
    """Show links to files after some words, seen from the book's page and from the notebook in JupyterLab."""
    root = chapters.project_root()
    book = [f"{{download}}`{f.name} <{os.path.relpath(f, root / 'book/executed')}>`" for f in files]
    lab = [f"[{f.name}]({os.path.relpath(f, root / 'notebooks')})" for f in files]
    show(said + (", ".join(book) or "none"), said + (", ".join(lab) or "none"))


@dataclass(frozen=True)
class Session:
    """An open notebook: its configuration and run, and where its results go.

    Each method writes and shows the same, however often and in whatever order it is called.
    """

    notebook: str
    cfg: object  # config.Config
    run: store.Run
    memory: Memory

    @property
    def source(self):
        """What the images are, as a reader should read it."""
        return "HAM10000 (real images)" if self.cfg.real else "phantom (drawn images)"

    def _name(self, name, kind):
        """Give a name to a figure or a table. What has both would have two files of one name in the footer."""
        if self.memory.named.setdefault(name, kind) != kind:
            raise ValueError(f"{name}: names a figure and a table; give one of them another name")

    def figure(self, name, draw, *, data=None, photographs=False, shown=True, **words):
        """Draw a figure from what is written to disk, as figures/<name>.png, and show exactly that file.

        draw: a function that returns a Figure (closed afterwards) or a figures.FrameSlider (its strip is
        the file). data: DataFrame that the figure shows, kept as <name>.csv, None for pictures;
        photographs: which images show photographs, see drawings.keep; shown: False for a file alone, which
        the footer links; words: what `draw` takes.
        """
        self._name(name, "figure")
        folder, flags = self.run.figures, photographs if self.cfg.real else False
        drawings.keep(folder, name, draw, data, photographs=flags, **words)
        figure = drawings.save(folder, name, draw)
        if shown:
            bundle, about = drawings.shown(folder, name, figure)
            display.display(bundle, metadata=about, raw=True)
        else:
            self.memory.files[folder / f"{name}.png"] = True
        # items have `results`; a figure's cell shows nothing else
        if data is not None and not re.match(r"fig\d", name):
            self.memory.files[folder / f"{name}.csv"] = True

    def table(self, name, frame, caption, fmt=None, *, shown=True):
        """Write tables/<name>.csv and show it as a labelled, captioned table.

        name: table1 ... table6 get the paper's number and the label of that name.
        fmt: {column: format} for the shown table; the file keeps six significant digits.
        shown: False for a file alone, which the footer links.
        """
        self._name(name, "table")
        body, file = markdown.of_frame(frame, fmt), self.run.tables / f"{name}.csv"
        store.write_csv(file, frame)
        if not shown:
            self.memory.files[file] = True
            return
        if {f"{c} low" for c in frame} & set(frame) and "interval" not in f"{caption} {[*frame]}":
            caption = f"{caption} Brackets: 95 % intervals."
        number = re.fullmatch(r"table(\d\w*)", name)
        title = f"**Table {number[1]}.** {caption}" if number else caption
        page = f":::{{table}} {title}\n:name: {name}\n\n{body}\n:::\n"
        if body.split("\n", 1)[0].count("|") > WIDE + 1 or markdown.letters(body) > LETTERS:
            page = f"::::{{div}} full-width\n{page}::::\n"
        show(page, f"{title}\n\n{body}\n")
        if not number:
            link([file])

    @property
    def numbers_file(self):
        return self.run.tables / f"numbers-{self.notebook}.csv"

    def numbers(self, found):
        """Keep the numbers of a sentence or a caption, {what: number or stats.Estimate}, in a file that the footer links."""
        for what, x in found.items():
            known = asdict(x) if is_dataclass(x) else {"value": x}
            self.memory.numbers[what] = {"what": what} | known
        columns, rows = ["what", "value", "low", "high", "n"], self.memory.numbers.values()
        store.write_csv(self.numbers_file, pd.DataFrame(rows, columns=columns, dtype=object))

    def findings(self, found, sure, limits):
        """Say in a sentence each what a chapter found, how sure that is and what limits it; the page has it under its title."""
        parts = {"Found": found, "How sure": sure, "Limits": limits}
        said = "\n\n".join(f"**{head}.** {markdown.typeset(text)}" for head, text in parts.items())
        show(f"::::{{div}} findings\n{said}\n::::\n", said, mark="findings")

    def evidence(self, claim, parts, note="", measure="", **more):
        """Record what this run measured for a claim of the paper; see ledger.record. Of ablation.CLAIMS also on the way.

        measure: the name in judges.csv of what the numbers rest on, where the claim names a property, or what
        `judges.sees` would give, where a chapter plants the fault itself; more: margin, seeds, room or again, as
        `record` takes them.
        """
        sight = measure or None
        if isinstance(sight, str):
            made = pd.read_csv(recipe.judged(self.run, self.cfg) / "judges.csv")
            sight = judges.sees(made, measure, ledger.load()[claim]["property"])
        if claim in ablation.CLAIMS:
            more["course"] = recipe.along(self.run, self.cfg, claim)
        ledger.record(self.run, claim, parts, self.cfg.profile, note, sight, **more)

    def results(self, item):
        """Say what the paper claims of an item, what this run found, and link the files behind.

        item: fig1 ... fig14, table1 ... table6. Its files: fig5 has fig05.png, fig05a.png, fig05a.csv ...
        Or the id of a question of our own, which has neither files nor a place in the paper.
        """
        said = words.markdown(self.run, item).replace("\n  ", "  \n  ")  # keep the line breaks
        if not (named := re.fullmatch(r"(fig|table)(\d+)", item)):
            return show(said)
        kind, number = named.groups()
        pattern = f"figures/fig{int(number):02d}*.*" if kind == "fig" else f"tables/{item}*.*"
        files = [f for f in self.run.root.glob(pattern) if f.suffix in (".png", ".csv")]
        paper = f"[{markdown.title(item)} in the paper]({markdown.paper_address(item)})"
        origin = f"{paper}. Images: {self.source}, {self.cfg.size} pixels. Files: "
        link(sorted(files), f"{said}\n{origin}")

    def footer(self):
        """Show where the numbers above come from: commit, run, profile, data, seed, parameters, device."""
        git = state.git_state()
        changed = store.read_json(self.run.parameters / f"{self.notebook}.json")
        rows = {
            "commit": git["commit"][:12] + (" with local changes" if git["dirty"] else ""),
            "run": self.run.name,
            "profile": self.cfg.profile,
            "data": self.source,
            "seed": self.cfg.seed,
            "changed parameters of this notebook": markdown.pairs(changed),
            "device": machine.sentence(),
        }
        if self.memory.files:
            link(self.memory.files, "Further tables, figures and their data: ")
        if self.memory.numbers:
            link([self.numbers_file], "Numbers in the sentences of this chapter: ")
        show("**Provenance.** " + "; ".join(f"{k}: {v}" for k, v in rows.items()) + ".\n")
