"""Downloads from official addresses: resumed, checked by hash, safely unpacked."""

import hashlib
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

    @property
    def loose(self):
        """Whether its files go into a folder that holds others too."""
        return self.target.endswith("/")


_LISTED = tomllib.loads(Path(__file__).with_name("sources.toml").read_text())
SOURCES = tuple(Source(group, **file) for group, files in _LISTED.items() for file in files)


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
            wrong = f"member {info.filename!r} is {fault}"
            raise UserError(f"{path}: {wrong}; nothing was unpacked, delete the file")
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
    elif source.loose:
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
        look = dict(desc=target.name, unit="B", unit_scale=True, disable=not progress)
        with tqdm(**look) as bar:
            _receive(url, part, bar)
    seen = file_digest(target if target.exists() else part, digest.partition(":")[0] or "sha256")
    if digest and seen != digest:
        target.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
        wrong = f"{target.name} has {seen}, published is {digest}; the file was removed"
        raise UserError(f"{url}: {wrong}, fetch it again, and if this stays ask the publisher")
    if part.exists():
        os.replace(part, target)
    return seen


def _wanted(sets):
    """The sources that names of sets or of single files mean."""
    wanted = tuple(sets) or ("ham10000", "pad_ufes_20")
    for name in wanted:
        if not any(name in (s.group, s.name) for s in SOURCES):
            groups = dict.fromkeys(s.group for s in SOURCES)
            raise UserError(f"unknown set {name!r}; choose of: {', '.join(groups)}")
    return [s for s in SOURCES if s.group in wanted or s.name in wanted]


def _fetch_one(source, folder, base, progress):
    """Download, check and place one file; returns the entry for HASHES."""
    url = f"{base.rstrip('/')}/{source.name}" if base else source.url
    if urlsplit(url).scheme not in ("https", "http"):
        raise UserError(f"{url}: not a web address; give one that begins with https://")
    file = folder / ".downloads" / source.name
    try:
        seen = receive(url, file, source.digest, progress)
        _place(source, file, folder)
    except OSError as error:
        if not disk_full(error):
            raise
        wrong = f"disk full while fetching {source.name}; free space"
        raise UserError(f"{folder}: {wrong}") from error
    return {"url": url, "hash": seen, "checked": bool(source.digest)}


def fetch(folder, sets=(), base="", progress=True):
    """Download sets (or single files by name) into a data folder; what is there is not fetched again.

    sets: HAM10000 and PAD-UFES-20 by default. base: address of a mirror that serves the files by name,
    instead of the official addresses; the published hashes hold all the same. Where none is published,
    a line says so, and the hash seen is kept in downloads.json and compared with at a later download.
    Returns {file: {url, hash, checked}} of what was fetched, now or before.
    Raises UserError on an unknown set, a failed download, a wrong hash, an unsafe archive.
    """
    folder, sources = Path(folder), _wanted(sets)
    log = folder / HASHES
    seen = read_json(log) if log.exists() else {}
    for source in sources:
        name, target = source.name, folder / source.target
        if target.exists() and (name in seen or not source.loose):
            if name not in seen:
                tqdm.write(f"{target}: there already, left as it is, not checked")
            continue
        entry = _fetch_one(source, folder, base, progress)
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
