"""Tables 3 and 4: what trained classifiers answer on a set of images, and how often they are right."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..data.layouts import PAD_TO_HAM
from ..numerics import stats
from ..numerics.arrays import labels_of, load_array
from .classify import PAPER_COLUMNS
from .scores import difference

ALL = list(range(len(CLASSES)))
FIVE = sorted({CLASSES.index(c) for names in PAD_TO_HAM["dropped"].values() for c in names})
READINGS = {  # of squamous cell carcinoma, which HAM10000 does not have; the first is the primary one
    "dropped": "left out",
    "akiec": "counted as akiec",
    "any": "right if named akiec, bcc or mel",
}


@dataclass(frozen=True)
class Tested:
    """A set of N images and what every classifier answers on it.

    allowed: bool (N, 7), the names that count as right for each image; clusters: (N,) lesion or patient
    ids, what intervals treat as drawn together; drawn: "lesions" or "patients"; answers: {classifier:
    {arm: [probabilities (N, 7) of each seed]}}, one classifier with as many seeds as another, or one.
    """

    records: pd.DataFrame
    allowed: np.ndarray
    clusters: np.ndarray
    answers: dict
    drawn: str = "lesions"

    @property
    def truth(self):
        """(N,) class numbers, where one name alone is right for each image."""
        return self.allowed.argmax(1)

    @property
    def first(self):
        """Answers of the first network, which every arm has: {arm: [probabilities (N, 7)]}."""
        return next(iter(self.answers.values()))

    @property
    def network(self):
        """Name of the first network."""
        return next(iter(self.answers))

    @property
    def covered(self):
        """How often was trained, and what the intervals of differences therefore cover: text."""
        n = max(len(seeds) for arms in self.answers.values() for seeds in arms.values())
        if n == 1:
            return f"one training run; intervals for other {self.drawn} alone"
        return (
            f"{n} training runs of a network, one of the linear classifier, one of the generator; intervals for other "
            f"{self.drawn} and other training runs of the networks"
        )

    def counted(self, own=slice(None)):
        """How many images of how many lesions or patients, as text; own: which images."""
        ids = self.clusters[own]
        return f"{len(ids)} images of {len(set(ids))} {self.drawn}"

    def each(self, arm, classifier=None, classes=ALL):
        """(seeds, N) whether each image is named right; classifier: None is the mean of all.

        A classifier with one seed counts beside every seed of the others. classes: numbers of the
        classes among which the answer is taken.
        """
        allowed, rows = self.allowed[:, classes], np.arange(len(self.allowed))
        asked = [self.answers[classifier]] if classifier else self.answers.values()

        def hit(p):
            return allowed[rows, p[:, classes].argmax(1)]

        found = [np.stack(list(map(hit, seeds[arm]))) for seeds in asked]
        return np.mean(np.broadcast_arrays(*found), 0)

    def hits(self, arm, classifier=None, classes=ALL):
        """(N,) share of seeds that name each image right; as `each`."""
        return self.each(arm, classifier, classes).mean(0)

    def lead(self, arm, other, label=""):
        """Accuracy of an arm minus another's, mean of the classifiers: Estimate, as scores.difference."""
        return difference(self.each(arm) - self.each(other), self.clusters, label)


def _tested(records, trained, name, allowed, by):
    known, answers = allowed.any(1), {}

    def answer(made):
        return load_array(made / f"{name}.npy")[known]

    for classifier, arms in trained.items():
        answers[classifier] = {arm: list(map(answer, seeds)) for arm, seeds in arms.items()}
    ids, drawn = records[f"{by}_id"].to_numpy()[known], f"{by}s"
    return Tested(records[known], allowed[known], ids, answers, drawn)


def dermatoscopic(records, trained, name="test"):
    """Tested on images of the seven classes, clusters are lesions.

    records: the rows that the classifiers' file `name` (test, val, isic) answers for; trained: stages
    of classifiers, {classifier: {arm: [stage of each seed]}}. Raises UserError on an unknown code.
    """
    allowed = np.eye(len(CLASSES), dtype=bool)[labels_of(records, CLASSES)]
    return _tested(records, trained, name, allowed, "lesion")


def clinical(records, trained, scc="dropped"):
    """Tested on clinical photographs, clusters are patients.

    scc: how squamous cell carcinoma is read, of layouts.PAD_TO_HAM; a photograph for which no name is
    right is left out. trained: as in `dermatoscopic`.
    """
    names = PAD_TO_HAM[scc]
    allowed = np.array([[c in names[d] for c in CLASSES] for d in records.dx])
    return _tested(records, trained, "pad", allowed, "patient")


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


def clinical_table(records, trained, floor):
    """Table 4 in full: `table` for each reading of SCC, the answer taken among seven names or five.

    Five: those that can be right. floor: as in `table`, among seven. Columns SCC, names, classifier, n, patients, ...
    """
    parts = {}
    for scc, words in READINGS.items():
        tested = clinical(records, trained, scc)
        for classes, last in ((ALL, floor), (FIVE, None)):
            part = table(tested, classes, last)
            part.insert(2, tested.drawn, len(set(tested.clusters)))
            parts[words, len(classes)] = part
    return pd.concat(parts, names=["SCC", "names"]).droplevel(2).reset_index()


def in_short(whole):
    """Of `clinical_table` the primary reading among seven names, and the averages of the others.

    Column reading says both: "SCC left out, 7 names".
    """
    primary = (whole.SCC == READINGS["dropped"]) & (whole.names == len(ALL))
    part = whole[primary | (whole.classifier == "average")]
    reading = "SCC " + part.SCC + ", " + part.names.astype(str) + " names"
    part = part.drop(columns=["SCC", "names"])
    part.insert(0, "reading", reading)
    return part


def left_out(records, listed, there):
    """Sentences on which clinical images are tested and which are not.

    records: the images used; listed, there: images in the set's table, and those with a file.
    """
    n, counts = len(records), records.dx.str.upper().value_counts().sort_index()
    said = f"The table of the clinical set lists {listed} images."
    if listed > there:
        said += f" {listed - there} of them are not in the data folder of this run."
    if there > n:
        said += f" {there - n} are left out by the profile, which takes some of each diagnosis."
    used = ", ".join(f"{code} {k}" for code, k in counts.items())
    part = ", not a random part of the set" if n < listed else ""
    said += f" Used are {n}{part}: {used}. "
    known = records[records.dx != "scc"]
    return said + (
        f"Without SCC, in the primary reading, {len(known)} images of "
        f"{known.patient_id.nunique()} patients are left."
    )
