"""Peak anonymous memory against the number of images: python bench/memory.py TASK N prints MiB.

Each task runs in a process of its own on arrays of N images that lie in files, as a run's do.
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

NUMBERS = (1_000, 10_000, 100_000)
SIDE = 32


def _written(folder, n, shape, kind):
    """A file of n drawn arrays, made in blocks."""
    from skinsynth.numerics import arrays

    rng = np.random.default_rng(0)
    draw = (
        (lambda k: rng.integers(0, 256, (k, *shape), dtype=np.uint8))
        if kind == "images"
        else (lambda k: rng.normal(size=(k, *shape)).astype(np.float32))
    )
    parts = (draw(part.stop - part.start) for part in arrays.blocks(n))
    return arrays.stream_array(Path(folder) / f"{kind}.npy", n, parts)


def loading(folder, n):
    """Images to latents in order, then batches of latents in random order, as training reads them."""
    from skinsynth.diffusion import denoiser, vae
    from skinsynth.numerics import arrays

    images = _written(folder, n, (SIDE, SIDE, 3), "images")
    autoencoder = vae.new_vae(8).eval()
    raw = vae.LatentFormat((0.0,) * 4, (1.0,) * 4)
    latents = arrays.map_array(
        Path(folder) / "latents.npy",
        lambda part: vae.encode(autoencoder, raw, part).numpy(),
        images,
    )
    rows = arrays.Rows((latents, np.arange(n) % 5 > 0))
    labels = np.zeros(len(rows), int)
    loss = denoiser.diffusion_loss(rows, denoiser.micro_scheduler(), labels)
    import torch

    net = denoiser.Denoiser(unet_config=denoiser.micro_unet_config(8, 4, SIDE // 8))
    for k in range(min(200, n // 16)):
        index = torch.from_numpy(np.random.default_rng(k).choice(len(rows), 32))
        loss(net, index, torch.Generator().manual_seed(k)).backward()


def sampling(folder, n):
    """Samples in one step, as a folder."""
    import torch

    from skinsynth.core import store
    from skinsynth.core.versions import RECOMMENDED
    from skinsynth.diffusion import denoiser, pipeline, vae

    torch.manual_seed(0)
    own, model = (store.Stage(Path(folder) / name, name) for name in ("vae", "model"))
    vae.new_vae(8).save_pretrained(own / "vae")
    store.write_json(own / "latent_format.json", dict(mean=[0.0] * 4, std=[1.0] * 4))
    denoiser.Denoiser(unet_config=denoiser.micro_unet_config(8, 4, SIDE // 8)).save_pretrained(
        model / "denoiser"
    )
    denoiser.micro_scheduler().save_pretrained(model / "scheduler")
    store.write_json(
        model / "trained_on.json",
        dict(vae=vae.weights_digest(own), whiten=True, manifest="", ids=0),
    )
    labels, seeds = pipeline.plan(n // 7)
    plain = dict(how=RECOMMENDED.sampling, reference=dict(mode="none", labels=labels))
    drawn = dict(labels=labels, seeds=seeds, guidance=3.0, steps=1)
    pipeline.sample(store.Run("memory"), model=model, vae=own, **drawn, **plain)


def measuring(folder, n):
    """Distances and shares of n against n, features in files."""
    from skinsynth.evaluation import metrics

    real = _written(Path(folder) / "real", n, (64,), "features")
    fake = _written(Path(folder) / "fake", n, (64,), "features")
    groups = np.arange(n) % 20
    for metric in (metrics.frechet_distance, metrics.kid):
        metrics.with_interval(metric, real, fake, groups, groups)
    metrics.prdc_with_interval(real, fake, groups, groups)


TASKS = dict(loading=loading, sampling=sampling, measuring=measuring)


def _anonymous():
    """MiB of anonymous memory of this process now."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024


def watch(task, n):
    """Run a task; returns its peak anonymous memory in MiB."""
    peak, done = [0.0], threading.Event()

    def look():
        while not done.is_set():
            peak[0] = max(peak[0], _anonymous())
            time.sleep(0.01)

    with tempfile.TemporaryDirectory() as folder:
        import os

        os.environ["SKINSYNTH_RESULTS"] = folder
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            TASKS[task](folder, n)
        finally:
            done.set()
            watcher.join()
    return peak[0]


def benchmark(numbers=NUMBERS):
    """Rows of a table: peak memory of each task at each number of images."""
    found = []
    for task, work in TASKS.items():
        peaks = {}
        for n in numbers:
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, task, str(n)], check=True, capture_output=True, text=True
            )
            peaks[n] = float(done.stdout.split()[-1])
            found.append(
                {
                    "what": f"peak anonymous memory: {task}",
                    "way": work.__doc__.split(".")[0].split(",")[0],
                    "n": n,
                    "value": peaks[n],
                    "unit": "MiB",
                    "ratio": np.nan,
                    "note": f"{time.perf_counter() - start:.0f} s",
                }
            )
        found[-1]["note"] += (
            f"; {peaks[numbers[-1]] / peaks[numbers[-2]] - 1:+.1%} from {numbers[-2]:,} to {numbers[-1]:,} images"
        )
    return found


if __name__ == "__main__":
    print(watch(sys.argv[1], int(sys.argv[2])))
