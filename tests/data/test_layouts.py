"""Records and pixels of the official layouts: what is read, what is refused and in which words."""

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

from skinsynth.core.config import CLASSES
from skinsynth.core.errors import UserError
from skinsynth.data import layouts, splits, tables, verify
from skinsynth.numerics import pixels

REAL = ROOT.parent / "shared" / "data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="real images are not on this machine")
IMAGES, MASKS = "ham10000/HAM10000_images_part_1", "ham10000/" + layouts.MASK_FOLDER


def picture(path, size=(20, 15), seed=0, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(path, **how)


def write_ham(root, n=14, separator=",", name="HAM10000_metadata.csv", folders=2, set_="ham10000"):
    """A small HAM10000 of n images, two of each lesion, with masks of three times the size."""
    rows = []
    for i in range(n):
        part = f"HAM10000_images_part_{1 + i % 2}" if folders == 2 else "HAM10000_images"
        image_id = f"ISIC_{set_[8:]}{i:07d}"
        picture(root / set_ / part / f"{image_id}.jpg", seed=i)
        mask = root / set_ / layouts.MASK_FOLDER / f"{image_id}_segmentation.png"
        mask.parent.mkdir(exist_ok=True)
        pixels = np.zeros((45, 60), np.uint8)
        pixels[:, 30:] = 255
        Image.fromarray(pixels).save(mask)
        rows.append(
            dict(
                lesion_id=f"HAM_{set_[8:]}{i // 2}",
                image_id=image_id,
                dx=CLASSES[i // 2 % 7],
                dx_type="histo",
                age=40 + i,
                sex="unknown",
                localization="back",
            )
        )
    table = pd.DataFrame(rows)
    table.to_csv(root / set_ / name, sep=separator, index=False)
    return table


def rewrite(root, table):
    table.to_csv(root / "ham10000/HAM10000_metadata.csv", index=False)


@pytest.mark.parametrize("folders", [1, 2])
@pytest.mark.parametrize(
    ("separator", "name"), [(",", "HAM10000_metadata.csv"), ("\t", "HAM10000_metadata.tab")]
)
def test_official_layouts(tmp_path, folders, separator, name):
    write_ham(tmp_path, separator=separator, name=name, folders=folders)
    records = layouts.load_ham(tmp_path)
    assert list(records.columns) == tables.COLUMNS and len(records) == 14
    assert records.dx.value_counts().to_dict() == dict.fromkeys(CLASSES, 2)
    assert (
        records.sex.isna().all() and records.age.iloc[3] == 43 and (records.truth_dir == "").all()
    )
    assert pixels.read_images(records, 8).shape == (14, 8, 8, 3)
    masks = pixels.read_masks(records, 10)
    assert masks.dtype == bool and masks[:, :, 5:].all() and not masks[:, :, :5].any()


def test_masks_are_optional_but_asked_for(tmp_path):
    write_ham(tmp_path)
    (tmp_path / MASKS / "ISIC_0000003_segmentation.png").unlink()
    records = layouts.load_ham(tmp_path)
    assert (records.mask_path == "").sum() == 1
    with pytest.raises(UserError, match="ISIC_0000003: no lesion mask"):
        pixels.read_masks(records, 8)
    gone = records[records.mask_path != ""].assign(mask_path="gone.png")
    with pytest.raises(UserError, match=r"gone\.png: no such file"):
        pixels.read_masks(gone, 8)


def _no_folder(root, table):
    (root / "ham10000").rename(root / "ham")


def _no_table(root, table):
    (root / "ham10000/HAM10000_metadata.csv").unlink()


def _no_images(root, table):
    for part in (1, 2):
        (root / f"ham10000/HAM10000_images_part_{part}").rename(root / str(part))


def _empty_table(root, table):
    (root / "ham10000/HAM10000_metadata.csv").write_text("")


def _no_column(root, table):
    rewrite(root, table.drop(columns="lesion_id"))


def _unknown_code(root, table):
    rewrite(root, table.replace({"dx": {"mel": "melanoma"}}))


def _image_gone(root, table):
    (root / IMAGES / "ISIC_0000004.jpg").unlink()


def _orphan(root, table):
    rewrite(root, table.drop(index=4))


def _id_twice(root, table):
    rewrite(root, pd.concat([table, table.iloc[[4]]]))


def _image_twice(root, table):
    picture(root / "ham10000/HAM10000_images_part_2/ISIC_0000004.png")


def _no_lesion(root, table):
    rewrite(root, table.assign(lesion_id=table.lesion_id.mask(table.index == 4)))


def _other_mask(root, table):
    picture(root / MASKS / "ISIC_0000004_segmentation.png", (60, 60))


def _text_mask(root, table):
    (root / MASKS / "ISIC_0000004_segmentation.png").write_text("no image")


FAULTS = {
    _no_folder: (r"ham10000: no such folder; give the folder", "set"),
    _no_table: (r"HAM10000_metadata\.csv: no metadata table", "set"),
    _no_images: (r"ham10000: no folder HAM10000_images_part_1 or", "set"),
    _empty_table: (r"HAM10000_metadata\.csv: not a readable table", "set"),
    _no_column: (r"HAM10000_metadata\.csv: no column lesion_id; use", "set"),
    _unknown_code: (
        r"metadata\.csv: unknown diagnosis 'melanoma' of ISIC_.*; known codes: akiec",
        "label",
    ),
    _image_gone: (r"no image ISIC_0000004, which HAM10000_metadata\.csv lists; add", "missing"),
    _orphan: (r"ISIC_0000004\.jpg: image without metadata; add its row", "orphan"),
    _id_twice: (r"metadata\.csv: ISIC_0000004 comes twice; keep one", "duplicate"),
    _image_twice: (r"ISIC_0000004\.png: a second image of this name", "duplicate"),
    _no_lesion: (r"metadata\.csv: ISIC_0000004 has no lesion_id; fill", "label"),
    _other_mask: (
        r"ISIC_0000004_segmentation\.png: mask of 60x60 for an image of 20x15; use",
        "mask",
    ),
    _text_mask: (r"ISIC_0000004_segmentation\.png: not an image; download", "unreadable"),
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda f: f.__name__.strip("_"))
def test_each_fault_is_one_line_and_in_the_report(tmp_path, spoil):
    table = write_ham(tmp_path)
    write_ham(tmp_path, set_="ham10000_test")  # so that the folder holds a set in any case
    spoil(tmp_path, table)
    message, kind = FAULTS[spoil]
    with pytest.raises(UserError, match=message) as error:
        layouts.load_ham(tmp_path)
    assert "\n" not in str(error.value)
    if spoil is not _no_folder:
        report = verify.verify(tmp_path)
        assert not report.ok and kind in set(report.table.kind) and "Faults found." in str(report)


def test_verify_lists_all_faults_at_once(tmp_path):
    table = write_ham(tmp_path)
    for spoil in (_image_gone, _other_mask, _unknown_code):
        spoil(tmp_path, table)
    picture(tmp_path / IMAGES / "ISIC_9999999.jpg")
    cut = tmp_path / IMAGES / "ISIC_0000000.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"\(\d more: skinsynth data verify"):
        layouts.load_ham(tmp_path)
    report = verify.verify(tmp_path)
    faults = report.table[~report.table.kind.isin(("class", "lesions", "masks"))]
    assert set(faults.kind) == {"label", "orphan", "missing", "unreadable"}
    picture(tmp_path / IMAGES / "ISIC_0000004.jpg")
    again = verify.verify(tmp_path)
    assert "mask" in set(again.table.kind) and "missing" not in set(again.table.kind)
    with pytest.raises(UserError, match="none of ham10000"):
        verify.verify(tmp_path / "ham10000")


def test_same_aspect_within_a_pixel_of_rounding():
    for one, other in ((600, 450), (200, 150)), ((199, 150), (600, 450)):
        assert tables.same_aspect(one, other)
    assert tables.same_aspect((64, 64), (64, 64)) and tables.same_aspect((100, 100), (64, 64))
    for other in ((64, 63), (450, 600), (60, 60), (600, 451)):
        assert not tables.same_aspect((600, 450), other), other


def save_variants(folder):
    """One picture in the ways people save it, as {name: tolerance in grey levels}."""
    grey = (np.add.outer(np.arange(12), np.arange(16)) * 9).astype(np.uint8)
    picture = Image.fromarray(grey)
    rgb = picture.convert("RGB")
    picture.save(folder / "grey.png")
    rgb.convert("RGBA").save(folder / "rgba.png")
    rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(folder / "palette.png")
    cv2.imwrite(str(folder / "grey16.png"), grey.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "rgb16.png"), np.repeat(grey[..., None], 3, 2).astype(np.uint16) * 257)
    picture.convert("1").save(folder / "bit.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=100)
    picture.save(folder / "grey.jpg", quality=100)
    names = (
        "grey.png",
        "rgba.png",
        "palette.png",
        "grey16.png",
        "rgb16.png",
        "grey.jpg",
        "cmyk.jpg",
    )
    return grey, dict.fromkeys(names, 3) | {"bit.png": 255}


def test_every_kind_of_file_becomes_uint8_rgb(tmp_path):
    grey, names = save_variants(tmp_path)
    for name, tolerance in names.items():
        shown = pixels.read_rgb(tmp_path / name)
        assert shown.shape == (12, 16, 3) and shown.dtype == np.uint8, name
        assert np.abs(shown.astype(int) - grey[..., None]).max() <= tolerance, name


def test_colours_are_rgb_and_the_crop_is_central(tmp_path):
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 5:15] = (200, 100, 50)
    Image.fromarray(image).save(tmp_path / "x.png")
    records = pd.DataFrame({"path": [tmp_path / "x.png"]})
    for size in (5, 10, 20):  # smaller, equal, larger
        assert (pixels.read_images(records, size) == (200, 100, 50)).all()


@pytest.mark.parametrize("cut", [1, 20, 100, 500])
def test_truncated_jpeg_is_an_error(tmp_path, cut):
    path = tmp_path / "a.jpg"
    picture(path, (64, 48), quality=90)
    path.write_bytes(path.read_bytes()[: -3 * cut])
    with pytest.raises(UserError, match=r"a\.jpg: unreadable image \(.*\); download it again"):
        pixels.read_images(pd.DataFrame({"path": [path]}), 16)


def test_palette_masks(tmp_path):
    write_ham(tmp_path, n=2)
    path = tmp_path / MASKS / "ISIC_0000000_segmentation.png"
    before = pixels.read_masks(layouts.load_ham(tmp_path), 15)
    image = Image.open(path).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0] + [0] * 750)  # index 0 is white: indices are no masks
    image.point(lambda v: int(v == 0)).save(path)
    assert (pixels.read_masks(layouts.load_ham(tmp_path), 15) == before).all()


def write_pad(root):
    rows = [("PAT_1", "7", "BCC", 1), ("PAT_2", "7", "SCC", 1), ("PAT_2", "8", "NEV", 0)]
    table = pd.DataFrame(rows, columns=["patient_id", "lesion_id", "diagnostic", "there"])
    table["img_id"] = table.patient_id + "_" + table.lesion_id + "_1.png"
    facts = dict(age=50, gender="FEMALE", region="ARM", fitspatrick=2.0, biopsed=True)
    folder = root / "pad_ufes_20/images/imgs_part_1"
    for row in table[table.there == 1].itertuples():
        picture(folder / row.img_id, (16, 16), seed=row.Index)
    table.drop(columns="there").assign(**facts).to_csv(
        root / "pad_ufes_20/metadata.csv", index=False
    )


def test_pad_counts_absent_images_and_keys_lesions_by_patient(tmp_path):
    write_pad(tmp_path)
    records = layouts.checked(layouts.scan_pad, tmp_path)
    assert records.attrs["missing"] == 1
    assert records.lesion_id.tolist() == ["PAT_1_7", "PAT_2_7"]
    assert records.dx.tolist() == ["bcc", "scc"] and (records["split"] == "test").all()
    assert records.skin_type.tolist() == [2, 2] and records.biopsied.all()
    assert "absent: 1" in str(verify.verify(tmp_path)) and verify.verify(tmp_path).ok
    picture(tmp_path / "pad_ufes_20/images/imgs_part_1/PAT_9_9_9.png")
    with pytest.raises(UserError, match="PAT_9_9_9.png: image without metadata"):
        layouts.checked(layouts.scan_pad, tmp_path)


def test_three_conventions_for_scc():
    for mapping in layouts.PAD_TO_HAM.values():
        assert mapping["nev"] == ("nv",) and set(mapping) == {
            "ack",
            "bcc",
            "mel",
            "nev",
            "scc",
            "sek",
        }
    assert [len(m["scc"]) for m in layouts.PAD_TO_HAM.values()] == [0, 1, 3]
    shared = dict(ack=("akiec",), bcc=("bcc",), mel=("mel",), nev=("nv",), sek=("bkl",))
    scc = dict(dropped=(), akiec=("akiec",), any=("akiec", "bcc", "mel"))
    assert {k: shared | {"scc": own} for k, own in scc.items()} == layouts.PAD_TO_HAM


def test_isic_test_set(tmp_path):
    root = tmp_path / "isic2018_test"
    codes = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    table = pd.DataFrame(np.eye(7)[[1, 6]], columns=codes, index=["ISIC_1", "ISIC_2"])
    for name in table.index:
        picture(root / f"ISIC2018_Task3_Test_Input/{name}.jpg")
    path = root / "ISIC2018_Task3_Test_GroundTruth.csv"
    table.to_csv(path, index_label="image")
    assert layouts.checked(layouts.scan_isic_test, tmp_path).dx.tolist() == ["nv", "vasc"]
    table.assign(MEL=1.0).to_csv(path, index_label="image")
    with pytest.raises(UserError, match="unknown diagnosis 'not one-hot' of ISIC_1"):
        layouts.checked(layouts.scan_isic_test, tmp_path)


def test_test_folder_is_the_test_split_where_there_is_one(tmp_path):
    write_ham(tmp_path, n=140)
    assert set(layouts.load(tmp_path)["ham"]["split"]) == {"train", "val", "test"}
    write_ham(tmp_path, set_="ham10000_test")
    sets = layouts.load(tmp_path)
    counts = sets["ham"]["split"].value_counts()
    assert counts["test"] == 14 and abs(counts["train"] - 112) <= 7 and sets["pad"] is None
    write_ham(tmp_path / "other")
    (tmp_path / "other/ham10000").rename(tmp_path / "leak")
    (tmp_path / "ham10000_test").rename(tmp_path / "old")
    (tmp_path / "leak").rename(tmp_path / "ham10000_test")  # the same lesions as in the pool
    with pytest.raises(UserError, match="is in 2 splits"):
        layouts.load(tmp_path)


def test_truth_of_the_phantom(tmp_path):
    write_ham(tmp_path, n=2)
    with pytest.raises(UserError, match="real images have no ground truth"):
        pixels.read_truth(layouts.load_ham(tmp_path), "hair", 15)
    for i in range(2):
        for kind in ("hair", "clean", "normal"):
            picture(tmp_path / f"truth/ISIC_{i:07d}_{kind}.png", (15, 15), seed=i)
    records = layouts.load_ham(tmp_path)
    assert pixels.read_truth(records, "hair", 15).dtype == bool
    assert pixels.read_truth(records, "clean", 15).shape == (2, 15, 15, 3)
    with pytest.raises(UserError, match="unknown truth 'skin'; choose"):
        pixels.read_truth(records, "skin", 15)


@needs_real
def test_real_sets_are_indexed_whole(tmp_path):
    sets = layouts.load(REAL)
    ham, pad = sets["ham"], sets["pad"]
    assert [(ham.dx == c).sum() for c in CLASSES] == [327, 514, 1099, 115, 1113, 6705, 142]
    assert ham.lesion_id.nunique() == 7470 and (ham.mask_path != "").all()
    assert (len(pad), pad.attrs["missing"], pad.patient_id.nunique()) == (686, 1612, 537)
    shares = pd.crosstab(ham.dx, ham["split"], normalize="index")
    assert (shares - [0.2, 0.64, 0.16]).abs().max().max() < 0.006
    assert splits.leakage(ham) == 0
    leaky = splits.image_split(ham, (0.9, 0.0, 0.1))
    assert 0.38 < splits.leakage(ham.assign(split=leaky)) < 0.47  # about 42 % by the protocol
    assert splits.duplicate_sets(ham) == [
        ["ISIC_0024366", "ISIC_0029861"],
        ["ISIC_0024777", "ISIC_0029938"],
    ]
    few = ham.iloc[::400]
    assert pixels.read_images(few, 64).shape == (26, 64, 64, 3)
    masks = pixels.read_masks(few, 64)
    assert 0.05 < masks.mean() < 0.7
