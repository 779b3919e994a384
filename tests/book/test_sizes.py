"""The networks of `paper` at their true sizes, a step each: what the plan computes is what it takes."""

import sys

import pytest
from conftest import ROOT

from skinsynth.book import cost
from skinsynth.core.config import configure

sys.path.insert(0, str(ROOT / "bench"))
import sizes  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def _planned(name, width, images):
    """Bytes that the plan computes for parts of a number of images, of a share of Stable Diffusion's channels."""
    net = dict(cost.networks(configure("paper")))
    for kind, (work, kept, weights) in net.items():
        net[kind] = work, width * kept, weights
    inputs = dict(batch=sizes.PARTS * images, accumulate=sizes.PARTS)
    return lambda weights: cost._memory(
        name, inputs, {k: (w, kept, weights) for k, (w, kept, _) in net.items()}, None
    )


@pytest.mark.parametrize(
    ("piece", "name", "width"),
    [("vae", "vae", 1), ("unet", "denoiser", 0.2), ("unet", "denoiser", 0.4)],
)
def test_a_step_takes_what_the_plan_says_and_resumes_bitwise(piece, name, width):
    """The autoencoder whole; of the UNet two widths that 14 GiB hold: the law between them is the plan's for all."""
    found = sizes.measure(piece, width, 2)
    assert found["step"] == pytest.approx(_planned(name, width, 2)(found["weights"]), rel=0.25)
    assert found["checkpoint"] == pytest.approx(16 * found["weights"], rel=0.01)


def test_the_whole_unet_passes_forward_and_back():
    found = sizes.measure("gradients", 1, 1)
    assert found["weights"] == cost.networks(configure("paper"))["unet"][2]
    assert found["peak"] < 14 * 2**30


def test_tokens_take_the_disk_that_the_plan_says():
    found = sizes.measure("tokens", 1, 64)
    assert found["kind"] == "float16" and round(found["weights"] / 1e6) == 632
    assert found["disk"] == pytest.approx(5 * 33 * 1280 * 2, rel=0.001)
