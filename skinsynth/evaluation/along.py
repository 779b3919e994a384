"""What changes along the paths from pseudo-normal skin to lesion, how orderly, and what the lesion leaves behind."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..interpolation.inpaint import dilate
from ..interpolation.paths import ALPHAS, lerp
from ..numerics import stats
from . import measures
from .conditioning import confidence

FEWEST = 9  # paths on which a correlation is computed


class LesionProbe:
    """Tells skin with a lesion from skin without: a logistic regression on a judge's features.

    judge: a panel.Judge, no part of any generator; lesions, skins: uint8 images (N,H,W,3), (M,H,W,3).
    """

    def __init__(self, judge, lesions, skins):
        self.embed = judge.embed
        self.model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
        features = np.concatenate([self.embed(lesions), self.embed(skins)])
        self.model.fit(features, np.repeat([1, 0], [len(lesions), len(skins)]))

    def __call__(self, images):
        """(N,) probability that an image shows a lesion."""
        return self.model.predict_proba(self.embed(images))[:, 1]

    def auc(self, lesions, skins, ids):
        """How well it tells other images from the same without their lesion; jackknife over lesions, ids (N,)."""
        pair = self(lesions), self(skins)

        def value(keep):
            return measures.auc_interval(*(p[keep] for p in pair)).value

        return stats.within(stats.jackknife(value, stats.make_groups(ids)), 0, 1)


def follow(measure, path):
    """A measure of images, (N,H,W,3) -> (N,), at each point of paths (N, alphas, H,W,3): (N, alphas)."""
    return np.stack([measure(path[:, k]) for k in range(path.shape[1])], 1)


def class_probability(classifier, walk):
    """Probability of each path's own class along a Walk: (N, alphas)."""
    return follow(lambda images: confidence(classifier, images, walk.labels), walk.path)


def by_alpha(seen, ids):
    """Means along the paths. seen: {what: (N, alphas) in [0,1]}; ids: (N,) clusters of the intervals."""

    def mean(values):
        return stats.within(stats.mean_interval(values, clusters=ids), 0, 1)

    rows = {a: {n: mean(v[:, k]) for n, v in seen.items()} for k, a in enumerate(ALPHAS)}
    return stats.frame("alpha", rows)


def order(values):
    """(rank correlation with alpha, largest step as a share of the range) of each path (N, alphas)."""
    # a constant has no order
    rank = [spearmanr(ALPHAS, v).statistic if np.ptp(v) > 1e-9 else 0.0 for v in values]
    step = np.abs(np.diff(values, axis=1)).max(1)
    return np.array(rank), step / np.maximum(np.ptp(values, axis=1), 1e-9)


def order_table(walks, seen):
    """Order of paths by what a probe sees. walks, seen: {(of what, interpolation): Walk, (N, alphas)}."""
    rows = {}
    for which, values in seen.items():
        ids, (rank, step) = walks[which].ids, order(values)
        rows[which] = {
            "median rank": np.median(rank),
            "rank": stats.within(stats.mean_interval(rank, clusters=ids), -1, 1),
            "rank 0.9 or more": stats.share_interval(rank >= 0.9, ids),
            "largest step": stats.within(stats.mean_interval(step, clusters=ids), 0, 1),
        }
    table = stats.frame("paths of", rows)
    table.insert(1, "interpolation", [kind for _, kind in rows])
    return table.assign(**{"paths of": [name for name, _ in rows]})


def order_curves(walks, seen):
    """Mean of what the probe sees along alpha, one curve for each row of `order_table`."""
    curves = {
        f"{name}, {kind}": by_alpha({"lesion probe": values}, walks[name, kind].ids)
        for (name, kind), values in seen.items()
    }
    return pd.concat(curves, names=["paths"]).reset_index(level="paths").drop(columns="n")


def contrast(image, mask):
    """Distance of the mean RGB colours inside a mask (H,W) and in a ring around it; nan without either."""
    ring = dilate(mask, 0.15) & ~dilate(mask, 0.05)
    if not mask.any() or not ring.any():
        return np.nan
    return np.linalg.norm(image[mask].astype(float).mean(0) - image[ring].astype(float).mean(0))


def residues(walk, normal=None):
    """Of each path of a Walk the contrast of the lesion (alpha 1) and its residue (alpha 0), in grey levels.

    normal: uint8 (N,H,W,3), other images at alpha 0 than the path's own. Both are nan without a usable mask, also
    where it fills the image and nothing was painted: there the residue would be the lesion itself.
    """
    ends = {"contrast": walk.path[:, -1], "residue": walk.path[:, 0] if normal is None else normal}
    found = {name: list(map(contrast, images, walk.masks)) for name, images in ends.items()}
    painted = (walk.normal != walk.images).any((1, 2, 3))
    found = {name: np.where(painted, values, np.nan) for name, values in found.items()}
    return pd.DataFrame({"class": walk.labels, "seed": walk.ids} | found)


def ranks(values, classes):
    """Rank of each value (N,) within its class (N,), on a scale on which every class has the mean 0."""
    own = pd.Series(np.asarray(values)).groupby(np.asarray(classes))
    return ((own.rank() - 0.5) / own.transform("size") - 0.5).to_numpy()


def residue_relation(found, within=True):
    """Spearman's correlation of contrast and residue in `residues`, an Estimate; None on too few paths.

    within: of ranks within each class. Else of ranks over all classes together, where classes that differ
    in both make a correlation of their own, the class mixture.
    """
    usable = found.dropna()
    if len(usable) < FEWEST:
        return None
    classes = usable["class"].to_numpy() if within else np.zeros(len(usable))
    pair = usable[["contrast", "residue"]].to_numpy()

    def statistic(keep):
        x, y = (ranks(values, classes[keep]) for values in pair[keep].T)
        size = np.sqrt((x**2).sum() * (y**2).sum())
        return (x * y).sum() / size if size > 0 else np.nan

    related = stats.jackknife(statistic, stats.make_groups(usable.seed))
    return stats.within(related, -1, 1)


def residue_said(within, pooled):
    """What `residue_relation` found, in words: within classes first, then pooled; either may be None."""
    if within is None or not np.isfinite(within.low + within.high):
        return "whether a lesion of more contrast leaves more residue could not be tested on so few paths"
    zone = "r = {0.value:.2f} [{0.low:.2f}, {0.high:.2f}]"
    how = "leaves neither clearly more nor clearly less residue"
    if within.low > 0 or within.high < 0:
        how = "leaves more residue" if within.low > 0 else "leaves less residue, not more"
    found = f"within its class a lesion of more contrast {how} ({zone.format(within)}"
    return f"{found}; pooled over the classes, with their mixture, {zone.format(pooled)})"


def residue_table(walk, fillings):
    """A row for each filling: mean residue, and its correlation with the contrast within classes and pooled.

    fillings: {name: uint8 (N,H,W,3)}, other images at alpha 0 of a Walk.
    """
    rows = {}
    for name, normal in fillings.items():
        found = residues(walk, normal)
        rows[name] = {
            "residue (grey levels)": stats.mean_interval(found.residue, clusters=found.seed)
        }
        for column, within in (("within classes", True), ("pooled", False)):
            if related := residue_relation(found, within):
                rows[name][column] = related
    return stats.frame("filling", rows)


def truth_table(walks):
    """PSNR (dB) of paths to the true ones, on which the lesion fades over its true skin.

    walks: {(of what, interpolation): Walk}; those without true skin are left out.
    """
    known = {kind: walk for (_, kind), walk in walks.items() if walk.skin is not None}
    rows = {kind: {"n": len(walk.path)} for kind, walk in known.items()}
    for kind, walk in known.items():
        for k in (0, 5, 10):
            true = lerp(walk.skin, walk.images, ALPHAS[k]).round().astype(np.uint8)
            likeness = measures.psnr(true, walk.path[:, k])
            rows[kind][f"alpha {ALPHAS[k]:g}"] = stats.mean_interval(likeness, clusters=walk.ids)
    return stats.frame("interpolation", rows)
