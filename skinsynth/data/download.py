"""Downloads from official addresses: resumed, checked by hash, safely unpacked."""

import os
import shutil
import stat
import time
import tomllib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests
from tqdm.auto import tqdm

from ..core.code import file_digest
from ..core.errors import UserError, of_system
from ..core.store import atomic, read_json, write_json
from .folders import files_below

CHUNK = 1 << 16  # what a cut connection loses at most
TRIES = 5  # attempts that may fail in a row without progress
PAUSE = 1.0  # seconds before the second of them, doubled each time
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

    @property
    def loose(self):
        """Whether its files go into a folder that holds others too."""
        return self.target.endswith("/")


_LISTED = tomllib.loads(Path(__file__).with_name("sources.toml").read_text())
SOURCES = tuple(Source(group, **file) for group, files in _LISTED.items() for file in files)


def _stream(url, part, bar):
    """Append what is missing of `url` to `part`; True once it is whole.

    Asks for the rest by Range, and begins anew where the server ignores that.
    """
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=60) as reply:
        if have and reply.status_code == 416:
            whole = reply.headers.get("Content-Range", "").endswith(f"/{have}")
            if not whole:
                part.unlink()  # stale
            return whole
        reply.raise_for_status()
        if reply.status_code == 200:  # from the beginning: a server without Range
            have = 0
        length = reply.headers.get("Content-Length")
        whole = have + int(length) if length else None
        bar.reset(whole)
        bar.update(have)
        with open(part, "ab" if have else "wb") as handle:
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


def _member_fault(info, members):
    """What is wrong with a member of an archive, beside those before it; "" where nothing is."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in info.filename or "\0" in info.filename:
        return "a path that leaves its folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a symbolic link"
    if info.file_size > 1 << 20 and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        return "an absurd compression ratio"
    twice = not info.is_dir() and PurePosixPath(info.filename).name in members
    return "a name that comes twice" if twice else ""


def _members(archive, path):
    """{file name: member} of an archive, folders flattened. Raises UserError on anything suspicious."""
    infos = archive.infolist()
    if len(infos) > MAX_FILES or sum(i.file_size for i in infos) > MAX_BYTES:
        raise UserError(f"{path}: archive too large to be the official one; delete it, fetch again")
    members = {}
    for info in infos:
        name = PurePosixPath(info.filename).name
        if fault := _member_fault(info, members):
            wrong = f"member {info.filename!r} is {fault}"
            raise UserError(f"{path}: {wrong}; nothing was unpacked, delete the file")
        if not info.is_dir() and not name.startswith(".") and "__MACOSX" not in info.filename:
            members[name] = info
    return members


def extract(path, folder, loose=False):
    """Unpack the files of a zip, flat, into a new `folder`, which appears whole or not at all.

    loose: the folder may be there already; its other files stay.
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
        if loose:
            folder.mkdir(exist_ok=True)
            for file in part.iterdir():
                file.replace(folder / file.name)
            return
        if folder.exists():
            raise UserError(f"{folder}: exists already; remove it to unpack {Path(path).name} anew")
        part.rename(folder)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: broken archive ({error}); delete it and fetch again") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def receive(url, target, digest="", progress=True):
    """Download `url` to `target`: resumed, checked by hash, then renamed. Returns the hash seen, "kind:...".

    digest: "md5:..." or "sha256:..." as published. Raises UserError on a failed download or another hash.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    file = target if target.exists() else part
    if file == part:
        with tqdm(desc=target.name, unit="B", unit_scale=True, disable=not progress) as bar:
            _receive(url, part, bar)
    try:
        seen = checked(file, digest, target.name)
    except UserError as error:
        file.unlink()
        raise UserError(f"{url}: {error}; if this stays ask the publisher") from error
    file.replace(target)
    return seen


def checked(file, digest, name):
    """The hash of a file, "kind:...". Raises UserError, which calls it `name`, where another is published."""
    kind = digest.partition(":")[0] or "sha256"
    seen = f"{kind}:{file_digest(file, kind)}"
    if digest and seen != digest:
        raise UserError(f"{name} has {seen}, published is {digest}; download it again")
    return seen


def _wanted(sets):
    """The sources that names of sets or of single files mean."""
    wanted = tuple(sets) or ("ham10000", "pad_ufes_20")
    for name in wanted:
        if not any(name in (s.group, s.name) for s in SOURCES):
            groups = dict.fromkeys(s.group for s in SOURCES)
            raise UserError(f"unknown set {name!r}; choose of: {', '.join(groups)}")
    return [s for s in SOURCES if s.group in wanted or s.name in wanted]


def _address(place, source):
    """Address of a source: the official one, or that of a mirror. Raises UserError where it is none."""
    url = f"{place.rstrip('/')}/{source.name}" if place else source.url
    if urlsplit(url).scheme not in ("https", "http"):
        raise UserError(
            f"{url}: not a web address; give one that begins with https://, or a folder"
        )
    return url


def _by_hand(place, sources):
    """{name: path} of sources among the files below a folder. Raises UserError where some are not there."""
    here = {path.name.lower(): path for path in files_below(Path(place))}
    if absent := [s for s in sources if s.name.lower() not in here]:
        names = ", ".join(s.name for s in absent)
        remedy = f"get it from {absent[0].url}, or name with --only what is there"
        raise UserError(f"{place}: no {names}; {remedy}")
    return {s.name: here[s.name.lower()] for s in sources}


def _fetch_one(source, folder, place, local, progress):
    """Download, or take from `local`, check and place one file; returns the entry for HASHES."""
    url = str(local) if local else _address(place, source)
    file = local or folder / ".downloads" / source.name
    try:
        seen = (
            checked(file, source.digest, file)
            if local
            else receive(url, file, source.digest, progress)
        )
        if source.archive:
            extract(file, folder / source.target, source.loose)
        else:
            with atomic(folder / source.target) as part:
                shutil.copyfile(file, part)
        if not local:
            file.unlink()
    except OSError as error:
        raise of_system(error, folder / source.target) or error from error
    return {"url": url, "hash": seen, "checked": bool(source.digest)}


def fetch(folder, sets=(), base="", progress=True):
    """Download sets (or single files by name) into a data folder; what is there is not fetched again.

    sets: HAM10000 and PAD-UFES-20 by default. base: in place of the official addresses that of a mirror, or a
    folder: the files lie there by name, and in a folder stay there. Published hashes hold all the same. Where none is,
    a line says so, and the hash seen is kept in downloads.json and compared with at a later download.
    Returns {file: {url, hash, checked}} of what was fetched, now or before.
    Raises UserError on an unknown set, a file that the folder lacks, a failed download, a wrong hash, an
    unsafe archive.
    """
    folder, sources = Path(folder), _wanted(sets)
    log = folder / HASHES
    seen = read_json(log) if log.exists() else {}
    wanted = []
    for source in sources:
        target = folder / source.target
        if not target.exists() or (source.name not in seen and source.loose):
            wanted.append(source)
        elif source.name not in seen:
            tqdm.write(f"{target}: there already, left as it is, not checked")
    by_hand = _by_hand(base, wanted) if Path(base).is_dir() and base else {}
    for source in wanted:
        name = source.name
        entry = _fetch_one(source, folder, base, by_hand.get(name), progress)
        found, known = entry["hash"], seen.get(name, entry)["hash"]
        if found != known:
            tqdm.write(f"{name}: {found} now, {known} before; the publisher changed it")
        if not entry["checked"]:
            tqdm.write(f"{name}: no hash is published; seen {found}, kept in {HASHES}")
        seen[name] = entry
        write_json(log, seen)
    leftover = folder / ".downloads"
    if leftover.is_dir() and not any(leftover.iterdir()):
        leftover.rmdir()
    return {s.name: seen[s.name] for s in sources if s.name in seen}
