"""What a notebook calls: checked parameters at its start, figures, tables and evidence after it."""

import dataclasses
import math
import os
import re
import subprocess
import time
from dataclasses import dataclass, field

import pandas as pd

from ..core import machine, store
from ..core.config import configure
from . import chapters


def quiet():
    """Switch every tqdm bar off, whatever its flavour (the variable TQDM_DISABLE misses some)."""
    import tqdm

    original = tqdm.tqdm.__init__

    def silent(self, *args, **kwargs):
        original(self, *args, **(kwargs | {"disable": True}))

    tqdm.tqdm.__init__ = silent


def git_state(root=None):
    """(commit, whether the tree differs from it); ("no commit", False) outside a checkout."""
    where = {"cwd": root or chapters.project_root(), "capture_output": True, "text": True}
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **where)
        changes = subprocess.run(["git", "status", "--porcelain", "-uno"], **where)
    except FileNotFoundError:  # git is not installed
        return "no commit", False
    if commit.returncode:
        return "no commit", False
    return commit.stdout.strip(), bool(changes.stdout.strip())


def start(notebook, namespace):
    """Check a notebook's parameters and open its run; call it in the first cell after them.

    notebook: name of the source file without .ipynb; namespace: the notebook's globals().
    Inside the runner the results go to the run that SKINSYNTH_RUN names, otherwise to a scratch
    run, so that work cell by cell never overwrites a published one. Overrides given to earlier
    notebooks of the same run hold here too, own values first. Raises UserError.
    """
    declared = chapters.declared_parameters(notebook)
    for cell in namespace.get("In", ()):
        if cell.startswith("# Parameters"):  # injected by papermill, which takes any name
            chapters.check_parameters(
                notebook, {k: namespace.get(k) for k in chapters.assigned(cell) or ()}, declared
            )
    given = {name: namespace[name] for name in declared if name in namespace}
    chapters.check_parameters(notebook, given, declared)
    profile = given.get("profile", "micro")
    own = chapters.overrides(given, declared)
    data = chapters.data_folder(given.get("data", ""), profile)
    plain = configure(profile, data=data)
    run = store.Run(os.environ.get("SKINSYNTH_RUN") or f"scratch-{plain.run}")
    inherited = {}
    for name in chapters.upstream(notebook):
        path = run.root / "parameters" / f"{name}.json"
        inherited |= store.read_json(path) if path.exists() else {}
    cfg = configure(profile, data=data, **(inherited | own))
    from .. import recipe  # late: it imports every network
    from ..figures import grids

    recipe.check(cfg)
    store.write_json(run.parameters / f"{notebook}.json", own)
    if os.environ.get("SKINSYNTH_QUIET"):
        quiet()
    grids.use_style()
    session = Session(notebook, cfg, run, machine.device(), time.perf_counter())
    changed = "".join(f", {k} = {v}" for k, v in (inherited | own).items())
    print(f"Run {run.name}: {session.source}, {cfg.size} pixels, seed {cfg.seed}{changed}.")
    return session


def show(myst, plain=None):
    """Display Markdown: MyST for the book, HTML for JupyterLab, which does not know MyST."""
    from IPython.display import display
    from markdown_it import MarkdownIt

    html = MarkdownIt().enable("table").render(plain or myst)
    display({"text/markdown": myst, "text/html": html, "text/plain": plain or myst}, raw=True)


def _digits(low, high):
    """Decimals that an interval deserves: two figures of its half width."""
    half = (high - low) / 2
    return 3 if not half > 0 else min(max(1 - math.floor(math.log10(half)), 0), 6)


def table_markdown(frame, fmt=None):
    """A DataFrame as a Markdown table, numbers right-aligned.

    Columns "X", "X low", "X high" are shown as one: the value, and [low, high] on a line below.
    fmt: {column: format} such as {"MSE": "{:.4f}"}; a value with an interval has as many decimals
    as the interval deserves, other numbers have four significant digits.
    """
    fmt, columns = fmt or {}, list(frame.columns)
    if unknown := set(fmt) - set(columns):
        raise ValueError(f"fmt names columns that the table lacks: {sorted(unknown)}")
    ends = {
        c: [f"{c} low", f"{c} high"] for c in columns if {f"{c} low", f"{c} high"} <= set(columns)
    }
    columns = [c for c in columns if c not in sum(ends.values(), [])]

    def cell(row, column):
        value = row[column]
        if pd.isna(value):
            return "–"
        if column not in ends or any(pd.isna(row[end]) for end in ends[column]):
            plain = f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
            return fmt[column].format(value) if column in fmt else plain
        numbers = value, *(row[end] for end in ends[column])
        form = fmt.get(column, f"{{:.{_digits(*numbers[1:])}f}}").format
        value, low, high = (form(x).replace("-", "\u2212") for x in numbers)
        return f"{value}<br>[{low},\u00a0{high}]"

    rules = ["---:" if frame[c].dtype.kind in "iuf" else ":---" for c in columns]
    rows = [[cell(row, c) for c in columns] for row in frame.to_dict("records")]
    return "\n".join("| " + " | ".join(line) + " |" for line in (map(str, columns), rules, *rows))


@dataclass(frozen=True)
class Session:
    """An open notebook: its configuration, run and device, and where its results go."""

    notebook: str
    cfg: object  # config.Config
    run: store.Run
    device: object  # torch.device
    started: float
    others: dict = field(default_factory=dict)  # data of figures that are no item, for the footer
    said: dict = field(default_factory=dict)  # numbers in sentences, {what: row of their file}

    @property
    def source(self):
        """What the images are, as a reader should read it."""
        return "HAM10000 (real images)" if self.cfg.real else "phantom (drawn images)"

    def figure(self, name, draw, *, data=None, photographs=False, **words):
        """Draw a figure from what is written to disk, as figures/<name>.png, and show exactly that file.

        draw: a function that returns a Figure (closed afterwards) or a figures.FrameSlider (its strip is
        the file). data: DataFrame that the figure shows, kept as <name>.csv, None for pictures;
        photographs: which images show photographs, see drawings.keep; words: what `draw` takes.
        """
        from IPython.display import display

        from ..figures import drawings

        folder = self.run.figures
        drawings.keep(
            folder, name, draw, data, photographs=photographs if self.cfg.real else False, **words
        )
        bundle, about = drawings.shown(folder, name, drawings.save(folder, name, draw))
        display(bundle, metadata=about, raw=True)
        # items have `results`; a figure's cell shows nothing else
        if data is not None and not re.match(r"fig\d", name):
            self.others[folder / f"{name}.csv"] = True

    def table(self, name, frame, caption, fmt=None):
        """Write tables/<name>.csv and show it as a labelled, captioned table.

        name: table1 ... table6 get the paper's number and the label of that name.
        fmt: {column: format} for the shown table; the file keeps six significant digits.
        """
        store.write_csv(self.run.tables / f"{name}.csv", frame)
        if {f"{c} low" for c in frame} & set(frame) and "interval" not in f"{caption} {[*frame]}":
            caption = f"{caption} Brackets: 95 % intervals."
        number = re.fullmatch(r"table(\d)(\w*)", name)
        title = f"**Table {number[1]}{number[2]}.** {caption}" if number else caption
        body = table_markdown(frame, fmt)
        show(f":::{{table}} {title}\n:name: {name}\n\n{body}\n:::\n", f"{title}\n\n{body}\n")
        if not number:
            self._link([self.run.tables / f"{name}.csv"])

    def numbers(self, found):
        """Keep the numbers of a sentence or a caption, {what: number or stats.Estimate}, in a file that the footer links."""
        for what, x in found.items():
            known = dataclasses.asdict(x) if dataclasses.is_dataclass(x) else {"value": x}
            self.said[what] = {"what": what} | {
                k: known.get(k) for k in ("value", "low", "high", "n")
            }
        store.write_csv(
            self.run.tables / f"numbers-{self.notebook}.csv",
            pd.DataFrame(self.said.values(), dtype=object),
        )

    def evidence(self, claim, parts, note="", measure=""):
        """Record what this run measured for a claim of the paper; see claims.record.

        measure: the name in judges.csv of what the numbers rest on, where the claim names a property.
        """
        from .. import recipe
        from ..evaluation import judges
        from . import ledger

        made = measure and pd.read_csv(recipe.judged(self.run, self.cfg) / "judges.csv")
        sight = measure and judges.sees(made, measure, ledger.load()[claim]["property"])
        ledger.record(self.run, claim, parts, note, self.cfg.profile, sight or None)

    def results(self, item):
        """Say what the paper claims of an item, what this run found, and link the files behind.

        item: fig1 ... fig14, table1 ... table6.
        """
        from . import ledger

        said = ledger.markdown(self.run, item).replace("\n  ", "  \n  ")  # keep the line breaks
        self._link(
            self.files(item), f"{said}\nImages: {self.source}, {self.cfg.size} pixels. Files: "
        )

    def _link(self, files, said="File: "):
        """Show links to files after some words, seen from the book's page and from the notebook in JupyterLab."""
        root, paths = chapters.project_root(), {}
        for place in ("book/executed", "notebooks"):
            paths[place] = [(f.name, os.path.relpath(f, root / place)) for f in files]
        book = ", ".join(f"{{download}}`{n} <{p}>`" for n, p in paths["book/executed"])
        lab = ", ".join(f"[{n}]({p})" for n, p in paths["notebooks"])
        show(said + (book or "none"), said + (lab or "none"))

    def files(self, item):
        """Figure and table files of an item: fig5 has fig05.png, fig05a.png, fig05a.csv ..."""
        kind, number = re.fullmatch(r"(fig|table)(\d+)", item).groups()
        folder = self.run.figures if kind == "fig" else self.run.tables
        stem = f"fig{int(number):02d}" if kind == "fig" else item
        return sorted(f for f in folder.glob(f"{stem}*.*") if f.suffix in (".png", ".csv"))

    def footer(self):
        """Show where the numbers above come from: commit, profile, data, device, seconds."""
        commit, dirty = git_state()
        seconds = time.perf_counter() - self.started
        changed = store.read_json(self.run.parameters / f"{self.notebook}.json")
        rows = {
            "commit": commit[:12] + (" with local changes" if dirty else ""),
            "run": self.run.name,
            "profile": self.cfg.profile,
            "data": self.source,
            "seed": self.cfg.seed,
            "changed parameters of this notebook": ", ".join(
                f"{k} = {v}" for k, v in changed.items()
            )
            or "none",
            "device": machine.sentence(),
            "seconds": f"{seconds:.0f} (finished stages are not computed again)",
        }
        if self.others:
            self._link(self.others, "Data behind the other figures of this chapter: ")
        if self.said:
            self._link(
                [self.run.tables / f"numbers-{self.notebook}.csv"],
                "Numbers in the sentences of this chapter: ",
            )
        show("**Provenance.** " + "; ".join(f"{k}: {v}" for k, v in rows.items()) + ".\n")
