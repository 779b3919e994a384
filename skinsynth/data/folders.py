"""A data folder's files: where a set, its table, its images and its masks lie, and what is litter."""

import filecmp
import os
import re
from pathlib import Path
from typing import NamedTuple

from ..core.errors import UserError

SETS = ("ham10000", "ham10000_test", "pad_ufes_20", "isic2018_test")  # folders of a data folder
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
TABLE_SUFFIXES = (".csv", ".tab", "", ".tsv", ".txt")  # the first is taken where there are several
MASK_FOLDERS, MASK_ENDING = "ham10000_segmentations", "_segmentation"  # in any case
LITTER = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")  # and all that begins with a dot
RIGHT_FOLDER = "give the folder that holds ham10000/ (`skinsynth data fetch` downloads it)"


class Problem(NamedTuple):
    """One fault of a data folder: its kind, the offending file or id, and what to do about it."""

    kind: str  # orphan, missing, duplicate, label, mask or unreadable
    name: str
    remedy: str

    def __str__(self):
        return f"{self.name}; {self.remedy}"


def _plain(name):
    return re.sub("[^a-z0-9]", "", name.lower())


def find_set(folder, name):
    """Folder of one of SETS in a data folder, its name in any case and with any hyphens; None where absent.

    A folder with HAM10000's table in it is ham10000 itself, unless it bears a set's name: then the folder
    above is the data folder. Raises UserError where two folders have the name.
    """
    folder = Path(folder)
    if (folder / name).is_dir() or not folder.is_dir():
        return folder / name if folder.is_dir() else None
    entries = sorted(folder.iterdir())
    found = [p for p in entries if _plain(p.name) == _plain(name) and p.is_dir()]
    if len(found) > 1:
        raise UserError(f"{found[0]}: {found[1].name} lies beside it; name one of them {name}")
    if found or name != "ham10000" or _plain(folder.resolve().name) in map(_plain, SETS):
        return found[0] if found else None
    return folder if any(p.stem.lower() == "ham10000_metadata" for p in entries) else None


def set_folder(folder, name):
    """As `find_set`; raises UserError where the set is absent."""
    found = find_set(folder, name)
    if found is None:
        raise UserError(f"{Path(folder) / name}: no such folder; {RIGHT_FOLDER}")
    return found


def listing(root, skip=()):
    """Names of all files below a folder, relative to it, as `files_below`; folders of `skip` are left out."""
    start = len(str(root)) + 1
    found = files_below(root, tuple(path.resolve() for path in skip))
    return [str(path)[start:] for path in found if path.is_file()]


def _same(path, other):
    return os.path.samefile(path, other) or filecmp.cmp(path, other, shallow=False)


def _is_export(path):
    with open(path, "rb") as handle:
        return b"isic_id" in handle.readline()


def find_table(root, names, title, what="metadata table"):
    """Path of a set's table among the files of its folder: the one that lies highest.

    Raises UserError where there is none, or there are two that differ.
    """
    kinds = {}
    for name in names:
        stem, suffix = os.path.splitext(os.path.basename(name))
        if stem.lower() == title.lower() and suffix.lower() in TABLE_SUFFIXES:
            rank = name.count("/"), TABLE_SUFFIXES.index(suffix.lower())
            kinds.setdefault(rank, []).append(root / name)
    if not kinds:
        if exports := [n for n in names if n.lower().endswith(".csv") and _is_export(root / n)]:
            fault = "the ISIC Archive's own table tells neither HAM10000's codes nor its lesions"
            raise UserError(f"{root / exports[0]}: {fault}; put {title}.csv beside it")
        raise UserError(f"{root / title}.csv: no {what}; put the official one there")
    first, *others = kinds[min(kinds)]
    if wrong := [p for p in others if not _same(first, p)]:
        raise UserError(f"{first}: {wrong[0]} is another {what}; keep one")
    return first


def is_litter(name):
    """Whether a file or folder is one that systems and editors leave behind, by its name."""
    return name.startswith(".") or name.lower() in LITTER


def files_below(folder, above=()):
    """Yield the paths of all files below a folder, sorted, without litter; links are followed, circles not.

    Raises UserError on a folder that may not be read.
    """
    real = folder.resolve()
    try:
        entries = sorted(folder.iterdir()) if real not in above else ()
    except PermissionError as error:
        raise UserError(f"{folder}: may not be read; let yourself read it") from error
    for path in entries:
        if is_litter(path.name):
            continue
        if path.is_dir():
            yield from files_below(path, (*above, real))
        else:
            yield path


def images_in(root, names, folders, masks=False):
    """({id: path} of the images of a set, or of their masks; problems with ids that come twice).

    names: of the files below `root`. folders: what the names of the official folders begin with, lower
    case; where there is none of them, images may lie anywhere. A mask lies in a folder of masks or ends in
    _segmentation, which its id does not. A second file of the same content is none.
    """

    def inside(name, beginnings):
        return any(f.lower().startswith(beginnings) for f in name.split("/")[:-1])

    def is_mask(name, stem):
        return stem.lower().endswith(MASK_ENDING) or inside(name, MASK_FOLDERS)

    stems = {name: os.path.splitext(os.path.basename(name)) for name in names}
    kind = [n for n, (stem, s) in stems.items() if s.lower() in IMAGE_SUFFIXES]
    kind = [n for n in kind if is_mask(n, stems[n][0]) == masks]
    found, problems = {}, []
    for name in [n for n in kind if inside(n, folders)] or kind:
        path, key = root / name, stems[name][0]
        if masks and key.lower().endswith(MASK_ENDING):
            key = key[: -len(MASK_ENDING)]
        if key in found and not _same(path, found[key]):
            twice = f"{path}: a second image of this name beside {found[key]}"
            problems.append(Problem("duplicate", twice, "remove one"))
        found.setdefault(key, path)
    return found, problems
