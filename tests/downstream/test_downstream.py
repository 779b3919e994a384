"""Chapter 6: arms, measures, accuracy under each reading of SCC, the endpoint, groups."""

import numpy as np
import pandas as pd
import pytest

from skinsynth.core.config import CLASSES
from skinsynth.downstream import accuracy, classify, endpoint, groups, scores
from skinsynth.numerics.arrays import save_array

PAPER = ("R0", "S", "M", "RS")


def answering(named):
    """(N, 7) probabilities of a classifier that gives images these class numbers."""
    return 0.02 + 0.86 * np.eye(7)[named]


@pytest.fixture
def trained(tmp_path):
    """Writes answers as stages hold them: {classifier: {arm: [folder of each seed]}}."""

    def write(name, answers):
        made = {}
        for classifier, arms in answers.items():
            for arm, seeds in arms.items():
                folders = [tmp_path / f"{classifier}-{arm}-{k}" for k in range(len(seeds))]
                made.setdefault(classifier, {})[arm] = folders
                for folder, named in zip(folders, seeds, strict=True):
                    folder.mkdir(exist_ok=True)
                    save_array(folder / f"{name}.npy", answering(named))
        return made

    return write


def records_of(codes, **columns):
    n = len(codes)
    plain = dict(lesion_id=[f"l{i}" for i in range(n)], patient_id=[f"p{i}" for i in range(n)])
    plain |= dict(sex=["male"] * n, age=[50.0] * n, localization=["back"] * n, dx_type=[np.nan] * n)
    return pd.DataFrame({"dx": list(codes)} | plain | columns)


def test_arms_have_the_right_images():
    x = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1).repeat(3, 3)
    y = np.array([5] * 16 + [0] * 4)
    xs, ys = x + 100, np.array([0] * 10 + [5] * 10)

    def arm(name):
        images, *rest = classify.arm_data(name, (x, y), (xs, ys), None, 0)
        return np.asarray(images), *rest

    def counts(labels):
        return np.bincount(labels, minlength=7)[[0, 5]].tolist()

    assert counts(arm("R0")[1]) == [4, 16] and arm("R0")[2] is None
    assert (arm("S")[0] >= 100).all()
    assert counts(arm("RS")[1]) == counts(arm("R3")[1]) == [14, 26]
    assert (arm("R3")[0] < 100).all(), "R3 holds real images only, at RS's class counts"
    mixed = arm("M")
    assert len(mixed[0]) == 20 and (mixed[0] >= 100).sum() == 30 and counts(mixed[1]) == [4, 16]
    weights = arm("R1")[2]
    assert weights[y == 0].sum() == pytest.approx(weights[y == 5].sum())


def test_measures_of_classification():
    y = np.array([4, 4, 0, 0, 1])
    p = np.full((5, 7), 0.02)
    p[np.arange(5), y] = 0.88
    assert scores.MEASURES["balanced accuracy"](p, y) == 1
    assert scores.MEASURES["ECE"](p, y) == pytest.approx(0.12)
    score = np.array([0.9, 0.2, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    truth = np.array([1, 1] + [0] * 8)
    assert scores.sensitivity_at(truth, score, 0.90) == 0.5
    assert scores.sensitivity_at(truth, score, 0.85) == 1.0


def test_measures_are_those_of_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

    rng = np.random.default_rng(0)
    for present in (range(7), (0, 2, 5)):  # a class that is absent is left out
        y = rng.choice(list(present), 200)
        p = rng.dirichlet(np.ones(7), 200) + 0.5 * np.eye(7)[y]
        p = (p / p.sum(1, keepdims=True)).round(2)  # with ties
        one = [roc_auc_score(y == c, p[:, c]) for c in present]
        assert scores.balanced_accuracy(p, y) == pytest.approx(
            balanced_accuracy_score(y, p.argmax(1))
        )
        assert scores.macro_f1(p, y) == pytest.approx(f1_score(y, p.argmax(1), average="macro"))
        assert scores.macro_auc(p, y) == pytest.approx(np.mean(one))


def test_accuracy_is_the_mean_of_seeds_then_of_classifiers(trained):
    records = records_of(["nv", "nv", "mel", "df"])
    df, mel, nv = 3, 4, 5
    network = {arm: [[nv, nv, nv, nv], [nv, nv, mel, nv]] for arm in (*PAPER, "R1")}
    linear = {arm: [[mel, mel, mel, mel]] for arm in PAPER}
    made = trained("test", {"network": network, "linear": linear})
    tested = accuracy.dermatoscopic(records, made)
    assert list(tested.first) == [*PAPER, "R1"] and tested.truth.tolist() == [nv, nv, mel, df]
    assert tested.hits("RS", "network").tolist() == [1, 1, 0.5, 0]
    assert tested.hits("RS").tolist() == [0.5, 0.5, 0.75, 0]
    table = accuracy.table(tested, floor="nv").set_index("classifier")
    assert table["synthetic"].to_dict() == pytest.approx(
        {"network": 0.625, "linear": 0.25, "average": 0.4375, "floor: always nv": 0.5}
    )
    assert (table.n == 4).all() and tested.lead("RS", "R0").value == 0


def test_a_carcinoma_without_a_counterpart_is_left_out_or_read_as_told(trained):
    records = records_of(["ack", "scc", "scc", "nev"])
    akiec, bcc, df = 0, 1, 3
    made = trained("pad", {"network": {arm: [[akiec, bcc, akiec, df]] for arm in PAPER}})
    hits = {c: accuracy.clinical(records, made, c).hits("R0") for c in ("dropped", "akiec", "any")}
    assert hits["dropped"].tolist() == [1, 0]
    assert hits["akiec"].tolist() == [1, 0, 1, 0] and hits["any"].tolist() == [1, 1, 1, 0]
    assert accuracy.clinical(records, made).clusters.tolist() == ["p0", "p3"]
    assert [CLASSES[k] for k in accuracy.FIVE] == ["akiec", "bcc", "bkl", "mel", "nv"]
    table = accuracy.clinical_table(accuracy.clinical(records, made, "any"), "mel")
    assert list(table.columns[:3]) == ["classes", "classifier", "n"]
    assert table.classes.tolist() == [7, 7, 7, 5, 5] and table.original[2] == 0.5
    # df cannot be right: without it the next best answer counts, here the first of equals
    assert table.original[3] == 0.75


def test_the_endpoint_is_a_difference_of_balanced_accuracies(trained):
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.arange(7), rng.choice(7, 150, p=[0.05] * 5 + [0.7, 0.05])])
    records = records_of([CLASSES[k] for k in truth])

    def named(share):
        return np.where(rng.random(len(truth)) < share, truth, rng.integers(0, 7, len(truth)))

    shares = dict(a=0.2, b=0.5, c=0.8)
    arms = {arm: [named(share), named(share)] for arm, share in shares.items()}
    tested = accuracy.dermatoscopic(records, trained("test", {"network": arms}))
    table = endpoint.endpoint(tested, [("c", "a"), ("b", "a")])
    one = {
        arm: np.mean([scores.balanced_accuracy(answering(x), truth) for x in seeds])
        for arm, seeds in arms.items()
    }
    assert table.comparison.tolist() == ["c minus a", "b minus a"]
    for column in ("balanced accuracy, other lesions", "other lesions and other seeds"):
        assert table[column].to_list() == pytest.approx([one["c"] - one["a"], one["b"] - one["a"]])
    assert endpoint.best_arm(tested, ("a", "c", "b")) == "c"


def test_a_score_stays_within_its_range_and_says_how_it_was_drawn():
    truth = np.array([4, 4, 5, 5, 5, 0])
    perfect = [answering(truth)] * 2
    for measure in scores.MEASURES:
        found = scores.score(measure, perfect, truth, np.arange(6), label="R0")
        assert 0 <= found.low <= found.value <= found.high <= 1 and found.label == "R0"
    many = np.tile(truth, 20)
    drawn = [
        scores.score(m, [answering(many)], many, np.arange(120)).method.split()[0]
        for m in ("macro F1", "ECE")
    ]
    assert drawn == ["bootstrap", "jackknife"]


def test_small_groups_are_left_out(trained):
    sex = ["female"] * 20 + ["male"] * 19 + [np.nan]
    age = [30.0] * 20 + [60.0] * 20
    records = records_of(["nev"] * 40, sex=sex, age=age, skin_type=[2.0] * 40, biopsied=[True] * 40)
    seeds = {arm: [[5] * 20 + [4] * 20] for arm in PAPER} | {"RS": [[5] * 40]}
    clinical = accuracy.clinical(records, trained("pad", {"network": seeds}))
    table = groups.by_group(clinical).set_index("group")
    assert list(table.index) == [
        "sex: female",
        "age: 60 and over",
        "age: under 40",
        "site: back",
        "skin type: 2",
        "biopsied: True",
    ]
    assert table.difference.tolist() == pytest.approx([0, 1, 0, 0.5, 0.5, 0.5])
    few = trained("pad", {"network": {arm: [[5] * 5] for arm in PAPER}})
    assert groups.by_group(accuracy.clinical(records[:5], few)).empty


def test_classes_confusion_and_calibration(trained):
    truth = np.repeat(np.arange(7), 4)
    wrong = np.where(np.arange(28) % 4 == 0, (truth + 1) % 7, truth)
    arms = {arm: [truth, wrong] for arm in PAPER}
    records = records_of([CLASSES[k] for k in truth])
    tested = accuracy.dermatoscopic(records, trained("test", {"network": arms}))
    table = groups.sensitivity(tested, 0)
    assert table["class"].tolist()[:7] == list(CLASSES) and table["mixed"][:7].eq(0.875).all()
    assert table.n.tolist() == [4] * 7 + [28] * 2
    named = groups.confusion(tested, ("R0", "RS"))
    assert list(named) == ["arm", "truth", *CLASSES] and len(named) == 14
    assert named.loc[0, ["akiec", "bcc"]].tolist() == [0.875, 0.125]
    curve = groups.calibration(tested, ("R0",), bins=1)
    assert curve.true.tolist() == [0.875] and curve.stated[0] == pytest.approx(0.88)
