"""Train the micro UNet until told to stop: python bench/train.py WAY SECONDS FOLDER

Writes FOLDER/ready once it is under way and, after SECONDS more, FOLDER/speed: images a second. WAY is
"lanes" (parts of a batch side by side, as `skinsynth run` does) or "threads" (the threads of each operation).
"""

import sys
import time
from pathlib import Path

import numpy as np

from skinsynth.diffusion import denoiser
from skinsynth.networks import bundled

BATCH = 32


class Over(Exception):
    pass


def main(way, seconds, folder):
    start = bundled.bundled("diffusion")
    net = denoiser.Denoiser.build(denoiser.unet_for(start, 8, 8))
    latents = np.random.default_rng(0).normal(size=(256, 8, 8, 8)).astype(np.float32)
    inner = denoiser.diffusion_loss(latents, denoiser.micro_scheduler(), np.zeros(256, int))
    done, since = 0, None

    def loss(model, index, rng):
        nonlocal done, since
        done += len(index)
        if since is None and done > 4 * BATCH:
            (folder / "ready").touch()
            done, since = 0, time.perf_counter()
        if since and time.perf_counter() - since > seconds:
            raise Over
        return inner(model, index, rng)

    try:
        denoiser.fit_unet(
            net,
            loss,
            256,
            out=folder,
            steps=100_000,
            batch=BATCH,
            lr=1e-5,
            seed=0,
            ema=0.99,
            divisible=way == "lanes",
        )
    except Over:
        (folder / "speed").write_text(f"{done / (time.perf_counter() - since):.1f}")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
