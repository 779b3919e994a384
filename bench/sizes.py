"""The networks of `paper` at their true sizes with random weights, a step each: python bench/sizes.py PIECE WIDTH IMAGES

PIECE: vae, unet (a step of training, a checkpoint, a step, and the second step again from the checkpoint),
gradients (of the UNet, without optimiser) or tokens. WIDTH: of Stable Diffusion's channels, 1 is all; IMAGES of
a part of the batch, or all of them for tokens. Prints one line of JSON. A process of its own, for its memory.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PIECES = (("vae", 1, 2), ("unet", 0.2, 2), ("unet", 0.4, 2), ("gradients", 1, 1), ("tokens", 1, 64))
ON_CARD = (
    ("unet", 1, 16),
    ("gradients", 1, 16),
    *PIECES[-1:],
)  # 16: what `paper` computes at a time
PARTS = 2  # of a batch


def _unet(width):
    """`paper`'s denoiser with adapters, of a share of the channels."""
    import torch

    from skinsynth.book import cost
    from skinsynth.core.config import PROFILES
    from skinsynth.diffusion import clip, denoiser

    torch.manual_seed(0)
    wide = [int(c * width) for c in (320, 640, 1280, 1280)]
    deep = dict(
        cost.SD_UNET, block_out_channels=wide, sample_size=32, in_channels=8, out_channels=8
    )
    reach = len(clip.PAPER_LEVELS), 1 + PROFILES["paper"].patches, cost.VIT_H_WIDTH
    return denoiser.Denoiser(deep, *reach)


def _loss(n):
    """The loss of stage 2 over n drawn latents with tokens, of `paper`'s shapes and types."""
    from diffusers import DDPMScheduler

    from skinsynth.book import cost
    from skinsynth.core.config import CLASSES, PROFILES
    from skinsynth.diffusion import clip, objective

    rng = np.random.default_rng(0)
    tokens = rng.normal(
        size=(n, len(clip.PAPER_LEVELS), 1 + PROFILES["paper"].patches, cost.VIT_H_WIDTH)
    )
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    latents = rng.normal(size=(n, 8, 32, 32)).astype(np.float32)
    labels = np.arange(n) % len(CLASSES)
    return objective.diffusion_loss(latents, scheduler, labels, tokens=tokens.astype(np.float16))


def _trained(model, loss, images, fit, **how):
    """Two steps with a checkpoint between, and the second again from the checkpoint: bitwise the same?"""
    import torch

    found, count = {}, PARTS * images
    training = dict(batch=count, lr=1e-5, seed=0, accumulate=PARTS, save_every=1, **how)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        start = time.perf_counter()
        fit(model(), loss, count, out=out, steps=1, **training)
        found |= dict(seconds=time.perf_counter() - start, step=_peak())
        made = fit(model(), loss, count, out=out, steps=2, **training)
        first = {k: v.clone() for k, v in made.state_dict().items()}
        del made
        found["checkpoint"] = sum(p.stat().st_size for p in (out / "checkpoint").iterdir())
        again = fit(model(), loss, count, out=out, steps=2, **training).state_dict()
        assert all(torch.equal(first[k], again[k]) for k in first), "resumed, it ends elsewhere"
        found["weights"] = sum(v.numel() for v in again.values())
    return found


def unet(width, images):
    from skinsynth.diffusion import denoiser

    return _trained(
        lambda: _unet(width), _loss(PARTS * images), images, denoiser.fit_unet, ema=0.995
    )


def vae(width, images):
    from diffusers import AutoencoderKL

    from skinsynth.book import cost
    from skinsynth.diffusion import expansion, vae_loss
    from skinsynth.numerics import training

    def model():
        wide = [int(c * width) for c in cost.SD_VAE["block_out_channels"]]
        old = AutoencoderKL(**dict(cost.SD_VAE, block_out_channels=wide), latent_channels=4)
        return vae_loss.Judged(expansion.expand_vae(old, 8))

    pixels = np.random.default_rng(0).integers(0, 256, (PARTS * images, 256, 256, 3), np.uint8)
    loss = vae_loss.vae_loss(pixels)
    return _trained(model, loss, images, training.fit, ema=0.99, divisible=True)


def gradients(width, images):
    """Forward and backward, the third time: seconds, and what that is of a card's peak."""
    import torch

    from skinsynth.book import cost
    from skinsynth.core import machine
    from skinsynth.core.config import PROFILES

    net, loss = machine.placed(_unet(width)).train(), _loss(images)
    wait = torch.cuda.synchronize if machine.device().type == "cuda" else lambda: None
    times = 3 if machine.device().type == "cuda" else 1
    for _ in range(times):
        net.zero_grad()
        wait()
        start = time.perf_counter()
        with machine.mixed():
            value = loss(net, torch.arange(images), torch.Generator().manual_seed(0))
        value.backward()
        wait()
        seconds = time.perf_counter() - start
    found = dict(seconds=seconds, weights=sum(p.numel() for p in net.parameters()))
    if width == 1:
        work = cost.BACKWARD * images * cost.networks(PROFILES["paper"])["unet"][0]
        found["TFLOP/s"] = work / seconds / 1e12
        name = torch.cuda.get_device_name() if machine.device().type == "cuda" else ""
        for card, (peak, *_) in cost.CARDS.items():
            if card.removesuffix(" 80GB") in name:
                found["share"] = found["TFLOP/s"] / peak
    return found


def tokens(width, images):
    import open_clip
    import torch

    from skinsynth.core import machine
    from skinsynth.core.config import PROFILES
    from skinsynth.diffusion import clip
    from skinsynth.numerics import arrays

    facts = open_clip.get_model_config("ViT-H-14")
    torch.manual_seed(0)
    small = dict(width=64, heads=1, layers=1)  # the text's half, which nobody asks
    model = (
        open_clip.CLIP(facts["embed_dim"], facts["vision_cfg"], small).eval().to(machine.device())
    )
    pixels = np.random.default_rng(0).integers(0, 256, (images, 256, 256, 3), np.uint8)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.npy"
        patches = PROFILES["paper"].patches
        arrays.map_array(path, lambda part: clip.image_tokens(model, part, patches), pixels)
        found = dict(disk=path.stat().st_size / images, kind=str(arrays.load_array(path).dtype))
    weights = sum(p.numel() for p in model.visual.parameters())
    return found | dict(seconds=time.perf_counter() - start, weights=weights)


def _peak():
    """Bytes of memory that this process held at most so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def benchmark():
    """Rows for bench/run.py: every piece that this machine can hold."""
    import torch

    rows = []
    for piece, width, images in ON_CARD if torch.cuda.is_available() else PIECES:
        found = measure(piece, width, images)
        speed = images * (PARTS if piece in ("vae", "unet") else 1) / found["seconds"]
        rows.append(dict(piece=piece, width=width, images=images, images_per_second=speed) | found)
    return rows


def measure(piece, width, images):
    """What a piece took, from a process of its own: seconds, weights, peak memory in bytes, and more."""
    order = [sys.executable, __file__, piece, str(width), str(images)]
    done = subprocess.run(order, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    piece, width, images = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    found = dict(vae=vae, unet=unet, gradients=gradients, tokens=tokens)[piece](width, images)
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        found["on_card"] = sys.modules["torch"].cuda.max_memory_allocated()
    print(json.dumps(found | dict(peak=_peak())))
