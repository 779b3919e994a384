"""Can the judges see? What the table of planted faults (judges.csv) says of each measure.

A measure is believed on a property (detail, colour, class, variety, structure, hair) only where it sees
the fault that stands for it, in this run and at this number of images.
"""

import pandas as pd

from ..networks.published import LPIPS
from ..numerics.stats import Estimate, frame
from . import measures
from .faults import FAULTS

PAIRED = ("MSE", "PSNR", "MS-SSIM", LPIPS.NAMES["alex"])  # measures of two images
DECIDES = {  # faults that stand for a property; one of them has to be seen
    "detail": ("blur",),
    "colour": ("colour shift",),
    "hair": ("hair",),
    "structure": ("lesions moved",),
    "variety": ("typical ones only", "a part many times", "melanoma only"),
    "class": ("labels mixed",),
}


def _fine(images, masks):
    return measures.band_energy(images, measures.BANDS[-1:])


LOOKS = {  # measures of pixels: (distance of two sets, what is looked at in images and lesion masks)
    "fine structure": (measures.band_gap, _fine),
    "colour": (measures.measure_distance, measures.colour_statistics),
    "texture": (measures.measure_distance, measures.texture_energy),
    "boundary": (measures.measure_distance, measures.border_sharpness),
}


def smallest(table, measure, fault):
    """(smallest size from which on a measure sees a fault, largest size it does not see): nan where there is none.

    None instead of both where the measure was not tested on the fault.
    """
    rows = table[(table.measure == measure) & (table.fault == fault)]
    if rows.empty:
        return None
    blind = rows["size"][~rows.seen].max()
    return rows["size"][~(rows["size"] <= blind)].min(), blind


def _asked(table, measure, property):
    """(fault, smallest size seen, largest not seen) of the deciding faults that a measure was tested on."""
    for fault in DECIDES[property]:
        if found := smallest(table, measure, fault):
            yield fault, *found


def sees(table, measure, property):
    """(whether a measure sees a property, one sentence that says how large a fault it sees)."""
    missed = []
    for fault, least, blind in _asked(table, measure, property):
        words = FAULTS[fault].words
        if pd.notna(least):
            but = "" if pd.isna(blind) else f", not {blind:g}"
            n = table[(table.measure == measure) & (table.fault == fault)].n.max()
            return True, f"{measure} sees {words.format(least)}{but} (in {n} originals)."
        missed.append(words.format(blind))
    if not missed:
        return False, f"{measure} was not tested on {property}."
    return False, f"{measure} does not see {' nor '.join(missed)}."


def _cell(found):
    if found is None:
        return "–"
    least, blind = found
    return f"none to {blind:g}" if pd.isna(least) else f"{least:g}"


def summary(table, pairs=False):
    """A row for each measure: the smallest size of each fault that it sees, "none" where it sees none of the sizes.

    pairs: the measures of two images, else all others; faults that none of them was asked are left out.
    """
    own = table[table.measure.isin(PAIRED) == pairs]
    heads = {f: f"{f} ({FAULTS[f].unit})" for f in FAULTS if f in set(own.fault)}
    rows = [
        {"measure": m} | {head: _cell(smallest(own, m, f)) for f, head in heads.items()}
        for m in own.measure.unique()
    ]
    return pd.DataFrame(rows)


def properties(table):
    """A row for each measure, a column for each property: the smallest deciding fault that it sees.

    "no" where it sees none, a dash where it was not asked.
    """
    several = {p for p, faults in DECIDES.items() if len(faults) > 1}
    heads = {p: p if p in (*several, f[0]) else f"{p} ({f[0]})" for p, f in DECIDES.items()}
    rows = []
    for measure in table.measure.unique():
        rows.append({"measure": measure})
        for p, head in heads.items():
            asked = list(_asked(table, measure, p))
            seen = [(f, f"{least:g} {FAULTS[f].unit}") for f, least, _ in asked if pd.notna(least)]
            name = f"{seen[0][0]}, " if seen and p in several else ""
            rows[-1][head] = f"{name}{seen[0][1]}" if seen else "no" if asked else "–"
    return pd.DataFrame(rows)


def movements(table, names):
    """A row for each fault and size: how far the named measures move, with intervals."""
    rows, names = {}, list(names)
    asked = table[table.measure.isin(names)]
    for (fault, size), part in asked.groupby(["fault", "size"], sort=False):
        n, known = int(part.n.max()), part.set_index("measure")[["moved", "low", "high"]]
        moved = {name: Estimate(*e, n) for name, *e in known.reindex(names).itertuples()}
        rows[f"{fault}, {size:g} {part.unit.iloc[0]}"] = {"n": n} | moved
    return frame("fault", rows)
