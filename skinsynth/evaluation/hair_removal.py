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
PSNR = ("PSNR before", "PSNR after", "PSNR ceiling")  # what hairtest.score calls them
DARKNESS = {  # of hair against the skin under it, in grey levels: (from, below)
    "25 grey levels or more darker": (25, 300),
    "10 to 25": (10, 25),
    "0 to 10": (0, 10),
    "lighter than the skin": (-300, 0),
}


def draw_kinds(images, seed=0):
    """Hair of every kind drawn on the same images: {"dark, thin, few": hairtest.Hairy, ...}.

    images: uint8 (N, S, S, 3) without hair; with none of them the answer is empty.
    """
    if not len(images):
        return {}
    return {
        f"{tone}, {width}, {number}": hairtest.draw(images, tone, number, width, seed)
        for tone, width, number in product(hairtest.TONES, hairtest.WIDTHS, hairtest.NUMBERS)
    }


def _medians(hairy, method):
    """{what hairtest.score says of a method: its median over the images where it is known}."""
    return pd.DataFrame(hairtest.score(hairy, **method)).median().to_dict()


def restored(drawn, **method):
    """How well a method finds and fills drawn hair: one row a kind, medians over its images.

    drawn: {kind: hairtest.Hairy}; method: what hairtest.score takes (how, and options of it).
    Columns: hair, n, F1, Dice, PSNR before (dB), after, ceiling; all PSNR inside the true hair.
    """
    rows = {k: {"n": len(hairy.images)} | _medians(hairy, method) for k, hairy in drawn.items()}
    heads = ("PSNR before (dB)", "after", "ceiling")
    return stats.frame("hair", rows).rename(columns=dict(zip(PSNR, heads, strict=True)))


def restored_by(drawn, methods):
    """The same by several methods side by side: of each the columns F1 and PSNR after (dB).

    methods: {name: what hairtest.score takes}.
    """
    rows = {kind: {"n": len(hairy.images)} for kind, hairy in drawn.items()}
    for name, method in methods.items():
        for kind, hairy in drawn.items():
            found = _medians(hairy, method)
            rows[kind][f"F1, {name}"] = found["F1"]
            rows[kind][f"PSNR after (dB), {name}"] = found["PSNR after"]
    return stats.frame("hair", rows)


def pictures(hairy, k=0):
    """Image k with drawn hair, true mask, mask found, the same with light hair, inpainted, before."""
    image = hairy.images[k]
    found = hair.dullrazor(image)
    with_light = hair.dullrazor(image, light=True)
    return [image, hairy.masks[k], found.mask, with_light.mask, found.inpainted, hairy.clean[k]]


def cost(images, masks, lesions, classifier, methods=METHODS):
    """What hair removal does to images without hair: one row a method, intervals over lesions.

    images: uint8 (N, S, S, 3); masks: (N, S, S) bool, the lesions; lesions: (N,) ids. Columns: method, n
    and the shares images changed, labels flipped (the classifier changes its answer), fine structure lost.
    """
    before = classifiers.probabilities(classifier, images).argmax(1)
    rows = {}
    for name, method in methods.items():
        after, lost = hairtest.erased(images, masks, **method)
        answers = classifiers.probabilities(classifier, after).argmax(1)
        rows[name] = {
            "images changed": stats.share_interval((after != images).any((1, 2, 3)), lesions),
            "labels flipped": stats.share_interval(answers != before, lesions),
            "fine structure lost": stats.mean_interval(lost, clusters=lesions),
        }
    return stats.frame("method", rows)


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
