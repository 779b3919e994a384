"""Downloads from official addresses: resumed, checked by hash, safely unpacked."""

import hashlib
import os
import shutil
import stat
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm

from ..core.errors import UserError
from ..core.store import atomic, disk_full, read_json, write_json

CHUNK = 1 << 16  # what a cut connection loses at most
TRIES, PAUSE = (
    5,
    1.0,
)  # attempts that may fail in a row without progress; seconds, doubled each time
MAX_FILES, MAX_BYTES, MAX_RATIO = 20_000, 20 << 30, 200  # an archive beyond these is refused
HASHES = "downloads.json"  # what was fetched, when, with which hash: in the data folder


@dataclass(frozen=True)
class Source:
    """One official file. `target`: where it goes in the data folder, a folder for an archive;
    `digest`: "md5:..." or "sha256:..." as published, "" where no hash is published."""

    group: str
    name: str
    url: str
    target: str
    digest: str

    @property
    def archive(self):
        return self.name.endswith(".zip")


_DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile/"
_MENDELEY = "https://data.mendeley.com/public-files/datasets/zr7vgbcyr2/files/{}/file_downloaded"
_ISIC = "https://isic-challenge-data.s3.amazonaws.com/2018/"

SOURCES = (
    # HAM10000, doi 10.7910/DVN/DBW86T, CC BY-NC 4.0; "format=original" is the uploaded table
    Source(
        "ham10000",
        "HAM10000_metadata.csv",
        _DATAVERSE + "4338392?format=original",
        "ham10000/HAM10000_metadata.csv",
        "md5:8f85fb1aa29d80a2797247e434deb79d",
    ),
    Source(
        "ham10000",
        "HAM10000_images_part_1.zip",
        _DATAVERSE + "3172585",
        "ham10000/HAM10000_images_part_1",
        "md5:4639bfa73ab251610530a97c898e6e46",
    ),
    Source(
        "ham10000",
        "HAM10000_images_part_2.zip",
        _DATAVERSE + "3172584",
        "ham10000/HAM10000_images_part_2",
        "md5:da43d6cc50f6613013be07e8986b384b",
    ),
    Source(
        "ham10000",
        "HAM10000_segmentations_lesion_tschandl.zip",
        _DATAVERSE + "3838943",
        "ham10000/HAM10000_segmentations_lesion_tschandl",
        "md5:6e8d252e09cfdb0189199f15985a5b84",
    ),
    # PAD-UFES-20, doi 10.17632/zr7vgbcyr2.1, CC BY 4.0
    Source(
        "pad_ufes_20",
        "metadata.csv",
        _MENDELEY.format("fa850265-57da-48f0-ba3e-998b3e44b1f6"),
        "pad_ufes_20/metadata.csv",
        "sha256:14d145235cedb022548257acb0d84dcd949e2c916f65d2baa7c38ed5339e9527",
    ),
    Source(
        "pad_ufes_20",
        "imgs_part_1.zip",
        _MENDELEY.format("1cc2f71f-20a2-412d-b746-a9b9bc20c966"),
        "pad_ufes_20/images/imgs_part_1",
        "sha256:0ab44f60938bf57445e12f518a8878954cc734e6b0aec6d01194e2d26b4b2dca",
    ),
    Source(
        "pad_ufes_20",
        "imgs_part_2.zip",
        _MENDELEY.format("559a60ed-5504-475d-996c-6a8bc253b5e7"),
        "pad_ufes_20/images/imgs_part_2",
        "sha256:e2d9a3cbd58e823f5ae33163c48643e7d1b54ae3f9e145f01f8e9f16a363a60b",
    ),
    Source(
        "pad_ufes_20",
        "imgs_part_3.zip",
        _MENDELEY.format("34dcdf8e-e5f1-4b35-aa0b-5135051ff852"),
        "pad_ufes_20/images/imgs_part_3",
        "sha256:ecc4ef10143a43e1d01cb736773148607a78b530417eb76f2c38ad24bf5d0d2c",
    ),
    # ISIC 2018 task 3, test; CC BY-NC 4.0; no hash is published
    Source(
        "isic2018_test",
        "ISIC2018_Task3_Test_GroundTruth.zip",
        _ISIC + "ISIC2018_Task3_Test_GroundTruth.zip",
        "isic2018_test/",
        "",
    ),
    Source(
        "isic2018_test",
        "ISIC2018_Task3_Test_Input.zip",
        _ISIC + "ISIC2018_Task3_Test_Input.zip",
        "isic2018_test/ISIC2018_Task3_Test_Input",
        "",
    ),
)


def file_digest(path, kind):
    """Hash of a file: "md5:..." or "sha256:..."."""
    with open(path, "rb") as handle:
        return f"{kind}:{hashlib.file_digest(handle, kind).hexdigest()}"


def _stream(url, part, bar):
    """Append what is missing of `url` to `part`; True once it is whole.

    Asks for the rest by Range, and begins anew where the server ignores that.
    """
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=60) as reply:
        total = reply.headers.get("Content-Range", "").rpartition("/")[2]
        if reply.status_code == 416 and total.isdigit() and int(total) == have:
            return True
        if have and reply.status_code in (200, 416):
            part.unlink()  # stale, or a server without Range
            have = 0
            if reply.status_code == 416:
                return False
        reply.raise_for_status()
        length = reply.headers.get("Content-Length")
        whole = have + int(length) if length else None
        bar.reset(whole)
        bar.update(have)
        with open(part, "ab") as handle:
            for block in reply.iter_content(CHUNK):
                handle.write(block)
                bar.update(len(block))
    return whole is None or part.stat().st_size == whole


def _receive(url, part, bar):
    """Fetch `url` into `part`, resuming after cut connections. Raises UserError when it will not go."""
    failures, reason, size = 0, "", -1
    while failures < TRIES:
        if failures:
            time.sleep(PAUSE * 2 ** (failures - 1))
        try:
            if _stream(url, part, bar):
                return
            reason = "connection cut"
        except requests.HTTPError as error:
            reason = f"HTTP {error.response.status_code}"
            if error.response.status_code < 500 and error.response.status_code != 429:
                break
        except requests.RequestException as error:
            reason = type(error).__name__
        now = part.stat().st_size if part.exists() else 0
        failures, size = (failures + 1, now) if now <= size else (1, now)
    raise UserError(f"{url}: download failed ({reason}); run again, it goes on where it stopped")


def _member_fault(info):
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in info.filename or "\0" in info.filename:
        return "a path that leaves its folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a symbolic link"
    if info.file_size > 1 << 20 and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        return "an absurd compression ratio"
    return ""


def _members(archive, path):
    """{file name: member} of an archive, folders flattened. Raises UserError on anything suspicious."""
    infos = archive.infolist()
    if len(infos) > MAX_FILES or sum(i.file_size for i in infos) > MAX_BYTES:
        raise UserError(f"{path}: archive too large to be the official one; delete it, fetch again")
    members = {}
    for info in infos:
        fault = _member_fault(info)
        name = PurePosixPath(info.filename).name
        if not fault and not info.is_dir() and name in members:
            fault = "a name that comes twice"
        if fault:
            raise UserError(
                f"{path}: member {info.filename!r} is {fault}; nothing was unpacked, delete the file"
            )
        if not info.is_dir() and not name.startswith(".") and "__MACOSX" not in info.filename:
            members[name] = info
    return members


def extract(path, folder):
    """Unpack the files of a zip, flat, into a new `folder`, which appears whole or not at all.

    Raises UserError on a broken archive, absolute or parent paths, links, names that come twice,
    or sizes beyond MAX_FILES, MAX_BYTES, MAX_RATIO.
    """
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            for name, info in _members(archive, path).items():
                with archive.open(info) as source, open(part / name, "wb") as target:
                    shutil.copyfileobj(source, target, CHUNK)  # stops at the size that was checked
        if folder.exists():
            raise UserError(f"{folder}: exists already; remove it to unpack {Path(path).name} anew")
        part.rename(folder)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: broken archive ({error}); delete it and fetch again") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _place(source, file, folder):
    """Put a checked download where it belongs."""
    target = folder / source.target
    if not source.archive:
        with atomic(target) as part:
            shutil.copyfile(file, part)
    elif source.target.endswith("/"):  # loose files into a folder that holds others too
        loose = folder / ".downloads" / Path(source.name).stem
        shutil.rmtree(loose, ignore_errors=True)
        extract(file, loose)
        target.mkdir(parents=True, exist_ok=True)
        for path in loose.iterdir():
            os.replace(path, target / path.name)
        loose.rmdir()
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        extract(file, target)
    file.unlink()


def receive(url, target, digest="", progress=True):
    """Download `url` to `target`: resumed, checked by hash, then renamed. Returns the hash seen, "kind:...".

    digest: "md5:..." or "sha256:..." as published. Raises UserError on a failed download or another hash.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        with tqdm(
            desc=target.name, unit="B", unit_scale=True, disable=not progress, leave=True
        ) as bar:
            _receive(url, part, bar)
    seen = file_digest(target if target.exists() else part, digest.partition(":")[0] or "sha256")
    if digest and seen != digest:
        target.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        raise UserError(
            f"{url}: {target.name} has {seen}, published is {digest}; the file was removed, "
            "fetch it again, and if this stays ask the publisher"
        )
    if part.exists():
        os.replace(part, target)
    return seen


def _fetch_one(source, folder, url, progress):
    """Download, check and place one file; returns the entry for HASHES."""
    file = folder / ".downloads" / source.name
    seen = receive(url, file, source.digest, progress)
    _place(source, file, folder)
    return {"url": url, "hash": seen, "checked": bool(source.digest)}


def _wanted(sets):
    wanted = ("ham10000", "pad_ufes_20") if not sets else tuple(sets)
    for name in wanted:
        if not any(name in (s.group, s.name) for s in SOURCES):
            groups = dict.fromkeys(s.group for s in SOURCES)
            raise UserError(f"unknown set {name!r}; choose of: {', '.join(groups)}")
    return [s for s in SOURCES if s.group in wanted or s.name in wanted]


def fetch(folder, sets=("ham10000", "pad_ufes_20"), base=None, progress=True):
    """Download sets (or single files by name) into a data folder; what is there is not fetched again.

    `base`: address of a mirror that serves the files by name, instead of the official addresses;
    the published hashes hold all the same. Where none is published, a line says so, and the hash
    seen is kept in downloads.json and compared with at a later download. Returns {file: {url, hash,
    checked}} of what was fetched, now or before.
    Raises UserError on an unknown set, a failed download, a wrong hash, an unsafe archive.
    """
    folder = Path(folder)
    sources = _wanted(sets)
    log = folder / HASHES
    seen = read_json(log) if log.exists() else {}
    for source in sources:
        loose = source.target.endswith("/")
        if (folder / source.target).exists() and (source.name in seen or not loose):
            if source.name not in seen:
                tqdm.write(f"{folder / source.target}: there already, left as it is, not checked")
            continue
        url = f"{base.rstrip('/')}/{source.name}" if base else source.url
        if urlsplit(url).scheme not in ("https", "http"):
            raise UserError(f"{url}: not a web address; give one that begins with https://")
        try:
            entry = _fetch_one(source, folder, url, progress)
        except OSError as error:
            if not disk_full(error):
                raise
            raise UserError(
                f"{folder}: disk full while fetching {source.name}; free space"
            ) from error
        known = seen.get(source.name, entry)["hash"]
        if entry["hash"] != known:
            tqdm.write(
                f"{source.name}: {entry['hash']} now, {known} before; the publisher changed it"
            )
        if not entry["checked"]:
            tqdm.write(
                f"{source.name}: no hash is published; seen {entry['hash']}, kept in {HASHES}"
            )
        seen[source.name] = entry
        write_json(log, seen)
    leftover = folder / ".downloads"
    if leftover.is_dir() and not any(leftover.iterdir()):
        leftover.rmdir()
    return {s.name: seen[s.name] for s in sources if s.name in seen}
