"""The site's own pages, made from results: front page, table of items, ledger, status."""

import os
import re
from collections import Counter

import pandas as pd
from PIL import Image, ImageOps

from ..core import store
from ..networks.table import NETWORKS
from ..project import chapters
from ..project.ledger import VERDICTS, finding, reason, typeset
from ..project.session import table_markdown

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
SHORT = 60  # letters of a note that fits into a table
FORMS = {
    "n": "{:,}",
    "Value": "{:.3g}",
    "First row is": "{:.2f}\u00a0\u00d7 as fast",
}  # of a benchmark
BENCHMARKS = "Each table was measured in one run (`python bench/run.py`), speed with nothing beside it; memory beside other work, so its seconds are upper bounds."
BOOK = (
    "01 to 07: each notebook, with its stages. Cold: everything from nothing, site included; warm: again with nothing changed; prose: "
    "after a change of one notebook's prose. The installation of the packages is not counted. One row for each kind of machine it was measured on (`python bench/run.py book`). "
    "A processor stands for one of lesser instructions where these were forced (`ATEN_CPU_CAPABILITY`, `ONEDNN_MAX_CPU_ISA`, `MKL_ENABLE_INSTRUCTIONS`)."
)
BADGE = {"reproduced": "success", "not reproduced": "danger", "inconclusive": "warning"}


def title(item):
    """fig5 -> Fig 5."""
    return ("Fig\u00a0" if item.startswith("fig") else "Table\u00a0") + item.lstrip("figtable")


def badge(verdict):
    return f"{{bdg-{BADGE.get(verdict, 'muted')}}}`{verdict}`"


def thumbnails(run, folder):
    """Write a small picture of each figure, {item: file name}; what is cut away shows less of a wide figure."""
    found = {}
    for item in ITEMS:
        files = (
            sorted(run.figures.glob(f"fig{int(item[3:]):02d}*.png"))
            if item.startswith("fig")
            else []
        )
        if files:
            with Image.open(files[0]) as picture, store.atomic(folder / f"{item}.png") as part:
                small = ImageOps.fit(picture.convert("RGB"), (192, 120), centering=(0, 0))
                small.quantize(64).save(part, optimize=True)
            found[item] = f"{item}.png"
    return found


def verdicts(rows, item):
    """Badges of an item's verdicts, with their numbers."""
    count = Counter(r["verdict"] for r in rows if r["item"] == item)
    said = " ".join(
        f"{badge(v)}" + (f"\u00a0×\u00a0{n}" if n > 1 else "") for v, n in sorted(count.items())
    )
    return said or "no claim"


def items(rows, whole, thumbs=None, others=()):
    """The table of the twenty items: number, picture, what it shows, notebook, a column of verdicts for each run.

    rows, whole: the ledger and the manifest of this build's run; others: [(rows, whole)] of published runs.
    """
    heads = [
        "Item",
        "",
        "What it shows",
        "Notebook",
        *(f"On {images_of(w)}, run {w['run']}" for _, w in (*others, (rows, whole))),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + ":--|" * len(heads)]
    thumbs = thumbs or {}
    for item, (shows, notebook) in ITEMS.items():
        link = f"[{notebook[:2]}](book/executed/{notebook}.ipynb)"
        picture = (
            f"![{title(item)}, small](book/generated/{thumbs[item]}){{width=96px}}"
            if item in thumbs
            else ""
        )
        cells = [f"[{title(item)}](#{item})", picture, shows, link]
        cells += [
            f"[{w['run']}](#{w['run']}-{item}): {verdicts(found, item)}" for found, w in others
        ]
        cells += [f"[{whole['run']}](#{item}): {verdicts(rows, item)}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(["::::{div} full-width", *lines, "::::"]) + "\n"


def images_of(whole):
    """What a run's images are, as a reader should read it."""
    return "the phantom" if whole["data"] == "phantom" else "HAM10000"


def tally(rows, prefix=""):
    """{verdict: its number of statements, with links to the items}; prefix: of the labels of a published run."""
    found = {}
    for verdict in VERDICTS:
        items = Counter(r["item"] for r in rows if r["verdict"] == verdict)
        links = ", ".join(
            f"[{title(i)}](#{prefix}{i})" + (f"\u00a0×\u00a0{n}" if n > 1 else "")
            for i, n in items.items()
        )
        found[verdict] = f"**{items.total()}**" + (f": {links}" if items else "")
    return found


def summary(rows, whole, others=()):
    """What holds here: a table of verdicts with a column for each run, and on what data. Arguments as in items."""
    runs = [*((found, w, f"{w['run']}-") for found, w in others), (rows, whole, "")]
    heads = [f"On {images_of(w)}, run {w['run']}" for _, w, _ in runs]
    columns = [tally(found, prefix) for found, _, prefix in runs]
    lines = [
        f"| {len(rows)} statements | " + " | ".join(heads) + " |",
        "|:--|" + ":--|" * len(runs),
    ]
    lines += [f"| {badge(v)} | " + " | ".join(c[v] for c in columns) + " |" for v in VERDICTS]
    text = "\n".join(lines) + "\n"
    for _, w in others:
        text += (
            f"\nRun `{w['run']}`, [published](book/executed/{w['run']}/01_data.ipynb), was made once on {w['device']}, at commit "
            f"{w['commit'][:12]}{' with local changes' if w['dirty'] else ''}."
        )
    minutes = sum(n["seconds"] for n in whole["notebooks"].values()) / 60
    text += f"\nRun `{whole['run']}` was made with this copy of the book, on {whole['device']}, in {minutes:.0f} minutes.\n"
    if whole["data"] == "phantom":
        text += (
            "The *phantom* is skin drawn by a program, with known truth. It shows whether the method does what is said of "
            "it where the answer is known, and nothing about HAM10000 or patients.\n"
        )
    return text


def ledger(rows, prefix="", others=()):
    """The ledger of one run as a table, in the order of the paper's items; others: further columns of verdicts."""
    others = [({r["id"]: r["verdict"] for r in found}, w["run"]) for found, w in others]
    heads = [
        "Item",
        "The paper says",
        "This run",
        "Verdict",
        *(f"Run {name}" for _, name in others),
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + ":--|" * len(heads)]
    for row in sorted(rows, key=lambda r: list(ITEMS).index(r["item"])):
        known = row["paper_value"] != "not available"
        said = row["statement"] + (f" *{row['paper_value']}.*" if known else "")
        found = ""
        if row["value"] is not None:
            number, rest = re.split(r"(?= \(|, n = )", finding(row), maxsplit=1)
            found = f"**{number}**{rest}:<br>{row['quantity']}.<br>"
        link = f"[{title(row['item'])}](#{prefix}{row['item']})"
        cells = [link, said, typeset(found + reason(row)), badge(row["verdict"])]
        cells += [badge(known[row["id"]]) if row["id"] in known else "–" for known, _ in others]
        lines.append(
            "| " + " | ".join(c.replace("\n", " ").replace("|", "\\|") for c in cells) + " |"
        )
    return "\n".join(lines) + "\n"


def claims(runs):
    """The ledger of each run, [(run, ledger, manifest)]: published ones first, this build's last."""
    parts = []
    for i, (run, rows, whole) in enumerate(runs):
        last = run is runs[-1][0]
        made = f"{'Made' if last else 'Published; made'} at commit {whole['commit'][:12]}"
        others = [(found, w) for _, found, w in runs[:i]] if last else ()
        parts += [
            f"## Run {whole['run']}: {images_of(whole)}",
            "",
            f"{made}. File: {_download(run, 'claims.json')}.",
            "",
        ]
        parts += [
            "::::{div} full-width",
            ledger(rows, "" if last else f"{whole['run']}-", others),
            "::::",
            "",
        ]
    return "\n".join(parts)


def _download(run, name):
    """A link, for a page in book/, to a file in the folder of a run."""
    return f"{{download}}`{name} <{os.path.relpath(run.root / name, chapters.project_root() / 'book')}>`"


def _notebooks(whole, states, folder):
    """Table of a run's notebooks: state, seconds, commit, parameters."""
    lines = [
        "| Notebook | State | Seconds | Commit | Parameters changed |",
        "|:--|:--|--:|:--|:--|",
    ]
    for name, entry in sorted(whole["notebooks"].items()):
        commit = entry["commit"][:12] + (" + local changes" if entry["dirty"] else "")
        given = ", ".join(f"{k} = {v}" for k, v in entry["parameters"].items()) or "none"
        link = f"[{name}]({folder}/{name}.ipynb)"
        lines.append(f"| {link} | {states[name]} | {entry['seconds']:.0f} | {commit} | {given} |")
    return lines


def status(run, whole, states, published=()):
    """Notebooks with state, seconds and commit; versions and machine; the manifest itself; published runs.

    published: [(Published, manifest, states, files of the library changed since)].
    """
    versions = [f"| {k} | {v} |" for k, v in sorted(whole["versions"].items())]
    machine = [f"| {k} | {whole[k]} |" for k in ("device", "platform", "data", "profile")]
    lines = [
        *_notebooks(whole, states, "executed"),
        "",
        "| What | Value |",
        "|:--|:--|",
        *machine,
        *versions,
        "",
    ]
    lines.append(f"Files: {_download(run, 'manifest.json')}, {_download(run, 'claims.json')}.")
    for other, w, known, changed in published:
        lines += [
            "",
            f"## Published run {other.name}",
            "",
            *_notebooks(w, known, f"executed/{other.name}"),
            "",
        ]
        lines.append(
            f"Made on {w['device']}, {w['platform']}, from {images_of(w)}. The stages in its folder took {w['stage_seconds'] / 60:.0f} minutes; the seconds "
            "above are those of the last execution, which finds finished stages. "
            + (
                f"*Stale* notebooks: the library has changed since in {', '.join(f'`{n}`' for n in changed)}."
                if changed
                else "The library has not changed since."
            )
        )
        lines += [
            "",
            f"Files: {_download(other, 'manifest.json')}, {_download(other, 'claims.json')}.",
        ]
    return "\n".join([*lines, *benchmarks(chapters.project_root() / "bench" / "results")]) + "\n"


def weights():
    """The table of other people's networks."""
    lines = [
        "| Network | What for | From | SHA-256 | MB | Licence | Source | Sees |",
        "|:--|:--|:--|:--|--:|:--|:--|:--|",
    ]
    for n in NETWORKS.values():
        place = n.source.split()[0]
        place = (
            f"`{place}`"
            if n.kind == "package"
            else f"[{'hub' if n.kind == 'hub' else 'release'}]({place.replace('hub:', 'https://huggingface.co/')})"
        )
        digest = f"`{n.digest[:16]}...`" if n.digest else "as the hub says"
        lines.append(
            f"| {n.name} | {n.use} | {place} | {digest} | {n.megabytes:,} | {n.licence} | {{cite:t}}`{n.citation}` | {n.takes} |"
        )
    return "\n".join(lines) + "\n"


def benchmarks(folder):
    """Lines of a page with every table of measured speed and memory in a folder."""
    lines = []
    if (book := folder / "book.csv").exists():
        shown = (
            pd.read_csv(book, dtype={"commit": str})
            .drop(columns="device")
            .rename(columns=str.capitalize)
        )
        lines += [
            "",
            "**Seconds of `make book` with the profile `micro`, by kind of machine**",
            "",
            table_markdown(shown, dict.fromkeys(shown.select_dtypes("number"), "{:.0f}")),
            "",
            BOOK,
        ]
    for path in sorted(p for p in folder.glob("*.csv") if p.stem != "book"):
        for what, table in pd.read_csv(path).groupby("what", sort=False):
            shown = table[["way", "n", "value", "unit", "ratio", "note"]].set_axis(
                ["Way", "n", "Value", "Unit", "First row is", "Note"], axis=1
            )
            notes = [typeset(note) for note in table.note.dropna()]
            said = ""
            if max(map(len, notes), default=0) > SHORT:
                shown, said = (
                    shown.drop(columns="Note"),
                    " ".join(f"{note[0].upper()}{note[1:]}." for note in notes),
                )
            shown = shown.dropna(axis=1, how="all")
            body = table_markdown(shown, {k: form for k, form in FORMS.items() if k in shown})
            lines += ["", f"**{what[0].upper()}{what[1:]}**", "", typeset(body), "", said]
        lines += ["", f"Measured on {table.device.iloc[0]} at commit {table.commit.iloc[0]}."]
    return ["", "## Benchmarks", "", BENCHMARKS, *lines] if lines else []
