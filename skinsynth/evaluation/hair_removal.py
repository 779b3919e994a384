"""What hair removal restores and what it costs: the tables and pictures that the tests of data/hairtest.py make."""

from itertools import product

import cv2
import numpy as np
import pandas as pd

from ..data import hair, hairtest
from ..networks import classifiers
from ..numerics import stats

METHODS = {  # what hairtest.score and hairtest.erased are given
    "DullRazor": {},
    "textbook": {"how": hair.textbook},
    "with light hair": {"light": True},
}
MEAN, PAIRED = "mean of the kinds", "DullRazor minus textbook"
COSTS = ("share changed", "share of labels flipped", "share of fine structure lost")
PSNR = ("PSNR before", "PSNR after", "PSNR ceiling")  # what hairtest.score calls them
DARKNESS = {  # of hair against the skin under it, in grey levels: (from, below)
    "25 grey levels or more darker": (25, 300),
    "10 to 25": (10, 25),
    "0 to 10": (0, 10),
    "lighter than the skin": (-300, 0),
}


def draw_kinds(images, seed=0):
    """Much hair of six kinds drawn on the same images: {"dark, thin": hairtest.Hairy, ...}.

    images: uint8 (N, S, S, 3) without hair; with none of them the answer is empty.
    """
    if not len(images):
        return {}
    kinds = product(hairtest.TONES, hairtest.WIDTHS)
    return {
        f"{tone}, {width}": hairtest.draw(images, tone, width=width, seed=seed)
        for tone, width in kinds
    }


def scored(drawn, methods=METHODS):
    """{kind of hair: {method: what hairtest.score says, arrays (N,)}} of drawn hair, {kind: hairtest.Hairy}."""
    return {
        kind: {name: hairtest.score(hairy, **method) for name, method in methods.items()}
        for kind, hairy in drawn.items()
    }


def medians(scores):
    """One row a kind of hair and method: n and the medians over images of what `scored` gives."""
    rows = []
    for kind, own in scores.items():
        for method, found in own.items():
            middle = pd.DataFrame(found).median().to_dict()
            rows.append({"hair": kind, "method": method, "n": len(found["F1"])} | middle)
    return pd.DataFrame(rows)


def gains(scores, lesions):
    """What the filling of drawn hair restores, {row of a table: {column: Estimate over lesions (N,)}}.

    PSNR after minus before, in dB, inside the true hair: above zero is better than leaving the hair. One column is
    our values minus the textbook's, paired by image; the last is the ceiling: the same filling given the true mask.
    A row for each kind of hair, and one for the mean over the kinds in each image.
    """
    restored = {}
    for kind, own in scores.items():
        before, ceiling = (own["DullRazor"][f"PSNR {when}"] for when in ("before", "ceiling"))
        found = {name: score["PSNR after"] - before for name, score in own.items()}
        found[PAIRED] = found["DullRazor"] - found["textbook"]
        restored[kind] = found | {"true mask given": ceiling - before}
    if restored:
        columns = next(iter(restored.values()))
        restored[MEAN] = {c: np.mean([x[c] for x in restored.values()], 0) for c in columns}
    return {
        f"hair restored (dB): {kind}": {
            name: stats.mean_interval(x, clusters=lesions) for name, x in found.items()
        }
        for kind, found in restored.items()
    }


def pictures(hairy, k=0):
    """Image k with drawn hair, true mask, mask found, the same with light hair, inpainted, before."""
    image = hairy.images[k]
    found = hair.dullrazor(image)
    with_light = hair.dullrazor(image, light=True)
    return [image, hairy.masks[k], found.mask, with_light.mask, found.inpainted, hairy.clean[k]]


def cost(images, masks, lesions, classifier, methods=METHODS):
    """What hair removal does to images without hair, {row of a table: {method: Estimate over lesions}}.

    images: uint8 (N, S, S, 3); masks: (N, S, S) bool, the lesions; lesions: (N,) ids. Rows, all shares: images
    changed, labels flipped (the classifier changes its answer), fine structure of the lesions lost.
    """
    before = classifiers.probabilities(classifier, images).argmax(1)
    changed, flipped, thinner = {}, {}, {}
    for name, method in methods.items():
        after, lost = hairtest.erased(images, masks, **method)
        answers = classifiers.probabilities(classifier, after).argmax(1)
        changed[name] = stats.share_interval((after != images).any((1, 2, 3)), lesions)
        flipped[name] = stats.share_interval(answers != before, lesions)
        thinner[name] = stats.mean_interval(lost, clusters=lesions)
    shares = dict(zip(COSTS, (changed, flipped, thinner), strict=True))
    return {f"hairless images: {what}": row for what, row in shares.items()}


def in_words(rows):
    """What the rows of `gains` and `cost` say, as sentences."""
    found = {name.partition(": ")[2]: row for name, row in rows.items() if "restored" in name}
    if not found:
        return "There was no validation image without hair to draw hair on."
    gap = found.pop(MEAN)[PAIRED]
    works = [kind for kind, row in found.items() if row["DullRazor"].low > 0]
    fails = [kind for kind in found if kind not in works]
    said = f"DullRazor with our values brings back skin under {len(works)} of {len(found)} kinds of hair"
    said += f", not under the others ({'; '.join(fails)}). " if works and fails else ". "
    way = "nearer to" if gap.low > 0 else "farther from" if gap.high < 0 else "no nearer to"
    said += f"With our values the filled skin is {way} the truth than with the textbook's, over all kinds "
    said += f"({gap.value:.2g} dB [{gap.low:.2g}, {gap.high:.2g}], paired)."
    shares = [rows.get(f"hairless images: {what}") for what in COSTS[:2]]
    if all(shares):
        ours, theirs = ([row[k].value for row in shares] for k in ("DullRazor", "textbook"))
        said += f" Of images without hair, ours change {ours[0]:.1%} and flip the label of {ours[1]:.1%};"
        said += f" the textbook's change {theirs[0]:.1%} and flip {theirs[1]:.1%}."
    return said


def darkness(images, clean, masks):
    """(N,) grey levels by which the hair in the masks is darker than the skin under it."""
    out = []
    for image, bare, mask in zip(images, clean, masks, strict=True):
        grey = [cv2.cvtColor(np.asarray(x), cv2.COLOR_RGB2GRAY).astype(int) for x in (bare, image)]
        out.append((grey[0] - grey[1])[mask].mean())
    return np.array(out)


def restored_by_darkness(hairy, lesions):
    """How well DullRazor finds and fills hair, by its darkness: one row a level that three images or more have.

    lesions: (N,) ids; the levels are those of DARKNESS. Columns: hair, n, F1 (median,
    quartiles), PSNR before, after, ceiling (medians, inside the true hair), gain (dB) of the filling.
    """
    found = hairtest.score(hairy)
    dark = darkness(*hairy)
    gain = found["PSNR after"] - found["PSNR before"]
    rows = {}
    for name, (low, high) in DARKNESS.items():
        own = (dark >= low) & (dark < high)
        if own.sum() < 3:
            continue
        first, middle, third = np.nanpercentile(found["F1"][own], [25, 50, 75])
        rows[name] = {
            "n": int(own.sum()),
            "F1 (median, quartiles)": f"{middle:.2f} [{first:.2f}, {third:.2f}]",
            **{column: np.nanmedian(found[column][own]) for column in PSNR},
            "gain (dB)": stats.mean_interval(gain[own], clusters=np.asarray(lesions)[own]),
        }
    return stats.frame("hair", rows)
