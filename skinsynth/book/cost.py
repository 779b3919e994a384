"""What a stage costs on this machine: time, memory and disk, from its counted work and a few seconds of measuring."""

import functools
import timeit
from collections import defaultdict
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import vgg

from .. import phantom
from ..core import machine, store
from ..core.config import CLASSES, configure
from ..data import hair, layouts
from ..diffusion import clip, denoiser, vae
from ..diffusion.vae_loss import FIRST, LOSSES, THIN, Critic
from ..networks import bundled, classifiers
from ..numerics.training import eighths
from ..recipe.trainings import MOST

SD_VAE = dict(
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
)
SD_UNET = dict(cross_attention_dim=768, attention_head_dim=8)
VIT_H = 2 * 632e6 * 257  # operations of an image through ViT-H/14: two for each weight and token
VIT_H_WIDTH = 1280  # numbers of a token
# dense TFLOP/s in bfloat16 (summed in float32) and in TF32, GB of memory: NVIDIA's Ada white paper (appendix A),
# data sheets of A100 and H100 SXM (of the last the half of what is printed, which counts zeros)
CARDS = {
    "RTX 4090": (165.2, 82.6, 24),
    "A100 80GB": (312, 156, 80),
    "H100 80GB": (989.4, 494.7, 80),
}
# of a card's peak that networks are assumed to reach: nobody has measured it with these
SHARE = 0.25
FULL = 0.9  # of a card's memory that may be planned
BACKWARD = 3  # a step of training costs as much as three passes forward
CROP = 0.25  # of an image's area: the first autoencoder and the segmenter learn from crops of half the side
TRAINED = dict(  # networks whose weights and steps take memory
    vae=["encode", "decode"], denoiser=["unet"], classifier=["classifier"], probe=["classifier"]
)
TRAINED |= {"vae-sharpened": TRAINED["vae"], "unet-pretrained": TRAINED["denoiser"]}
KINDS = ("encode", "decode", "unet", "classifier", "critic", "perceptual")  # of networks
BYTES = {  # on disk for each pixel of an image
    "phantom": 6,
    "images": 10,
    "training-images": 3,
    "latents": 1 / 2,
    "samples": 5,
    "partly-interpolated": 5,
    "interpolation": 37,
}


def _cost(net, forward):
    """(operations of a pass forward, bytes that a step keeps for the way back, weights): counted on shapes alone."""
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x)
    with FlopCounterMode(display=False) as counter, hooks:
        forward(2)  # batch normalisation wants two
    own = {id(p) for p in net.parameters()}
    sizes = {id(x): x.numel() * x.element_size() for x in kept if id(x) not in own}
    weights = sum(p.numel() for p in net.parameters())
    return counter.get_total_flops() / 2, sum(sizes.values()) / 2, weights


def _configs(cfg):
    """What the autoencoder and the UNet of a configuration are built from, whatever their channels."""
    if cfg.base == "micro":
        folder = bundled.bundled("diffusion").path
        return [store.read_json(folder / name / "config.json") for name in ("vae", "unet")]
    if cfg.base == "scratch":
        deep = denoiser.micro_unet_config(cfg.width, 8, cfg.size // 8)
        return vae.new_vae(cfg.width).config, deep
    return SD_VAE, SD_UNET


def _clip_width(cfg):
    return VIT_H_WIDTH if cfg.clip != "micro" else 128


def _models(cfg, where):
    """{kind: (network, function of a batch's size -> its output)} at a configuration's sizes, on a device."""
    side, size, (wide, deep) = cfg.size // 8, cfg.size, _configs(cfg)
    reach = len(clip.PAPER_LEVELS), 1 + cfg.patches, _clip_width(cfg)
    with torch.device(where):
        autoencoder = AutoencoderKL.from_config(wide, latent_channels=8)
        unet = denoiser.Denoiser(dict(deep, in_channels=8, out_channels=8), *reach)
        network = classifiers.Classifier(cfg.backbones[0], len(CLASSES))
        critic, eyes = Critic(), vgg.make_layers(vgg.cfgs["D"])  # VGG16's convolutions

    def new(*shape):
        return torch.zeros(shape, device=where)

    def predict(n):
        label = torch.zeros(n, dtype=torch.long, device=where)
        return unet(new(n, 8, side, side), new(n), label, new(n, *reach))

    def encode(n):
        return autoencoder.encode(new(n, 3, size, size)).latent_dist.mode()

    return {
        "encode": (autoencoder, encode),
        "decode": (autoencoder, lambda n: autoencoder.decode(new(n, 8, side, side)).sample),
        "unet": (unet, predict),
        "classifier": (network, lambda n: network(new(n, 3, size, size))),
        "critic": (critic, lambda n: critic(new(3 * n, 3, size, size))),  # images, and copies twice
        "perceptual": (eyes, lambda n: eyes(new(n, 3, size, size))),
    }


@functools.cache
def networks(cfg):
    """Cost of one image in each network of a configuration: {kind: (operations, bytes kept, weights)}."""
    found = {kind: _cost(*model) for kind, model in _models(cfg, "meta").items()}
    found["clip"] = (VIT_H, 0, 632e6) if cfg.clip != "micro" else (found["classifier"][0], 0, 3e6)
    return found


def _step(call, n):
    with machine.mixed():
        call(n).float().square().mean().backward()


@torch.no_grad()
def _pass(call, n):
    call(n).float().sum().item()


def _shared(way, call, batch):
    """A batch by `way`, as trainings and samplers take it: parts side by side; trained on a CPU as in denoiser.fit_unet."""
    n = torch.get_num_threads() if machine.lanes() else 1
    plain = way is _step and machine.device().type == "cpu"
    with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        machine.side_by_side(partial(way, call), [batch // n] * n)


def _seconds(call, *given):
    """Seconds of a call, the mean of two after one that warms up."""
    return float(np.mean(timeit.repeat(lambda: call(*given), number=1, repeat=3)[1:]))


@functools.cache
def speeds():
    """What this machine does in a second, measured in a few with the networks of `micro`:
    {("train" or "infer", kind): operations}, and images drawn ("draw") and rid of hair ("hair") at 64 pixels."""
    cfg, found = configure("micro"), {}
    batches = dict.fromkeys(("encode", "decode", "critic"), cfg.vae_batch)
    batches |= dict(unet=cfg.batch, classifier=cfg.batch // 2, perceptual=cfg.vae_batch // THIN)
    for kind, (_, call) in _models(cfg, machine.device()).items():
        work = batches[kind] * networks(cfg)[kind][0]
        found["train", kind] = BACKWARD * work / _seconds(_shared, _step, call, batches[kind])
        found["infer", kind] = work / _seconds(_shared, _pass, call, batches[kind])
    found["draw"] = machine.processors() / _seconds(phantom.dermatoscopy, 1, 0, "nv", 64)
    skin = phantom.dermatoscopy(1, 0, "nv", 64).image
    found["hair"] = 1 / _seconds(hair.dullrazor, skin)
    return found


@functools.cache
def images_of(cfg):
    """Number of dermatoscopic images of a configuration; for the phantom about that."""
    if not cfg.data:
        return cfg.n_train + len(CLASSES) * cfg.n_test
    found = len(layouts.load(Path(cfg.data), seed=cfg.seed)["ham"])
    return min(found, 3 * cfg.limit) if cfg.limit else found


def card_speeds(card):
    """`speeds` of a card of CARDS, as assumed: trained in bfloat16, asked in TF32. Work of processors counts nothing."""
    train, infer, _ = (SHARE * 1e12 * x for x in CARDS[card])
    found = defaultdict(lambda: float("inf"))
    for kind in KINDS:
        found["train", kind], found["infer", kind] = train, infer
    return found


def cost(facts, cfg, n, card=None):
    """(seconds, GiB of memory, GiB of disk) of a stage; n: images of the set; card: of CARDS, else this machine.

    Estimates, not promises.
    """
    name, i = facts["stage"].removesuffix("-scratch"), defaultdict(int, facts["inputs"])
    net, speed = networks(cfg), card_speeds(card) if card else speeds()
    pixels, area = cfg.size**2, (cfg.size / 64) ** 2
    many = len(i["labels"] or i["rows"] or ()) or i["n"] or n
    classifiers_see = max(1, 128**2 / pixels)

    def train(*kinds, part=1.0):
        passes = i["steps"] * i["batch"] * part * BACKWARD
        return sum(passes * net[k][0] / speed["train", k] for k in kinds)

    def infer(kind, count, like=None):
        return count * net[kind][0] / speed["infer", like or kind]

    version = FIRST if facts["stage"] == "vae-scratch" else i["version"] or "recommended"
    part = CROP if version == FIRST else 1.0
    copied = train("encode", "decode", part=part) + train("perceptual", part=part / THIN)
    if "critic" in LOSSES[version]:
        copied += train("critic")

    seconds = {
        "phantom": (n + i["n_pad"]) * area / speed["draw"],
        "images": n * area / 600,
        "training-images": n * area / speed["hair"] if i["dehair"] else 1,
        "generic": many * area / speed["draw"],
        "fresh-phantom": len(CLASSES) * many * area / speed["draw"],
        "vae": copied,
        "vae-sharpened": copied,
        "vae-pretrained": infer("encode", 512),
        "latents": infer("encode", n * i["symmetries"]),
        "tokens": infer("clip", n, "classifier"),
        "embeddings": infer("clip", n, "classifier"),
        "denoiser": train("unet"),
        "unet-pretrained": train("unet"),
        "samples": infer("unet", many * i["steps"] * (1 + (i["guidance"] != 1)))
        + infer("decode", many),
        "classifier": train("classifier") + infer("classifier", n),
        "probe": train("classifier"),
        "segmenter": train("encode", part=CROP),
        "interpolation": infer("decode", 11 * many) + infer("encode", 2 * many),
        "partly-interpolated": infer("decode", many) + infer("encode", 2 * many),
        "features": infer("classifier", n) * classifiers_see,
        "judges": infer("classifier", 60 * len(CLASSES) * i["n"]) * classifiers_see,
        "course": infer("classifier", 35 * MOST * len(i["folders"] or ())) * classifiers_see,
        "linear-probe": 3,
    }[name]
    weights = max((net[k][2] for k in TRAINED.get(name, ())), default=0)
    stored = BYTES.get(name, 0) * pixels * (i["symmetries"] or 1)
    if name == "tokens":
        stored = len(clip.PAPER_LEVELS) * (1 + cfg.patches) * _clip_width(cfg) * 2
    kept = 4 + 2 * (i["course"] and len(eighths(i["steps"])))  # bytes of a weight
    return seconds, _memory(name, i, net, card) / 2**30, (kept * weights + many * stored) / 2**30


def _memory(name, i, net, card):
    """Bytes that a stage holds: weights, their average, gradients and two moments in float32, the weights again in
    half precision, and what a part of the batch keeps for the way back. On true sizes: tests/book/test_sizes.py."""
    used = TRAINED.get(name, ())
    half = card is not None or machine.precision() != "float32"
    weights = max((net[k][2] for k in used), default=0)
    side_by_side = torch.get_num_threads() if card is None and machine.lanes() else 1
    images = side_by_side * i["batch"] / max(i["accumulate"], side_by_side)
    kept = images * sum(net[k][1] for k in used)
    return 1e9 + (22 if half else 20) * weights + kept / (2 if half else 1)


def parts(facts, cfg, card):
    """(number of parts of a batch, of 1, 2, 4 ..., GiB): the fewest with which a stage fits on a card; None if none does."""
    i = defaultdict(int, facts["inputs"])
    for n in (2**k for k in range(i["batch"].bit_length())):
        size = _memory(facts["stage"], i | {"accumulate": n}, networks(cfg), card)
        if size <= FULL * CARDS[card][2] * 1e9:
            return n, size / 2**30
    return None
