"""Tables 3 and 4: what trained classifiers answer on a set of images, and how often they are right."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..data.layouts import PAD_TO_HAM
from ..numerics import stats
from ..numerics.arrays import labels_of, load_array
from .classify import PAPER_COLUMNS

ALL = list(range(len(CLASSES)))
FIVE = sorted({CLASSES.index(c) for names in PAD_TO_HAM["dropped"].values() for c in names})


@dataclass(frozen=True)
class Tested:
    """A set of N images and what every classifier answers on it.

    allowed: bool (N, 7), the names that count as right for each image; clusters: (N,) lesion or patient
    ids, what intervals treat as drawn together; answers: {classifier: {arm: [probabilities (N, 7) of
    each seed]}}.
    """

    records: pd.DataFrame
    allowed: np.ndarray
    clusters: np.ndarray
    answers: dict

    @property
    def truth(self):
        """(N,) class numbers, where one name alone is right for each image."""
        return self.allowed.argmax(1)

    @property
    def first(self):
        """Answers of the first network, which every arm has: {arm: [probabilities (N, 7)]}."""
        return next(iter(self.answers.values()))

    def hits(self, arm, classifier=None, classes=ALL):
        """(N,) share of seeds that name each image right; classifier: None is the mean of all.

        classes: numbers of the classes among which the answer is taken.
        """
        allowed, rows = self.allowed[:, classes], np.arange(len(self.allowed))
        asked = [self.answers[classifier]] if classifier else self.answers.values()

        def hit(p):
            return allowed[rows, p[:, classes].argmax(1)]

        return np.mean([np.mean(list(map(hit, seeds[arm])), 0) for seeds in asked], 0)

    def lead(self, arm, other, label=""):
        """Accuracy of an arm minus another's, mean of the classifiers: Estimate of paired images."""
        return stats.paired_difference(self.hits(arm), self.hits(other), label, self.clusters)


def _tested(records, trained, name, allowed, by):
    known, answers = allowed.any(1), {}

    def answer(made):
        return load_array(made / f"{name}.npy")[known]

    for classifier, arms in trained.items():
        answers[classifier] = {arm: list(map(answer, seeds)) for arm, seeds in arms.items()}
    return Tested(records[known], allowed[known], records[by].to_numpy()[known], answers)


def dermatoscopic(records, trained, name="test"):
    """Tested on images of the seven classes, clusters are lesions.

    records: the rows that the classifiers' file `name` (test, val, isic) answers for; trained: stages
    of classifiers, {classifier: {arm: [stage of each seed]}}. Raises UserError on an unknown code.
    """
    allowed = np.eye(len(CLASSES), dtype=bool)[labels_of(records, CLASSES)]
    return _tested(records, trained, name, allowed, "lesion_id")


def clinical(records, trained, scc="dropped"):
    """Tested on clinical photographs, clusters are patients.

    scc: how squamous cell carcinoma is read, of layouts.PAD_TO_HAM; a photograph for which no name is
    right is left out. trained: as in `dermatoscopic`.
    """
    names = PAD_TO_HAM[scc]
    allowed = np.array([[c in names[d] for c in CLASSES] for d in records.dx])
    return _tested(records, trained, "pad", allowed, "patient_id")


def table(tested, classes=ALL, floor=None):
    """Accuracy by training images: a row for each classifier, and their average.

    classes: as in Tested.hits; floor: code of the class that a last row gives every image.
    """
    rows = {}
    for who in (*tested.answers, None):
        hits = {column: tested.hits(arm, who, classes) for arm, column in PAPER_COLUMNS.items()}
        own = {column: stats.share_interval(x, tested.clusters) for column, x in hits.items()}
        rows[who or "average"] = own
    if floor:
        blind = stats.share_interval(tested.allowed[:, CLASSES.index(floor)], tested.clusters)
        rows[f"floor: always {floor}"] = dict.fromkeys(PAPER_COLUMNS.values(), blind)
    return stats.frame("classifier", rows)


def clinical_table(tested, floor):
    """Table 4: the answer taken among all seven classes, and among the five that can be right."""
    parts = {7: table(tested, ALL, floor), 5: table(tested, FIVE)}
    return pd.concat(parts, names=["classes"]).droplevel(1).reset_index()
