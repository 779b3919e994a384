"""Faults of known size, planted in originals: how far does each measure move?"""

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..core.machine import device, side_by_side
from ..core.store import stage, write_csv
from ..data import hair
from ..networks import classifiers
from ..networks.published import LPIPS
from ..numerics import stats
from ..numerics.arrays import labels_of, load_array, records_of, spread
from ..numerics.pixels import jpeg
from . import measures, metrics, panel
from .faults import FAULTS, lesions_moved
from .judges import LOOKS
from .variance import variance

PAIRS = 48  # images for measures of pairs and of hair, which cost more
FALLS = {  # measures that are lower where something is wrong
    *("PSNR", "MS-SSIM", "precision", "recall", "density", "coverage"),
    *("label fidelity", "between-class share", "variance (CLIP)", panel.NAMES[2]),
}


@dataclass(frozen=True)
class Originals:
    """What the faults are planted in: `test`, the reference, and `pool`, train images, whose first are as
    many of each class as the reference holds. Both are rows of images and table."""

    images: np.ndarray  # uint8 (N,H,W,3)
    table: pd.DataFrame
    masks: np.ndarray | None  # of the lesions (N,H,W) bool, where they are known
    test: np.ndarray
    pool: np.ndarray

    @classmethod
    def of(cls, records, n, seed):
        """From a set of originals, at most n test images of a class."""
        table, rng = records_of(records), np.random.default_rng([seed, 31])
        split, classes = table.split.to_numpy(), table.dx.to_numpy()
        test, train = (rng.permutation(np.flatnonzero(split == name)) for name in ("test", "train"))
        test = np.concatenate([test[classes[test] == c][:n] for c in CLASSES])
        a, b = panel.matched(classes[test], classes[train], seed)
        masks = load_array(records / "masks.npy") > 0 if (records / "masks.npy").exists() else None
        images, pool = (
            load_array(records / "images.npy"),
            np.concatenate([train[b], np.delete(train, b)]),
        )
        return cls(images, table, masks, test[a], pool)

    @property
    def given(self):
        """Rows that carry the faults: the first of the pool."""
        return self.pool[: len(self.test)]

    def column(self, name, rows):
        return self.table[name].to_numpy()[rows]

    def masks_of(self, rows):
        return None if self.masks is None else self.masks[rows]

    def measured(self, judge, rows):
        return judge(self.images[rows], self.column("dx", rows), self.column("lesion_id", rows))

    def take(self, fault):
        """Whether a fault can be planted: a lesion is moved by its mask."""
        return self.masks is not None or fault.change is not lesions_moved


class Pairs:
    """Measures of pairs of images: how much worse than a copy saved as JPEG of quality 90."""

    def __init__(self, images):
        self.images = images
        self.measures = {
            "MSE": measures.mse,
            "PSNR": measures.psnr,
            "MS-SSIM": measures.ms_ssim,
            LPIPS.NAMES["alex"]: partial(measures.lpips_distance, LPIPS("alex").to(device())),
        }
        self.saved = self._measured(jpeg(images, 90))

    def _measured(self, images):
        found = {name: how(self.images, images) for name, how in self.measures.items()}
        return found | {"MS-SSIM": found["MS-SSIM"][0]}  # without the number of scales

    def __call__(self, images, clusters):
        """{measure: Estimate} of changed images."""
        return {
            name: stats.paired_difference(x, self.saved[name], clusters=clusters)
            for name, x in self._measured(images).items()
        }


class Planter:
    """Plants one fault at a time and says how far every measure moves."""

    def __init__(self, originals, probe, embedded, seed):
        """probe: a classifier; embedded: CLIP embeddings of all originals (N, D)."""
        self.o, self.probe, self.embedded, self.seed = originals, probe, embedded, seed
        self.judge, self.n = panel.Judge(), len(originals.test)
        self.x = originals.images[originals.given]
        self.masks = originals.masks_of(originals.given)
        self.ids = originals.column("lesion_id", originals.given)
        self.real = originals.measured(self.judge, originals.test)
        self.floor = originals.measured(self.judge, originals.given)
        # what is known of the faultless set, against which every fault is held
        sets = self.real.features, self.floor.features, self.real.groups, self.floor.groups
        self.before = {
            how: metrics.remembered(metrics.statistic_of(how, *sets)) for how in panel.DISTANCES
        }
        reference = originals.images[originals.test], originals.masks_of(originals.test)
        self.looks = {
            name: (look(*reference), look(self.x, self.masks))
            for name, (_, look) in LOOKS.items()
            if originals.masks is not None or name != "boundary"
        }
        self.part = spread(self.n, PAIRS)
        self.pairs = Pairs(self.x[self.part])

    def __call__(self, name, size):
        """{measure: Estimate of its movement} of one fault."""
        fault = FAULTS[name]
        rng = np.random.default_rng([self.seed, list(FAULTS).index(name), int(10 * size)])
        if fault.labels:
            return self._labels(fault, size, rng)
        return self._rows(fault, size, rng) if fault.rows else self._pixels(fault, size, rng)

    def _labels(self, fault, size, rng):
        """The probe answers for test images, which it has not seen."""
        truth = labels_of(self.o.table.iloc[self.o.test], CLASSES)
        mixed = fault.labels(truth, size, rng)
        answer = classifiers.probabilities(self.probe, self.o.images[self.o.test]).argmax(1)
        lesions = self.o.column("lesion_id", self.o.test)

        def share(keep, labels):
            return metrics.between_class_share(self.real.features[keep], labels[keep])

        def moved(keep):
            return share(keep, mixed) - share(keep, truth)

        return {
            "label fidelity": stats.paired_difference(
                answer == mixed, answer == truth, clusters=lesions
            ),
            "between-class share": stats.jackknife(moved, self.real.groups),
        }

    def _rows(self, fault, size, rng):
        classes = self.o.column("dx", self.o.pool)
        rows = fault.rows(classes, self.n, size, rng, self._oddness())
        ids = stats.make_groups(self.o.column("lesion_id", self.o.pool))
        pool, count = self.o.pool[rows], len(rows)
        once, where = np.unique(pool, return_inverse=True)
        chosen = replace(self.o.measured(self.judge, once)[where], groups=ids[rows])
        floor = replace(self.floor, groups=ids[: self.n])

        def moved(keep):
            kept = pool[keep[:count]], self.o.given[keep[count:]]
            return self._variance(kept[0]) - self._variance(kept[1])

        spread = stats.jackknife(moved, np.concatenate([chosen.groups, floor.groups]), n=count)
        return self._distances(floor, chosen) | {"variance (CLIP)": spread}

    def _oddness(self):
        """(n,) how far each faultless image lies from the mean picture of its class, at 8 pixels a side."""
        small = np.stack([cv2.resize(i, (8, 8), interpolation=cv2.INTER_AREA) for i in self.x])
        small, y = small.reshape(self.n, -1).astype(float), self.o.column("dx", self.o.given)
        return np.sqrt(((small - np.stack([small[y == c].mean(0) for c in y])) ** 2).sum(1))

    def _variance(self, rows):
        """Mean over the classes of the variance within a class, as Table 6 counts it."""
        y = self.o.column("dx", rows)
        classes = [c for c in np.unique(y) if (y == c).sum() > 1]
        return np.mean([variance(self.embedded[rows[y == c]]) for c in classes])

    def _pixels(self, fault, size, rng):
        bad, ids = fault.change(self.x, size, rng=rng, masks=self.masks), self.ids
        found = self._distances(self.floor, self.judge(bad, self.floor.labels, ids))
        groups = self.real.groups, self.floor.groups, self.floor.groups
        for name, (real, floor) in self.looks.items():
            metric, look = LOOKS[name]
            found[name] = metrics.difference_with_interval(
                metric, real, look(bad, self.masks), floor, *groups
            )
        if fault.property in ("detail", "colour"):
            found |= self.pairs(bad[self.part], ids[self.part])
        if fault.property == "hair":
            after, before = (
                [hair.dullrazor(i).mask.mean() for i in x[self.part]] for x in (bad, self.x)
            )
            found["hair cover"] = stats.paired_difference(after, before, clusters=ids[self.part])
        return found

    def _distances(self, floor, fault):
        """Movements of the measures of two sets of features; a smaller faulty set is compared at its own size."""
        real, known = self.real, self.before
        if (n := len(fault.labels)) < self.n:
            rows = np.random.default_rng(n).permutation(self.n)[:n]
            real, floor = real[rows], floor[rows]
        if floor is not self.floor:
            known = {}
        sets = real, fault, floor
        args = *(x.features for x in sets), *(x.groups for x in sets)
        score = metrics.inception_score_ratio(
            fault.probabilities, floor.probabilities, fault.groups, floor.groups
        )
        found = {
            name: metrics.difference_with_interval(how, *args, of_b=known.get(how))
            for name, how in zip(self.judge.names[:2], panel.DISTANCES, strict=True)
        }
        return found | {self.judge.names[2]: score} | metrics.prdc_difference(*args)


def _row(fault, size, measure, e):
    """One row of judges.csv; seen: the whole interval lies on the side of worse."""
    kind, seen = FAULTS[fault], e.high < 0 if measure in FALLS else e.low > 0
    facts = dict(property=kind.property, fault=fault, size=size, unit=kind.unit, measure=measure)
    return facts | dict(n=e.n, moved=e.value, low=e.low, high=e.high, seen=bool(seen))


@stage("judges")
def plant(out, *, records, probe, embedded, n, seed):
    """judges.csv: for each fault, size and measure how far the measure moves from what it says of faultless originals.

    Test images are the reference; as many train images of each class carry the faults, at most n of a class.
    embedded: CLIP embeddings of the set.
    """
    originals, known = Originals.of(records, n, seed), load_array(embedded / "embeddings.npy")
    planter = Planter(originals, classifiers.load_classifier(probe), known, seed)
    jobs = [(k, size) for k, f in FAULTS.items() if originals.take(f) for size in f.sizes]
    found = side_by_side(planter, *zip(*jobs, strict=True))
    rows = [
        _row(*job, measure, e)
        for job, moved in zip(jobs, found, strict=True)
        for measure, e in moved.items()
    ]
    write_csv(out / "judges.csv", pd.DataFrame(rows))


def examples(records, seed):
    """{name: picture} of one train image, plain and with the largest size of each fault of the pixels."""
    o = Originals.of(records, 2, seed)
    rows = o.pool[:2]
    images, masks = o.images[rows], o.masks_of(rows)
    shown = {"original": images[0]}
    for name, fault in FAULTS.items():
        if fault.change and o.take(fault):
            rng = np.random.default_rng(seed)
            shown[name] = fault.change(images, fault.sizes[-1], rng=rng, masks=masks)[0]
    return shown
