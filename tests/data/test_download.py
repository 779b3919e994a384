"""Downloads: resumed where they stopped, checked by hash, and nothing unsafe is unpacked."""

import hashlib
import io
import stat
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skinsynth import cli
from skinsynth.core.errors import UserError
from skinsynth.core.store import read_json
from skinsynth.data import download

CONTENT = bytes(range(256)) * 2000


class Handler(BaseHTTPRequestHandler):
    """Serves server.files; can cut each reply short, or ignore Range."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        body = server.files.get(self.path.lstrip("/"))
        if body is None:
            self.send_error(404)
            return
        start = 0
        if server.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        self.wfile.write(body[start:][:cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.01)
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.files, made.cuts, made.ranges, made.asked = {}, [], True, []
    made.base = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def zipped(members, links=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if name in links:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, body)
    return buffer.getvalue()


@pytest.fixture
def offer(server, monkeypatch):
    """offer({name: (target, body)}) puts files on the server as the only SOURCES."""

    def put(files, digests=None):
        sources = []
        for name, (target, body) in files.items():
            server.files[name] = body
            digest = (digests or {}).get(name, "md5:" + hashlib.md5(body).hexdigest())
            sources.append(download.Source("ham10000", name, "http://none", target, digest))
        monkeypatch.setattr(download, "SOURCES", tuple(sources))

    return put


def fetch(folder, server):
    return download.fetch(folder, ("ham10000",), base=server.base, progress=False)


def files_of(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_official_table_has_a_hash_or_says_so():
    names = [s.name for s in download.SOURCES]
    assert len(names) == len(set(names))
    for source in download.SOURCES:
        assert source.url.startswith("https://")
        kind, _, digest = source.digest.partition(":")
        assert source.digest == "" or len(digest) == {"md5": 32, "sha256": 64}[kind]
        assert source.digest or source.group == "isic2018_test"


def test_full_download_unpacks_flat_and_is_not_repeated(tmp_path, server, offer):
    archive = zipped(
        {"top/ISIC_1.jpg": CONTENT, "__MACOSX/top/._ISIC_1.jpg": b"x", "top/.DS_Store": b""}
    )
    offer({"meta.csv": ("ham10000/meta.csv", b"a,b\n"), "images.zip": ("ham10000/images", archive)})
    got = fetch(tmp_path, server)
    assert files_of(tmp_path) == [
        "downloads.json",
        "ham10000/images/ISIC_1.jpg",
        "ham10000/meta.csv",
    ]
    assert (tmp_path / "ham10000/images/ISIC_1.jpg").read_bytes() == CONTENT
    assert got["images.zip"]["checked"] and got == read_json(tmp_path / "downloads.json")
    asked = len(server.asked)
    fetch(tmp_path, server)
    assert len(server.asked) == asked


def test_cut_connection_resumes_where_it_stopped(tmp_path, server, offer):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)})
    server.cuts = [70_000, 140_000]
    fetch(tmp_path, server)
    assert (tmp_path / "ham10000/meta.csv").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=65536-", "bytes=196608-"]


def test_a_second_run_goes_on_after_the_first_gave_up(tmp_path, server, offer, monkeypatch):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)})
    monkeypatch.setattr(download, "TRIES", 1)
    server.cuts = [70_000]
    with pytest.raises(UserError, match="run again"):
        fetch(tmp_path, server)
    assert not (tmp_path / "ham10000").exists()
    fetch(tmp_path, server)
    assert server.asked[-1] == "bytes=65536-"
    assert (tmp_path / "ham10000/meta.csv").read_bytes() == CONTENT


def test_server_without_range_begins_anew(tmp_path, server, offer):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)})
    server.ranges, server.cuts = False, [60_000]
    fetch(tmp_path, server)
    assert (tmp_path / "ham10000/meta.csv").read_bytes() == CONTENT


def test_whole_part_file_is_recognised(tmp_path, server, offer):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)})
    (tmp_path / ".downloads").mkdir()
    (tmp_path / ".downloads/meta.csv.part").write_bytes(CONTENT)
    fetch(tmp_path, server)
    assert server.asked == [f"bytes={len(CONTENT)}-"]
    assert files_of(tmp_path) == ["downloads.json", "ham10000/meta.csv"]


def test_wrong_hash_leaves_nothing(tmp_path, server, offer):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)}, {"meta.csv": "md5:" + "0" * 32})
    with pytest.raises(UserError, match=r"meta\.csv has md5:.*published is md5:000"):
        fetch(tmp_path, server)
    assert files_of(tmp_path) == []


def test_unknown_hash_is_said_and_kept(tmp_path, server, offer, capsys):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)}, {"meta.csv": ""})
    fetch(tmp_path, server)
    entry = read_json(tmp_path / "downloads.json")["meta.csv"]
    assert entry["hash"] == "sha256:" + hashlib.sha256(CONTENT).hexdigest() and not entry["checked"]
    assert "no hash is published" in capsys.readouterr().out
    (tmp_path / "ham10000/meta.csv").unlink()
    offer({"meta.csv": ("ham10000/meta.csv", b"another")}, {"meta.csv": ""})
    fetch(tmp_path, server)
    assert "before; the publisher changed it" in capsys.readouterr().out


def test_not_found_and_unreachable_are_one_line(tmp_path, server, offer):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)})
    server.files.clear()
    with pytest.raises(UserError, match="HTTP 404") as error:
        fetch(tmp_path, server)
    assert "\n" not in str(error.value) and len(server.asked) == 1
    with pytest.raises(UserError, match="ConnectionError"):
        download.fetch(tmp_path, ("meta.csv",), base="http://127.0.0.1:9", progress=False)
    with pytest.raises(UserError, match="unknown set 'ham'; choose"):
        download.fetch(tmp_path, ("ham",))


@pytest.mark.parametrize(
    ("members", "links"),
    [
        ({"fine.jpg": b"x", "../evil.jpg": b"x"}, ()),
        ({"/etc/evil.jpg": b"x"}, ()),
        ({"..\\evil.jpg": b"x"}, ()),
        ({"C:/evil.jpg": b"x"}, ()),
        ({"link.jpg": b"/etc/passwd"}, ("link.jpg",)),
        ({"a/one.jpg": b"x", "b/one.jpg": b"y"}, ()),
        ({"bomb.jpg": bytes(3 << 20)}, ()),
    ],
)
def test_malicious_archive_unpacks_nothing(tmp_path, server, offer, members, links):
    folder = tmp_path / "in" / "data"
    offer({"images.zip": ("ham10000/images", zipped(members, links))})
    with pytest.raises(UserError, match=r"images\.zip: member .* is a"):
        fetch(folder, server)
    assert files_of(tmp_path) == ["in/data/.downloads/images.zip"]
    assert [p.name for p in (folder / "ham10000").iterdir()] == []


def test_size_limits_and_broken_archives(tmp_path, monkeypatch):
    good = zipped({"a.jpg": CONTENT, "b.jpg": CONTENT})
    path = tmp_path / "x.zip"
    path.write_bytes(good)
    monkeypatch.setattr(download, "MAX_FILES", 1)
    with pytest.raises(UserError, match="too large"):
        download.extract(path, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(download, "MAX_BYTES", len(CONTENT))
    with pytest.raises(UserError, match="too large"):
        download.extract(path, tmp_path / "out")
    monkeypatch.undo()
    flipped = bytearray(good)
    flipped[60] ^= 255
    for body in (b"no zip", good[:-30], bytes(flipped)):
        path.write_bytes(body)
        with pytest.raises(UserError, match="broken archive"):
            download.extract(path, tmp_path / "out")
    assert files_of(tmp_path) == ["x.zip"]


def test_what_the_user_put_there_is_left_alone(tmp_path, server, offer, capsys):
    offer({"images.zip": ("ham10000/images", zipped({"a.jpg": b"new"}))})
    (tmp_path / "ham10000/images").mkdir(parents=True)
    (tmp_path / "ham10000/images/mine.jpg").write_bytes(b"old")
    assert fetch(tmp_path, server) == {} and server.asked == []
    assert "left as it is" in capsys.readouterr().out


def test_loose_files_join_a_folder(tmp_path, server, offer, monkeypatch):
    offer({"truth.zip": ("isic2018_test/", zipped({"top/truth.csv": b"a"}))})
    assert replace(download.SOURCES[0]).archive
    (tmp_path / "isic2018_test").mkdir()
    fetch(tmp_path, server)
    assert files_of(tmp_path) == ["downloads.json", "isic2018_test/truth.csv"]


def test_archives_that_lie_in_a_folder_are_checked_and_unpacked(tmp_path, server, offer):
    archive = zipped({"top/ISIC_1.jpg": CONTENT})
    files = {"meta.csv": ("ham10000/meta.csv", b"a"), "Im.zip": ("ham10000/images", archive)}
    offer(files)
    (tmp_path / "hand/deep").mkdir(parents=True)
    (tmp_path / "hand/meta.csv").write_bytes(b"a")
    data = tmp_path / "data"
    with pytest.raises(UserError, match=r"hand: no Im\.zip; get it from http://none, or name with"):
        download.fetch(data, ("ham10000",), str(tmp_path / "hand"), progress=False)
    assert not data.exists()
    (tmp_path / "hand/deep/im.zip").write_bytes(archive)
    before = files_of(tmp_path / "hand")
    got = download.fetch(data, ("ham10000",), str(tmp_path / "hand"), progress=False)
    assert files_of(data) == ["downloads.json", "ham10000/images/ISIC_1.jpg", "ham10000/meta.csv"]
    assert got["Im.zip"]["checked"] and server.asked == []
    assert files_of(tmp_path / "hand") == before


def test_another_file_in_a_folder_is_refused_and_stays(tmp_path, offer):
    offer({"meta.csv": ("ham10000/meta.csv", b"a")})
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand/meta.csv").write_bytes(b"b")
    with pytest.raises(UserError, match=r"hand/meta\.csv has md5:.*, published is md5:.*; down"):
        download.fetch(tmp_path / "data", ("ham10000",), str(tmp_path / "hand"), progress=False)
    assert files_of(tmp_path) == ["hand/meta.csv"]


def test_the_command_takes_a_folder_or_a_mirror(tmp_path, server, offer, capsys):
    offer({"meta.csv": ("ham10000/meta.csv", CONTENT)})
    order = ["data", "fetch", str(tmp_path / "a"), "--only", "ham10000", "--from"]
    assert cli.main([*order, server.base]) == 0
    assert (tmp_path / "a/ham10000/meta.csv").read_bytes() == CONTENT
    order[2] = str(tmp_path / "b")
    assert cli.main([*order, str(tmp_path / "a")]) == 0
    assert (tmp_path / "b/ham10000/meta.csv").read_bytes() == CONTENT
    order[2] = str(tmp_path / "c")
    assert cli.main([*order, "nowhere"]) == 1
    assert "nowhere/meta.csv: not a web address; give one" in capsys.readouterr().err
