"""The profile `paper` from its data to its last notebook, on a small hub: the road of the true names, offline."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hub
import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from conftest import ROOT
from safetensors.torch import load_file

from skinsynth import phantom
from skinsynth.core.code import file_digest
from skinsynth.core.store import read_json
from skinsynth.project import chapters

PHOTOGRAPHS = ROOT.parent / "shared" / "data"
SHORT = dict(vae_steps=2, unet_steps=2, segment_steps=2, classify_steps=1, classifier_seeds=1)
SHORT |= dict(samples=3, sampling_steps=2)
PLAN = """import json
from skinsynth.book import asked
from skinsynth.core.store import Run
from skinsynth.project import chapters
cfg, _ = chapters.configured("paper", {data!r}, {given!r}, chapters.NOTEBOOKS)
print(json.dumps({{k: f["finished"] for k, f in asked.stages(Run(cfg.run), cfg).items()}}))"""


class Place:
    """A project of its own beside the hub, in which programs are started as a user starts them."""

    def __init__(self, folder):
        self.root = folder / "project"
        skip = shutil.ignore_patterns("executed", "generated", "reference")
        for name in ("notebooks", "book"):
            shutil.copytree(ROOT / name, self.root / name, ignore=skip)
        own = dict(SKINSYNTH_ROOT=str(self.root), SKINSYNTH_RESULTS=str(folder / "results"))
        self.variables = os.environ | hub.make(folder / "hub") | own
        for variable in ("SKINSYNTH_DATA", "SKINSYNTH_RUN", "SKINSYNTH_QUIET"):
            self.variables.pop(variable, None)
        self.run = folder / "results" / "paper-ham"

    def start(self, *order):
        order = [sys.executable, *order]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.Popen(order, env=self.variables, **pipes)

    def said(self, *order):
        """What a program says that ends well."""
        work = self.start(*order)
        out, err = work.communicate()
        assert work.returncode == 0, err
        return out

    def stages(self, name):
        """{key: what stage.json says} of the finished stages of a kind."""
        found = self.run.glob(f"stages/{name}-????????????/stage.json")
        return {path.parent.name: read_json(path) for path in found}

    def killed_at(self, order, sign):
        """Start a program and kill it, with all that it started, as soon as a file is there."""
        work = self.start(*order)
        while not any(self.run.glob(sign)):
            assert work.poll() is None, work.communicate()[1]
            time.sleep(0.2)
        for process in [*psutil.Process(work.pid).children(recursive=True), work]:
            process.kill()
        work.communicate()


@pytest.fixture
def place():
    """Removed at once: a run on photographs leaves some hundred megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Place(Path(folder))


def drawn(folder):
    """The phantom as photographs: on disk, in the official layout, nothing known of its truth."""
    phantom.write_dataset(folder, size=256, n_train=84, n_test_lesions=2, n_pad=12)
    shutil.rmtree(folder / "truth")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("images", ["phantom", "photographs"])
def test_the_whole_profile_on_a_small_hub(place, images):
    if images == "photographs" and not PHOTOGRAPHS.exists():
        pytest.skip("no HAM10000 in ../shared/data")
    given = SHORT | ({"limit": 35} if images == "photographs" else {})
    data = drawn(place.root / "data") if images == "phantom" else PHOTOGRAPHS
    command = ["-m", "skinsynth.cli"]
    where = ["--profile", "paper", "--data", str(data)]
    where += [f"-p{k}={v}" for k, v in given.items()]
    run = [*command, "run", *where]

    place.killed_at(run, "stages/denoiser-*")
    before = {p: p.stat().st_mtime_ns for p in place.run.glob("stages/*/stage.json")}
    done = place.said(*run).splitlines()[-1]
    assert done == f"5 notebooks executed: {', '.join(chapters.NOTEBOOKS[2:])}", "it went on"
    assert before and before == {p: p.stat().st_mtime_ns for p in before}
    assert place.said(*run) == "nothing changed\n"

    for name in chapters.NOTEBOOKS:
        page = nbformat.read(place.run / "executed" / f"{name}.ipynb", 4)
        cells = [c for c in page.cells if c.cell_type == "code"]
        assert all(c.execution_count for c in cells)
        assert not [o for c in cells for o in c.outputs if o.output_type == "error"]
    planned = json.loads(place.said("-c", PLAN.format(data=str(data), given=given)))
    made = {path.parent.name for path in place.run.glob("stages/*/stage.json")}
    assert set(planned) == made and all(planned.values()), "the plan is what was done"
    true_names(place)

    listed = place.said(*command, "weights")
    for name in (hub.SD, hub.CLIP, *hub.BACKBONES, "inception", "lama"):
        assert any(line.split()[:2] == [name, "here"] for line in listed.splitlines()), listed
    ((folder, _),) = [
        (k, v)
        for k, v in place.stages("samples").items()
        if len(v["inputs"]["labels"]) == 7 * 9  # those that are added to the originals
    ]
    judged = place.said(*command, "evaluate", str(place.run / "stages" / folder), *where)
    assert "FID" in judged
    assert made == {path.parent.name for path in place.run.glob("stages/*/stage.json")}, (
        "nothing was trained for it"
    )


def true_names(place):
    """Every network of the profile is the hub's: weights, sizes and names of what was computed with it."""
    sd, clip = (
        next(Path(place.variables["HF_HOME"]).glob(f"hub/models--{owner}--*/snapshots/*"))
        for owner in ("stable-diffusion-v1-5", "laion")
    )
    (start,) = place.stages("vae-pretrained")
    assert place.stages("vae-pretrained")[start]["inputs"]["start"] == f"{hub.SD} {sd.name}"
    file = "vae/diffusion_pytorch_model.safetensors"
    theirs, ours = (load_file(f / file) for f in (sd, place.run / "stages" / start))
    assert len(ours) == len(theirs)
    assert all((theirs[k] == v).all() for k, v in ours.items() if "attentions" not in k)
    denoisers = place.stages("denoiser")
    assert len(denoisers) == 4
    for key, facts in denoisers.items():
        assert facts["inputs"]["start"] == f"{hub.SD} {sd.name}"
        made = place.run / "stages" / key
        assert read_json(made / "scheduler/scheduler_config.json")["prediction_type"] == "epsilon"
        unet = read_json(made / "denoiser/config.json")["unet_config"]
        assert unet["block_out_channels"] == hub.UNET["block_out_channels"]
    ((key, tokens),) = place.stages("tokens").items()
    assert tokens["inputs"]["clip"] == f"{hub.CLIP} {clip.name}"
    shape = np.load(place.run / "stages" / key / "tokens.npy", mmap_mode="r").shape
    assert shape[1:] == (5, 33, hub.VISION["width"])
    assert {f["inputs"]["inpainter"] for f in place.stages("interpolation").values()} == {"lama"}
    classifiers = place.stages("classifier").values()
    found = {f["inputs"]["backbone"]: f["inputs"]["start"] for f in classifiers}
    cache = Path(place.variables["HF_HOME"]) / "hub"
    for name in hub.BACKBONES:
        (weights,) = cache.glob(f"models--timm--{name}/snapshots/*/model.safetensors")
        assert found[name] == file_digest(weights)[:12]
    table = pd.read_csv(place.run / "tables" / "table2.csv")
    assert table[["FID", "KID", "IS"]].notna().all(axis=None)
    assert (place.run / "tables" / "table6.csv").exists()
