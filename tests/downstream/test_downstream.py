"""Chapter 6: arms, measures, accuracy under each reading of SCC, the endpoint, groups."""

import numpy as np
import pandas as pd
import pytest

from skinsynth.core.config import CLASSES
from skinsynth.downstream import accuracy, classify, endpoint, groups, scores
from skinsynth.numerics.arrays import save_array
from skinsynth.numerics.stats import Estimate

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
        added = dict(R0=None, R1=None, R3=10).get(name, (xs, ys))
        images, *rest = classify.arm_data(name, (x, y), added, None, 0)
        return np.asarray(images), *rest

    def counts(labels):
        return np.bincount(labels, minlength=7)[[0, 5]].tolist()

    assert counts(arm("R0")[1]) == [4, 16] and arm("R0")[2] is None
    assert (arm("S")[0] >= 100).all()
    assert counts(arm("RS")[1]) == counts(arm("R3")[1]) == [14, 26]
    assert (arm("R3")[0] < 100).all(), "R3 holds real images only, at RS's class counts"
    mixed = arm("M")
    assert len(mixed[0]) == 20 and (mixed[0] >= 100).sum() == 30 and counts(mixed[1]) == [4, 16]
    first = mixed[0][:, 0, 0, 0]
    kept, drawn = first[first < 100], first[first >= 100]
    assert len(set(kept)) == len(set(drawn)) == 10, "nothing comes twice where there is enough"
    assert counts(mixed[1][: len(kept)]) == [2, 8], "half of each class"
    times = np.bincount(np.asarray(arm("R3")[0])[20:, 0, 0, 0], minlength=20)
    assert set(times[:16]) == {0, 1} and set(times[16:]) == {2, 3}, "repeated evenly"
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
    table = accuracy.clinical_table(records, made, "mel")
    assert list(table.columns[:5]) == ["SCC", "names", "classifier", "n", "patients"]
    last = table[table.SCC == accuracy.READINGS["any"]]
    assert last.names.tolist() == [7, 7, 7, 5, 5] and last.original.iloc[2] == 0.5
    # df cannot be right: without it the next best answer counts, here the first of equals
    assert last.original.iloc[3] == 0.75
    short = accuracy.in_short(table)
    assert short.reading.tolist()[:4] == ["SCC left out, 7 names"] * 3 + ["SCC left out, 5 names"]
    assert short.n.tolist() == [2] * 4 + [4] * 4 and set(short.classifier[3:]) == {"average"}


def test_it_is_said_which_clinical_images_are_left_out():
    records = records_of(["ack", "scc", "scc", "nev"], patient_id=["a", "a", "b", "a"])
    said = accuracy.left_out(records, 9, 6)
    assert "lists 9 images. 3 of them are not in the data folder of this run. 2 are left" in said
    assert "Used are 4, not a random part of the set: ACK 1, NEV 1, SCC 2." in said
    assert said.endswith("2 images of 1 patients are left.")
    whole = accuracy.left_out(records, 4, 4)
    assert "folder" not in whole and "profile" not in whole and "random" not in whole


def test_a_verdict_covers_training_where_there_are_two_seeds(trained):
    """One seed of RS names all right, the other no more than R0: over lesions alone that is clear."""
    nv, mel = 5, 4
    records, right, half = records_of(["nv"] * 60), [nv] * 60, [nv] * 30 + [mel] * 30
    arms = {arm: [half, half] for arm in PAPER} | {"RS": [right, half]}
    two = accuracy.dermatoscopic(records, trained("test", {"two": arms}))
    found = two.lead("RS", "R0")
    assert found.value == pytest.approx(0.25) and found.low < 0, "an interval of two seeds is wide"
    assert "over 2 seeds" in found.method and two.covered.startswith("2 training runs of a network")
    one = accuracy.dermatoscopic(
        records, trained("test", {"one": {arm: seeds[:1] for arm, seeds in arms.items()}})
    )
    assert one.lead("RS", "R0").low > 0 and one.covered == (
        "one training run; intervals for other lesions alone"
    )
    assert one.counted() == "60 images of 60 lesions"
    assert one.counted(np.arange(60) < 7) == "7 images of 7 lesions"


def test_a_share_cannot_change_by_more_than_one():
    seeds = np.array([[1.0] * 20, [-0.9] * 20])
    found = scores.difference(seeds, np.arange(20))
    assert found.value == pytest.approx(0.05) and (found.low, found.high) == (-1, 1)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "higher by 0.200 [0.100, 0.300]"),
        (-0.3, -0.1, "lower by 0.200 [0.100, 0.300]"),
        (-0.1, 0.3, "not clearly different (0.100 [-0.100, 0.300])"),
        (np.nan, np.nan, "not clearly different (nan without an interval)"),
    ],
)
def test_the_words_of_a_difference_follow_its_interval(low, high, said):
    assert scores.worded(Estimate((low + high) / 2, low, high, 9)) == said


def test_the_endpoint_is_a_difference_of_balanced_accuracies(trained, monkeypatch):
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.arange(7), rng.choice(7, 150, p=[0.05] * 5 + [0.7, 0.05])])
    records = records_of([CLASSES[k] for k in truth])

    def named(share):
        return np.where(rng.random(len(truth)) < share, truth, rng.integers(0, 7, len(truth)))

    shares = dict(a=0.2, b=0.5, c=0.8)
    arms = {arm: [named(share), named(share)] for arm, share in shares.items()}
    tested = accuracy.dermatoscopic(records, trained("test", {"network": arms}))
    named_so = {arm: f"arm {arm}" for arm in shares}
    monkeypatch.setattr(endpoint, "ARMS", named_so)
    table = endpoint.compared(tested, [("c", "a"), ("b", "a"), ("c", "a")])
    one = {
        arm: np.mean([scores.balanced_accuracy(answering(x), truth) for x in seeds])
        for arm, seeds in arms.items()
    }
    assert table.comparison.tolist() == ["arm c minus arm a", "arm b minus arm a"]
    for column in ("difference", "other lesions alone"):
        assert table[column].to_list() == pytest.approx([one["c"] - one["a"], one["b"] - one["a"]])
    assert (table["difference low"] != table["other lesions alone low"]).all()
    assert endpoint.best_arm(tested, ("a", "c", "b")) == "c"
    lines = endpoint.by_arm(tested)
    assert lines.label.tolist() == ["arm c", "arm b", "arm a"], "the largest first"
    assert lines.value.tolist() == pytest.approx([one[arm] for arm in "cba"])
    assert lines[["seed 0", "seed 1"]].mean(1).tolist() == pytest.approx(lines.value.tolist())


def test_that_one_class_is_easier_than_another_is_no_chance(trained):
    """The interval of balanced accuracy is that of other images of the same classes."""

    def of_arm(named):
        records = records_of([CLASSES[k] for k in truth])
        tested = accuracy.dermatoscopic(records, trained("test", {"network": {"R0": [named]}}))
        return endpoint.by_arm(tested).iloc[0]

    truth = np.repeat([4, 5], [10, 30])
    sure = of_arm(np.full(40, 5))
    assert sure.value == sure.low == sure.high == 0.5
    values, widths = [], []
    for k in range(60):
        right = np.random.default_rng(k).random(40) < np.where(truth == 4, 0.2, 0.9)
        found = of_arm(np.where(right, truth, 0))
        values.append(found.value)
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(values), rel=0.3)


def test_a_rise_with_dose_is_the_highest_minus_the_lowest(trained):
    truth = np.tile([4, 5], 20)
    wrong = np.where(np.arange(40) < 20, 0, truth)
    arms = {arm: [truth, truth] for arm in PAPER}
    doses = {5: arms | {"RS": [wrong, wrong]}, 0.25: arms | {"R3": [wrong, wrong]}}
    for dose in doses.values():
        dose.setdefault("R3", [truth, truth])
    records = records_of([CLASSES[k] for k in truth])
    dosed = accuracy.dermatoscopic(records, trained("test", doses))
    assert endpoint.rise(dosed, "RS").value == -0.5 and endpoint.rise(dosed, "R3").value == 0.5
    table = endpoint.dose_curve(dosed, {5: 50, 0.25: 2}).set_index("dose")
    assert table["images added"].to_dict() == {5: 50, 0.25: 2}
    assert table["originals + synthetic"].to_dict() == {5: 0.5, 0.25: 1}
    assert table.difference.to_dict() == {5: -0.5, 0.25: 0.5}, "synthetic minus repeats"


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
    blind = np.where(truth == 4, wrong, truth)  # in melanoma like `wrong`, else right
    arms = {arm: [truth, wrong] for arm in PAPER}
    arms["RS"] = [blind, wrong]
    records = records_of([CLASSES[k] for k in truth])
    tested = accuracy.dermatoscopic(records, trained("test", {"network": arms}))
    table = groups.sensitivity(tested, ("R0", "RS"), 0)
    assert table["class"].tolist()[:7] == list(CLASSES) and table["originals"][:7].eq(0.875).all()
    assert table.n.tolist() == [4] * 7 + [28] * 2 and table.lesions.tolist() == [4] * 7 + [28] * 2
    assert table["originals + synthetic"][CLASSES.index("mel")] == 0.75
    assert groups.change(tested, "mel").value == pytest.approx(-0.125), "RS minus R0"
    assert table.change[:7].tolist() == pytest.approx([0] * 4 + [-0.125] + [0] * 2)
    assert table.change[7:].isna().all()
    named = groups.confusion(tested, ("R0", "RS"))
    assert list(named) == ["arm", "truth", *CLASSES] and len(named) == 14
    assert list(named.arm.unique()) == ["originals", "originals + synthetic"]
    assert named.loc[0, ["akiec", "bcc"]].tolist() == [0.875, 0.125]
    curve = groups.calibration(tested, ("R0",), bins=1)
    assert curve.true.tolist() == [0.875] and curve.stated[0] == pytest.approx(0.88)
