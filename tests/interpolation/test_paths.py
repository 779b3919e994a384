"""Segmentation and interpolation: conventions that flip when they are wrong."""

import numpy as np
import pandas as pd
import pytest
import torch

from skinsynth.interpolation import overlap, paths, segment, walks


def test_alpha_one_is_the_lesion_and_zero_the_skin():
    normal, lesion = torch.zeros(2, 4, 2, 2), torch.ones(2, 4, 2, 2)
    assert torch.equal(paths.lerp(normal, lesion, 1.0), lesion)
    assert torch.equal(paths.lerp(normal, lesion, 0.0), normal)
    assert paths.lerp(normal, lesion, 0.25).mean() == 0.25


def test_slerp_keeps_the_length_where_lerp_shortens_it():
    g = torch.Generator().manual_seed(0)
    a, b = (
        torch.nn.functional.normalize(torch.randn(3, 16, generator=g)).view(3, 4, 2, 2)
        for _ in "ab"
    )
    middle = paths.slerp(a, b, 0.5).flatten(1).norm(dim=1)
    assert torch.allclose(middle, torch.ones(3), atol=1e-5)
    assert (paths.lerp(a, b, 0.5).flatten(1).norm(dim=1) < 0.95).all()
    assert torch.allclose(paths.slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(paths.slerp(a, b, 1.0), b, atol=1e-5)
    assert torch.allclose(paths.slerp(a, a, 0.3), a, atol=1e-5)


@pytest.fixture
def squares():
    """Four masks of 10 by 10 pixels (the third empty, the last at the border), and others to compare with."""
    a = np.zeros((4, 10, 10), bool)
    a[0, 2:6, 2:6] = a[1, 2:6, 2:6] = a[3, 0:5, 0:5] = True
    b = np.zeros_like(a)
    b[0, 2:6, 2:6] = b[1, 4:8, 2:6] = True
    return a, b


def test_dice_counts_the_overlap_twice(squares):
    assert np.allclose(overlap.dice(*squares), [1, 0.5, 1, 0])


def test_the_report_compares_the_first_set_with_its_truth_and_counts_faults_of_all(squares):
    full = np.ones((2, 10, 10), bool)
    table = overlap.report({"own": squares[0], "full": full}, squares[1], np.arange(4))
    own, other = (table.iloc[k] for k in (0, 1))
    assert list(table)[:2] == ["masks of", "n"] and list(table.n) == [4, 2]
    assert own["none found"] == own["touching the border"] == 1
    assert own["under 1 % of the image"] == own["filling the image"] == 0
    assert other["filling the image"] == 2
    assert own.Dice == pytest.approx(2.5 / 4)
    assert own.IoU == pytest.approx((1 + 1 / 3 + 1 + 0) / 4)
    assert own["Dice high"] <= 1 and np.isnan(other.Dice)


def test_only_the_largest_region_is_kept():
    mask = np.zeros((10, 10), bool)
    mask[1:6, 1:6] = mask[8, 8] = True
    kept = segment._largest(mask)
    assert kept.sum() == 25 and not kept[8, 8]


@pytest.fixture
def phantom_like(tmp_path):
    """Folder of a set with its truth: 8 images of 16 by 16 pixels, half of them of the test split."""
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(8)], "mask_path": ""})
    table["lesion_id"], table["dx"] = [f"l{k}" for k in range(8)], "nv"
    table["split"] = ["train", "test"] * 4
    table.to_csv(tmp_path / "records.csv", index=False)
    masks = np.zeros((8, 16, 16), bool)
    masks[:, 5:11, 5:11] = True
    np.save(tmp_path / "masks.npy", masks)
    for name, value in (("images", 1), ("clean", 2), ("normal", 3)):
        shades = np.arange(8, dtype=np.uint8)[:, None, None, None] * 10 + 100 + value
        np.save(tmp_path / f"{name}.npy", np.broadcast_to(shades, (8, 16, 16, 3)).copy())
    return tmp_path


def test_rows_of_a_split_are_evenly_spaced(phantom_like):
    assert list(walks.some_of(phantom_like, "test", 100)) == [1, 3, 5, 7]
    assert list(walks.some_of(phantom_like, "test", 2)) == [1, 5]


def test_skin_without_its_lesion_is_the_truth_or_painted(phantom_like):
    lesions, skins = walks.with_and_without(phantom_like, "test", 100, "telea")
    assert lesions[1, 0, 0, 0] == 132 and skins[1, 0, 0, 0] == 133, "clean and normal, row 3"
    (phantom_like / "normal.npy").unlink()
    lesions, skins = walks.with_and_without(phantom_like, "test", 100, "telea")
    assert lesions[1, 0, 0, 0] == 131, "the photograph as it is"
    assert np.array_equal(skins[:, 0], lesions[:, 0]), "painted inside the mask only"


def test_a_walk_knows_its_images_and_who_they_are_of(phantom_like, tmp_path_factory):
    made, rows = tmp_path_factory.mktemp("made"), [1, 3]
    for name, shape in (("masks", (2, 16, 16)), ("normal", (2, 16, 16, 3)), ("path", (2, 11))):
        np.save(made / f"{name}.npy", np.zeros(shape, np.uint8))
    walk = walks.of_truth(made, phantom_like, rows)
    assert list(walk.ids) == ["l1", "l3"] and walk.images[0, 0, 0, 0] == 112
    assert walk.skin[1, 0, 0, 0] == 133 and walk.first("nv") == [0]
    meta = pd.DataFrame({"class": ["mel"] * 3 + ["nv"] * 3, "seed": [0, 1, 2] * 2})
    meta.to_csv(phantom_like / "metadata.csv", index=False)
    assert list(walks.some_of_each(phantom_like, 2)) == [0, 1, 3, 4]
    walk = walks.of_samples(made, phantom_like, [1, 4])
    assert list(walk.labels) == ["mel", "nv"] and list(walk.ids) == [1, 1] and walk.skin is None
