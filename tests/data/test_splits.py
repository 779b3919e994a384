"""Splits: no lesion crosses, and the manifest says so."""

import cv2
import numpy as np
import pandas as pd
import pytest

from skinsynth.core.code import file_digest
from skinsynth.core.errors import UserError
from skinsynth.data import sets, splits
from skinsynth.evaluation import neighbours


@pytest.fixture
def records(tmp_path):
    """300 lesions of a common class and 12 of a rare one, with 1-4 photographs each."""
    rng, rows = np.random.default_rng(0), []
    for lesion in range(312):
        for photo in range(rng.choice([1, 1, 1, 2, 3, 4])):
            path = tmp_path / f"{lesion}_{photo}.jpg"
            path.write_bytes(f"{lesion} {photo}".encode())
            dx = "nv" if lesion < 300 else "df"
            rows.append((f"I{lesion}_{photo}", f"L{lesion}", dx, str(path)))
    return pd.DataFrame(rows, columns=["image_id", "lesion_id", "dx", "path"])


def test_no_lesion_crosses_and_each_class_has_its_shares(records):
    records["split"] = splits.grouped_split(records)
    splits.check(records)
    assert splits.leakage(records) == 0
    shares = pd.crosstab(records.dx, records["split"], normalize="index")[["train", "val", "test"]]
    assert np.abs(shares.loc["nv"] - (0.64, 0.16, 0.2)).max() < 0.01
    assert np.abs(shares.loc["df"] - (0.64, 0.16, 0.2)).max() < 0.12
    photos = records.groupby("lesion_id").image_id.transform("size")
    sizes = pd.crosstab(photos[records.dx == "nv"], records["split"], normalize="index")
    assert sizes["train"].between(0.5, 0.78).all()  # not all the big lesions in train


def test_split_is_a_function_of_ids_and_seed(records):
    first = splits.grouped_split(records).groupby(records.image_id).first()
    mixed = records.sample(frac=1, random_state=1).reset_index(drop=True)
    again = splits.grouped_split(mixed).groupby(mixed.image_id).first()
    assert first.equals(again)
    assert not first.equals(splits.grouped_split(records, seed=1).groupby(records.image_id).first())
    assert set(splits.grouped_split(records, (0.8, 0.2, 0.0))) == {"train", "val"}


def test_small_classes_reach_every_split(tmp_path, records):
    few = records[records.dx == "df"].drop_duplicates("lesion_id").head(4)
    assert sorted(splits.grouped_split(few)) == ["test", "train", "train", "val"]


def test_exact_duplicates_stay_together(tmp_path, records):
    ends = [0, 40, 80, 120]  # four lesions chained by three copied files
    for a, b in zip(ends, ends[1:], strict=False):
        for number, lesion in ((0, a), (1, b)):
            path = tmp_path / f"copy{a}_{number}.jpg"
            path.write_bytes(f"copy of {a}".encode())
            row = (f"C{a}_{number}", f"L{lesion}", "nv", str(path))
            records.loc[len(records)] = row
    assert splits.duplicate_sets(records) == [[f"C{a}_0", f"C{a}_1"] for a in (0, 40, 80)]
    for seed in range(5):
        split = splits.grouped_split(records, seed=seed)
        assert split[records.lesion_id.isin([f"L{e}" for e in ends])].nunique() == 1


def test_split_by_image_leaks_and_is_refused(records):
    leaky = splits.image_split(records)
    assert leaky.name == "leaky split"
    assert splits.leakage(records.assign(split=leaky)) > 0.3
    with pytest.raises(UserError, match=r"lesion_id L\d+ is in [23] splits"):
        splits.check(records.assign(split=leaky))
    once = records.assign(split="train")
    twice = pd.concat([once, once[:1].assign(lesion_id="another", split="test")])
    with pytest.raises(UserError, match=r"image_id \S+ is in 2 splits"):
        splits.check(twice)
    with pytest.raises(UserError, match="unknown split 'eval'"):
        splits.check(records.assign(split="eval"))
    with pytest.raises(UserError):
        splits.write_manifest("never.csv", records.assign(split=leaky))


def test_manifest(tmp_path, records):
    records["split"] = splits.grouped_split(records)
    digest = splits.write_manifest(tmp_path / "manifest.csv", records)
    table = pd.read_csv(tmp_path / "manifest.csv")
    assert list(table) == ["image_id", "lesion_id", "dx", "split", "sha256"]
    assert len(table) == len(records) and table.image_id.is_monotonic_increasing
    assert table.sha256.str.fullmatch("[0-9a-f]{64}").all()
    again = splits.write_manifest(tmp_path / "again.csv", records.sample(frac=1, random_state=0))
    assert digest == again == file_digest(tmp_path / "manifest.csv")
    placed = splits.manifest_hash(tmp_path)
    table.assign(sha256="0" * 64).to_csv(tmp_path / "manifest.csv", index=False)
    assert splits.manifest_hash(tmp_path) == placed, "another processor drew the same images"
    moved = table.split.where(table.index > 0, "test" if table.split[0] == "train" else "train")
    table.assign(split=moved).to_csv(tmp_path / "manifest.csv", index=False)
    assert splits.manifest_hash(tmp_path) != placed


def _skins(rng, n, size=48):
    """Smooth coloured pictures, no two alike."""
    noise = rng.random((n, size // 6, size // 6, 3)).astype(np.float32)
    return np.stack(
        [
            (
                cv2.resize(i, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 200 + 20
            ).astype(np.uint8)
            for i in noise
        ]
    )


def test_near_duplicates_over_flips_and_rotations():
    rng = np.random.default_rng(0)
    a, b = _skins(rng, 30), _skins(rng, 8)
    for k in range(8):  # all eight, brighter and with noise
        turned = np.rot90(a[k], k % 4)
        turned = turned[:, ::-1] if k >= 4 else turned
        b[k] = (turned * 1.1 + rng.normal(0, 3, turned.shape)).clip(0, 255)
    pairs = splits.near_duplicates(a, b)
    assert sorted(zip(pairs.a, pairs.b, strict=True)) == [(k, k) for k in range(8)]
    assert pairs.similarity.is_monotonic_decreasing and pairs.similarity.iloc[0] <= 1.0001
    assert len(splits.near_duplicates(a[10:20], a[20:])) == 0
    assert len(splits.near_duplicates(a[:0], b)) == 0


def test_lesions_are_counted_once_and_images_as_they_are(records):
    records["split"] = splits.grouped_split(records)
    table = splits.counts(records).set_index("class")
    assert list(table.index)[-1] == "all" and table.loc["mel"].sum() == 0
    assert (
        table.loc["nv", "images"] == (records.dx == "nv").sum()
        and table.loc["nv", "lesions"] == 300
    )
    for what in ("images", "lesions"):
        parts = table[[f"{split} {what}" for split in splits.SPLITS]].sum(axis=1)
        assert (parts == table[what]).all() and table[what]["all"] == table[what][:-1].sum()


def test_what_leaks_are_held_out_images_with_a_sibling_in_train():
    table = pd.DataFrame(
        {"lesion_id": list("aabbcc"), "split": ["train", "test", "val", "val", "train", "train"]}
    )
    assert splits.leaked(table).to_dict() == {1: True, 2: False, 3: False}
    assert splits.leakage(table) == pytest.approx(1 / 3)


def test_a_limited_set_keeps_enough_of_each_class_to_have_neighbours(records):
    records["split"] = splits.grouped_split(records)
    whole = records.groupby(["split", "dx"]).size()
    few = sets._limited(records, 20, 0).groupby(["split", "dx"]).size()
    assert (few[:, "df"] == whole[:, "df"].clip(upper=sets.FEWEST)).all()
    assert few[:, "nv"].between(18, 20).all()
    features = np.random.default_rng(0).random((sets.FEWEST, 3))
    assert neighbours.prdc(features, features)["precision"].mean() == 1
    with pytest.raises(UserError, match="more than k"):
        neighbours.prdc(features[1:], features[1:])
