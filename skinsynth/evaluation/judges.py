"""Can the judges see? Faults of known size are planted in originals, and each measure shows how far it moves.

A measure is believed on a property (detail, colour, class, variety, structure, hair) only where it sees
the fault that stands for it, in this run and at this number of images (PROTOCOL: judges).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..core.machine import device, side_by_side
from ..core.store import stage, write_csv
from ..data import hair
from ..interpolation.paths import variance
from ..networks import classifiers
from ..networks.published import LPIPS
from ..numerics import stats
from ..numerics.arrays import labels_of, load_array, records_of
from ..numerics.pixels import jpeg
from . import measures, metrics, panel
from .faults import FAULTS, lesions_moved

PAIRS = 48  # images for measures of pairs and of hair, which cost more
DECIDES = {  # faults that stand for a property; one of them has to be seen
    "detail": ("blur",),
    "colour": ("colour shift",),
    "hair": ("hair",),
    "structure": ("lesions moved",),
    "variety": ("typical ones only", "a part many times", "melanoma only"),
    "class": ("labels mixed",),
}
FINE = measures.BANDS[-1:]
LOOKS = {  # measures of pixels: (distance of two sets, what is looked at in images and lesion masks)
    "fine structure": (measures.band_gap, lambda x, m: measures.band_energy(x, FINE)),
    "colour": (measures.measure_distance, measures.colour_statistics),
    "texture": (measures.measure_distance, measures.texture_energy),
    "boundary": (measures.measure_distance, measures.border_sharpness),
}


@dataclass(frozen=True)
class Originals:
    """What the faults are planted in: `test`, the reference, and `pool`, train images, whose first are as
    many of each class as the reference holds."""

    images: np.ndarray
    table: pd.DataFrame
    masks: np.ndarray
    test: np.ndarray
    pool: np.ndarray

    @classmethod
    def of(cls, records, n, seed):
        table, rng = records_of(records), np.random.default_rng([seed, 31])
        split, classes = table.split.to_numpy(), table.dx.to_numpy()
        test, train = (rng.permutation(np.flatnonzero(split == name)) for name in ("test", "train"))
        test = np.concatenate([test[classes[test] == c][:n] for c in CLASSES])
        a, b = panel.matched(classes[test], classes[train], seed)
        masks = load_array(records / "masks.npy") > 0 if (records / "masks.npy").exists() else None
        return cls(
            load_array(records / "images.npy"),
            table,
            masks,
            test[a],
            np.concatenate([train[b], np.delete(train, b)]),
        )

    def measured(self, judge, rows):
        return judge(
            self.images[rows], self.table.dx.to_numpy()[rows], self.table.lesion_id.to_numpy()[rows]
        )


class Planter:
    """Plants one fault at a time and says how far every measure moves."""

    def __init__(self, originals, probe, embedded, seed):
        self.o, self.seed, self.judge = originals, seed, panel.Judge()
        self.n, self.lesions = len(originals.test), originals.table.lesion_id.to_numpy()
        self.given = originals.pool[: self.n]
        self.x, self.classes = originals.images[self.given], originals.table.dx.to_numpy()
        self.real, self.floor = (
            originals.measured(self.judge, rows) for rows in (originals.test, self.given)
        )
        self.probe = classifiers.load_classifier(probe)
        self.embedded = load_array(embedded / "embeddings.npy")
        # what is known of the faultless set, against which every fault is held
        self.before = {
            how: metrics.remembered(
                metrics.statistic_of(
                    how,
                    self.real.features,
                    self.floor.features,
                    self.real.groups,
                    self.floor.groups,
                )
            )
            for how in panel.DISTANCES
        }
        rows, masks = (originals.test, self.given), originals.masks
        self.masks = (None, None) if masks is None else tuple(masks[r] for r in rows)
        self.looks = {
            name: [
                look(x, m)
                for x, m in zip((originals.images[rows[0]], self.x), self.masks, strict=True)
            ]
            for name, (_, look) in LOOKS.items()
            if masks is not None or name != "boundary"
        }
        self.part = np.unique(np.linspace(0, self.n - 1, PAIRS).astype(int))
        net = LPIPS("alex").to(device())
        self.pairs = {
            "MSE": measures.mse,
            "PSNR": measures.psnr,
            "MS-SSIM": lambda a, b: measures.ms_ssim(a, b)[0],
            LPIPS.NAMES["alex"]: lambda a, b: measures.lpips_distance(net, a, b),
        }
        self.saved = {
            name: how(self.x[self.part], jpeg(self.x[self.part], 90))
            for name, how in self.pairs.items()
        }

    def __call__(self, name, size):
        """{measure: Estimate of its movement} of one fault."""
        fault, rng = (
            FAULTS[name],
            np.random.default_rng([self.seed, list(FAULTS).index(name), int(10 * size)]),
        )
        if fault.labels:
            return self._labels(fault, size, rng)
        return self._rows(fault, size, rng) if fault.rows else self._pixels(fault, size, rng)

    def _labels(self, fault, size, rng):
        """The probe answers for test images, which it has not seen."""
        truth = labels_of(self.o.table.iloc[self.o.test], CLASSES)
        mixed, answer = (
            fault.labels(truth, size, rng),
            classifiers.probabilities(self.probe, self.o.images[self.o.test]).argmax(1),
        )
        share = lambda keep, y: metrics.between_class_share(self.real.features[keep], y[keep])  # noqa: E731
        return {
            "label fidelity": stats.paired_difference(
                answer == mixed, answer == truth, clusters=self.lesions[self.o.test]
            ),
            "between-class share": stats.jackknife(
                lambda keep: share(keep, mixed) - share(keep, truth), self.real.groups
            ),
        }

    def _rows(self, fault, size, rng):
        rows = fault.rows(self.classes[self.o.pool], self.n, size, rng, self._oddness())
        ids = stats.make_groups(self.lesions[self.o.pool])
        pool = self.o.pool[rows]
        chosen = self.o.measured(self.judge, np.unique(pool))[
            np.searchsorted(np.unique(pool), pool)
        ]
        chosen, floor = replace(chosen, groups=ids[rows]), replace(self.floor, groups=ids[: self.n])
        both, count = np.concatenate([pool, self.given]), len(rows)

        def spread(keep):
            return self._variance(both[:count][keep[:count]]) - self._variance(
                both[count:][keep[count:]]
            )  # noqa: E731

        groups = np.concatenate([chosen.groups, floor.groups])
        return self._distances(floor, chosen) | {
            "variance (CLIP)": stats.jackknife(spread, groups, n=count)
        }

    def _oddness(self):
        """(n,) how far each faultless image lies from the mean picture of its class, at 8 pixels a side."""
        small = (
            np.stack([cv2.resize(i, (8, 8), interpolation=cv2.INTER_AREA) for i in self.x])
            .reshape(self.n, -1)
            .astype(float)
        )
        y = self.classes[self.given]
        return np.sqrt(((small - np.stack([small[y == c].mean(0) for c in y])) ** 2).sum(1))

    def _variance(self, rows):
        """Mean over the classes of the variance within a class, as Table 6 counts it."""
        y = self.o.table.dx.to_numpy()[rows]
        return np.mean(
            [variance(self.embedded[rows[y == c]]) for c in np.unique(y) if (y == c).sum() > 1]
        )

    def _pixels(self, fault, size, rng):
        bad = fault.change(self.x, size, rng=rng, masks=self.masks[1])
        ids, part = self.lesions[self.given], self.part
        found = self._distances(self.floor, self.judge(bad, self.floor.labels, ids))
        for name, (real, floor) in self.looks.items():
            metric, look = LOOKS[name]
            groups = self.real.groups, self.floor.groups, self.floor.groups
            found[name] = metrics.difference_with_interval(
                metric, real, look(bad, self.masks[1]), floor, *groups
            )
        if fault.property in ("detail", "colour"):  # against a copy saved as JPEG of quality 90
            for name, how in self.pairs.items():
                found[name] = stats.paired_difference(
                    how(self.x[part], bad[part]), self.saved[name], clusters=ids[part]
                )
        if fault.property == "hair":
            cover = lambda x: np.array([hair.dullrazor(i).mask.mean() for i in x[part]])  # noqa: E731
            found["hair cover"] = stats.paired_difference(
                cover(bad), cover(self.x), clusters=ids[part]
            )
        return found

    def _distances(self, floor, fault):
        """Movements of the measures of two sets of features; a smaller faulty set is compared at its own size."""
        real, known = self.real, self.before
        if (n := len(fault.labels)) < self.n:
            rows = np.random.default_rng(n).permutation(self.n)[:n]
            real, floor = real[rows], floor[rows]
        if floor is not self.floor:
            known = {}
        args = (
            real.features,
            fault.features,
            floor.features,
            real.groups,
            fault.groups,
            floor.groups,
        )
        pairs = zip(self.judge.names, panel.DISTANCES, strict=False)
        found = {
            name: metrics.difference_with_interval(how, *args, of_b=known.get(how))
            for name, how in pairs
        }
        found[self.judge.names[2]] = metrics.inception_score_ratio(
            fault.probabilities, floor.probabilities, fault.groups, floor.groups
        )
        return found | metrics.prdc_difference(*args)


@stage("judges")
def plant(out, *, records, probe, embedded, n, seed):
    """judges.csv: for each fault, size and measure how far the measure moves from what it says of faultless originals.

    Test images are the reference; as many train images of each class carry the faults, at most n of a class.
    embedded: CLIP embeddings of the set.
    """
    planter = Planter(Originals.of(records, n, seed), probe, embedded, seed)
    jobs = [
        (name, size)
        for name, fault in FAULTS.items()
        for size in fault.sizes
        if fault.change is not lesions_moved or planter.o.masks is not None
    ]
    rows = []
    for (name, size), found in zip(
        jobs, side_by_side(planter, *zip(*jobs, strict=True)), strict=True
    ):
        fault = FAULTS[name]
        for measure, e in found.items():
            seen = e.high < 0 if measure in FALLS else e.low > 0
            rows.append(
                dict(
                    property=fault.property,
                    fault=name,
                    size=size,
                    unit=fault.unit,
                    measure=measure,
                    n=e.n,
                    moved=e.value,
                    low=e.low,
                    high=e.high,
                    seen=bool(seen),
                )
            )
    write_csv(out / "judges.csv", pd.DataFrame(rows))


FALLS = {
    "PSNR",
    "MS-SSIM",
    "precision",
    "recall",
    "density",
    "coverage",
    "label fidelity",
    "between-class share",
    "variance (CLIP)",
    panel.NAMES[2],
}


PAIRED = ("MSE", "PSNR", "MS-SSIM", LPIPS.NAMES["alex"])


def examples(records, seed):
    """{name: picture} of one train image, plain and with the largest size of each fault of the pixels."""
    o = Originals.of(records, 2, seed)
    rows = o.pool[:2]
    x, masks, shown = (
        o.images[rows],
        None if o.masks is None else o.masks[rows],
        {"original": o.images[rows][0]},
    )
    for name, fault in FAULTS.items():
        if fault.change and (masks is not None or fault.change is not lesions_moved):
            shown[name] = fault.change(
                x, fault.sizes[-1], rng=np.random.default_rng(seed), masks=masks
            )[0]
    return shown


def smallest(table, measure, fault):
    """(smallest size from which on a measure sees a fault, largest size it does not see); None where there is none."""
    rows = table[(table.measure == measure) & (table.fault == fault)].sort_values("size")
    seen = rows.seen.to_numpy()
    blind = np.flatnonzero(~seen)
    first = blind[-1] + 1 if len(blind) else 0
    sizes = rows["size"].to_numpy()
    return (sizes[first] if first < len(sizes) else None), (sizes[first - 1] if first else None)


def sees(table, measure, property):
    """(whether a measure sees a property, one sentence that says how large a fault it sees)."""
    words = []
    for fault in DECIDES[property]:
        if not ((table.measure == measure) & (table.fault == fault)).any():
            continue
        said, (least, blind) = FAULTS[fault].words, smallest(table, measure, fault)
        if least is not None:
            but = f", not {blind:g}" if blind is not None else ""
            return True, f"{measure} sees {said.format(least)}{but}."
        words.append(said.format(blind))
    if not words:
        return False, f"{measure} was not tested on {property}."
    return False, f"{measure} does not see {' nor '.join(words)}."


def summary(table):
    """A row for each measure: the smallest size of each fault that it sees, "none" where it sees none of the sizes."""
    faults = [name for name in FAULTS if name in set(table.fault)]

    def cell(measure, fault):
        if not ((table.measure == measure) & (table.fault == fault)).any():
            return "–"
        least, blind = smallest(table, measure, fault)
        return f"none to {blind:g}" if least is None else f"{least:g}"

    heads = {fault: f"{fault} ({FAULTS[fault].unit})" for fault in faults}
    return pd.DataFrame(
        [{"measure": m} | {heads[f]: cell(m, f) for f in faults} for m in table.measure.unique()]
    )


def movements(table, names):
    """A row for each fault and size: how far the named measures move, with intervals."""
    rows = []
    for (fault, size), part in table[table.measure.isin(names)].groupby(
        ["fault", "size"], sort=False
    ):
        known = part.set_index("measure")
        row = {"fault": f"{fault}, {size:g} {part.unit.iloc[0]}", "n": int(part.n.max())}
        for name in names:
            cells = (
                known.loc[name, ["moved", "low", "high"]] if name in known.index else [np.nan] * 3
            )
            row |= dict(zip((name, f"{name} low", f"{name} high"), cells, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)
