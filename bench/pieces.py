"""A run on a machine that is lent for minutes and takes little at a time.

    python bench/pieces.py pack DATA FOLDER        DATA as FOLDER/part-00.tar, part-01.tar ..., each under a limit
    python bench/pieces.py unpack FOLDER DATA      the reverse; parts may come one by one
    python bench/pieces.py run OUT --profile ham128 --data DATA [-p NAME=VALUE ...]

`run` stops itself after some minutes; the same command goes on where it stopped, as every stage does. It
ends with 0 when the run is finished, and then OUT holds the published run (no photograph, under 15 MB);
with 75 when there is more to do. OUT/stages.csv tells what took how long. Photographs travel as they are;
masks are written with one bit a pixel. Python packages that the machine lacks travel as wheels
(pip download -r requirements.lock -d wheels; pip install --no-index --find-links wheels ...).
"""

import argparse
import io
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
from PIL import Image

from skinsynth.book import reference
from skinsynth.core import store
from skinsynth.core.config import configure
from skinsynth.core.errors import UserError
from skinsynth.project.chapters import data_folder

MORE = 75  # exit code: call again


def _packed(path):
    """Bytes of a file; a mask with one bit a pixel."""
    if not path.name.endswith("_segmentation.png"):
        return path.read_bytes()
    with Image.open(path) as mask, io.BytesIO() as small:
        mask.convert("L").point(lambda v: 255 * (v > 127)).convert(
            "1", dither=Image.Dither.NONE
        ).save(small, "PNG", optimize=True)
        return small.getvalue()


def _write(folder, number, files):
    """Write {name: bytes} as a part, whole or not at all; returns its path."""
    path = folder / f"part-{number:02d}.tar"
    with store.atomic(path) as part, tarfile.open(part, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def pack(data, folder, limit=30.0):
    """Write the files below a data folder as tar files of at most `limit` MiB each; returns their paths."""
    data, folder = Path(data), Path(folder)
    files = sorted(
        p for p in data.rglob("*") if p.suffix.lower() in (".jpg", ".png", ".csv", ".tab")
    )
    if not files:
        raise UserError(f"{data}: no images and no tables to pack")
    if old := sorted(folder.glob("part-*.tar")):
        raise UserError(f"{old[0]}: there already; name another folder")
    most, made, held, size = (
        limit * 2**20 - 10240,
        [],
        {},
        0,
    )  # the end of an archive is filled up with zeros
    for path in files:
        content = _packed(path)
        need = (
            len(content) + 1536
        )  # a header of up to two blocks, and the content filled up to a whole one
        if need > most:
            raise UserError(f"{path}: larger than a part of {limit:g} MiB; raise --limit")
        if size + need > most:
            made.append(_write(folder, len(made), held))
            held, size = {}, 0
        held[str(path.relative_to(data))] = content
        size += need
    return [*made, _write(folder, len(made), held)]


def unpack(folder, data):
    """Unpack the parts that are there; the same part twice does no harm. Raises UserError on a name that leaves the folder."""
    data = Path(data).resolve()
    parts = sorted(Path(folder).glob("part-*.tar"))
    if not parts:
        raise UserError(f"{folder}: no part-*.tar")
    for path in parts:
        with tarfile.open(path) as tar:
            for entry in tar:  # Python before 3.11.4 knows no safe extractall
                target = (data / entry.name).resolve()
                if not entry.isfile() or not target.is_relative_to(data):
                    raise UserError(
                        f"{path}: {entry.name} is no file below the folder; pack it again"
                    )
                with store.atomic(target) as part:
                    part.write_bytes(tar.extractfile(entry).read())
    return parts


def run(out, profile, data, pairs=(), minutes=9.0):
    """Go on with a run for some minutes, then publish it if it is finished; returns the exit code."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    cfg = configure(profile, data=data_folder(data, profile))
    order = [sys.executable, "-m", "skinsynth.cli", "run", "--profile", profile, "--data", data]
    work = subprocess.Popen(
        order + [x for pair in pairs for x in ("-p", pair)], start_new_session=True
    )
    try:
        code = work.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        work.send_signal(signal.SIGINT)  # stages keep their last checkpoint
        try:
            work.wait(60)
        except subprocess.TimeoutExpired:
            work.kill()
            work.wait()
        code = MORE
    target = store.Run(cfg.run)
    found = [
        store.read_json(p) | {"folder": p.parent.name} for p in target.stages.glob("*/stage.json")
    ]
    store.write_csv(
        out / "stages.csv",
        pd.DataFrame([{"stage": s["folder"], "seconds": s["seconds"]} for s in found]),
    )
    if code == 0:
        folder, withheld = reference.publish(target, cfg)
        shutil.copytree(folder, out / target.name, dirs_exist_ok=True)
        print(f"{out / target.name}: published, {withheld} tiles left out")
    print(
        f"{len(found)} stages finished, {sum(s['seconds'] for s in found) / 60:.1f} minutes"
        + (": call again" if code == MORE else "")
    )
    return code


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ways = parser.add_subparsers(dest="way", required=True)
    for name, first, second in (("pack", "data", "folder"), ("unpack", "folder", "data")):
        way = ways.add_parser(name)
        way.add_argument(first)
        way.add_argument(second)
        if name == "pack":
            way.add_argument("--limit", type=float, default=30.0, help="MiB of a part")
    go = ways.add_parser("run")
    go.add_argument("out")
    go.add_argument("--profile", default="ham128")
    go.add_argument("--data", default="")
    go.add_argument("-p", dest="pairs", action="append", default=[], metavar="NAME=VALUE")
    go.add_argument("--minutes", type=float, default=9.0)
    given = vars(parser.parse_args(arguments))
    try:
        done = dict(pack=pack, unpack=unpack, run=run)[given.pop("way")](**given)
    except UserError as error:
        sys.exit(f"pieces: {error}")
    if isinstance(done, int):
        sys.exit(done)
    for path in done:
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    sys.exit(main())
