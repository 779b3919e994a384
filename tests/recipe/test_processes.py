"""Two processes on the CPU (gloo): they share batches and samples, and end where one would."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from safetensors.torch import load_file

from skinsynth import recipe
from skinsynth.core import config, store
from skinsynth.numerics import arrays

TINY = replace(
    config.PROFILES["smoke"],
    n_train=100,
    n_test=3,
    n_pad=60,
    vae_steps=2,
    unet_steps=4,
    samples=10,
    sampling_steps=2,
    accumulate=2,
)
JOB = """
import sys
from accelerate import PartialState
from skinsynth import cli, recipe
from skinsynth.core import store
cli.join_processes()
assert PartialState().num_processes == 2, "each would do all of the work"
sys.path[:0] = [sys.argv[1], f"{sys.argv[1]}/recipe"]
from test_processes import TINY
recipe.samples(store.Run("tiny"), TINY, "8ch")
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("SKINSYNTH_RESULTS", str(tmp_path_factory.mktemp("alone")))
    made = recipe.samples(store.Run("tiny"), TINY, "8ch")
    yield made, recipe.model(store.Run("tiny"), TINY, "8ch")
    patch.undo()


def _together(alone, tmp_path, *dropped):
    """Two processes on a copy of the results without the dropped stages: (samples, denoiser)."""
    stages = tmp_path / "tiny" / "stages"
    shutil.copytree(alone[0].path.parent, stages, ignore=shutil.ignore_patterns(".locks"))
    for stage in dropped:
        shutil.rmtree(stages / stage.path.name)
    (tmp_path / "job.py").write_text(JOB)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
    ]
    variables = {
        "SKINSYNTH_RESULTS": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(
        [*launch, tmp_path / "job.py", ROOT / "tests"], env=os.environ | variables, check=True
    )
    return stages / alone[0].path.name, stages / alone[1].path.name


def test_sampling_is_the_same(alone, tmp_path):
    made, _ = _together(alone, tmp_path, alone[0])
    a, b = (arrays.load_array(f / "images.npy").astype(int) for f in (alone[0], made))
    assert len(a) == 70 and abs(a - b).max() <= 1
    tables = [pd.read_csv(f / "metadata.csv") for f in (alone[0], made)]
    assert tables[0].equals(tables[1])
    assert not list(made.glob(".rank*")) and not (made / "checkpoint").exists()


def test_training_is_the_same_within_float_noise(alone, tmp_path):
    """Equal parts of equal batches: the logged loss agrees to 1 %, the weights to a tenth of a step."""
    _, model = _together(alone, tmp_path, *alone)
    losses = [pd.read_csv(f / "log.csv").loss.dropna().to_numpy() for f in (alone[1], model)]
    assert np.allclose(*losses, rtol=0.01)
    one, two = (
        load_file(f / "denoiser" / "diffusion_pytorch_model.safetensors")
        for f in (alone[1].path, model)
    )
    moved = float(np.mean([(one[k] - two[k]).abs().mean() for k in one]))
    assert moved < 0.1 * TINY.unet_lr
