"""Folders as people have them: found whole, told apart, and said where a part of them is not used."""

import filecmp
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image
from test_layouts import IMAGES, MASKS, picture, rewrite, write_ham, write_pad

from skinsynth.core.errors import UserError
from skinsynth.data import layouts, sets, tables, verify
from skinsynth.numerics import pixels

HAM = "ham10000"
MASK = f"{MASKS}/ISIC_0000004_segmentation.png"


def identity(folder):
    return layouts.identity.__wrapped__(folder)


def mask_of(root, grey):
    Image.fromarray(np.asarray(grey)).save(root / MASK)


def said(root, kind):
    table = verify.verify(root).table
    return table.name[table.kind == kind].tolist()


def test_links_to_other_sets_are_other_data(tmp_path):
    write_ham(tmp_path / "few", n=14)
    write_ham(tmp_path / "many", n=28)
    for name in ("few", "many"):
        (tmp_path / f"to_{name}").mkdir()
        (tmp_path / f"to_{name}" / HAM).symlink_to(tmp_path / name / HAM)
    few, many = (identity(tmp_path / f"to_{name}") for name in ("few", "many"))
    assert few["ham"] != many["ham"]
    assert few == identity(tmp_path / "few") and many == identity(tmp_path / "many")


def _stray_files(root):
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", "old.csv", f"{HAM}/notes.csv"):
        (root / name).write_text("lesion_id,image_id\n")
    (root / IMAGES / "._ISIC_0000000.jpg").write_bytes(b"x")
    picture(root / IMAGES / ".ipynb_checkpoints" / "ISIC_0000000-checkpoint.jpg")
    picture(root / HAM / "__MACOSX" / "HAM10000_images_part_1" / "ISIC_0000000.jpg")


def _move(root):
    (root / HAM).rename(root / "HAM-10000")


def _another_set(root):
    write_pad(root)


def _semicolons(root):
    table = pd.read_csv(root / HAM / "HAM10000_metadata.csv", dtype=str)
    table.to_csv(root / HAM / "HAM10000_metadata.csv", sep=";", index=False)


@pytest.mark.parametrize("change", [_stray_files, _move, _another_set, _semicolons])
def test_what_no_loader_reads_for_a_set_does_not_identify_it(tmp_path, change):
    write_ham(tmp_path)
    before = identity(tmp_path)["ham"]
    change(tmp_path)
    assert identity(tmp_path)["ham"] == before


def _label(root):
    table = pd.read_csv(root / HAM / "HAM10000_metadata.csv")
    rewrite(root, table.assign(dx=table.dx.replace("df", "nv")))


def _group(root):
    rewrite(root, pd.read_csv(root / HAM / "HAM10000_metadata.csv").replace("HAM_0", "HAM_1"))


def _size_of_an_image(root):
    picture(root / IMAGES / "ISIC_0000004.jpg", (40, 30))


def _size_of_a_mask(root):
    mask_of(root, np.random.default_rng(0).integers(0, 2, (45, 60), np.uint8) * 255)


def _no_masks(root):
    shutil.rmtree(root / MASKS)


def _test_set(root):
    write_ham(root, set_="ham10000_test")


def _truth(root):
    picture(root / "truth/ISIC_0000000_hair.png")


CHANGES = (_label, _group, _size_of_an_image, _size_of_a_mask, _no_masks, _test_set, _truth)


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_loader_reads_identifies_the_data(tmp_path, change):
    write_ham(tmp_path)
    before = identity(tmp_path)["ham"]
    change(tmp_path)
    assert identity(tmp_path)["ham"] != before


def test_a_table_of_any_known_kind_identifies_the_data(tmp_path):
    table = write_ham(tmp_path, name="HAM10000_metadata")
    before = identity(tmp_path)
    table.assign(dx=table.dx[::-1].to_numpy()).to_csv(tmp_path / HAM / "HAM10000_metadata")
    assert identity(tmp_path) != before


@pytest.mark.parametrize("one", [1, 7, 200, 255, np.uint16(1), np.uint16(65535)])
def test_a_mask_of_two_levels_is_what_is_not_zero(tmp_path, one):
    write_ham(tmp_path, n=7)
    wanted = pixels.read_masks(layouts.load_ham(tmp_path), 15)
    half = np.zeros((45, 60), np.asarray(one).dtype if isinstance(one, np.uint16) else np.uint8)
    half[:, 30:] = one
    mask_of(tmp_path, half)
    assert wanted.any() and (pixels.read_masks(layouts.load_ham(tmp_path), 15) == wanted).all()
    facts = said(tmp_path, "levels")
    expected = [] if one == 255 else [f"of 0 and {one}, not 0 and 255: 1, as {tmp_path / MASK}"]
    assert facts == expected and verify.verify(tmp_path).ok


def test_masks_with_soft_edges_are_read_as_before(tmp_path):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 4, 0)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    assert (pixels.read_mask(tmp_path / "x.png") == (ramp > 127)).all()


@pytest.mark.parametrize(
    ("grey", "kind", "words"),
    [
        (np.zeros((45, 60), np.uint8), "mask", "a mask that is black all over"),
        (np.full((45, 60), 255, np.uint8), "levels", "white all over: 1, as"),
        (np.tile(np.arange(60, dtype=np.uint8), (45, 1)), "mask", "two grey levels, 0 to 59"),
        (np.tile(np.uint8([3, 9]), (45, 30)), "levels", "of 3 and 9, not 0 and 255: 1, as"),
    ],
)
def test_verify_looks_into_masks(tmp_path, grey, kind, words):
    write_ham(tmp_path)
    mask_of(tmp_path, grey)
    (found,) = said(tmp_path, kind)
    assert words in found and MASK in found and verify.verify(tmp_path).ok == (kind == "levels")


def _nested(root):
    (root / MASKS).rename(root / "masks")
    (root / MASKS).mkdir()
    (root / "masks").rename(root / MASKS / "masks")


def _lower_case(root):
    (root / MASKS).rename(root / MASKS.lower())


def _capital_suffix(root):
    for path in (root / MASKS).iterdir():
        path.rename(path.with_suffix(".PNG"))


def _no_ending(root):
    for path in (root / MASKS).iterdir():
        path.rename(path.with_name(path.name.replace("_segmentation", "")))


def _other_folder(root):
    (root / MASKS).rename(root / HAM / "masks")


@pytest.mark.parametrize("move", [_nested, _lower_case, _capital_suffix, _no_ending, _other_folder])
def test_masks_are_found_as_images_are(tmp_path, move):
    write_ham(tmp_path)
    move(tmp_path)
    assert (layouts.load_ham(tmp_path).mask_path != "").all()
    assert "14 masks" in str(verify.verify(tmp_path)) and verify.verify(tmp_path).ok


def test_masks_of_a_part_are_named_and_not_used_without_a_word(tmp_path):
    write_ham(tmp_path, n=28)
    (tmp_path / MASK).unlink()
    words = "ISIC_0000004: no mask, though 27 of 28 images have one"
    assert said(tmp_path, "mask") == [words] and not verify.verify(tmp_path).ok
    with pytest.raises(UserError, match=f"{words}; add it, or remove all masks"):
        layouts.load(tmp_path)
    shutil.rmtree(tmp_path / MASKS)
    assert (layouts.load(tmp_path)["ham"].mask_path == "").all()


def test_masks_without_an_image_are_named(tmp_path):
    write_ham(tmp_path)
    (tmp_path / MASK).with_stem("isic_9_segmentation").write_bytes((tmp_path / MASK).read_bytes())
    assert said(tmp_path, "spare") == ["mask without an image: isic_9"]


@pytest.mark.parametrize(("column", "blank"), [("patient_id", ""), ("lesion_id", " ")])
def test_an_empty_patient_or_lesion_is_a_fault(tmp_path, column, blank):
    write_pad(tmp_path)
    path = tmp_path / "pad_ufes_20/metadata.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[0, column] = blank
    table.to_csv(path, index=False)
    with pytest.raises(UserError, match=rf"PAT_1_7_1.png has no {column}; fill it in"):
        layouts.checked(layouts.scan_pad, tmp_path)
    assert not verify.verify(tmp_path).ok


@pytest.mark.parametrize("turn", range(1, 9))
def test_images_and_masks_are_read_upright(tmp_path, turn):
    write_ham(tmp_path)
    upright = np.zeros((15, 20, 3), np.uint8)
    upright[:5, :5], upright[10:, :5], upright[:5, 15:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # numbers of Pillow's transpositions
    stored = Image.fromarray(upright)
    if turn > 1:
        stored = stored.transpose(ways[turn])
    exif = Image.Exif()
    exif[0x0112] = turn
    image = tmp_path / IMAGES / "ISIC_0000004.jpg"
    stored.save(image, quality=100, subsampling=0, exif=exif)
    shown = pixels.read_rgb(image).astype(int)
    assert shown.shape == upright.shape
    for corner in (np.s_[1:4, 1:4], np.s_[11:14, 1:4], np.s_[1:4, 16:19]):
        assert np.abs(shown[corner] - upright[corner]).max() < 30
    grey = Image.fromarray((upright[..., 0] > 0).astype(np.uint8) * 255)
    (grey.transpose(ways[turn]) if turn > 1 else grey).save(tmp_path / MASK, exif=exif)
    assert (pixels.read_mask(tmp_path / MASK) == (upright[..., 0] > 0)).all()
    assert len(layouts.load_ham(tmp_path)) == 14 and verify.verify(tmp_path).ok


def test_images_of_pad_need_no_folder_of_their_own(tmp_path):
    write_pad(tmp_path)
    root = tmp_path / "pad_ufes_20"
    before = layouts.checked(layouts.scan_pad, tmp_path)
    (root / "images/imgs_part_1").rename(root / "imgs_part_1")
    (root / "images").rmdir()
    after = layouts.checked(layouts.scan_pad, tmp_path)
    assert after.drop(columns="path").equals(before.drop(columns="path"))
    (root / "imgs_part_1").rename(tmp_path / "PAT")
    with pytest.raises(UserError, match=r"pad_ufes_20/images: none of the images in .*; unpack"):
        layouts.checked(layouts.scan_pad, tmp_path)


@pytest.mark.parametrize("file", [f"{IMAGES}/ISIC_0000004.jpg", MASK])
def test_an_unreadable_file_counts_once(tmp_path, file):
    write_ham(tmp_path)
    (tmp_path / file).write_text("no image")
    report = verify.verify(tmp_path)
    (name,) = report.table.name[report.table.kind == "unreadable"]
    assert name.startswith(f"{tmp_path / file}: ") and not report.ok


@pytest.mark.parametrize("images", ["Input", "Images"])
@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tab", "\t")])
def test_the_truth_of_the_isic_test_as_the_archive_has_it(tmp_path, images, suffix, separator):
    name = f"ISIC2018_Task3_Test_GroundTruth.{suffix}"
    write_ham(tmp_path, set_="isic2018_test", folders=1, separator=separator, name=name)
    root = tmp_path / "isic2018_test"
    shutil.rmtree(root / layouts.MASK_FOLDER)
    (root / "HAM10000_images").rename(root / f"ISIC2018_Task3_Test_{images}")
    records = layouts.checked(layouts.scan_isic_test, tmp_path)
    assert records.lesion_id.nunique() == 7 and (records["split"] == "test").all()
    assert set(records.source) == {"isic2018"} and (records.age == range(40, 54)).all()
    assert verify.verify(tmp_path).ok


def _doubly_nested(root):
    for part in ("HAM10000_images_part_1", "HAM10000_images_part_2"):
        (root / HAM / part).rename(root / part)
        (root / HAM / part).mkdir()
        (root / part).rename(root / HAM / part / part)


def _set_in_itself(root):
    (root / HAM).rename(root / "inner")
    (root / HAM).mkdir()
    (root / "inner").rename(root / HAM / "HAM10000")


def _twice_in_other_case(root):
    shutil.copytree(root / IMAGES, root / IMAGES.lower())


def _capitals(root):
    (root / HAM).rename(root / "HAM10000")


def _ids_with_suffix(root):
    table = pd.read_csv(root / HAM / "HAM10000_metadata.csv")
    rewrite(root, table.assign(image_id=table.image_id + ".jpg "))


def _codes_in_capitals_and_blanks(root):
    table = pd.read_csv(root / HAM / "HAM10000_metadata.csv")
    rewrite(root, table.assign(dx=" " + table.dx.str.upper()).rename(columns=lambda c: c + " "))


def _flat(root):
    for part in (1, 2):
        folder = root / HAM / f"HAM10000_images_part_{part}"
        for path in folder.iterdir():
            path.rename(root / HAM / path.name)
        folder.rmdir()


def _all_in_the_data_folder(root):
    write_pad(root)
    for path in (root / HAM).iterdir():
        path.rename(root / path.name)
    (root / HAM).rmdir()


def _links_to_files(root):
    (root / IMAGES).rename(root / "elsewhere")
    (root / IMAGES).mkdir()
    for path in (root / "elsewhere").iterdir():
        (root / IMAGES / path.name).symlink_to(path)


def _links_to_folders(root):
    (root / IMAGES).rename(root / "elsewhere")
    (root / IMAGES).mkdir()
    (root / IMAGES / "a").symlink_to(root / "elsewhere")
    (root / IMAGES / "b").symlink_to(root / "elsewhere")
    (root / IMAGES / "circle").symlink_to(root / IMAGES)


LAYOUTS = (
    _doubly_nested,
    _set_in_itself,
    _twice_in_other_case,
    _capitals,
    _ids_with_suffix,
    _codes_in_capitals_and_blanks,
    _flat,
    _all_in_the_data_folder,
    _links_to_files,
    _links_to_folders,
)


@pytest.mark.parametrize("move", LAYOUTS)
def test_clear_layouts_are_read(tmp_path, move):
    write_ham(tmp_path)
    shutil.copytree(tmp_path / HAM, tmp_path / "first" / HAM)
    move(tmp_path)
    wanted, found = layouts.load_ham(tmp_path / "first"), layouts.load_ham(tmp_path)
    told = ["path", "mask_path", "truth_dir"]
    assert found.drop(columns=told).equals(wanted.drop(columns=told))
    for column in ("path", "mask_path"):
        pairs = zip(found[column], wanted[column], strict=True)
        assert all(filecmp.cmp(*pair, shallow=False) for pair in pairs)
    assert verify.verify(tmp_path).ok and layouts.has(tmp_path, HAM)


def _two_names(root):
    _capitals(root)
    shutil.copytree(root / "HAM10000", root / "Ham10000")


def _isic_export(root):
    (root / HAM / "HAM10000_metadata.csv").write_text("isic_id,diagnosis_1\nISIC_1,Benign\n")
    (root / HAM / "HAM10000_metadata.csv").rename(root / HAM / "metadata.csv")


def _two_tables(root):
    for name in ("a", "b"):
        (root / HAM / name).mkdir()
        (root / HAM / name / "HAM10000_metadata.csv").write_text(name)
    (root / HAM / "HAM10000_metadata.csv").unlink()


def _column_twice(root):
    rewrite(root, pd.DataFrame([[1, 2, 3, 4]], columns=["dx", "dx ", "image_id", "lesion_id"]))


def _broken_link(root):
    (root / IMAGES / "ISIC_0000004.jpg").unlink()
    (root / IMAGES / "ISIC_0000004.jpg").symlink_to(root / "nowhere")


REFUSED = {
    _two_names: r"HAM10000: Ham10000 lies beside it; name one of them ham10000",
    _isic_export: r"metadata\.csv: the ISIC Archive's .*; put HAM10000_metadata\.csv beside it",
    _two_tables: r"a/HAM10000_metadata\.csv: .*b/HAM10000_metadata\.csv is another .*; keep one",
    _column_twice: r"HAM10000_metadata\.csv: column dx comes twice; keep one",
    _broken_link: r"no image ISIC_0000004, which HAM10000_metadata\.csv lists; add",
}


@pytest.mark.parametrize("spoil", REFUSED)
def test_what_would_have_to_be_guessed_is_refused_with_the_mend(tmp_path, spoil):
    write_ham(tmp_path)
    spoil(tmp_path)
    for read in (layouts.load_ham, layouts.identity):
        with pytest.raises(UserError, match=REFUSED[spoil]) as error:
            read(tmp_path)
        assert "\n" not in str(error.value)


def test_bytes_changed_in_images_are_never_a_traceback(tmp_path):
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png"):
        path = tmp_path / f"x.{suffix}"
        picture(path, exif=exif)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(400):
            spoiled = whole[: rng.integers(1, len(whole) + 1)].copy()
            spoiled[rng.integers(0, min(len(spoiled), 120), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(spoiled.tobytes())
            for read in (pixels.read_rgb, pixels.read_mask):
                try:
                    assert read(path).shape[:2]
                except UserError as error:
                    assert "\n" not in str(error)
            tables.mask_problems(pd.DataFrame(dict(path=[path], mask_path=[path])))


def test_what_pillow_says_of_a_broken_tiff_is_one_line(tmp_path, monkeypatch):
    """Its TypeError ("int() argument must be ... not 'IFDRational'") came through."""

    def broken(self):
        raise TypeError("int() argument must be a string, not 'IFDRational'")

    picture(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "convert", lambda self, mode: broken(self))
    for read in (pixels.read_rgb, pixels.read_mask):
        with pytest.raises(UserError, match="x.png: unreadable image .*IFDRational"):
            read(tmp_path / "x.png")


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write_ham(tmp_path)
    real = Path.iterdir

    def closed(self):
        if self.name == Path(MASKS).name:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(UserError, match=f"{Path(MASKS).name}: may not be read; let yourself read"):
        layouts.load_ham(tmp_path)


def test_a_phantom_is_its_stage_and_a_folder_its_records(tmp_path):
    from skinsynth.core.config import configure

    write_ham(tmp_path)
    cfg = configure("smoke", data=str(tmp_path))
    folder, known = sets.data_folder(None, cfg)
    assert folder == tmp_path and known == identity(tmp_path) and known["pad"] is None
    assert cfg.real and cfg.run == "smoke-ham"
    (tmp_path / "truth").mkdir()
    assert not cfg.real and cfg.run == "smoke-drawn", "drawn by `skinsynth data phantom`"
    assert sets.data_folder(None, cfg)[0] == tmp_path


REAL = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not REAL.is_dir(), reason="real images are not on this machine")
def test_a_link_to_the_real_sets_is_the_real_sets(tmp_path):
    (tmp_path / "HAM10000").symlink_to(REAL / HAM)
    assert identity(tmp_path)["ham"] == identity(REAL)["ham"]
