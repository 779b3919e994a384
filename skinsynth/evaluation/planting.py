"""Faults of known size, planted in originals: how far does each measure move?"""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..core.machine import device, side_by_side
from ..core.store import stage, write_csv
from ..networks import classifiers
from ..networks.published import LPIPS
from ..numerics import stats
from ..numerics.arrays import load_array, records_of, spread
from ..numerics.pixels import jpeg
from . import measures, metrics, panel
from .failures import hair_cover
from .faults import FAULTS, typical
from .judges import LOOKS
from .spread import plane, variance

PAIRS = 48  # images for measures of pairs and of hair, which cost more
FALLS = {  # measures that are lower where something is wrong
    *("PSNR", "MS-SSIM", "precision", "recall", "density", "coverage"),
    *("label fidelity", "between-class share", panel.NAMES[2]),
    *("variance (CLIP)", "variance (CLIP, plane)"),
}


class Originals:
    """What the faults are planted in: images, classes, lesions and, where they are known, masks of a set.

    `test`: rows of the reference, at most n images of a class; `pool`: rows of train images, whose first
    are as many of each class as the reference holds.
    """

    def __init__(self, records, n, seed):
        table, rng = records_of(records), np.random.default_rng([seed, 31])
        self.images = load_array(records / "images.npy")
        self.classes, self.lesions = table.dx.to_numpy(), table.lesion_id.to_numpy()
        known = (records / "masks.npy").exists()
        self.masks = load_array(records / "masks.npy") > 0 if known else None
        test, train = (rng.permutation(np.flatnonzero(table.split == k)) for k in ("test", "train"))
        test = np.concatenate([test[self.classes[test] == c][:n] for c in CLASSES])
        a, b = panel.matched(self.classes[test], self.classes[train], seed)
        self.test, self.pool = test[a], np.concatenate([train[b], np.delete(train, b)])

    def masks_of(self, rows):
        return None if self.masks is None else self.masks[rows]

    def measured(self, judge, rows):
        return judge(self.images[rows], self.classes[rows], self.lesions[rows])

    def take(self, name):
        """Whether a fault can be planted: a lesion is moved by its mask."""
        return self.masks is not None or name != "lesions moved"


class Planter:
    """Plants one fault at a time and says how far every measure moves."""

    def __init__(self, originals, probe, embedded, seed):
        """probe: a classifier; embedded: CLIP embeddings of all originals (N, D)."""
        self.o, self.probe, self.seed = originals, probe, seed
        self.judge, self.n = panel.Judge(), len(originals.test)
        self.given = originals.pool[: self.n]  # rows that carry the faults
        self.x, self.masks = originals.images[self.given], originals.masks_of(self.given)
        self.y, self.ids = originals.classes[self.given], originals.lesions[self.given]
        self.embedded = embedded
        self.real = originals.measured(self.judge, originals.test)
        self.floor = originals.measured(self.judge, self.given)
        # what is known of the faultless set, against which every fault is held
        sets = self.real.beside(self.floor)
        self.before = {
            how: metrics.remembered(metrics.statistic_of(how, *sets)) for how in panel.DISTANCES
        }
        reference = originals.images[originals.test], originals.masks_of(originals.test)
        self.looks = {
            name: (metric, look, look(*reference), look(self.x, self.masks))
            for name, (metric, look) in LOOKS.items()
            if originals.masks is not None or name != "boundary"
        }
        self.part, self.lpips = spread(self.n, PAIRS), LPIPS("alex").to(device())
        self.saved = self._pairs(jpeg(self.x[self.part], 90))

    def __call__(self, name, size):
        """{measure: Estimate of its movement} of one fault."""
        fault = FAULTS[name]
        rng = np.random.default_rng([self.seed, list(FAULTS).index(name), int(10 * size)])
        kinds = {"class": self._labels, "variety": self._rows}
        return kinds.get(fault.property, self._pixels)(fault, size, rng)

    def _labels(self, fault, size, rng):
        """The probe answers for test images, which it has not seen."""
        truth, lesions = self.o.classes[self.o.test], self.o.lesions[self.o.test]
        mixed = fault.plant(truth, size, rng)
        answer = classifiers.probabilities(self.probe, self.o.images[self.o.test]).argmax(1)
        right = (np.array(CLASSES)[answer] == y for y in (mixed, truth))

        def moved(keep):
            x = self.real.features[keep]
            after, before = (metrics.between_class_share(x, y[keep]) for y in (mixed, truth))
            return after - before

        return {
            "label fidelity": stats.paired_difference(*right, clusters=lesions),
            "between-class share": stats.jackknife(moved, self.real.groups),
        }

    def _rows(self, fault, size, rng):
        classes, ids = self.o.classes[self.o.pool], stats.make_groups(self.o.lesions[self.o.pool])

        def planted(odd):
            rows = fault.plant(classes, self.n, size, rng, odd)
            once, where = np.unique(self.o.pool[rows], return_inverse=True)
            chosen = self.o.measured(self.judge, once)[where]
            return self.o.pool[rows], replace(chosen, groups=ids[rows])

        pool, chosen = planted(self._oddness())
        before, floor = self.given, replace(self.floor, groups=ids[: self.n])
        if fault.plant is typical:  # any other part, repeated as often, moves the measures too
            before, floor = planted(rng.random(self.n))
        count, groups, found = len(pool), np.concatenate([chosen.groups, floor.groups]), {}
        flat = plane(self.embedded[np.concatenate([before, pool])]).transform(self.embedded)
        # of Table 6, and in the plane of Fig 12
        spaces = {"variance (CLIP)": self.embedded, "variance (CLIP, plane)": flat}
        for measure, space in spaces.items():

            def moved(keep, space=space):
                sets = pool[keep[:count]], before[keep[count:]]
                after, without = (self._variance(space, rows) for rows in sets)
                return after - without

            found[measure] = stats.jackknife(moved, groups, n=count)
        return self._distances(floor, chosen) | found

    def _oddness(self):
        """(n,) how far each faultless image lies from the mean picture of its class, at 8 pixels a side."""
        small = np.stack([cv2.resize(i, (8, 8), interpolation=cv2.INTER_AREA) for i in self.x])
        small = small.reshape(self.n, -1).astype(float)
        mean = np.stack([small[self.y == c].mean(0) for c in self.y])
        return np.sqrt(((small - mean) ** 2).sum(1))

    def _variance(self, space, rows):
        """Mean over the classes of the variance within a class, as Table 6 counts it."""
        y = self.o.classes[rows]
        classes = [c for c in np.unique(y) if (y == c).sum() > 1]
        return np.mean([variance(space[rows[y == c]]) for c in classes])

    def _pairs(self, images):
        """{measure of two images: (n,)} of changed images beside those that they were made of."""
        pair = self.x[self.part], images
        return {
            "MSE": measures.mse(*pair),
            "PSNR": measures.psnr(*pair),
            "MS-SSIM": measures.ms_ssim(*pair)[0],
            LPIPS.NAMES["alex"]: measures.lpips_distance(self.lpips, *pair),
        }

    def _pixels(self, fault, size, rng):
        bad, ids = fault.plant(self.x, size, rng=rng, masks=self.masks), self.ids
        found = self._distances(self.floor, self.judge(bad, self.floor.labels, ids))
        groups = self.real.groups, self.floor.groups, self.floor.groups
        for name, (metric, look, real, floor) in self.looks.items():
            found[name] = metrics.difference_with_interval(
                metric, real, look(bad, self.masks), floor, *groups
            )
        if fault.property in ("detail", "colour"):
            # how much worse than a copy saved as JPEG of quality 90
            found |= {
                name: stats.paired_difference(x, self.saved[name], clusters=ids[self.part])
                for name, x in self._pairs(bad[self.part]).items()
            }
        if fault.property == "hair":
            covers = (hair_cover(x[self.part]) for x in (bad, self.x))
            found["hair cover"] = stats.paired_difference(*covers, clusters=ids[self.part])
        return found

    def _distances(self, floor, fault):
        """Movements of the measures of two sets of features; a smaller faulty set is compared at its own size."""
        real, known = self.real, self.before if floor is self.floor else {}
        if (n := len(fault.labels)) < self.n:
            rows = np.random.default_rng(n).permutation(self.n)[:n]
            real, floor = real[rows], floor[rows]
        args, (*names, score) = real.beside(fault, floor), self.judge.names
        found = {
            name: metrics.difference_with_interval(how, *args, of_b=known.get(how))
            for name, how in zip(names, panel.DISTANCES, strict=True)
        }
        return found | {score: panel.is_ratio(fault, floor)} | metrics.prdc_difference(*args)


def _row(fault, size, measure, e):
    """One row of judges.csv; seen: the whole interval lies on the side of worse."""
    kind, seen = FAULTS[fault], e.high < 0 if measure in FALLS else e.low > 0
    facts = dict(property=kind.property, fault=fault, size=size, unit=kind.unit, measure=measure)
    return facts | dict(n=e.n, moved=e.value, low=e.low, high=e.high, seen=bool(seen))


@stage("judges")
def plant(out, *, records, probe, embedded, n, seed):
    """judges.csv: for each fault, size and measure how far the measure moves from what it says of faultless originals,
    or, of "typical ones only", of as large a part drawn by chance.

    Test images are the reference; as many train images of each class carry the faults, at most n of a class.
    embedded: CLIP embeddings of the set.
    """
    originals, known = Originals(records, n, seed), load_array(embedded / "embeddings.npy")
    planter = Planter(originals, classifiers.load_classifier(probe), known, seed)
    jobs = [(name, size) for name in FAULTS if originals.take(name) for size in FAULTS[name].sizes]
    found = side_by_side(planter, *zip(*jobs, strict=True))
    rows = [
        _row(*job, measure, e)
        for job, moved in zip(jobs, found, strict=True)
        for measure, e in moved.items()
    ]
    write_csv(out / "judges.csv", pd.DataFrame(rows))


def examples(records, seed):
    """{name: picture} of one train image, plain and with the largest size of each fault of the pixels."""
    o = Originals(records, 2, seed)
    images, masks = o.images[o.pool[:2]], o.masks_of(o.pool[:2])
    shown = {"original": images[0]}
    for name, fault in FAULTS.items():
        if fault.property not in ("variety", "class") and o.take(name):
            rng = np.random.default_rng(seed)
            shown[name] = fault.plant(images, fault.sizes[-1], rng=rng, masks=masks)[0]
    return shown
