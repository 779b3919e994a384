"""What has to be read beside a verdict: numbers from the same run's tables that say how far it reaches."""

import pandas as pd

from ..downstream.classify import ARMS
from ..evaluation.copies import CHANCE, PLANTED, SHARE
from ..evaluation.distances import UNSHOWN


def _table(run, name):
    """A run's table by its first column; without rows or columns where the run has none of that name."""
    path = run.tables / f"{name}.csv"
    return pd.read_csv(path, index_col=0) if path.exists() else pd.DataFrame()


def _zone(row, what="difference"):
    value, low, high = (f"{row[what + end]:.3g}" for end in ("", " low", " high"))
    return f"{value} [{low}, {high}]"


def _endpoint(shown):
    """The difference to the originals with repeats, which have the same class counts, and what no threshold moves."""
    found, name = _table(shown.run, "endpoint"), f"{ARMS['RS']} minus {ARMS['R3']}"
    if name not in found.index[1:] or "difference" not in found:
        return ""
    said = f"Against R3, which has as many images of each class: {_zone(found.loc[name])}."
    area, pair = _table(shown.run, "ladder"), found.index[0].split(" minus ")
    if not set(pair) <= set(area.index):
        return said
    each = [f"{arm} {_zone(area.loc[arm], 'macro AUC')}" for arm in pair]
    return f"{said} Macro AUC, which no cut between answers moves: {', '.join(each)}."


def _samples(shown):
    """What the fine-tuned autoencoder gains alone, and how far the proposed method is from the originals still."""
    found = _table(shown.run, "table2")
    name, said = next((c for c in found if c.startswith("KD-")), ""), []
    if name and {"baseline", "4ch", "8ch+ML"} <= set(found.index):
        gain = found[name]["4ch"] - found[name]["baseline"]
        ends = {"with reference images": "8ch+ML", "without": UNSHOWN}
        rows = {how: row for how, row in ends.items() if row in found.index}
        whole = {how: found[name][row] - found[name]["baseline"] for how, row in rows.items()}
        parts = " and ".join(f"{gain / all_of_it:.0%} {how}" for how, all_of_it in whole.items())
        said = [
            f"The fine-tuned autoencoder alone (4ch, which has no other change) reaches {gain:.3g}, as a share of the whole gain of 8ch+ML {parts}."
        ]
    numbers = _table(shown.run, "numbers-04_generation")
    for what in (w for w in numbers.index if "8ch+ML, share of the way to melanoma" in str(w)):
        zone = "{:.0%} [{:.0%}, {:.0%}]".format(*numbers.loc[what, ["value", "low", "high"]])
        said.append(
            f"By {what.partition(' of ')[0]} to the test images, where original train images are 0% and melanoma images alone 100%, 8ch+ML lies at {zone}, n = {numbers.n[what]:.0f}."
        )
    return " ".join(said)


def _score(shown):
    """The planted faults that raise the score, though they make a set worse."""
    found = _table(shown.run, "moved")
    name = next((c for c in found if c.startswith("score-")), None)
    if name is None or not len(raised := found[found[f"{name} low"] > 0]):
        return ""
    worst = raised[name].groupby(lambda fault: fault.partition(",")[0], sort=False).max()
    faults = ", ".join(f"{fault} by {x:.2g}" for fault, x in worst.nlargest(2).items())
    return f"Faults raise this score too ({faults}), so it carries little."


def copied(shown):
    """How many samples count as copies of training images, and which more than chance; "" where nobody counted."""
    found = _table(shown.run, "copies")
    if CHANCE not in found.index:
        return ""
    low, high = found[f"{SHARE} low"], found[f"{SHARE} high"]
    zones = zip(found.index, found[SHARE], low, high, strict=True)
    said = {name: f"{x:.1%} [{a:.1%}, {b:.1%}]" for name, x, a, b in zones if name != PLANTED}
    chance = said.pop(CHANCE)
    more = " and ".join(name for name in said if low[name] > high[CHANCE])
    each = "; ".join(f"{name} {zone}" for name, zone in said.items())
    above = f"**More than chance: {more}.**" if more else "None is clearly more than chance."
    again = ""
    if PLANTED in found.index:
        again = f" Of copies made on purpose the search finds {found.loc[PLANTED, SHARE]:.0%}."
    return f"Share of the samples that count as copies of training images: {each}; of unseen test images (chance) {chance}. {above}{again}"


def _recall(shown):
    """What blur does to recall, beside what lost variety does to it."""
    moved = _table(shown.run, "moved-shares")
    faults = [f for f in moved.index if str(f).startswith(("blur, 0.7", "typical ones only, 50"))]
    if len(faults) < 2 or "recall" not in moved:
        return ""
    said = " and ".join(f"{moved.recall[fault]:.2f} by {fault}" for fault in faults)
    return f"Recall sees sharpness as well as variety: of originals it moves {said}."


def _width(shown):
    """That the new channels carry less than half of the difference, where they do: then it is no matter of width."""
    copies, channels = _table(shown.run, "table1"), _table(shown.run, "channels")
    numbers, what = _table(shown.run, "numbers-02_vae"), "PSNR (dB) lost without all new channels"
    if channels.empty or "PSNR (dB)" not in copies or not copies.index[-1].startswith("8ch minus"):
        return ""
    if what not in numbers.index or numbers.value[what] >= abs(copies["PSNR (dB)"].iloc[-1]) / 2:
        return ""
    old = channels["PSNR lost (dB)"][channels.new == "no"].min()
    new = f"{numbers.value[what]:.2g} dB" if numbers.value[what] > 0 else "nothing"
    return f"Without all new channels a copy loses {new}, without one of the old {old:.2g} dB at least: this compares two trainings rather than two widths."


def _clinical(shown):
    return "The clinical images are drawn here, not PAD-UFES-20." if shown.drawn else ""


SAID = {
    "endpoint": _endpoint,
    "fig9-diversity": _recall,
    "table2-fid": _samples,
    "table4-combined-highest": _clinical,
}
SAID |= dict.fromkeys(("table1-mse", "table1-lpips", "table1-msssim"), _width)
SAID |= dict.fromkeys(
    ("table2-is", "table5-is-8ch", "table5-is-ml", "table5-is-ml-below-8ch"), _score
)


def said(shown, row):
    """Sentences beside a row of a run's ledger, "" where it needs none or the run lacks the tables; shown: pages.Shown."""
    return SAID[row["id"]](shown) if row["id"] in SAID else ""
