"""The pictures of the front page: of each run small figures, Figure 9, and every interval in one plot."""

import pandas as pd
from PIL import Image, ImageOps

from ..core import store
from ..figures import grids, plots
from ..project.markdown import title
from ..project.verdicts import NUMBERS, OURS
from .gates import FIGURES
from .pages import BADGE

COLOURS = {"success": "#1A7F37", "danger": "#C62828", "warning": "#E08A00", "muted": "#6E6E6E"}
SCALE = "half intervals beyond zero or the margin (grey); right: as claimed"


def thumbnails(run, folder, before=""):
    """Write a small picture of each figure, {item: file name}; what is cut away shows less of a wide figure."""
    found = {}
    for n in FIGURES:
        for file in sorted(run.figures.glob(f"fig{n:02d}*.png"))[:1]:
            found[f"fig{n}"] = f"{before}fig{n}.png"
            with Image.open(file) as picture, store.atomic(folder / found[f"fig{n}"]) as part:
                small = ImageOps.fit(picture.convert("RGB"), (192, 120), centering=(0, 0))
                small.quantize(64).save(part, optimize=True)
    return found


def _scaled(row):
    """(value, low, high) of a row with the claimed side to the right: in units of half the interval, beyond what the
    claim has to exceed, or of an equivalence's margin.
    """
    ends = [row[k] for k in NUMBERS]
    if row["direction"] == "equivalent":
        return [x / row["margin"] for x in ends]
    sign, half = (1 if row["direction"] == "greater" else -1), (row["high"] - row["low"]) / 2
    value, *ends = ((sign * x - row["margin"]) / half for x in ends)
    return [value, *sorted(ends)]


def intervals(shown):
    """DataFrame of every interval in a run's ledger on one scale: label, value, low, high, verdict, and whether the
    margin is the unit (else half the interval). A claim of several parts has the one that decides.
    """
    found = []
    for row in [*shown.questions(), *shown.ledger()]:
        if row["low"] is None or row["direction"] == "none" or not row["high"] > row["low"]:
            continue
        head = "Our question" if row["kind"] == OURS else title(row["item"])
        equivalence = row["direction"] == "equivalent"
        found.append([f"{head}: {row['short']}", *_scaled(row), row["verdict"], equivalence])
    return pd.DataFrame(found, columns=["label", *NUMBERS, "verdict", "equivalence"])


def pictures(runs, folder):
    """Write what the front page shows of each run: small figures, Figure 9, and all its intervals in one plot.

    Returns {run: {item or "front" or "intervals": file name}}; what a run lacks is left out.
    """
    grids.use_style()
    found = {}
    for shown in runs:
        own = thumbnails(shown.run, folder, f"{shown.name}-" if shown.published else "")
        for file in sorted(shown.run.figures.glob("fig09.png")):
            own["front"] = f"front-{shown.name}.png"
            with store.atomic(folder / own["front"]) as part:
                part.write_bytes(file.read_bytes())
        if len(table := intervals(shown)):
            colours = {verdict: COLOURS[BADGE.get(verdict, "muted")] for verdict in table.verdict}
            own["intervals"] = f"intervals-{shown.name}.png"
            figure = plots.verdicts(table, colours, SCALE)
            with store.atomic(folder / own["intervals"]) as part:
                figure.savefig(part, dpi=150)
            plots.plt.close(figure)
        found[shown.name] = own
    return found
