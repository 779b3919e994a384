"""What changes along the paths from pseudo-normal skin to lesion, and how orderly it changes."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..core.config import CLASSES
from ..interpolation.paths import ALPHAS, lerp
from ..networks import classifiers
from ..numerics import stats
from . import measures


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

    def auc(self, lesions, skins):
        """How well it tells other images apart, with DeLong's interval."""
        return measures.auc_interval(self(lesions), self(skins))


def follow(measure, path):
    """A measure of images, (N,H,W,3) -> (N,), at each point of paths (N, alphas, H,W,3): (N, alphas)."""
    return np.stack([measure(path[:, k]) for k in range(path.shape[1])], 1)


def class_probability(classifier, walk):
    """Probability of each path's own class along a Walk: (N, alphas)."""
    own = np.arange(len(walk.labels)), [CLASSES.index(c) for c in walk.labels]

    def measure(images):
        return classifiers.probabilities(classifier, images)[own]

    return follow(measure, walk.path)


def by_alpha(seen, ids):
    """Means along the paths. seen: {what: (N, alphas) in [0,1]}; ids: (N,) clusters of the intervals."""

    def mean(values):
        return stats.within(stats.mean_interval(values, clusters=ids), 0, 1)

    rows = {a: {n: mean(v[:, k]) for n, v in seen.items()} for k, a in enumerate(ALPHAS)}
    return stats.frame("alpha", rows)


def order(values):
    """(rank correlation with alpha, largest step as a share of the range) of each path (N, alphas)."""
    reach = np.ptp(values, axis=1)
    # a constant has no order
    moving = zip(values, reach > 1e-9, strict=True)
    rank = [spearmanr(ALPHAS, v).statistic if moves else 0.0 for v, moves in moving]
    step = np.abs(np.diff(values, axis=1)).max(1)
    return np.array(rank), step / np.maximum(reach, 1e-9)


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


def truth_table(walks):
    """PSNR (dB) of paths to the true ones, on which the lesion fades over its true skin.

    walks: {(of what, interpolation): Walk}; those without true skin are left out.
    """
    rows = {}
    for (_, kind), walk in walks.items():
        if walk.skin is None:
            continue
        rows[kind] = {"n": len(walk.path)}
        for k in (0, 5, 10):
            true = lerp(walk.skin, walk.images, ALPHAS[k]).round().astype(np.uint8)
            likeness = measures.psnr(true, walk.path[:, k])
            rows[kind][f"alpha {ALPHAS[k]:g}"] = stats.mean_interval(likeness, clusters=walk.ids)
    return stats.frame("interpolation", rows)
