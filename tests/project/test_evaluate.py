"""A stranger's folder of samples: read as originals are, or refused in one line; nothing falls out unsaid."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinsynth import cli
from skinsynth.core.config import CLASSES
from skinsynth.core.errors import UserError
from skinsynth.core.store import Stage
from skinsynth.data import tables
from skinsynth.numerics import pixels
from skinsynth.project import evaluate
from skinsynth.project.sample_folder import read_folder

ALL = "14 of 14 files read: akiec 2, bcc 2, bkl 2, df 2, mel 2, nv 2, vasc 2"
FULL = {  # as the HAM10000 sets on Kaggle and Hugging Face name them
    "akiec": "Actinic keratoses",
    "bcc": "basal_cell_carcinoma",
    "bkl": "Benign keratosis-like lesions ",
    "df": "Dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic_Nevi",
    "vasc": "Vascular lesions",
}


def draw(path, seed=0, size=(40, 30), **how):
    """A picture without structure, of (width, height); as in a photograph, no pixel is like another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixel = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixel).save(path, **how)


@pytest.fixture
def folder(tmp_path):
    """Two images of each class, 40x30, as <class>/<number>.png."""
    for k, code in enumerate(CLASSES):
        for i in range(2):
            draw(tmp_path / "samples" / code / f"{i}.png", seed=2 * k + i)
    return tmp_path / "samples"


def rows(folder):
    found = sorted(folder.glob("*/*"))
    return [(f"{p.parent.name}/{p.name}", p.parent.name) for p in found]


def write(folder, text=None, encoding="utf-8", head="file_name,class", more=""):
    """metadata.csv of all images, or of some text."""
    if text is None:
        text = "\n".join([head, *(f"{name},{code}" for name, code in rows(folder)), more])
    (folder / "metadata.csv").write_bytes(text.encode(encoding))


def refused(folder, message):
    with pytest.raises(UserError, match=message) as error:
        read_folder(folder, 16)
    assert "\n" not in str(error.value) and ";" in str(error.value), "one line, with the remedy"


def test_both_ways_of_naming_classes_give_the_same(folder):
    """In RGB, in the order of the files; what is no seed is the file's name."""
    images, meta, said = read_folder(folder, 30)
    assert images.dtype == np.uint8 and said == f"{folder}: {ALL}"
    first = np.asarray(Image.open(folder / "akiec" / "0.png"))
    assert np.array_equal(images[0], first[:, 5:35]), "the central square, RGB, no pixel altered"
    assert meta["class"].tolist() == [c for c in CLASSES for _ in range(2)]
    assert meta.seed.tolist() == [name for name, _ in rows(folder)]
    write(folder)
    again, table, _ = read_folder(folder, 30)
    assert np.array_equal(images, again) and table.equals(meta)
    text = "".join(f"{name},{code},{k}\n" for k, (name, code) in enumerate(rows(folder)))
    write(folder, f"file_name,class,seed\n{text}")
    assert read_folder(folder, 30)[1].seed.tolist() == list(range(14))
    write(folder, f"file_name,class,seed\n{text.replace(',3', ',')}")
    assert read_folder(folder, 30)[1].seed.tolist()[2:5] == ["2", "bcc/1.png", "4"]


# --- point 4: samples are read as originals are


@pytest.mark.parametrize("size", [16, 30, 48])
@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (40, 40)])
def test_a_sample_becomes_the_pixels_that_an_original_becomes(tmp_path, size, shape):
    """The same file in a data folder and in a folder of samples: bitwise the same, larger or smaller."""
    draw(tmp_path / "nv" / "0.jpg", size=shape, quality=90)
    path = tmp_path / "nv" / "0.jpg"
    original = pixels.read_images(pd.DataFrame(dict(path=[str(path)])), size)
    assert np.array_equal(read_folder(tmp_path, size)[0], original)


def test_every_kind_of_file_is_read_as_the_data_loader_reads_it(tmp_path):
    """Turned by EXIF, 16 bits, palette, alpha, CMYK: whatever the loader makes of it, both sides make."""
    square = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image, turned = Image.fromarray(square), Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(square[..., 0].astype(np.uint16) * 257)
    kinds = dict(
        turned=(image, "png", dict(exif=turned)),
        deep=(deep, "png", {}),
        palette=(image.quantize(16), "png", {}),
        alpha=(image.convert("RGBA"), "webp", dict(lossless=True)),
        cmyk=(image.convert("CMYK"), "tif", {}),
    )
    (tmp_path / "mel").mkdir()
    for name, (kind, suffix, how) in kinds.items():
        kind.save(tmp_path / "mel" / f"{name}.{suffix}", **how)
    images, meta, _ = read_folder(tmp_path, 32)
    assert len(images) == len(kinds)
    for image, name in zip(images, meta.seed, strict=True):
        assert np.array_equal(image, pixels.read_rgb(tmp_path / name)), name


@pytest.mark.parametrize("share", [0.34, 0.6, 0.95])
@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        ("jpg", dict(quality=90)),
        ("jpg", dict(quality=90, progressive=True)),
        ("png", {}),
        ("bmp", {}),
        ("webp", {}),
        ("tif", {}),
        ("tif", dict(compression="tiff_lzw")),
    ],
)
def test_images_cut_short_are_refused(folder, suffix, how, share):
    """OpenCV reads such JPEGs, the rest grey; all are counted, the first is named."""
    for i in (0, 1):
        path = folder / "mel" / f"{i}.{suffix}"
        draw(path, size=(200, 150), **how)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    said = rf"mel/0\.{suffix}: unreadable image \(.*\), as are 1 more; mend or remove what"
    refused(folder, said)


@pytest.mark.parametrize("suffix", ["bmp", "webp", "tif", "tiff", "JPEG", "PNG", "Jpg"])
def test_files_of_other_types_are_read(folder, suffix):
    for i in (0, 1):
        (folder / "vasc" / f"{i}.png").unlink()
        draw(folder / "vasc" / f"{i}.{suffix}")
    images, _, said = read_folder(folder, 16)
    assert len(images) == 14 and said.endswith(ALL)


def test_what_is_not_read_is_counted_and_said(folder):
    """A whole class of arrays, a caption beside an image, a picture in no class's folder."""
    for i in (0, 1):
        (folder / "vasc" / f"{i}.png").rename(folder / "vasc" / f"{i}.npy")
    (folder / "mel" / "0.txt").write_text("a photo of melanoma")
    draw(folder / "grid.png")
    (folder / "images.npy").write_bytes(b"of no class, and no image")
    images, _, said = read_folder(folder, 16)
    assert len(images) == 12
    assert said == (
        f"{folder}: 12 of 16 files read: akiec 2, bcc 2, bkl 2, df 2, mel 2, nv 2, vasc 0; not read: "
        "1 of no class (in no class's folder), 1 of mel (type .txt), 2 of vasc (type .npy)"
    )


def test_nothing_to_read_is_said_with_the_reason(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty: 0 of 0 files read: akiec 0, .*; give images, with metadata")
    draw(tmp_path / "flat" / "0.png")
    refused(
        tmp_path / "flat", r"flat: 0 of 1 .*: 1 of no class \(in no class's folder\); give images"
    )
    refused(tmp_path / "nothing", "nothing: no such folder; name the one that holds the samples")


@pytest.mark.parametrize("where", ["{}/a", "{}/a/b/c", "samples/{}", "x/samples/{}/a", "{}/{}"])
def test_classes_are_found_a_folder_deeper(folder, tmp_path, where):
    for code in CLASSES:
        target = tmp_path / "deep" / where.format(code, code)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder / code, target)
    images, meta, said = read_folder(tmp_path / "deep", 16)
    assert said.endswith(ALL) and np.array_equal(images, read_folder(folder, 16)[0])


def test_one_class_deeper_than_the_others_is_read(folder):
    (folder / "vasc").rename(folder / "moved")
    (folder / "vasc").mkdir()
    (folder / "moved").rename(folder / "vasc" / "more")
    assert read_folder(folder, 16)[2].endswith(ALL)


def test_linked_folders_are_read_once(folder, tmp_path):
    (folder / "vasc").rename(tmp_path / "elsewhere")
    (folder / "vasc").symlink_to(tmp_path / "elsewhere")
    (folder / "mel" / "circle").symlink_to(folder / "mel")
    assert read_folder(folder, 16)[2].endswith(ALL)


def test_what_would_have_to_be_guessed_is_refused(folder, tmp_path):
    draw(folder / "mel" / "nv" / "0.png")
    refused(folder, r"mel/nv/0\.png: lies in the folders of mel and nv; move it")
    shutil.rmtree(folder / "mel" / "nv")
    for name in ("real", "fake"):
        shutil.copytree(folder, tmp_path / "two" / name)
    refused(tmp_path / "two", "two: two sets, in .*/fake/akiec and in .*/real/akiec; give")
    draw(folder / "lesions" / "0.png")
    refused(folder, "unknown class 'lesions'; known: akiec, .* vasc, or their full names")


def test_a_table_of_part_of_the_files_says_what_it_leaves_out(folder):
    write(folder, "\n".join(["file_name,class", *(f"{n},{c}" for n, c in rows(folder)[:11])]))
    images, _, said = read_folder(folder, 16)
    assert len(images) == 11 and said == (
        f"{folder}: 11 of 14 files read: akiec 2, bcc 2, bkl 2, df 2, mel 2, nv 1, vasc 0; not read: "
        "1 of nv (not in metadata.csv), 2 of vasc (not in metadata.csv)"
    )


def test_a_row_given_twice_counts_once(folder):
    write(folder, more="mel/0.png,mel\n./mel/0.png,MEL\n")
    images, meta, said = read_folder(folder, 16)
    assert len(images) == 14 and (meta["class"] == "mel").sum() == 2
    assert said == f"{folder}: {ALL}; rows that only repeat another: 2"
    write(folder, more="mel/0.png,nv\n")
    refused(
        folder, r"metadata\.csv: mel/0\.png is given as mel and, in row 16, as nv; keep one row"
    )


def test_a_folder_may_be_given_relative_or_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    text = "".join(f"{folder / name},{code}\n" for name, code in rows(folder))
    write(folder, f"file_name,class\n{text}")
    assert read_folder("samples", 16)[2] == read_folder(folder, 16)[2] == f"{folder}: {ALL}"


# --- point 6: tables as people have them


def changed(old, new):
    def mend(folder):
        write(folder)
        path = folder / "metadata.csv"
        path.write_text(path.read_text().replace(old, new))

    return mend


def _renamed(folder):
    write(folder, head=" File_Name , label ")


def _utf16(folder):
    write(folder, encoding="utf-16")


def _quoted(folder):
    write(
        folder, "\r\n".join(['"file_name", "class"', *(f'"{n}", "{c}"' for n, c in rows(folder))])
    )


def _upper(folder):
    write(folder, "\n".join(["file_name,class", *(f"{n},{c.upper()}" for n, c in rows(folder))]))


def _full_names(folder):
    write(folder, "\n".join(["file_name,class", *(f"{n},{FULL[c]}" for n, c in rows(folder))]))


def _bom_and_captions(folder):
    lines = ["\ufefffile_name;class;text", *(f"{n};{c};a lesion, dark" for n, c in rows(folder))]
    write(folder, "\n".join(lines))


UNDERSTOOD = dict(
    semicolons=changed(",", ";"),
    tabs=changed(",", "\t"),
    blanks=changed(",", " , "),
    backslashes=changed("/", "\\"),
    blank_lines=changed("\n", "\n\n"),
    renamed=_renamed,
    utf16=_utf16,
    quoted=_quoted,
    upper=_upper,
    full_names=_full_names,
    captions=_bom_and_captions,
)


@pytest.mark.parametrize("how", UNDERSTOOD)
def test_a_clear_table_is_understood(folder, how):
    images, meta, _ = read_folder(folder, 16)
    UNDERSTOOD[how](folder)
    again, table, said = read_folder(folder, 16)
    assert said == f"{folder}: {ALL}" and np.array_equal(images, again)
    assert table["class"].equals(meta["class"])


@pytest.mark.parametrize("name", [str.upper, FULL.get])
def test_folders_may_have_any_clear_name(folder, name):
    for code in CLASSES:
        (folder / code).rename(folder / name(code))
    assert read_folder(folder, 16)[2] == f"{folder}: {ALL}"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (dict(text=""), r"metadata\.csv: not a readable table \(No columns"),
        (
            dict(text="file_name,class\n"),
            "samples: 0 of 14 files read: .* 2 of vasc \\(not in metadata.csv\\); give images, with",
        ),
        (dict(more="a,b,c,d\n"), r"not a readable table \(.*Expected 2 fields in line 16, saw 4"),
        (dict(text="file_name,class\nmel/0.png,mel,x\n"), "rows have more fields than its head"),
        (dict(more="mel/0.png\n"), r"row 16 \(mel/0\.png\) has no class; known: akiec"),
        (dict(more="mél,mel\n", encoding="latin-1"), r"not a readable table \('utf-8'.*in UTF-8"),
        (dict(encoding="utf-16-le"), r"not a readable table \(zero bytes, as in UTF-16.*in UTF-8"),
        (dict(more='"mel/0.png,mel\n'), r"not a readable table \(.*EOF inside string"),
        (dict(more=",mel\n"), "row 16 has no file name; fill it in or remove the row"),
        (dict(more="mel/0.png,\nmel/1.png,foo\n"), r"row 16 \(mel/0\.png\) has no class"),
        (
            dict(more="mel/1.png,foo\nmel/0.png,\n"),
            r"row 16 \(mel/1\.png\) has an unknown class 'foo'",
        ),
        (
            dict(head="file_name,text"),
            r"needs one column class \(label.*found \['file_name', 'text'\]",
        ),
        (dict(head="a,class"), r"needs one column file_name .*found \['a', 'class'\]; name"),
        (dict(head="label,dx"), r"needs one column file_name"),
        (dict(text="file_name,label,dx\na,b,c\n"), r"needs one column class .*'label', 'dx'\]"),
        (dict(more="mel/9.png,mel\n"), r"mel/9\.png: no such file, but metadata\.csv lists it;"),
        (dict(more="x" * 300 + ",mel\n"), r"xx: no such file, but metadata\.csv lists it;"),
    ],
)
def test_a_faulty_table_is_one_line(folder, table, message):
    write(folder, **table)
    refused(folder, message)


def test_integers_are_no_classes(folder):
    """Hugging Face writes numbers, whose order is not ours: nothing is guessed."""
    write(folder, "file_name,label\nmel/0.png,4\n")
    refused(folder, r"row 2 \(mel/0\.png\) has an unknown class '4'")


def test_the_commands_say_it_in_one_line(project, folder, capsys):
    """Before anything is trained, and with exit status 1."""
    write(folder, "", encoding="utf-8")
    assert cli.main(["evaluate", str(folder), "--profile", "smoke"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"skinsynth: {folder}/metadata.csv: not a readable table")
    assert said.count("\n") == 1
    assert cli.main(["evaluate", str(folder / "nowhere"), "--profile", "smoke"]) == 1
    assert "nowhere: no such folder; name the one" in capsys.readouterr().err


def test_the_first_line_of_output_counts_the_files(project, folder, capsys, monkeypatch):
    def stop(*given):
        raise UserError("that was the reading; here it ends")

    monkeypatch.setattr(evaluate, "beside_originals", stop)
    assert cli.main(["evaluate", str(folder), "--profile", "smoke"]) == 1
    assert capsys.readouterr().out == f"{folder}: {ALL}\n"


def test_a_provenance_that_is_none(folder):
    """Unreadable: one line. Another program's: the generator is unknown."""
    assert not evaluate._knows_split(folder)
    path = folder / "provenance.json"
    for text, known in (("{}", False), ("[1]", False), ("3", False), ('{"manifest": "x"}', True)):
        path.write_text(text)
        assert evaluate._knows_split(folder) == known
    for raw in (b"{", b"", b"\xff\xfe"):
        path.write_bytes(raw)
        with pytest.raises(UserError, match=r"provenance\.json: broken .*; remove it"):
            evaluate._knows_split(Stage(folder, "").path)


# --- point 7: litter


def test_litter_is_skipped_and_not_counted(folder):
    """By folders, and where a program has listed it in the table."""
    write(folder, more="mel/._0.png,mel\nnv/.ipynb_checkpoints/0.png,nv\nmel/Thumbs.db,mel\n")
    for name in (".ipynb_checkpoints", "nv/.ipynb_checkpoints", "__MACOSX/mel", "nv/@eaDir"):
        (folder / name).mkdir(parents=True)
        shutil.copy(folder / "mel" / "0.png", folder / name / "0.png")
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        for place in (folder, folder / "mel", folder / "__MACOSX"):
            (place / name).write_bytes(b"no image")
    assert read_folder(folder, 16)[2] == f"{folder}: {ALL}"
    (folder / "metadata.csv").unlink()
    assert read_folder(folder, 16)[2] == f"{folder}: {ALL}"


def test_a_hidden_folder_above_is_no_litter(folder, tmp_path):
    shutil.copytree(folder, tmp_path / ".cache" / "samples")
    hidden = tmp_path / ".cache" / "samples"
    for place in ("", f"{hidden}/", "../samples/"):
        text = "".join(f"{place}{name},{code}\n" for name, code in rows(folder))
        write(hidden, f"file_name,class\n{text}")
        assert read_folder(hidden, 16)[2].endswith(ALL)


def test_names_of_classes_are_exact():
    for code in CLASSES:
        assert tables.class_code(code) == tables.class_code(FULL[code]) == code
    bowen = "Actinic keratoses and intraepithelial carcinoma / Bowen's disease"
    assert tables.class_code(bowen) == "akiec" and tables.class_code("Melanoma, NOS") == "mel"
    for name in ("", "mel2", "scc", "squamous cell carcinoma", "0", None, np.nan, "not melanoma"):
        assert tables.class_code(name) is None, name


def test_corrupted_files_never_end_in_a_traceback(folder):
    """200 folders with bytes of the table or of an image changed, cut or added: read, or one line."""
    rng = np.random.default_rng(20)
    for suffix in ("jpg", "bmp", "tif", "webp"):
        draw(folder / "df" / f"2.{suffix}")
    write(folder)
    files = [folder / "metadata.csv", *sorted((folder / "df").iterdir())]
    kept = {path: path.read_bytes() for path in files}
    ends = {True: 0, False: 0}
    for turn in range(200):
        path = files[turn % len(files)]
        raw = bytearray(kept[path])
        for place in rng.integers(0, len(raw), rng.integers(1, 6)):
            raw[place] = rng.integers(256)
        path.write_bytes(raw[: rng.integers(len(raw))] if turn % 3 == 0 else raw)
        try:
            read_folder(folder, 16)
            ends[True] += 1
        except UserError as error:
            assert "\n" not in str(error)
            ends[False] += 1
        path.write_bytes(kept[path])
    assert min(ends.values()) > 20
    assert read_folder(folder, 16)[2].startswith(f"{folder}: 18 of 18 files read")
    assert not [p for p in os.listdir(folder) if p not in (*CLASSES, "metadata.csv")]
