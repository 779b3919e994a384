"""Failures (Fig 13): samples that reflect hair or colour of their own reference image more than chance does."""

import cv2
import numpy as np
import pandas as pd

from ..data import hair
from ..numerics import stats
from . import measures
from .panel import matched

PARTS = ("hair", "colour")
PASS = 0.99  # share of the train images below the threshold


def hair_cover(images):
    """(N,) share of pixels that the hair detector marks in uint8 images (N,H,W,3)."""
    return np.array([hair.dullrazor(np.asarray(x)).mask.mean() for x in images])


def hair_effect(first, second, seeds):
    """Hair cover of the first samples minus that of the second, of the same seeds (Estimate).

    None where no hair is found in either: then nothing tells what hair in the training images does to samples.
    """
    covers = [hair_cover(images) for images in (first, second)]
    return stats.paired_difference(*covers, clusters=seeds) if np.any(covers) else None


class Reflection:
    """How much an image resembles one reference image in what is unusual for its class.

    Fitted to original images (N,H,W,3) uint8 and their classes (N,). hair: the smaller of the shares of
    pixels that the hair detector marks in the image and in its reference. colour: how much nearer the image
    is to its reference than to the mean of its class, both Mahalanobis distances of CIELAB means and
    deviations by the class's spread: large only where the reference is unusual and the image follows it.
    """

    def __init__(self, images, classes):
        self.spread, classes = {}, np.asarray(classes)
        colour = measures.colour_statistics(images)
        for c in np.unique(classes):
            x = colour[classes == c]
            cov = np.cov(x.T) + 0.05 * np.diag(colour.var(0))  # few images of rare classes
            self.spread[c] = x.mean(0), np.linalg.inv(cov)

    def __call__(self, images, references, classes):
        """(2, N) in the order of PARTS; references: uint8 (N,H,W,3), the reference image of each."""
        covers = np.minimum(hair_cover(images), hair_cover(references))
        nearer = []
        pair = (measures.colour_statistics(x) for x in (images, references))
        for c, own, shown in zip(classes, *pair, strict=True):
            mean, inverse = self.spread[c]
            far, near = (np.sqrt(x @ inverse @ x) for x in (own - mean, own - shown))
            nearer.append(far - near)
        return np.array([covers, nearer])


def recoloured(images, references):
    """Images in the colours of their references: CIELAB means and deviations; both uint8 (N,H,W,3)."""
    out = []
    for pair in zip(images, references, strict=True):
        own, other = (cv2.cvtColor(x.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for x in pair)
        wider = other.std((0, 1)) / np.maximum(own.std((0, 1)), 1e-3)
        lab = (own - own.mean((0, 1))) * wider + other.mean((0, 1))
        out.append(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB))
    return np.clip(np.rint(255 * np.stack(out)), 0, 255).astype(np.uint8)


def partners(classes, rng):
    """(N,) for each of some images another one of its class (N,), itself where it is the only one."""
    out = np.empty(len(classes), int)
    for c in np.unique(classes):
        own = rng.permutation(np.flatnonzero(classes == c))
        out[own] = np.roll(own, 1)
    return out


class Search:
    """Reflection of samples with their own reference images, and what of it is chance.

    treated: the original images as the models saw them, hair removed, uint8 (N,H,W,3). References have
    their hair left in. Chance is measured on held-out images (validation and test, treated alike), as many
    of each class as samples, each beside a train image of its class; the threshold on train images, each
    beside another. As a control the samples stand beside the reference image of another sample of the class:
    what they pass then their own reference image does not explain. As a planted fault the held-out images take
    the colours of the train image beside them.
    """

    def __init__(self, compared, treated, model="8ch+ML"):
        classes, lesions = (compared.records[k].to_numpy() for k in ("dx", "lesion_id"))
        train, rng = compared.rows("train"), np.random.default_rng([compared.seed, 13])
        rest = np.flatnonzero(compared.records.split != "train")
        rows, self.alike = matched(classes[rest], compared.labels, compared.seed)
        held, self.compared, images = rest[rows], compared, compared.images
        self.lesions, self.own = lesions[held], compared.references
        if self.own is None:  # shown none: what stands for them is drawn as for the held-out images
            self.own = self._drawn(compared.labels, train, classes, rng)
        drawn = self._drawn(classes[held], train, classes, rng)
        score, other = Reflection(treated[train], classes[train]), partners(classes[train], rng)
        fitted = score(treated[train], images[train[other]], classes[train])
        parts = score(compared.pixels[model], images[self.own], compared.labels)
        others = images[self.own[partners(compared.labels, rng)]]
        swapped = score(compared.pixels[model], others, compared.labels)
        beside = score(treated[held], images[drawn], classes[held])
        planted = recoloured(treated[held], images[drawn])
        planted = score(planted, images[drawn], classes[held])
        self.hair_found = bool(hair_cover(compared.pixels[model]).any())
        # (2, M) of all samples; (2, K) of held-out originals, as many of each class as samples `alike`
        mean, sd = fitted.mean(1)[:, None], np.maximum(fitted.std(1), 1e-4)[:, None]
        sets = parts, beside, swapped, planted
        self.parts, self.held, self.swapped, self.planted = ((x - mean) / sd for x in sets)
        self.limit = np.quantile(((fitted - mean) / sd).max(0), PASS)

    @staticmethod
    def _drawn(wanted, train, classes, rng):
        pools = {c: train[classes[train] == c] for c in np.unique(wanted)}
        return np.array([rng.choice(pools[c]) for c in wanted])

    @property
    def scores(self):
        """A row for each sample: file, class, reference, the two parts, the score."""
        names = self.compared.records.image_id.to_numpy()[self.own]
        about = {"file": self.compared.meta.file_name, "class": self.compared.labels}
        parts = dict(zip(PARTS, self.parts, strict=True))
        score = {"score": self.parts.max(0)}
        return pd.DataFrame(about | {"reference": names} | parts | score)

    def highest(self, n=7):
        """Rows of the n samples of the highest score."""
        return np.argsort(-self.parts.max(0), kind="stable")[:n]

    def heading(self, row):
        """Class and score of a sample, and the part that decides it."""
        parts = self.parts[:, row]
        return f"{self.compared.labels[row]} {parts.max():.1f}\n{PARTS[parts.argmax()]}"

    def shares(self):
        """Shares above the threshold by hair, by colour, by either: of held-out originals, samples, the control.

        {row: {column: Estimate}}, as stats.frame takes it; intervals over lesions or seeds.
        """
        seeds = self.compared.seeds[self.alike]
        sets = {
            "held-out originals": (self.held, self.lesions),
            "samples of 8ch+ML": (self.parts[:, self.alike], seeds),
            "the same beside another's reference image": (self.swapped[:, self.alike], seeds),
            "held-out originals in the colours of theirs": (self.planted, self.lesions),
        }
        rows = {}
        for name, (parts, ids) in sets.items():
            above = dict(zip(PARTS, parts > self.limit, strict=True))
            above["either"] = (parts > self.limit).any(0)
            rows[name] = {k: stats.share_interval(x, ids) for k, x in above.items()}
        return rows

    def excess(self):
        """Share of the samples above the threshold minus that of held-out originals (Estimate)."""
        chance, samples, *_ = (row["either"] for row in self.shares().values())
        return stats.apart(samples, chance)

    def sees(self):
        """(whether the score sees the planted fault, how much of it, as a sentence)."""
        after, before = (x[PARTS.index("colour")] > self.limit for x in (self.planted, self.held))
        more = stats.paired_difference(after, before, clusters=self.lesions)
        said = f"Of {len(after)} held-out originals {before.sum()} pass by colour as they are, {after.sum()} with all the colours of the image beside them."
        return more.low > 0, said
