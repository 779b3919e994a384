"""Kills at random moments and corrupted inputs: what a run and the readers make of them."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from skinsynth import phantom
from skinsynth.core import store
from skinsynth.core.config import CLASSES
from skinsynth.core.errors import UserError
from skinsynth.data import layouts, verify
from skinsynth.interpolation import segment
from skinsynth.networks.classifiers import save_module
from skinsynth.numerics import pixels
from skinsynth.project import chapters
from skinsynth.project.sample_folder import read_folder

WAYS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
KINDS = "tables images masks metadata samples parameters safetensors".split()


def row(what, way, n, value, unit, note):
    return dict(what=what, way=way, n=n, value=value, unit=unit, ratio=np.nan, note=note)


class Program:
    """`skinsynth run --profile smoke` of a project on a results folder, both in `folder`."""

    def __init__(self, folder, results, only):
        self.said = tempfile.TemporaryFile("w+")
        variables = dict(
            SKINSYNTH_ROOT=str(folder / "project"),
            SKINSYNTH_RESULTS=str(results),
            PYTHONPATH=str(store.ROOT),
        )
        order = [sys.executable, "-m", "skinsynth.cli", "run", "--profile", "smoke"]
        for number in only:
            order += ["--only", number]
        outputs = dict(stdout=subprocess.DEVNULL, stderr=self.said)
        self.work = subprocess.Popen(order, env=os.environ | variables, **outputs)

    def kill(self, way, whole):
        """End it by a signal; whole: its kernel too, as when a machine goes down. Returns as `end`."""
        try:
            kernels = psutil.Process(self.work.pid).children(recursive=True) if whole else []
        except psutil.NoSuchProcess:
            kernels = []
        self.work.send_signal(way)
        for kernel in kernels:
            try:
                kernel.kill()
            except psutil.NoSuchProcess:
                pass
        # Python dies by SIGINT itself where the signal met a library's own interpreter call; a shell says 130
        expected = (-way, 130, -signal.SIGINT, 0)
        return self.end((*expected, 1) if whole else expected)

    def end(self, expected=(0,)):
        """Wait for its end; returns its last words where it shows a traceback or another code, else []."""
        code = self.work.wait()
        self.said.seek(0)
        words = self.said.read()
        self.said.close()
        wrong = code not in expected or "Traceback" in words
        return [f"ended with {code}: {words[-2000:]}"] if wrong else []

    @property
    def runs(self):
        return self.work.poll() is None


def _tables(results):
    return {str(p.relative_to(results)): p.read_bytes() for p in results.glob("*/tables/*.csv")}


def _copy_project(folder, root):
    for name in ("book", "notebooks"):
        if (root / name).exists():
            skip = shutil.ignore_patterns("executed", "generated", "reference")
            shutil.copytree(root / name, folder / "project" / name, ignore=skip)


def kills(n=100, *, only=("01", "02"), root=store.ROOT, minutes=60.0, seed=0, say=print):
    """Programs that are killed: two share a results folder, one of them is ended at a random moment, by SIGKILL,
    SIGTERM or SIGHUP, alone or with its kernel, and started again; until both end by themselves. Then the tables
    are compared, byte by byte, with those of a run left alone, and the next round begins with an empty folder.

    n: kills in all; minutes: begin no further kill after that.
    """
    rng, begun = np.random.default_rng(seed), time.perf_counter()
    done, rounds, tables, differ, left, faults = 0, 0, 0, 0, 0, []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)

        def begin(results):
            program = Program(folder, results, only)
            stack.callback(program.work.wait)  # where this program is interrupted
            stack.callback(program.work.kill)
            return program

        _copy_project(folder, Path(root))
        start = time.perf_counter()
        faults += begin(folder / "alone").end()
        alone, wanted = time.perf_counter() - start, _tables(folder / "alone")
        say(f"a run left alone: {alone:.0f} s, {len(wanted)} tables")

        def more():
            return done < n and time.perf_counter() - begun < 60 * minutes

        while more():
            results = folder / f"round-{rounds}"
            two = [begin(results) for _ in range(2)]
            while any(p.runs for p in two):
                time.sleep(rng.uniform(0, alone / 8) if more() else 0.5)
                i = int(rng.integers(2))
                if more() and two[i].runs:
                    faults += two[i].kill(WAYS[rng.integers(len(WAYS))], bool(rng.integers(2)))
                    two[i] = begin(results)
                    done += 1
            for program in (*two, begin(results)):
                faults += program.end()
            found = _tables(results)
            wrong = [k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k)]
            litter = [p for p in results.rglob(".*.*") if p.is_file() and p.parent.name != ".locks"]
            rounds, tables = rounds + 1, tables + len(wanted)
            differ, left = differ + len(wrong), left + len(litter)
            say(f"round {rounds}: {done} kills, tables that differ: {wrong}, left: {litter}")
            say("\n".join(faults))
            shutil.rmtree(results)
    note = f"{rounds} rounds, {tables} tables compared, {left} files left half-written"
    note += f", {len(faults)} tracebacks or wrong codes"
    return [row("kills of a smoke run", "at a random moment", done, differ, "tables differ", note)]


def _write_inputs(folder):
    """A data folder, a folder of samples and a stage's weights, all drawn."""
    phantom.write_dataset(folder / "data", size=32, n_train=84, n_test_lesions=1, n_pad=6)
    shutil.rmtree(folder / "data/truth")
    for k, code in enumerate(CLASSES):
        (folder / "samples" / code).mkdir(parents=True)
        drawn = Image.fromarray(phantom.dermatoscopy(1, k, code, 32).image)
        exif = Image.Exif()
        exif[pixels.ORIENTATION] = 6
        for suffix in ("png", "jpg", "tif", "bmp", "webp"):
            how = {} if suffix == "bmp" else dict(exif=exif)
            drawn.save(folder / "samples" / code / f"{k}.{suffix}", **how)
    rows = [f"{p.parent.name}/{p.name},{p.parent.name}" for p in folder.glob("samples/*/*")]
    (folder / "samples/metadata.csv").write_text("\n".join(["file_name,class", *sorted(rows), ""]))
    (folder / "stage").mkdir()
    torch.manual_seed(0)
    save_module(folder / "stage", segment.Segmenter(8), dict(width=8))


def _corrupted(raw, rng):
    """Bytes with some changed, cut off, put in, or taken out."""
    way, raw = rng.integers(5), bytearray(raw)
    at = int(rng.integers(len(raw)))
    if way == 0:
        return bytes(raw[:at])
    if way == 1:
        raw[at:at] = rng.bytes(int(rng.integers(1, 40)))
    elif way == 2:
        del raw[at : at + int(rng.integers(1, 40))]
    else:  # most of what a reader believes stands at the beginning
        end = len(raw) if way == 3 else min(len(raw), 200)
        low, high = (32, 127) if rng.integers(2) else (0, 256)  # letters, or anything
        for k in rng.integers(0, end, rng.integers(1, 4)):
            raw[k] = rng.integers(low, high)
    return bytes(raw)


def _pair(rng):
    """A parameter as somebody might mistype it."""
    names = [*chapters.declared_parameters("04_generation"), "", "Seed", "__class__", "profile "]
    values = "1 -1 1e999 nan None True [] {} 0x1F '' \" 9" + "9" * 400 + " smoke \x00 ü () 1_0 1j"
    name, value = (rng.choice(x) for x in (names, [*values.split(" "), "(" * 300, "-" * 9000]))
    return str(name) + str(rng.choice(["=", "==", "", " = "])) + str(value)


def _parameters(pair):
    given = chapters.parse([pair], ["04_generation"])
    chapters.configured("smoke", "", given, ["04_generation"])


def _data(folder):
    verify.verify(folder)
    layouts.identity.__wrapped__(folder)
    records = layouts.load(folder, seed=0)["ham"]
    pixels.read_images(records, 16)
    pixels.read_masks(records, 16)


def _state(folder):
    return {p: hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()}


def fuzz(n=1000, *, seed=0, say=print):
    """Inputs with bytes changed, cut off, put in or taken out: each is read, or refused in one line, and left as
    it was. n: inputs, an equal number of each kind."""
    rng, found = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write_inputs(folder)
        data, samples, stage = (folder / name for name in ("data", "samples", "stage"))
        files = dict(
            tables=sorted(data.glob("*/*.csv")),
            images=sorted(data.glob("ham10000/HAM10000_images*/*")),
            masks=sorted(data.glob("ham10000/HAM10000_seg*/*")),
            metadata=[samples / "metadata.csv"],
            samples=sorted(samples.glob("*/*.*")),
            safetensors=[stage / "model.safetensors"],
        )
        reads = dict.fromkeys(("tables", "images", "masks"), lambda: _data(data))
        reads |= dict.fromkeys(("metadata", "samples"), lambda: read_folder(samples, 16))
        reads["safetensors"] = lambda: segment.load_segmenter(stage)
        for k, kind in enumerate(KINDS):
            ends = dict(read=0, refused=0, traceback=0, changed=0)
            for _ in range(n // len(KINDS) + (k < n % len(KINDS))):
                if kind == "parameters":
                    path, pair = None, _pair(rng)
                    work = lambda pair=pair: _parameters(pair)  # noqa: E731
                else:
                    path = files[kind][rng.integers(len(files[kind]))]
                    whole, work = path.read_bytes(), reads[kind]
                    path.write_bytes(_corrupted(whole, rng))
                before = _state(folder)
                try:
                    work()
                    ends["read"] += 1
                except UserError as error:
                    ends["refused" if "\n" not in str(error) else "traceback"] += 1
                except Exception as error:
                    ends["traceback"] += 1
                    say(f"{kind} {path or pair!r}: {type(error).__name__}: {error}")
                ends["changed"] += _state(folder) != before
                if path:
                    path.write_bytes(whole)
            note = "{read} read, {refused} refused in one line, {changed} files changed".format(
                **ends
            )
            total = sum(ends.values()) - ends["changed"]
            found.append(
                row("corrupted inputs", kind, total, ends["traceback"], "tracebacks", note)
            )
    return found
