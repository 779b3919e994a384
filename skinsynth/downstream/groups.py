"""Who gains and who pays: classes, groups of patients, confusion and calibration."""

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from ..core.config import CLASSES
from ..numerics import stats
from .classify import ARMS, PAPER_COLUMNS
from .scores import difference, score

SMALLEST = 20  # images of a group that is shown


def change(tested, code, arm="RS", other="R0"):
    """Sensitivity of a class under an arm minus that under another, first network: Estimate, as scores.difference."""
    own = tested.truth == CLASSES.index(code)
    gap = tested.each(arm, tested.network) - tested.each(other, tested.network)
    return difference(gap[:, own], tested.clusters[own])


def sensitivity(tested, arms, seed):
    """Share of each class that the first network names right; melanoma also at fixed specificity.

    arms: codes of the columns. change: RS minus R0. Other intervals are over lesions alone.
    """
    truth, lesions, rows = tested.truth, tested.clusters, {}
    hits = {ARMS[arm]: tested.hits(arm, tested.network) for arm in arms}
    for k, c in enumerate(CLASSES):
        own = truth == k
        rows[c] = {tested.drawn: len(set(lesions[own]))}
        rows[c] |= {arm: stats.share_interval(x[own], lesions[own]) for arm, x in hits.items()}
        rows[c]["change"] = change(tested, c)
    for level in (90, 95):
        asked = f"melanoma sensitivity at {level} % specificity"
        rows[f"mel at {level} % specificity"] = {tested.drawn: len(set(lesions))} | {
            ARMS[arm]: score(asked, tested.first[arm], truth, lesions, seed) for arm in arms
        }
    return stats.frame("class", rows)


def confusion(tested, arms):
    """Share of each true class that the first network gives each name: arm, truth, one column a name."""
    tables, how = {}, dict(labels=range(len(CLASSES)), normalize="true")
    for arm in arms:
        seeds = [confusion_matrix(tested.truth, p.argmax(1), **how) for p in tested.first[arm]]
        tables[ARMS[arm]] = pd.DataFrame(np.mean(seeds, 0), index=CLASSES, columns=CLASSES)
    return pd.concat(tables, names=["arm", "truth"]).reset_index()


def calibration(tested, arms, bins=8):
    """How often an answer is right against the probability that is stated: arm, stated, true.

    bins: equal parts of the answers of the first network, seeds pooled.
    """
    parts = {}
    for arm in arms:
        p = np.concatenate(tested.first[arm])
        right = np.tile(tested.truth, len(tested.first[arm])) == p.argmax(1)
        true, stated = calibration_curve(right, p.max(1), n_bins=bins, strategy="quantile")
        parts[ARMS[arm]] = pd.DataFrame({"stated": stated, "true": true})
    return pd.concat(parts, names=["arm"]).droplevel(1).reset_index()


def groupings(records):
    """What groups images are looked at in: {kind: (N,) values}, unknown ones missing."""
    bands = ["under 40", "40 to 59", "60 and over"]
    found = {
        "sex": records.sex,
        "age": pd.cut(records.age, [0, 40, 60, 130], right=False, labels=bands),
        "site": records.localization,
        "diagnosis by": records.dx_type,
    }
    if "skin_type" in records:  # clinical photographs
        found["skin type"] = records.skin_type.map("{:g}".format, na_action="ignore")
        found["biopsied"] = records.biopsied
    return found


def by_group(tested, arm="RS", other="R0"):
    """Accuracy of two arms and their difference in each group of SMALLEST images or more.

    Mean of the classifiers. Columns group, n, lesions or patients, the two arms, difference (intervals of
    scores.difference); empty where no group is large enough.
    """
    each, rows = {a: tested.each(a) for a in (other, arm)}, {}
    for kind, values in groupings(tested.records).items():
        values = values.astype(object).reset_index(drop=True)
        for value in sorted(values.dropna().unique(), key=str):
            own = (values == value).to_numpy()
            if own.sum() < SMALLEST:
                continue
            ids = tested.clusters[own]
            found = {
                PAPER_COLUMNS[a]: stats.share_interval(x.mean(0)[own], ids) for a, x in each.items()
            }
            found["difference"] = difference((each[arm] - each[other])[:, own], ids)
            rows[f"{kind}: {value}"] = {tested.drawn: len(set(ids))} | found
    return stats.frame("group", rows)
