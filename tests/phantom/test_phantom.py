"""The phantom: truth exact, scenes stable, files in the official layouts, looks near HAM10000's."""

import time

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from skinsynth import phantom
from skinsynth.core.config import CLASSES, PAD_CLASSES
from skinsynth.core.errors import UserError
from skinsynth.phantom.dataset import counts

REAL = ROOT.parent / "shared" / "data" / "ham10000"
FIELDS = ("image", "mask", "hair", "clean", "normal")
HAM = (327, 514, 1099, 115, 1113, 6705, 142)
BANDS = ((1, 2), (2, 4), (4, 8), (8, 14), (14, 22), (22, 32))


def scenes(n=14, size=64, **more):
    return [phantom.dermatoscopy(3, i, CLASSES[i % 7], size, **more) for i in range(n)]


def test_fields_and_shapes():
    drawn = [phantom.clinical(0, 1, dx, 48) for dx in PAD_CLASSES] + scenes(7, 48)
    for p in drawn:
        assert p.image.shape == p.clean.shape == p.normal.shape == (48, 48, 3)
        assert p.image.dtype == p.clean.dtype == p.normal.dtype == np.uint8
        assert p.mask.shape == p.hair.shape == (48, 48)
        assert p.mask.dtype == p.hair.dtype == bool
        assert 0.002 < p.mask.mean() < 1


def test_same_numbers_same_picture_in_any_order():
    backwards = [phantom.dermatoscopy(3, i, CLASSES[i % 7], 64) for i in reversed(range(7))]
    for a, b in zip(scenes(7), reversed(backwards), strict=True):
        for field in FIELDS:
            assert np.array_equal(getattr(a, field), getattr(b, field))
    a, b = phantom.dermatoscopy(0, 1, "nv"), phantom.dermatoscopy(0, 2, "nv")
    assert not np.array_equal(a.image, b.image)
    assert not np.array_equal(a.image, phantom.dermatoscopy(1, 1, "nv").image)


def test_photographs_share_the_lesion_not_the_view():
    one, two = (phantom.dermatoscopy(0, 5, "mel", 128, photo=k) for k in (0, 1))
    assert not np.array_equal(one.image, two.image)
    assert 0.5 < one.mask.mean() / two.mask.mean() < 2
    later = phantom.dermatoscopy(0, 5, "mel", 128, photo=1)  # whether or not photo 0 was drawn
    assert np.array_equal(two.image, later.image)
    # other image numbers, same lesion: the colour inside differs by the light only
    shades = []
    for k in range(4):
        p = phantom.dermatoscopy(0, 100 + k, "vasc", 64, lesion=7, photo=k)
        shades.append(np.log(p.clean[p.mask].mean(0) / p.normal[p.mask].mean(0)))
    assert np.std(shades, axis=0).max() < 0.12


def test_hair_truth_is_exact():
    hairy = 0
    for p in scenes(42):
        assert np.array_equal(p.image[~p.hair], p.clean[~p.hair])
        if p.hair.any():
            hairy += 1
            assert np.abs(p.image[p.hair].astype(int) - p.clean[p.hair]).mean() > 2
    assert 5 <= hairy <= 25


def test_lesion_truth_is_exact_around_the_mask():
    for p in scenes(21):
        near = cv2.dilate(p.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert np.array_equal(p.clean[~near], p.normal[~near])
        inside = np.abs(p.clean[p.mask].astype(int) - p.normal[p.mask]).mean()
        outside = np.abs(p.clean[~p.mask].astype(int) - p.normal[~p.mask]).mean()
        assert inside > 3 * outside


@pytest.mark.parametrize("draw", ["dermatoscopy", "clinical"])
def test_same_scene_at_every_size(draw):
    for i in range(6):
        dx = CLASSES[i] if draw == "dermatoscopy" else PAD_CLASSES[i]
        small, large = (getattr(phantom, draw)(2, i, dx, size) for size in (64, 256))
        down = cv2.resize(large.image, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
        for channel in range(3):
            pair = down[..., channel].ravel(), small.image[..., channel].ravel()
            assert np.corrcoef(pair)[0, 1] > 0.85
        assert np.abs(down.mean((0, 1)) - small.image.mean((0, 1))).max() < 5
        mask = cv2.resize(large.mask.astype(float), (64, 64), interpolation=cv2.INTER_AREA) > 0.5
        assert (mask & small.mask).sum() > 0.9 * (mask | small.mask).sum()


def test_fast_enough():
    def seconds(i):
        start = time.process_time()
        phantom.dermatoscopy(9, i, CLASSES[i % 7], 64)
        return time.process_time() - start

    assert np.median([seconds(i) for i in range(28)]) < 0.03  # measured: 0.008 on one core


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="akiec"):
        phantom.dermatoscopy(0, 0, "melanoma")
    with pytest.raises(UserError, match="ACK"):
        phantom.clinical(0, 0, "ack")


def test_generic_skin_knows_attributes_and_no_diagnosis():
    drawn = [phantom.generic(0, i, 32) for i in range(120)]
    table = pd.DataFrame([a for _, _, a in drawn])
    assert list(table) == list(phantom.ATTRIBUTES)
    for name, values in phantom.ATTRIBUTES.items():
        assert set(table[name]) <= set(values) and table[name].nunique() == len(values)
    assert drawn[0][0].shape == (32, 32, 3) and drawn[0][1].dtype == bool
    text = " ".join(phantom.caption(a) for a in table.to_dict("records")).lower()
    for word in (*CLASSES, "nev", "mol", "melanom", "carcinom", "keratos", "angiom", "fibrom"):
        assert word not in text.split() and f" {word}" not in text
    assert np.array_equal(drawn[5][0], phantom.generic(0, 5, 32)[0])


def read(folder):
    ham = pd.read_csv(folder / "ham10000/HAM10000_metadata.csv")
    test = pd.read_csv(folder / "ham10000_test/HAM10000_metadata.csv")
    return ham, test, pd.read_csv(folder / "pad_ufes_20/metadata.csv")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    phantom.write_dataset(folder, size=32, n_train=180, n_test_lesions=10, n_pad=120, seed=4)
    return folder


def test_dataset_layout(written):
    ham, test, pad = read(written)
    assert len(ham) == 180 and len(pad) == 120 and len(test) == 7 * 11
    assert ham.dx.value_counts().min() >= 12 and set(ham.dx) == set(CLASSES)
    assert (test.groupby("dx").lesion_id.nunique() == 10).all()
    assert pad.diagnostic.value_counts().min() >= 20 and set(pad.diagnostic) == set(PAD_CLASSES)
    assert len(pad.columns) == 26 and pad.img_id.is_unique
    for table, name in ((ham, "ham10000"), (test, "ham10000_test")):
        root = written / name
        images = {p.stem for p in root.glob("HAM10000_images_part_1/*.png")}
        masks = root / "HAM10000_segmentations_lesion_tschandl"
        assert images == set(table.image_id)
        assert {p.stem for p in masks.iterdir()} == {f"{i}_segmentation" for i in images}
        truth = {f"{i}_{kind}.png" for i in images for kind in ("hair", "clean", "normal")}
        assert truth <= {p.name for p in (written / "truth").iterdir()}
        assert set(table.groupby("lesion_id").dx.nunique()) == {1}
    assert not set(ham.lesion_id) & set(test.lesion_id)
    assert not set(ham.image_id) & set(test.image_id)
    assert {p.name for p in (written / "pad_ufes_20/images").glob("*/*")} == set(pad.img_id)
    assert pad.groupby("patient_id").lesion_id.nunique().max() > 1
    assert pad.groupby("lesion_id").size().max() > 1
    assert pad.groupby("lesion_id").patient_id.nunique().max() == 1


def test_dataset_files_are_what_was_drawn(written):
    ham, _, _ = read(written)
    row = ham.iloc[0]
    image = cv2.imread(str(written / f"ham10000/HAM10000_images_part_1/{row.image_id}.png"))
    clean, hair = (
        cv2.imread(str(written / f"truth/{row.image_id}_{k}.png")) for k in ("clean", "hair")
    )
    assert set(np.unique(hair)) <= {0, 255}
    assert np.array_equal(image[hair == 0], clean[hair == 0])
    drawn = phantom.dermatoscopy(4, 0, row.dx, 32, lesion=0)
    assert np.array_equal(image[..., ::-1], drawn.image)


def test_dataset_is_a_function_of_the_seed(written, tmp_path):
    phantom.write_dataset(tmp_path, size=32, n_train=180, n_test_lesions=10, n_pad=120, seed=4)
    files = sorted(p.relative_to(written) for p in written.rglob("*.*"))
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.*"))
    for name in files:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_counts_add_up():
    for n in (7, 84, 100, 180, 2500, 10015):
        made = counts(dict(zip(CLASSES, HAM, strict=True)), n, 12)
        assert sum(made.values()) == n and min(made.values()) >= min(12, n // 7)
    with pytest.raises(UserError):
        counts(dict(zip(CLASSES, HAM, strict=True)), 6, 12)


def look(image, mask):
    """Colour, contrast and band power (log10) of one 64-pixel picture, {statistic: value}."""
    x = image.astype(float) / 255
    found = {
        f"{c} {what}": value
        for what, values in (
            ("mean", x.mean((0, 1))),
            ("deviation", x.std((0, 1))),
            ("contrast", x[~mask].mean(0) - x[mask].mean(0)),
        )
        for c, value in zip("rgb", values, strict=True)
    }
    grey = x.mean(2) - x.mean()
    power = np.abs(np.fft.fft2(grey * np.outer(np.hanning(64), np.hanning(64)))) ** 2
    ticks = np.fft.fftfreq(64) * 64
    radius = np.hypot(*np.meshgrid(ticks, ticks))
    return found | {
        f"power {low}-{high}": np.log10(power[(radius >= low) & (radius < high)].mean() + 1e-9)
        for low, high in BANDS
    }


def real_looks(n=300):
    table = pd.read_csv(REAL / "HAM10000_metadata.csv").sample(n, random_state=0)
    for name in table.image_id:
        path = next(REAL.glob(f"HAM10000_images_part_*/{name}.jpg"))
        mask = REAL / f"HAM10000_segmentations_lesion_tschandl/{name}_segmentation.png"
        pair = []
        for image in (cv2.imread(str(path))[..., ::-1], cv2.imread(str(mask), 0)):
            height, width = image.shape[:2]
            square = image[:, (width - height) // 2 : (width + height) // 2]
            pair.append(
                cv2.resize(np.ascontiguousarray(square), (64, 64), interpolation=cv2.INTER_AREA)
            )
        if 20 < (pair[1] > 127).sum() < 4076:
            yield look(pair[0], pair[1] > 127)


@pytest.mark.skipif(not REAL.is_dir(), reason="HAM10000 is not beside the project")
def test_looks_like_dermatoscopy():
    real = pd.DataFrame(real_looks())
    rng, share = np.random.default_rng(0), np.array(HAM) / sum(HAM)
    drawn = [phantom.dermatoscopy(5, i, str(rng.choice(CLASSES, p=share))) for i in range(250)]
    mine = pd.DataFrame([look(p.image, p.mask) for p in drawn if not p.mask.all()])
    for name in real:
        low, high = real[name].quantile([0.05, 0.95])
        inside = mine[name].between(low, high).mean()
        assert low < mine[name].median() < high, name
        assert inside >= 0.8, f"{name}: {inside:.0%} of phantom images in [{low:.3g}, {high:.3g}]"


@pytest.mark.parametrize("structure", phantom.STRUCTURES)
def test_pairs_differ_in_one_structure_and_nowhere_else(structure):
    with_it, bare = phantom.pairs(structure, 3, 64)
    again = phantom.pairs(structure, 3, 64)
    assert np.array_equal(with_it, again[0]) and np.array_equal(bare, again[1])
    changed = np.abs(with_it.astype(int) - bare).max(-1)
    assert (changed.std((1, 2)) > 1).all()
    assert ((changed <= 2).mean((1, 2)) > 0.1).all(), "bare skin around stays as it is"
    darker = (with_it.astype(int) - bare).mean(-1)[changed > 8].mean()
    assert darker > 0 if structure == "scale" else darker < 0
